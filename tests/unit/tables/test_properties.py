"""For any table whatsoever: every cell is accounted for, and what comes out says what went in."""

import csv
import datetime as dt
import io
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from worker_service.tables import WarningCode
from worker_service.tables.bools import FAMILIES
from worker_service.tables.nulls import ALWAYS, ERROR_CODES, IN_TYPED_COLUMNS

from .support import Converter, Result, workbook

NAMES = ["姓名", "value", "日期", "note", "code"]
PLAIN = st.text(st.characters(codec="gb2312", exclude_categories=["Cc", "Cs", "Zs", "Zl", "Zp"]), max_size=8)
QUOTING = st.text('ab" ,;\n，。', max_size=8)
CELL = st.one_of(
    PLAIN,
    QUOTING,
    st.integers(-(10**17), 10**17).map(str),
    st.floats(allow_nan=False, allow_infinity=False, width=32).map(repr),
    st.dates().map(str),
    st.sampled_from([*ALWAYS, *IN_TYPED_COLUMNS, *ERROR_CODES, "00123", "1,234", "12.5%", "13/02/2024", "是", "true"]),
)
COLUMN_KINDS = st.one_of(
    st.just(CELL),
    st.just(st.one_of(st.integers(-999, 999).map(str), st.sampled_from(["", "NA", "无", " "]))),
    st.just(st.one_of(st.decimals(-99, 99, places=2).map(str), st.just(""))),
    st.just(st.one_of(st.datetimes().map(lambda t: t.isoformat(" ")), st.just("-"))),
)


@st.composite
def tables(draw: st.DrawFn) -> list[list[str]]:
    width = draw(st.integers(2, 5))
    kinds = [draw(COLUMN_KINDS) for _ in range(width)]
    return draw(st.lists(st.tuples(*kinds).map(list), min_size=0, max_size=12))


def convert_in_fresh_folder(data: bytes, name: str, **options: Any) -> Result:
    with tempfile.TemporaryDirectory() as folder:
        return Converter(Path(folder))(data, name, **options)


def check(result: Result, header: list[str], rows: list[list[str]]) -> None:
    """Every source cell is in a column's account or in the rejects, and every clean value says what its cell said."""
    report = result.report
    for column in report.columns:
        parts = column.typed + column.kept_as_text + column.nulled_by_token + column.error_cells + column.rejected
        assert column.source_nonempty == parts
        assert column.null_count == sum(1 for value in result.columns[column.name] if value is None)
        assert len(result.columns[column.name]) == report.row_count
    cells = sum(1 for row in [header, *rows] for cell in row if cell)
    header_rows = {int(choice.value) for choice in report.reading if choice.name == "header_row"} - {0}
    if WarningCode.HEADER_JOINED in result.codes():
        header_rows |= set(result.warning_rows(WarningCode.HEADER_JOINED))
    in_header = sum(1 for row in header_rows for cell in [header, *rows][row - 1] if cell)
    # White space alone above the header is not worth a reject.
    above = [header, *rows][: max(header_rows, default=0)]
    blank = sum(1 for row in above for cell in row if cell and not cell.strip())
    outside = sum(1 for reject in result.rejects if reject["reason"] != "CELL_TOO_LONG")
    assert cells - blank <= in_header + outside + sum(column.source_nonempty for column in report.columns) <= cells


def check_values(result: Result, rows: list[list[str]]) -> None:
    """Row by row, for tables whose rows all arrived."""
    kept = [row for row in rows if any(row)]
    if len(kept) != result.report.row_count or next(iter(result.columns)) != NAMES[0]:
        return
    for position, column in enumerate(result.report.columns):
        source = [row[NAMES.index(column.name)] for row in kept]
        for raw, value in zip(source, result.columns[column.name], strict=True):
            assert says_the_same(raw, value, column.dtype), (position, raw, value, column.dtype)


def says_the_same(raw: str, value: Any, dtype: str) -> bool:
    text = raw.strip()
    if value is None:
        return text in {"", *ALWAYS, *ERROR_CODES} or (dtype != "string" and text in IN_TYPED_COLUMNS)
    if dtype == "string":
        return bool(value == raw)
    if dtype == "int64":
        return bool(int(text.replace(",", "")) == value)
    if dtype == "float64":
        number = Decimal(text.rstrip("%").replace(",", "")) / (100 if text.endswith("%") else 1)
        return bool(Decimal(repr(value)) == number)
    if dtype == "bool":
        return any(text.lower() == family[not value] for family in FAMILIES)
    return same_day(text, value, dtype)


def same_day(text: str, value: Any, dtype: str) -> bool:
    if text.isdigit():  # a spreadsheet's day number among dates
        return bool(value.toordinal() == dt.date(1899, 12, 30).toordinal() + int(text))
    return bool(value.isoformat(*([" "] if dtype == "timestamp" else [])).startswith(text[:10])) or "/" in text


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    tables(), st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "gb18030"]), st.sampled_from([",", "\t", ";", "|"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)  # fmt: skip
@example([["", ""], ["", " "]], "utf-8", ",", csv.QUOTE_MINIMAL)  # white space alone after a gap
@example(
    [["", "0", ""], ["", "0", "\n"], ["", "", ":"], ["0", "0", "0"], *[["", "0", ""]] * 4],
    "utf-8",
    ",",
    csv.QUOTE_MINIMAL,
)  # a gap with nothing above it
def test_any_table_as_text(rows: list[list[str]], encoding: str, delimiter: str, quoting: Any) -> None:
    header = NAMES[: len(rows[0]) if rows else 3]
    target = io.StringIO()
    csv.writer(target, delimiter=delimiter, quoting=quoting, lineterminator="\n").writerows([header, *rows])
    result = convert_in_fresh_folder(target.getvalue().encode(encoding), "t.csv")
    check_accounts_only(result)
    # A handful of characters may really be ambiguous: what is guessed right must also be read right.
    guessed_right = result.report.encoding in encoding or encoding == "utf-16"
    if (
        guessed_right
        and result.report.delimiter == delimiter
        and not any('"' in c or "\n" in c for row in rows for c in row)
    ):
        check(result, header, rows)
        check_values(result, rows)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(tables())
@example([[":", ""], ["0", ""]])  # the first row belongs to the header
def test_any_table_as_workbook(rows: list[list[str]]) -> None:
    header = NAMES[: len(rows[0]) if rows else 3]
    # The library that writes these files does not mark white space as significant, so alone it is no text.
    rows = [[cell if cell.strip() else "" for cell in row] for row in rows]
    texts = [[cell or None for cell in row] for row in rows]
    result = convert_in_fresh_folder(workbook([header, *texts], as_text=True), "t.xlsx")
    check(result, header, rows)
    check_values(result, rows)


def check_accounts_only(result: Result) -> None:
    for column in result.report.columns:
        parts = column.typed + column.kept_as_text + column.nulled_by_token + column.error_cells + column.rejected
        assert column.source_nonempty == parts


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(QUOTING, min_size=3, max_size=3), min_size=1, max_size=6))
def test_well_formed_quoting_reads_back(rows: list[list[str]]) -> None:
    """The tolerant reader agrees with the standard one on everything the standard one would write."""
    from worker_service.tables.csv_tolerant import Lines, Repairs, records
    from worker_service.tables.dialect import Dialect

    target = io.StringIO()
    csv.writer(target, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(rows)
    lines = Lines(iter(enumerate(target.getvalue().split("\n")[:-1], start=1)))
    assert [cells for _, cells in records(lines, Dialect(",", 3), Repairs())] == rows


def as_csv(result: Result) -> bytes:
    """The clean table as text, as pyarrow writes it."""
    target = pa.BufferOutputStream()
    pyarrow.csv.write_csv(result.table, target)
    return target.getvalue().to_pybytes()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(tables())
def test_cleaning_clean_data_changes_nothing(rows: list[list[str]]) -> None:
    header = NAMES[: len(rows[0]) if rows else 3]
    texts = [[cell.replace("\n", " ").replace("\r", " ") or None for cell in row] for row in rows]
    first = convert_in_fresh_folder(workbook([header, *texts], as_text=True), "t.xlsx")
    again = convert_in_fresh_folder(as_csv(first), "t.csv")
    if list(first.columns) != header or again.report.delimiter != "," or not first.report.row_count:
        return  # drawn so that rows or cells of the table look like a header, or like another delimiter
    kept = [row for row in zip(*first.columns.values(), strict=True) if any(cell is not None for cell in row)]
    if [tuple(row) for row in zip(*again.columns.values(), strict=True)] == kept:
        for one, two in zip(first.report.columns, again.report.columns, strict=True):
            # The text of 2.0 is "2" in such a file.
            assert one.dtype == two.dtype or (one.dtype, two.dtype) == ("float64", "int64")
    else:
        assert again.rejects or list(again.columns) != header, (first.columns, again.columns)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(tables())
def test_milling_the_clean_file_gives_the_clean_file(rows: list[list[str]]) -> None:
    header = NAMES[: len(rows[0]) if rows else 3]
    first = convert_in_fresh_folder(workbook([header, *rows], as_text=True), "t.xlsx", header_row=1)
    if not first.report.row_count or not any(len(column) > column.null_count for column in first.table.columns):
        return
    target = pa.BufferOutputStream()
    pq.write_table(first.table, target)
    again = convert_in_fresh_folder(target.getvalue().to_pybytes(), "t.parquet")
    assert list(again.columns) == list(first.columns)
    for one, two in zip(first.report.columns, again.report.columns, strict=True):
        # Nothing but whole numbers are whole numbers, also where a file says that they are decimals.
        assert one.dtype == two.dtype or (one.dtype, two.dtype) == ("float64", "int64")
    full = [row for row in zip(*first.columns.values(), strict=True) if any(cell is not None for cell in row)]
    assert list(zip(*again.columns.values(), strict=True)) == full


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(tables())
def test_the_same_file_gives_the_same_report(rows: list[list[str]]) -> None:
    data = workbook([NAMES[: len(rows[0]) if rows else 3], *rows], as_text=True)
    one, two = convert_in_fresh_folder(data, "t.xlsx"), convert_in_fresh_folder(data, "t.xlsx")
    assert one.report == two.report
    assert one.clean.name == two.clean.name
    assert (one.columns, one.rejects) == (two.columns, two.rejects)


FORMS = st.sampled_from(
    [
        *(
            "1,234",
            "1,234.5",
            "0,5",
            "1.234,56",
            "1 234",
            "12.5%",
            "¥5",
            "3.5万",
            "65岁",
            "１２",
            "1,2345,6789",
            "−5",
            "-¥-5",
        ),
        *(
            "有",
            "无",
            "Y",
            "n",
            "ja",
            "nein",
            "#N/A",
            "NA",
            "-",
            "1e400",
            "-0",
            ".5",
            "5.",
            "１e5",
            "99999999999999999",
        ),
        *(
            "2024-03-05T10:00Z",
            "2024-03-05 10:00+08:00",
            "5 Mar 2024",
            "二〇二四年三月五日",
            "2024-02-30",
            "31/02/2024",
        ),
        *(
            "13/02/2024",
            "2024年3月5日 下午3:05",
            "5/3/24",
            "20240305",
            "45356",
            "0000-00-00",
            "2024-13-45",
            "9999-12-31",
        ),
        *("0001-01-01", "24:00", "2024-03-05 24:00", "0001-01-01T00:00+08:00"),
    ]
)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(FORMS, FORMS, FORMS), min_size=1, max_size=8), st.sampled_from(["日期", "v"]))
def test_no_mixture_of_forms_breaks_or_loses_anything(rows: list[tuple[str, str, str]], name: str) -> None:
    header = [name, "a", "b"]
    result = convert_in_fresh_folder(workbook([header, *rows], as_text=True), "t.xlsx", header_row=1)
    check(result, header, [list(row) for row in rows])
    for column in result.report.columns:
        assert column.typed + column.kept_as_text == result.report.row_count - column.null_count
