"""Finds the dialect of a text file on its first lines: the one under which they look most like a table.

Every plausible combination of delimiter, quote and escape is tried. A good one gives rows of one width, and cells
that are values: numbers, dates, words, rather than fragments with other delimiters or half a pair of quotes in them.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

from .csv_tolerant import Lines, Repairs, records
from .dialect import Dialect
from .model import ReadOptions

_COMMON = (",", "\t", ";", "|")
_RARE = ("\x1f", "\x01", "§", "¦", "^", "~", "，", "；", "#", "!", "&", "*", "/", ":", " ")
_LONG = (", ", "; ", " | ", "||", "\t\t", "::", "|~|", "~|~", "|*|", "\\t", ";;", ",,")
_NOWHERE = "\x1f"  # separates nothing in a file of one column
_SAMPLE_LINES = 300
_SAMPLE_CHARS = 200_000
_SEP = re.compile(r"""["']?sep=(\\t|[^\w"'\r\n]{1,2})["']?\s*$""", re.IGNORECASE)
_VALUE = re.compile(
    r"\s*(?:"
    # numbers and amounts
    r"[-+(<>]?\s?[$€£¥￥]?\s?(?:\d{1,3}(?:[,.'’ ]\d{3})+|\d+)?(?:[.,]?\d+)\)?(?:[eE][-+]?\d+)?\s?[%％‰°$€£¥￥]?"
    r"|\d{1,4}[-/.年]\d{1,2}(?:[-/.月]\d{1,4}日?)?(?:[T ]\d{1,2}:\d\d(?::\d\d(?:\.\d+)?)?.{0,8})?"  # dates
    r"|\d{1,2}:\d\d(?::\d\d(?:[.,]\d+)?)?(?:\s?[AaPp][Mm])?"  # times
    r"|https?://\S+|[\w.+-]+@[\w-]+\.[\w.-]+|(?:/[\w.-]+)+"  # addresses
    r")\s*$"
)
_WORDS = re.compile(r"[\w \-.()/'%#+°²³µ（）_·]*$")
_SUSPICIOUS = re.compile(r"[,;\t|\"]")


def detect(lines: list[str], options: ReadOptions) -> Dialect:
    """The dialect of the file that begins with ``lines``; what ``options`` say is not doubted."""
    first_line, declared = 1, ""
    start = lines[0].lstrip("\ufeff") if lines else ""
    if not options.delimiter and (match := _SEP.match(start)):
        first_line, declared = 2, "\t" if match[1] == "\\t" else match[1]
    sample = _sample(lines[first_line - 1 :])
    asked = options.delimiter or declared
    found = [_scored(sample, candidate) for candidate in _candidates(sample, asked, options.quote)]
    if not asked:
        found.append((_one_column(sample), replace(found[0][1], delimiter=_NOWHERE, width=1)))
    score, best = max(found, key=lambda item: item[0])  # the first among equals
    runner_up = max((other for other, candidate in found if candidate.delimiter != best.delimiter), default=0.0)
    margin = (score - runner_up) / score if score > 0 else 0.0
    confidence = 1.0 if asked else round(min(0.99, 0.5 + margin / 2), 2)
    return replace(best, confidence=confidence, first_line=first_line, declared=bool(declared))


def _sample(lines: list[str]) -> list[str]:
    kept: list[str] = []
    chars = 0
    for line in islice((line for line in lines if line.strip()), _SAMPLE_LINES):
        kept.append(line)
        chars += len(line)
        if chars > _SAMPLE_CHARS:
            break
    return kept


def _candidates(sample: list[str], asked: str, quote: str | None) -> Iterator[Dialect]:
    """What is worth trying, the usual first: among equals the first one wins."""
    text = "\n".join(sample)
    quotes = ['"', "'"] if quote is None else [quote]
    quotes = [mark for mark in quotes if mark in text] or [quotes[0]]
    if quote is None and quotes == ["'"]:
        quotes = ['"', "'"]
    delimiters = [asked] if asked else [mark for mark in (*_LONG, *_COMMON, *_RARE) if _is_frequent(mark, sample)]
    for mark in quotes:
        for delimiter in delimiters or [","]:
            if delimiter != mark:
                plain = Dialect(delimiter, 0, mark)
                yield plain
                if mark and "\\" + mark in text:
                    yield replace(plain, escape="\\")
                if mark and not delimiter.endswith(" ") and f"{delimiter} {mark}" in text:
                    yield replace(plain, skip_space=True)


def _is_frequent(delimiter: str, sample: list[str]) -> bool:
    needed = 0.15 if delimiter in _COMMON else 0.5
    return sum(1 for line in sample if delimiter in line) >= max(1, needed * len(sample))


def _scored(sample: list[str], candidate: Dialect) -> tuple[float, Dialect]:
    """How much the sample looks like a table under ``candidate``, and the same with the width it gives."""
    repairs = Repairs()
    rows = [cells for _, cells in records(Lines(iter(enumerate(sample, start=1))), candidate, repairs)]
    width = _usual_width(Counter(len(cells) for cells in rows))
    found = replace(candidate, width=width)
    if width < 2:
        return 0.0, found
    usual = [row for row in rows if len(row) == width]
    share = len(usual) / len(rows)
    clean = sum(_cleanness(cell) for row in usual for cell in row) / (len(usual) * width)
    score = share * (0.3 + 0.7 * clean) * (1 - 1 / (width + 0.5))
    if len(rows[0]) != width:
        score *= 0.8  # the header should be as wide as the table
    if width > 2 and all(not any(row[1::2]) for row in usual):
        score *= 0.5  # the delimiter is really a double one
    return score * _trust(usual, share, candidate) * _quoting(sample, candidate, repairs, len(rows)), found


def _one_column(sample: list[str]) -> float:
    """How much whole lines look like values."""
    values = (1.0 if _VALUE.match(line) else 0.6 if _WORDS.match(line) else 0.2 for line in sample)
    return 0.5 * sum(values) / max(len(sample), 1)


def _trust(usual: list[list[str]], share: float, candidate: Dialect) -> float:
    """Less than 1 for characters that also occur inside values; those must separate nearly every row."""
    if candidate.delimiter in (*_COMMON, *_LONG):
        return 1.0
    if share < 0.8:
        return 0.05
    if candidate.delimiter != " ":
        return 0.55
    values = sum(1 for row in usual for cell in row if _VALUE.match(cell))
    return 0.55 if values > 0.4 * len(usual) * len(usual[0]) else 0.2


def _usual_width(widths: Counter[int]) -> int:
    """The most common number of cells above one, unless hardly any row has more than one."""
    wide = {width: count for width, count in widths.items() if width > 1}
    if not wide or sum(wide.values()) < 0.15 * widths.total():
        return 1
    return max(wide, key=lambda width: (wide[width], width))


def _cleanness(cell: str) -> float:
    """1 for a value, less for text that hides separators or half a quotation."""
    if "\t" in cell or (cell.startswith(" ") and len(cell) > 1):
        return 0.4
    if not cell or _VALUE.match(cell):
        return 1.0
    if _WORDS.match(cell):
        return 0.95 if len(cell) < 60 else 0.8
    if cell.count('"') % 2 or cell.startswith(("'", '"')) or cell.endswith(("'", '"')):
        return 0.2
    return 0.45 if _SUSPICIOUS.search(cell) else 0.75


def _quoting(sample: list[str], candidate: Dialect, repairs: Repairs, rows: int) -> float:
    """Less than 1 where quotes do not pair up; an apostrophe must prove itself as a quote."""
    trust = 1 - 0.5 * repairs.unclosed.count / max(rows, 1)
    if candidate.quote != "'":
        return trust
    edge = re.escape(candidate.delimiter)
    opened = sum(len(re.findall(rf"(?:^|{edge})'", line)) for line in sample)
    closed = sum(len(re.findall(rf"'(?={edge}|$)", line)) for line in sample)
    proven = opened >= 0.3 * len(sample) and closed >= 0.8 * opened
    return trust if proven else 0.5 * trust
