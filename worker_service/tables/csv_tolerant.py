"""Reads any delimited text: repairs ragged rows, keeps stray quotes, never swallows what follows one.

Unlike a standard CSV parser it decides quote by quote whether a cell really continues on the next line: only when
the joined text is well formed as a whole and has the table's width.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import pyarrow as pa

from .dialect import Dialect, split_record
from .grid import Batch, Overflow
from .row_repair import repaired, with_other_delimiter
from .text_lines import RowTally

_MAX_RECORD_LINES = 200
_MAX_RECORD_CHARS = 1 << 20
_BATCH_CELLS = 500_000
_HOPELESS = 1_000  # so many quotes that never close: the file does not continue cells on further lines


@dataclass
class Repairs:
    """What had to be repaired while reading; ``overflow`` is drained by whoever writes the rejects.

    ``joined`` counts the records that really went on over several lines.
    """

    ragged: RowTally = field(default_factory=RowTally)
    unclosed: RowTally = field(default_factory=RowTally)
    bad_bytes: RowTally = field(default_factory=RowTally)
    other_delimiter: RowTally = field(default_factory=RowTally)
    joined: int = 0
    overflow: list[Overflow] = field(default_factory=list)


class Lines:
    """Numbered lines with look-ahead."""

    def __init__(self, source: Iterator[tuple[int, str]]) -> None:
        self._source = source
        self._ahead: list[tuple[int, str]] = []

    def next(self) -> tuple[int, str] | None:
        """Take the next line, or None at the end."""
        if self._ahead:
            return self._ahead.pop(0)
        return next(self._source, None)

    def peek(self, offset: int) -> str | None:
        """The text ``offset`` lines ahead (0 = next) without taking it."""
        while len(self._ahead) <= offset:
            line = next(self._source, None)
            if line is None:
                return None
            self._ahead.append(line)
        return self._ahead[offset][1]


def records(lines: Lines, dialect: Dialect, repairs: Repairs) -> Iterator[tuple[int, list[str]]]:
    """Yield (1-based first line, cells) for every record, cells as found: not yet padded to the width.

    A width of 0 means that it is not known yet.
    """
    while (line := lines.next()) is not None:
        number, text = line
        cells, closed = split_record(text, dialect)
        if closed and len(cells) == dialect.width:
            yield number, cells
            continue
        if not closed:
            joined = _continued(text, lines, dialect) if repairs.unclosed.count < _HOPELESS + repairs.joined else None
            if joined is not None:
                repairs.joined += 1
                yield number, joined
                continue
            repairs.unclosed.add(number)
        if dialect.width > 1:
            cells = _mended(number, text, dialect, repairs, closed=closed) or cells
        yield number, cells


def _mended(number: int, text: str, dialect: Dialect, repairs: Repairs, *, closed: bool) -> list[str] | None:
    """Another reading of a row that has not the table's width, if there is one that has."""
    if not dialect.is_plain(text) and not dialect.well_formed.fullmatch(text) and (cells := repaired(text, dialect)):
        if closed:
            repairs.unclosed.add(number)
        return cells
    if cells := with_other_delimiter(text, dialect):
        repairs.other_delimiter.add(number)
    return cells


def batches(source: Iterator[tuple[int, list[str]]], width: int, repairs: Repairs) -> Iterator[Batch]:
    """Pad or cut records to ``width`` and yield them as batches; cut cells go to ``repairs.overflow``."""
    batch_rows = max(1, min(32_768, _BATCH_CELLS // width))
    rows: list[list[str]] = []
    numbers: list[int] = []
    for number, cells in source:
        if len(cells) != width:
            cells = fit(number, cells, width, repairs)  # noqa: PLW2901  # the repaired record replaces it
        rows.append(cells)
        numbers.append(number)
        if len(rows) == batch_rows:
            yield _batch(rows, numbers)
            rows, numbers = [], []
    if rows:
        yield _batch(rows, numbers)


def fit(number: int, cells: list[str], width: int, repairs: Repairs) -> list[str]:
    """The record at ``width`` cells; a blank line is all empty and not ragged."""
    if len(cells) < width:
        if any(cells):
            repairs.ragged.add(number)
        return cells + [""] * (width - len(cells))
    extra = [cell for cell in cells[width:] if cell]
    if extra:
        repairs.ragged.add(number)
        repairs.overflow.extend(Overflow(number, cell) for cell in extra)
    return cells[:width]


def _batch(rows: list[list[str]], numbers: list[int]) -> Batch:
    columns = [pa.array(column, pa.string()) for column in zip(*rows, strict=True)]
    return Batch(columns, pa.array(numbers, pa.int64()))


def _continued(text: str, lines: Lines, dialect: Dialect) -> list[str] | None:
    """The cells of a record whose open quote closes on a later line, or None when it never plausibly does."""
    joined = text
    for offset in range(_MAX_RECORD_LINES):
        following = lines.peek(offset)
        if following is None or _is_whole_row(following, dialect):
            return None
        joined += "\n" + following
        if len(joined) > _MAX_RECORD_CHARS:
            return None
        if dialect.quote not in following or not dialect.well_formed.fullmatch(joined):
            continue
        cells, closed = split_record(joined, dialect)
        if closed and dialect.width in (0, len(cells)):
            for _ in range(offset + 1):
                lines.next()
            return cells
    return None


def _is_whole_row(text: str, dialect: Dialect) -> bool:
    """A line that is a full row by itself is not the inside of a cell (in narrow tables prose could be)."""
    if dialect.width < 4 or text.count(dialect.delimiter) < dialect.width - 1 or text.count(dialect.quote) % 2:
        return False
    cells, closed = split_record(text, dialect)
    return closed and len(cells) == dialect.width
