"""For any table whatsoever: every cell is accounted for, and what comes out says what went in."""

import csv
import datetime as dt
import io
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

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


def convert_in_fresh_folder(data: bytes, name: str) -> Result:
    with tempfile.TemporaryDirectory() as folder:
        return Converter(Path(folder))(data, name)


def check(result: Result, header: list[str], rows: list[list[str]]) -> None:
    """Every source cell is in a column's account or in the rejects, and every clean value says what its cell said."""
    report = result.report
    for column in report.columns:
        parts = column.typed + column.kept_as_text + column.nulled_by_token + column.error_cells + column.rejected
        assert column.source_nonempty == parts
        assert column.null_count == sum(1 for value in result.columns[column.name] if value is None)
        assert len(result.columns[column.name]) == report.row_count
    cells = sum(1 for row in [header, *rows] for cell in row if cell)
    in_header = sum(1 for cell in header if cell) if next(iter(result.columns)) == header[0] else 0
    outside = sum(1 for reject in result.rejects if reject["reason"] != "CELL_TOO_LONG")
    assert cells == in_header + outside + sum(column.source_nonempty for column in report.columns)


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
        return bool(value == (text.lower() in {"true", "yes", "是"}))
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
