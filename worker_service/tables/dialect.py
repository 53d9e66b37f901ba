"""How a text file separates its cells: delimiter, quoting and line ends, judged on its first lines."""

from collections import Counter
from dataclasses import dataclass

_DELIMITERS = (",", "\t", ";", "|", "\x1f", "^", "~", ":")
_SAMPLE_LINES = 400


@dataclass(frozen=True)
class Dialect:
    """``delimiter`` is one character; ``width`` is the usual number of cells a row."""

    delimiter: str
    width: int


def detect(lines: list[str], asked: str = "") -> Dialect:
    """The delimiter under which most lines have the same number of cells, and that number.

    A file in which no delimiter is consistent is one column wide. ``asked`` is the delimiter if the caller knows it.
    """
    sample = [line for line in lines[:_SAMPLE_LINES] if line.strip()]
    if asked:
        return Dialect(asked, _modal_width(sample, asked)[0])
    best, best_score = Dialect(",", 1), 0.0
    for rank, delimiter in enumerate(_DELIMITERS):
        width, share = _modal_width(sample, delimiter)
        if width < 2:
            continue
        # A colon or tilde also occurs inside times and prose: ask more of the late ones.
        needed = 0.5 if rank < 4 else 0.9
        score = share * (1 + min(width, 20) / 20) - rank * 0.02
        if share >= needed and score > best_score and not (delimiter == ":" and _looks_like_times(sample)):
            best, best_score = Dialect(delimiter, width), score
    return best if best_score else _weak_dialect(sample)


def split_record(text: str, delimiter: str) -> tuple[list[str], bool]:
    """Cells of one record, and whether its quoting is well formed and closed.

    A quote opens a cell only at its start and closes it only before a delimiter or the end; every other quote
    is an ordinary character. From an unclosed quote on, cells are split as if nothing were quoted, and False.
    """
    if '"' not in text:
        return text.split(delimiter), True
    cells: list[str] = []
    position, end = 0, len(text)
    while position <= end:
        if text[position : position + 1] == '"':
            close = _closing_quote(text, position + 1, delimiter)
            if close < 0:
                return cells + text[position:].split(delimiter), False
            cells.append(text[position + 1 : close].replace('""', '"'))
            position = close + 2
        else:
            stop = text.find(delimiter, position)
            stop = end if stop < 0 else stop
            cells.append(text[position:stop])
            position = stop + 1
    return cells, True


def _closing_quote(text: str, start: int, delimiter: str) -> int:
    """Index of the quote that closes a cell opened before ``start``, or -1."""
    position = start
    while (position := text.find('"', position)) >= 0:
        following = text[position + 1 : position + 2]
        if following == '"':
            position += 2
        elif following in ("", delimiter):
            return position
        else:
            position += 1
    return -1


def _modal_width(lines: list[str], delimiter: str) -> tuple[int, float]:
    """The most common number of cells a line (more than one if any) and the share of lines that have it."""
    widths = Counter(_loose_width(line, delimiter) for line in lines)
    wide = {width: count for width, count in widths.items() if width > 1}
    if not wide:
        return 1, 1.0
    width = max(wide, key=lambda w: (wide[w], w))
    return width, wide[width] / len(lines)


def _loose_width(line: str, delimiter: str) -> int:
    return len(split_record(line, delimiter)[0])


def _weak_dialect(lines: list[str]) -> Dialect:
    """No delimiter holds for half of the lines: take the one that at least a fifth agree on, else one column."""
    for delimiter in _DELIMITERS[:4]:
        width, share = _modal_width(lines, delimiter)
        if width > 2 and share >= 0.2:
            return Dialect(delimiter, width)
    return Dialect(",", 1)


def _looks_like_times(lines: list[str]) -> bool:
    return sum(1 for line in lines if any(part.isdigit() for part in line.split(":"))) > len(lines) / 2
