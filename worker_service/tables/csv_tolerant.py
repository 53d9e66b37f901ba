"""Reads any delimited text: repairs ragged rows, keeps stray quotes, never swallows what follows one.

Unlike a standard CSV parser it decides quote by quote whether a cell really continues on the next line: only when
the joined text is well formed as a whole and has the table's width.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

import pyarrow as pa

from .dialect import Dialect, split_record
from .grid import Batch, Overflow
from .text_lines import RowTally

_MAX_RECORD_LINES = 200
_MAX_RECORD_CHARS = 1 << 20
_BATCH_CELLS = 500_000


@dataclass
class Repairs:
    """What had to be repaired while reading; ``overflow`` is drained by whoever writes the rejects."""

    ragged: RowTally = field(default_factory=RowTally)
    unclosed: RowTally = field(default_factory=RowTally)
    bad_bytes: RowTally = field(default_factory=RowTally)
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
    """Yield (1-based first line, cells) for every record, cells as found: not yet padded to the width."""
    while (line := lines.next()) is not None:
        number, text = line
        if '"' not in text:
            yield number, text.split(dialect.delimiter)
            continue
        cells, closed = split_record(text, dialect.delimiter)
        if not closed:
            joined = _continued(text, lines, dialect)
            if joined is None:
                repairs.unclosed.add(number)
            else:
                cells = joined
        yield number, cells


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
    well_formed = _well_formed(dialect.delimiter)
    joined = text
    for offset in range(_MAX_RECORD_LINES):
        following = lines.peek(offset)
        if following is None or _is_whole_row(following, dialect):
            return None
        joined += "\n" + following
        if len(joined) > _MAX_RECORD_CHARS:
            return None
        if '"' not in following or not well_formed.fullmatch(joined):
            continue
        cells, closed = split_record(joined, dialect.delimiter)
        if closed and len(cells) == dialect.width:
            for _ in range(offset + 1):
                lines.next()
            return cells
    return None


@cache
def _well_formed(delimiter: str) -> re.Pattern[str]:
    """A record whose quotes are all at the edges of cells or doubled inside quoted ones."""
    cell = f'(?:"(?:[^"]|"")*"|[^"{re.escape(delimiter)}]*)'
    return re.compile(f"{cell}(?:{re.escape(delimiter)}{cell})*")


def _is_whole_row(text: str, dialect: Dialect) -> bool:
    """A line that is a full row by itself is not the inside of a cell (in narrow tables prose could be)."""
    if dialect.width < 4 or text.count(dialect.delimiter) < dialect.width - 1 or text.count('"') % 2:
        return False
    cells, closed = split_record(text, dialect.delimiter)
    return closed and len(cells) == dialect.width
