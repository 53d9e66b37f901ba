"""What is exported can be read back: the same values, of the same types."""

import csv
import io
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.csv as pa_csv
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.exports import ExportFormat, ExportOptions, ExportRefused, check_shape, write_export, xlsx

_XLSX, _CSV = ExportOptions(ExportFormat.XLSX), ExportOptions(ExportFormat.CSV)
# What XML 1.0 can hold; the library escapes the rest, which its readers do not undo alike.
_TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), min_size=1)
_TYPES: dict[str, pa.DataType] = {
    "text": pa.string(),
    "n": pa.int64(),
    "x": pa.float64(),
    "yes": pa.bool_(),
    "day": pa.date32(),
    "at": pa.timestamp("us"),
}
_SCHEMA = pa.schema(_TYPES)
_TIMES = st.datetimes(datetime(1900, 3, 1), datetime(2200, 1, 1)).map(lambda moment: moment.replace(microsecond=0))
_ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "text": st.none() | _TEXT,
            "n": st.none() | st.integers(-(10**15) + 1, 10**15 - 1),
            "x": st.none() | st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False),
            "yes": st.none() | st.booleans(),
            "day": st.none() | st.dates(date(1900, 3, 1)),
            "at": st.none()
            | st.datetimes(datetime(1900, 3, 1), datetime(2200, 1, 1)).map(lambda at: at.replace(microsecond=0)),
        }
    ),
    max_size=6,
)


def _export(table: pa.Table, directory: Path, options: ExportOptions) -> Path:
    path = directory / f"{len(list(directory.iterdir()))}.{options.format}"
    write_export(table.to_batches(max_chunksize=3), table.schema, path, options)
    return path


def _sheet_rows(path: Path) -> list[tuple[Any, ...]]:
    book = openpyxl.load_workbook(path)
    return [row for sheet in book for row in sheet.iter_rows(values_only=True)]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_ROWS)
def test_a_sheet_holds_values_and_types(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    header, *found = _sheet_rows(_export(pa.Table.from_pylist(rows, _SCHEMA), tmp_path, _XLSX))
    assert list(header) == _SCHEMA.names
    for row, values in zip(rows, found, strict=False):
        expected = {**row, "day": row["day"] and datetime.combine(row["day"], datetime.min.time())}
        got = dict(zip(_SCHEMA.names, values, strict=True))
        at, expected_at = got.pop("at"), expected.pop("at")
        assert (at is None) == (expected_at is None)
        assert at is None or abs(at - expected_at) < timedelta(milliseconds=1)
        assert got == expected
        assert isinstance(got["yes"], bool | None)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_ROWS)
def test_csv_holds_every_value_exactly(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    table = pa.Table.from_pylist(rows, _SCHEMA)
    path = _export(table, tmp_path, ExportOptions(ExportFormat.CSV, keep_formulas=True))
    convert = pa_csv.ConvertOptions(
        column_types=_SCHEMA, strings_can_be_null=True, quoted_strings_can_be_null=False, null_values=[""]
    )
    parse = pa_csv.ParseOptions(newlines_in_values=True)
    assert pa_csv.read_csv(path, parse_options=parse, convert_options=convert).equals(table)


def test_text_stays_text_in_a_sheet(tmp_path: Path) -> None:
    texts = ["=1+1", "@SUM(A1)", "+1", "-1", "007", "http://example.com", "1e5", "2024-03-05", "a\nb", " x "]
    path = _export(pa.table({"=header": texts}), tmp_path, _XLSX)
    assert [row[0] for row in _sheet_rows(path)] == ["=header", *texts]
    cells = [cell for (cell,) in openpyxl.load_workbook(path).worksheets[0].iter_rows()]
    assert {cell.data_type for cell in cells} <= {"s", "inlineStr"}
    assert all(cell.hyperlink is None for cell in cells)


def test_what_a_sheet_would_change_is_text(tmp_path: Path) -> None:
    table = pa.table(
        {
            "n": [10**15, -(2**63), 2**63 - 1],
            "x": [float("nan"), float("inf"), 0.1 + 0.2],
            "day": [date(1900, 2, 28), date(1, 1, 1), date(1900, 3, 1)],
        }
    )
    _, *rows = _sheet_rows(_export(table, tmp_path, _XLSX))
    assert rows == [
        ("1000000000000000", "nan", "1900-02-28"),
        (str(-(2**63)), "inf", "0001-01-01"),
        (str(2**63 - 1), 0.1 + 0.2, datetime(1900, 3, 1)),
    ]


def test_the_header_is_frozen_and_dates_have_formats(tmp_path: Path) -> None:
    moment = datetime(2024, 3, 5, 8, 30, 1, 500_000)
    table = pa.table({"day": [date(2024, 3, 5)], "at": pa.array([moment], pa.timestamp("us"))})
    sheet = openpyxl.load_workbook(_export(table, tmp_path, _XLSX)).worksheets[0]
    assert sheet.freeze_panes == "A2"
    assert (sheet["A1"].font.b, sheet["A2"].number_format) == (True, "yyyy-mm-dd")
    assert sheet["B2"].number_format == "yyyy-mm-dd hh:mm:ss.000"
    assert sheet["B2"].value == moment


def test_rows_go_on_in_another_sheet_where_one_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xlsx, "MAX_XLSX_ROWS", 4)
    path = _export(pa.table({"n": list(range(9))}), tmp_path, _XLSX)
    assert [[row[0] for row in sheet.iter_rows(values_only=True)] for sheet in openpyxl.load_workbook(path)] == [
        ["n", 0, 1, 2, 3],
        ["n", 4, 5, 6, 7],
        ["n", 8],
    ]


def test_what_no_sheet_holds_is_refused(tmp_path: Path) -> None:
    check_shape(_XLSX, 1_048_575, 16_384)
    check_shape(ExportOptions(ExportFormat.XLSX, split_sheets=True), 5_000_000, 3)
    check_shape(_CSV, 5_000_000, 20_000)
    for rows, columns in ((1_048_576, 1), (1, 16_385)):
        with pytest.raises(ExportRefused, match="EXPORT_TOO_LARGE"):
            check_shape(_XLSX, rows, columns)
    long = pa.table({"a": ["x", "文" * 32_767, "x" * 32_768]})
    with pytest.raises(ExportRefused, match="EXPORT_TEXT_TOO_LONG") as refused:
        _export(long, tmp_path, _XLSX)
    assert refused.value.metadata == {"column": "a", "row": "3", "max_characters": "32767"}


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("=1+1", "'=1+1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
        ("-2+3+cmd|x", "'-2+3+cmd|x"),
        ("+阳性", "'+阳性"),
        *((text, text) for text in ("+", "++", "-", "-1.5", "+ 3,5 %", "a=1", "", "'=1")),
    ],
)
def test_text_that_looks_like_a_formula_is_disarmed(tmp_path: Path, text: str, written: str) -> None:
    table = pa.table({text: [text, None], "n": [-1, None]})
    rows = list(csv.reader(io.StringIO(_export(table, tmp_path, _CSV).read_bytes().decode(), newline="")))
    assert rows == [[written, "n"], [written, "-1"], ["", ""]]
    kept = _export(table, tmp_path, ExportOptions(ExportFormat.CSV, keep_formulas=True)).read_bytes().decode()
    assert list(csv.reader(io.StringIO(kept, newline="")))[1] == [text, "-1"]


def test_a_byte_order_mark_on_request(tmp_path: Path) -> None:
    table = pa.table({"姓名": ["文"]})
    assert _export(table, tmp_path, _CSV).read_bytes() == '"姓名"\n"文"\n'.encode()
    marked = _export(table, tmp_path, ExportOptions(ExportFormat.CSV, byte_order_mark=True))
    assert marked.read_bytes() == '\ufeff"姓名"\n"文"\n'.encode()
