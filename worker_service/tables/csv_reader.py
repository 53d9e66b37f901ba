"""A delimited text file as a grid: detects its dialect, reads it fast if regular and tolerantly if not."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from . import csv_fast, dialect_detect
from .csv_tolerant import Lines, Repairs, batches, fit, records
from .dialect import Dialect
from .errors import ErrorCode, TableError, limit_exceeded
from .grid import HEAD_ROWS, Batch, Merge, Overflow
from .model import Limits, Origin, ReadChoice, ReadOptions
from .text_lines import TextFile


@dataclass
class CsvGrid:
    """Rows of a text file, each as wide as most rows are; see Grid.

    ``body`` raises Irregular when the fast reader must give up: set ``tolerant`` and start over.
    """

    file: TextFile
    dialect: Dialect
    head: list[list[str]]
    head_rows: list[int]
    on_bytes: Callable[[int], None]
    tolerant: bool = False
    repairs: Repairs = field(default_factory=Repairs)
    head_overflow: list[Overflow] = field(default_factory=list)
    merges: list[Merge] = field(default_factory=list)

    @property
    def width(self) -> int:
        """Number of columns."""
        return self.dialect.width

    def body(self, first_row: int) -> Iterator[Batch]:
        """Rows from 1-based line ``first_row`` on."""
        if not self.tolerant:
            yield from csv_fast.read(self.file, self.dialect, first_row, self.on_bytes)
            return
        self.repairs = Repairs()
        lines = islice(self.file.lines(self.repairs.bad_bytes, self.on_bytes), self.dialect.first_line - 1, None)
        found = records(Lines(lines), self.dialect, self.repairs)
        wanted = (record for record in found if record[0] >= first_row)
        yield from batches(wanted, self.width, self.repairs)

    def all_overflow(self, first_row: int) -> list[Overflow]:
        """Cells beyond the last column, of the body read so far and of the rows above ``first_row``."""
        return [cell for cell in self.head_overflow if cell.row < first_row] + self.repairs.overflow


def open_csv(file: TextFile, options: ReadOptions, limits: Limits, on_bytes: Callable[[int], None]) -> CsvGrid:
    """Look at the first mebibyte of ``file``; raises TableError EMPTY_FILE, NOT_TABULAR or LIMIT_EXCEEDED."""
    sample = file.sample()
    if not any(line.strip() for line in sample):
        raise TableError(ErrorCode.EMPTY_FILE, "The file holds nothing but white space; upload one with data.")
    if longest(sample) > limits.max_cell_chars and len(sample) < 3:
        raise TableError(
            ErrorCode.NOT_TABULAR, "The file is one very long line, not rows of cells; export it as CSV with line ends."
        )
    found = dialect_detect.detect(sample, options)
    if found.width > limits.max_columns:
        raise limit_exceeded("max_columns", limits.max_columns, f"{found.width:,} columns", "split the table.")
    repairs = Repairs()
    head, head_rows = _head(sample, found, repairs)
    return CsvGrid(file, found, head, head_rows, on_bytes, head_overflow=repairs.overflow)


def choices(found: Dialect, options: ReadOptions) -> list[ReadChoice]:
    """What was settled about the dialect, for the report."""
    delimiter = found.delimiter if found.width > 1 else ""
    origin: Origin = "given" if options.delimiter else "declared" if found.declared else "detected"
    return [
        ReadChoice("delimiter", delimiter, origin, found.confidence),
        ReadChoice("quote", found.quote, "detected" if options.quote is None else "given", found.confidence),
        ReadChoice("escape", found.escape or found.quote * 2, "detected", found.confidence),
    ]


def longest(lines: list[str]) -> int:
    """Length of the longest line in characters."""
    return max((len(line) for line in lines), default=0)


def _head(sample: list[str], found: Dialect, repairs: Repairs) -> tuple[list[list[str]], list[int]]:
    head: list[list[str]] = []
    rows: list[int] = []
    numbered = islice(enumerate(sample, start=1), found.first_line - 1, None)
    for number, cells in records(Lines(numbered), found, repairs):
        head.append(fit(number, cells, found.width, repairs))
        rows.append(number)
        if len(head) == HEAD_ROWS:
            break
    return head, rows
