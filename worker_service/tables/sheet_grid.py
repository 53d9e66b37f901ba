"""Sheets as grids of text: loaded at once by the native reader, or streamed by the tolerant one."""

import datetime as dt
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import fastexcel
import openpyxl
import pyarrow as pa
from python_calamine import CalamineWorkbook

from .arrow import Array, pc
from .grid import HEAD_ROWS, Batch, Irregular, Merge
from .xlsx_scan import Patch

_BATCH_ROWS = 131_072
_BATCH_CELLS = 500_000
_ERROR_TEXTS = {
    "NA": "#N/A", "Div0": "#DIV/0!", "Value": "#VALUE!", "Ref": "#REF!", "Name": "#NAME?", "Num": "#NUM!",
    "Null": "#NULL!", "GettingData": "#GETTING_DATA",
}  # fmt: skip
_DURATION = re.compile(r'DurationIso\("PT(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?"\)')
# A time of day without a date is stored as a fraction of day zero, which readers show as a date.
_DAY_ZERO = {False: r"^1899-12-3[01] (\d\d:\d\d:\d\d(?:\.\d+)?)$", True: r"^1904-01-01 (\d\d:\d\d:\d\d(?:\.\d+)?)$"}


@dataclass
class SheetGrid:
    """A whole sheet in memory, one string array a column; row N of the arrays is source row N + 1. See Grid."""

    columns: list[Array]
    merges: list[Merge] = field(default_factory=list)

    @property
    def width(self) -> int:
        """Number of columns, counted from column A."""
        return len(self.columns)

    @cached_property
    def head(self) -> list[list[str]]:
        """The first rows as lists of texts."""
        tops = [column.slice(0, HEAD_ROWS).to_pylist() for column in self.columns]
        return [[cell or "" for cell in row] for row in zip(*tops, strict=True)]

    @property
    def head_rows(self) -> list[int]:
        """Their source rows."""
        return list(range(1, min(HEAD_ROWS, len(self.columns[0])) + 1)) if self.columns else []

    def body(self, first_row: int) -> Iterator[Batch]:
        """Rows from 1-based source row ``first_row`` on."""
        total = len(self.columns[0]) if self.columns else 0
        for start in range(first_row - 1, total, _BATCH_ROWS):
            size = min(_BATCH_ROWS, total - start)
            rows = pa.array(range(start + 1, start + size + 1), pa.int64())
            yield Batch([column.slice(start, size) for column in self.columns], rows)


@contextmanager
def native() -> Iterator[None]:
    """Around calls of native readers: a panic inside, which is no Exception, becomes Irregular."""
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise Irregular("the native reader gave up") from error


def load(path: Path, sheet: str, *, date1904: bool, patches: list[Patch], expected_width: int | None) -> SheetGrid:
    """Load a sheet with the native reader, put back what it drops, and apply ``patches``.

    ``expected_width`` is the used width from column A if known. Raises Irregular when the reader fails.
    """
    try:
        with native():
            loaded = fastexcel.read_excel(path).load_sheet(sheet, header_row=None, skip_rows=0, dtypes="string")
            records, failed = loaded.to_arrow_with_errors()
    except (fastexcel.FastExcelError, pa.ArrowInvalid) as error:
        raise Irregular(str(error)) from error
    errors = [
        (cell.position[0], cell.position[1], _error_text(cell.detail)) for cell in (failed.errors if failed else [])
    ]
    columns = [_times(_patched(c, [e for e in errors if e[1] == i]), date1904) for i, c in enumerate(records.columns)]
    if records.num_columns != expected_width:
        left = _first_column(path, sheet)
        columns = [pa.nulls(records.num_rows, pa.string())] * left + columns
    by_column: dict[int, list[tuple[int, int, str]]] = {}
    for patch in patches:
        by_column.setdefault(patch.column, []).append((patch.row - 1, patch.column, patch.text))
    for index, cells in by_column.items():
        if index < len(columns):
            columns[index] = _patched(columns[index], cells)
    return SheetGrid(columns)


def _error_text(detail: str) -> str:
    """``Expected … but got 'Error(Div0)'`` → ``#DIV/0!``, ``'DurationIso("PT27H5M")'`` → ``27:05:00``."""
    if match := _DURATION.search(detail):
        hours, minutes, seconds = (float(part or 0) for part in match.groups())
        return cell_text(dt.timedelta(hours=hours, minutes=minutes, seconds=seconds))
    name = detail.rsplit("Error(", 1)[-1].split(")", 1)[0]
    return _ERROR_TEXTS.get(name, "#VALUE!")


def _patched(column: Array, cells: list[tuple[int, int, str]]) -> Array:
    if not cells:
        return column
    texts = {row: text for row, _, text in cells if row < len(column)}
    rows = sorted(texts)
    mask = pc.is_in(pa.array(range(len(column)), pa.int64()), pa.array(rows, pa.int64()))
    return pc.replace_with_mask(column, mask, pa.array([texts[row] for row in rows], pa.string()))


def _times(column: Array, date1904: bool) -> Array:
    pattern = _DAY_ZERO[date1904]
    if not pc.any(pc.starts_with(column, pattern[1:9])).as_py():
        return column
    return pc.replace_substring_regex(column, pattern, r"\1")


def _first_column(path: Path, sheet: str) -> int:
    start = CalamineWorkbook.from_path(path).get_sheet_by_name(sheet).start
    return start[1] if start else 0


def native_merges(path: Path, sheet: str) -> list[Merge]:
    """Merged ranges of a legacy or binary workbook, as far as its format tells."""
    ranges = CalamineWorkbook.from_path(path).get_sheet_by_name(sheet).merged_cell_ranges or []
    return [Merge(top + 1, bottom + 1, left, right) for (top, left), (bottom, right) in ranges]


@dataclass
class StreamGrid:
    """A sheet read row by row with a full XML parser: slow, small and hard to upset. See Grid."""

    path: Path
    sheet: str
    width: int
    merges: list[Merge]
    head: list[list[str]] = field(default_factory=list)
    head_rows: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        rows = list(islice(self._rows(), HEAD_ROWS))
        self.width = max(self.width, max((len(row) for row in rows), default=0))
        self.head = [row + [""] * (self.width - len(row)) for row in rows]
        self.head_rows = list(range(1, len(rows) + 1))

    def body(self, first_row: int) -> Iterator[Batch]:
        """Rows from 1-based source row ``first_row`` on."""
        size = max(1, min(_BATCH_ROWS, _BATCH_CELLS // max(self.width, 1)))
        rows = islice(self._rows(), first_row - 1, None)
        start = first_row
        while block := list(islice(rows, size)):
            padded = (row + [""] * (self.width - len(row)) for row in block)
            columns = [pa.array(column, pa.string()) for column in zip(*padded, strict=True)]
            yield Batch(columns, pa.array(range(start, start + len(block)), pa.int64()))
            start += len(block)

    def _rows(self) -> Iterator[list[str]]:
        with self.path.open("rb") as file:  # a path would be judged by its extension
            yield from self._rows_of(file)

    def _rows_of(self, file: BinaryIO) -> Iterator[list[str]]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about styles and extensions, none of which touch values
            book = openpyxl.load_workbook(file, read_only=True, data_only=True)
        try:
            sheet = book[self.sheet]
            sheet.reset_dimensions()
            for row in sheet.iter_rows(values_only=True):
                yield [cell_text(value) for value in row]
        finally:
            book.close()


def cell_text(value: object) -> str:
    """The text the native reader would give for a cell's value; elapsed times as ``H:MM:SS``."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    if isinstance(value, dt.datetime):
        return value.isoformat(" ")
    if isinstance(value, dt.timedelta):
        seconds = round(value.total_seconds())
        sign, seconds = ("-", -seconds) if seconds < 0 else ("", seconds)
        return f"{sign}{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return value.isoformat() if isinstance(value, (dt.date, dt.time)) else str(value)
