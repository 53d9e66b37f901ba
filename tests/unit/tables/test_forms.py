"""Every written form of docs/cleaning.md becomes the value it means, and what is not certain stays text."""

import datetime as dt
from typing import Any

import pytest

from worker_service.tables import WarningCode

from .support import Converter, workbook

D, T = dt.date, dt.datetime


def of_workbook(run: Converter, values: list[str], name: str = "v") -> tuple[str, str, list[Any]]:
    """The type, format and values of a column of texts."""
    rows = [["n", name], *([str(number), value] for number, value in enumerate(values))]
    result = run(workbook(rows, as_text=True), "t.xlsx")
    column = result.column(name)
    return column.dtype, column.format, result.columns[name]


@pytest.mark.parametrize(
    ("values", "dtype", "style", "expected"),
    [
        # separators
        (["1,234", "12"], "int64", "thousands", [1234, 12]),
        (["1,234,567.5", "8"], "float64", "thousands", [1234567.5, 8.0]),
        (["1,234", "1.5"], "float64", "thousands", [1234.0, 1.5]),
        (["1,2345,6789", "1,2345"], "int64", "groups_of_four", [123456789, 12345]),
        (["0,5", "1,5"], "float64", "decimal_comma", [0.5, 1.5]),
        (["1.234,56", "-7"], "float64", "decimal_comma", [1234.56, -7.0]),
        (["1.234.567", "12"], "int64", "decimal_comma", [1234567, 12]),
        (["1 234,5", "1\xa0234"], "float64", "decimal_comma", [1234.5, 1234.0]),
        (["12 345", "1\u202f234"], "int64", "thousands_space", [12345, 1234]),
        (["1'234.5", "2’000"], "float64", "thousands_apostrophe", [1234.5, 2000.0]),
        # percent, currency, units
        (["12,5 %", "7％"], "float64", "percent", [0.125, 0.07]),
        (["¥1,234.50", "¥-3"], "float64", "unit", [1234.5, -3.0]),
        (["-$5", "$1,000"], "int64", "unit", [-5, 1000]),
        (["12元", "3.5元"], "float64", "unit", [12.0, 3.5]),
        (["3.5万元", "12万元"], "float64", "unit", [35000.0, 120000.0]),
        (["65岁", "7 岁"], "int64", "unit", [65, 7]),
        (["5.6 mmol/L", "6mmol/L"], "float64", "unit", [5.6, 6.0]),
        # full-width
        (["１２", "３４.５", "7"], "float64", "", [12.0, 34.5, 7.0]),
        (["１２％", "5%"], "float64", "percent", [0.12, 0.05]),
        (["２０２４－０３－０５", "2024-03-06"], "date", "", [D(2024, 3, 5), D(2024, 3, 6)]),
        (["Ｙ", "n"], "bool", "y/n", [True, False]),
        (["−5", "5"], "int64", "", [-5, 5]),
        # booleans
        (["有", "无", "有"], "bool", "有/无", [True, False, True]),
        (["ja", "Nein"], "bool", "ja/nein", [True, False]),
        (["Oui", "NON"], "bool", "oui/non", [True, False]),
        (["Да", "нет"], "bool", "да/нет", [True, False]),
        (["sí", "no"], "bool", "sí/no", [True, False]),
        (["no", "no"], "bool", "yes/no", [False, False]),
        (["T", "F"], "bool", "t/f", [True, False]),
        (["对", "错"], "bool", "对/错", [True, False]),
        # dates
        (["5 Mar 2024", "06-MAR-2024"], "date", "", [D(2024, 3, 5), D(2024, 3, 6)]),
        (["March 5, 2024", "Sept. 6 2024"], "date", "", [D(2024, 3, 5), D(2024, 9, 6)]),
        (["二〇二四年三月五日", "二零二四年十二月三十一日"], "date", "", [D(2024, 3, 5), D(2024, 12, 31)]),
        (["2024 年 3 月 5 日", "2024年3月6号"], "date", "", [D(2024, 3, 5), D(2024, 3, 6)]),
        (["2024-03-05 3:05 PM", "2024-03-05 12:30 am"], "timestamp", "", [T(2024, 3, 5, 15, 5), T(2024, 3, 5, 0, 30)]),
        (["2024年3月5日 下午3:05", "2024/3/5 上午9:00"], "timestamp", "", [T(2024, 3, 5, 15, 5), T(2024, 3, 5, 9)]),
        (["2024年3月5日10时30分", "2024-3-5 7时"], "timestamp", "", [T(2024, 3, 5, 10, 30), T(2024, 3, 5, 7)]),
        (["13/02/2024 1:02 pm", "01/02/2024"], "timestamp", "day_month_year", [T(2024, 2, 13, 13, 2), T(2024, 2, 1)]),
        (["2024-03-05 10:00:00.1234560"], "timestamp", "", [T(2024, 3, 5, 10, 0, 0, 123456)]),
        # time zones
        (["2024-03-05T10:00:00Z"], "timestamp", "utc", [T(2024, 3, 5, 10)]),
        (["2024-03-05T10:00+08:00", "2024-03-06 00:30+0800"], "timestamp", "offset +08:00",
         [T(2024, 3, 5, 10), T(2024, 3, 6, 0, 30)]),
        (["2024-03-05T10:00+08:00", "2024-03-05T10:00:00Z"], "timestamp", "utc", [T(2024, 3, 5, 2), T(2024, 3, 5, 10)]),
    ],
)  # fmt: skip
def test_means(run: Converter, values: list[str], dtype: str, style: str, expected: list[Any]) -> None:
    assert of_workbook(run, values) == (dtype, style, expected)


@pytest.mark.parametrize(
    "values",
    [
        ["1,5", "2,4"],  # two answers in one cell as likely as a decimal comma
        ["1,234", "1.234"],  # the comma or the point divides thousands, who knows which
        ["1,2345"],
        ["0,5", "1.5"],
        ["1,23,456"],  # lakhs
        ["¥5", "$5"],
        ["¥5", "5"],
        ["5mg", "5g"],
        ["¥5元"],
        ["-¥-5"],
        ["3级", "4级"],
        ["阳性", "阴性"],  # results, not answers: 弱阳性 is one of them
        ["无", "无"],
        ["Y", "Y"],
        ["F", "F"],
        ["yes", "ja"],
        ["1,234,567,890,123.456"],  # more digits than float64 gives back
        ["24-03-05", "24-03-06"],  # which century?
        ["5-Mar-24", "6-Mar-24"],
        ["31/02/2024", "13/02/2024"],  # no such day
        ["2024-03-05 13:00 PM"],
        ["2024年3月"],
        ["2024-03-05T10:00Z", "2024-03-05 10:00"],  # one with, one without a zone
        ["08:30", "9:15"],
        ["二〇二四年十三月一日"],
        ["（１）", "（２）"],
        ["男，１２岁"],
    ],
)
def test_stays_text(run: Converter, values: list[str]) -> None:
    assert of_workbook(run, values) == ("string", "", values)


def test_a_file_of_semicolons_has_decimal_commas(run: Converter) -> None:
    result = run("a;b\n1,5;1,234\n2,25;5,678\n0,5;1,000\n")
    assert result.columns == {"a": [1.5, 2.25, 0.5], "b": [1.234, 5.678, 1.0]}


def test_a_lone_group_beside_semicolons_is_settled_by_the_other_columns(run: Converter) -> None:
    points = run("a;b\n1.5;1,234\n2.25;5,678\n")
    assert points.columns["b"] == [1234, 5678]
    nothing = run("a;b\nx;1,234\ny;5,678\n")
    assert nothing.columns["b"] == ["1,234", "5,678"]
    assert WarningCode.NUMBER_FORMAT_AMBIGUOUS in nothing.codes()


def test_years_of_two_digits_are_reported(run: Converter) -> None:
    result = run("a,b\n5/3/24,x\n6/3/24,y\n")
    assert result.columns["a"] == ["5/3/24", "6/3/24"]
    assert WarningCode.SHORT_YEARS in result.codes()


@pytest.mark.parametrize(
    ("name", "values", "dtype"),
    [
        ("入院日期", ["20240305", "20240306"], "date"),
        ("入院日期", ["45356", "45357"], "date"),
        ("visit date", ["45356", "45357"], "date"),
        ("编号", ["20240305", "20240306"], "int64"),
        ("count", ["45356", "45357"], "int64"),
        ("入院日期", ["20240305", "7"], "int64"),
        ("update_count", ["45356", "45357"], "int64"),
    ],
)
def test_whole_numbers_become_dates_only_under_a_header_that_says_so(
    run: Converter, name: str, values: list[str], dtype: str
) -> None:
    found, _, typed = of_workbook(run, values, name)
    assert found == dtype
    if dtype == "date":
        assert typed == [D(2024, 3, 5), D(2024, 3, 6)]


@pytest.mark.parametrize("date1904", [False, True])
def test_date_cells_are_dates_in_both_day_number_systems(run: Converter, date1904: bool) -> None:
    import io

    import openpyxl
    from openpyxl.utils.datetime import CALENDAR_MAC_1904

    book = openpyxl.Workbook()
    if date1904:
        book.epoch = CALENDAR_MAC_1904
    page = book.active
    assert page is not None
    for row in (["day", "at"], [D(2024, 3, 5), T(2024, 3, 5, 7, 8)], [D(2024, 12, 31), T(2024, 12, 31)]):
        page.append(row)
    target = io.BytesIO()
    book.save(target)
    result = run(target.getvalue(), "t.xlsx")
    assert result.columns == {
        "day": [D(2024, 3, 5), D(2024, 12, 31)],
        "at": [T(2024, 3, 5, 7, 8), T(2024, 12, 31)],
    }


def test_a_mixed_column_lists_what_does_not_fit(run: Converter) -> None:
    values = [str(number) for number in range(40)] + ["<0.5", "<0.5", "溶血", "5%"]
    result = run("n,v\n" + "".join(f"{number},{value}\n" for number, value in enumerate(values)))
    mixed = result.column("v").mixed
    assert mixed is not None
    assert (mixed.candidate, mixed.parsed) == ("numbers", 40)
    assert [(other.value, other.count) for other in mixed.others] == [("<0.5", 2), ("5%", 1), ("溶血", 1)]
