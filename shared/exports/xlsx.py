"""Xlsx: a bold, frozen header; numbers, truth values, dates and times as such; all text as text, also `=1+1`.

What a spreadsheet would change is written as text instead: integers of more than 15 digits, dates before March 1900,
which Excel counts wrongly, and NaN and the infinities.
"""

from collections.abc import Callable, Iterable
from datetime import date, datetime
from math import isfinite
from pathlib import Path
from typing import Any

import pyarrow as pa
import xlsxwriter
from xlsxwriter.worksheet import Worksheet

from shared.exports.options import MAX_XLSX_ROWS, MAX_XLSX_TEXT, ExportRefused

_MAX_EXACT_INT = 10**15 - 1
_FIRST_DATE = date(1900, 3, 1)
_BATCH_ROWS = 1024
_DATE, _TIME, _TIME_WITH_FRACTION = "yyyy-mm-dd", "yyyy-mm-dd hh:mm:ss", "yyyy-mm-dd hh:mm:ss.000"
_DATE_CHARS, _TIME_CHARS = 11, 20
_TOO_LONG = -2

_Put = Callable[[int, int, Any], None]


class _ExactSheet(Worksheet):  # type: ignore[misc]
    """A sheet whose numbers have all their digits: the library rounds to 16."""

    def _xml_number_element(self, number: Any, attributes: Any = ()) -> None:
        marks = "".join(f' {key}="{value}"' for key, value in attributes)
        self.fh.write(f"<c{marks}><v>{number!r}</v></c>")


def write_xlsx(batches: Iterable[pa.RecordBatch], schema: pa.Schema, target: Path) -> None:
    """Write `batches` to the new file `target`, with its temporary files beside it. Raises ExportRefused."""
    book = xlsxwriter.Workbook(target, {"constant_memory": True, "tmpdir": str(target.parent)})
    book.use_zip64()
    with book:
        sheets = _Sheets(book, schema)
        for batch in batches:
            for start in range(0, batch.num_rows, _BATCH_ROWS):
                columns = [column.to_pylist() for column in batch.slice(start, _BATCH_ROWS).columns]
                for values in zip(*columns, strict=True):
                    sheets.write_row(values)


class _Sheets:
    """Writes rows into a sheet, and into another one where it is full."""

    def __init__(self, book: Any, schema: pa.Schema) -> None:
        self._book = book
        self._schema = schema
        self._bold = book.add_format({"bold": True})
        self._formats = {text: book.add_format({"num_format": text}) for text in (_DATE, _TIME, _TIME_WITH_FRACTION)}
        self._row = 0
        self._begin_sheet()

    def write_row(self, values: Iterable[Any]) -> None:
        if self._row == MAX_XLSX_ROWS:
            self._begin_sheet()
        self._row += 1
        for column, value in enumerate(values):
            if value is not None:
                self._puts[column](self._row, column, value)

    def _begin_sheet(self) -> None:
        self._sheet = self._book.add_worksheet(worksheet_class=_ExactSheet)
        self._sheet.freeze_panes(1, 0)
        for column, field in enumerate(self._schema):
            if pa.types.is_date(field.type):
                self._sheet.set_column(column, column, _DATE_CHARS)
            elif pa.types.is_timestamp(field.type):
                self._sheet.set_column(column, column, _TIME_CHARS)
        for column, name in enumerate(self._schema.names):
            self._put_text(0, column, name, self._bold)
        self._puts = [self._put_of(field.type) for field in self._schema]
        self._row = 0

    def _put_of(self, dtype: pa.DataType) -> _Put:
        if pa.types.is_int64(dtype):
            return self._put_int
        if pa.types.is_float64(dtype):
            return self._put_float
        if pa.types.is_boolean(dtype):
            return self._sheet.write_boolean  # type: ignore[no-any-return]
        if pa.types.is_date(dtype):
            return self._put_date
        if pa.types.is_timestamp(dtype):
            return self._put_time
        return self._put_text

    def _put_text(self, row: int, column: int, text: str, look: Any = None) -> None:
        if self._sheet.write_string(row, column, text, look) == _TOO_LONG:
            raise ExportRefused(
                "EXPORT_TEXT_TOO_LONG",
                f"a text has more than the {MAX_XLSX_TEXT} characters that a cell of a sheet holds; "
                "export csv or parquet",
                {"column": self._schema.names[column], "row": str(row), "max_characters": str(MAX_XLSX_TEXT)},
            )

    def _put_int(self, row: int, column: int, number: int) -> None:
        if -_MAX_EXACT_INT <= number <= _MAX_EXACT_INT:
            self._sheet.write_number(row, column, number)
        else:
            self._sheet.write_string(row, column, str(number))

    def _put_float(self, row: int, column: int, number: float) -> None:
        if isfinite(number):
            self._sheet.write_number(row, column, number)
        else:
            self._sheet.write_string(row, column, str(number))

    def _put_date(self, row: int, column: int, day: date) -> None:
        if day >= _FIRST_DATE:
            self._sheet.write_datetime(row, column, day, self._formats[_DATE])
        else:
            self._sheet.write_string(row, column, day.isoformat())

    def _put_time(self, row: int, column: int, moment: datetime) -> None:
        if moment.date() >= _FIRST_DATE:
            look = self._formats[_TIME_WITH_FRACTION if moment.microsecond else _TIME]
            self._sheet.write_datetime(row, column, moment, look)
        else:
            self._sheet.write_string(row, column, moment.isoformat(sep=" "))
