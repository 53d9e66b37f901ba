"""A delimited text file as a grid: detects its dialect, reads it fast if regular and tolerantly if not."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from . import csv_fast, dialect
from .csv_tolerant import Lines, Repairs, batches, fit, records
from .dialect import Dialect
from .errors import ErrorCode, TableError, limit_exceeded
from .grid import HEAD_ROWS, Batch, Merge, Overflow
from .model import Limits, ReadOptions
from .text_lines import TextFile

_BLOCK_BYTES = 1 << 22


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
            yield from csv_fast.read(
                self.file, self.dialect, first_row, has_quotes=self._has_quotes(), on_bytes=self.on_bytes
            )
            return
        self.repairs = Repairs()
        lines = Lines(self.file.lines(self.repairs.bad_bytes, self.on_bytes))
        found = records(lines, self.dialect, self.repairs)
        wanted = (record for record in found if record[0] >= first_row)
        yield from batches(wanted, self.width, self.repairs)

    def all_overflow(self, first_row: int) -> list[Overflow]:
        """Cells beyond the last column, of the body read so far and of the rows above ``first_row``."""
        return [cell for cell in self.head_overflow if cell.row < first_row] + self.repairs.overflow

    def _has_quotes(self) -> bool:
        if self.file.is_wide:
            return True
        with self.file.path.open("rb") as raw:
            while chunk := raw.read(_BLOCK_BYTES):
                if b'"' in chunk:
                    return True
        return False


def open_csv(file: TextFile, options: ReadOptions, limits: Limits, on_bytes: Callable[[int], None]) -> CsvGrid:
    """Look at the first mebibyte of ``file``; raises TableError EMPTY_FILE, NOT_TABULAR or LIMIT_EXCEEDED."""
    sample = file.sample()
    if not any(line.strip() for line in sample):
        raise TableError(ErrorCode.EMPTY_FILE, "The file holds nothing but white space; upload one with data.")
    if longest(sample) > limits.max_cell_chars and len(sample) < 3:
        raise TableError(
            ErrorCode.NOT_TABULAR, "The file is one very long line, not rows of cells; export it as CSV with line ends."
        )
    found = dialect.detect(sample, options.delimiter)
    if found.width > limits.max_columns:
        raise limit_exceeded("max_columns", limits.max_columns, f"{found.width:,} columns", "split the table.")
    repairs = Repairs()
    head, head_rows = _head(sample, found, repairs)
    return CsvGrid(file, found, head, head_rows, on_bytes, head_overflow=repairs.overflow)


def longest(lines: list[str]) -> int:
    """Length of the longest line in characters."""
    return max((len(line) for line in lines), default=0)


def _head(sample: list[str], found: Dialect, repairs: Repairs) -> tuple[list[list[str]], list[int]]:
    head: list[list[str]] = []
    rows: list[int] = []
    for number, cells in records(Lines(iter(enumerate(sample, start=1))), found, repairs):
        head.append(fit(number, cells, found.width, repairs))
        rows.append(number)
        if len(head) == HEAD_ROWS:
            break
    return head, rows
