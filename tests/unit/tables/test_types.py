"""Which type a column gets, and that getting it loses nothing."""

import datetime as dt
from typing import Any

import pytest

from worker_service.tables import WarningCode

from .support import Converter


def column(run: Converter, values: list[str]) -> tuple[str, list[Any], Converter]:
    lines = "\n".join(f"{number};{value}" for number, value in enumerate(values))
    result = run(f"n;v\n{lines}\n")
    return result.column("v").dtype, result.columns["v"], run


@pytest.mark.parametrize(
    ("values", "dtype", "expected"),
    [
        (["1", "-2", "0"], "int64", [1, -2, 0]),
        (["1", "2.50", ".5"], "float64", [1.0, 2.5, 0.5]),
        (["1.5E-05", "2e+3"], "float64", [1.5e-05, 2000.0]),
        (["12.5%", "7.3%"], "float64", [0.125, 0.073]),
        (["true", "FALSE"], "bool", [True, False]),
        (["是", "否"], "bool", [True, False]),
        (["2024-03-05", "2024/3/6"], "date", [dt.date(2024, 3, 5), dt.date(2024, 3, 6)]),
        (["2024年3月5日", "2024年12月31日"], "date", [dt.date(2024, 3, 5), dt.date(2024, 12, 31)]),
        (["2024-03-05 7:08", "2024-03-06"], "timestamp", [dt.datetime(2024, 3, 5, 7, 8), dt.datetime(2024, 3, 6)]),
        (
            ["2024-03-05", "2024.3.6", "20240307"],
            "date",
            [dt.date(2024, 3, 5), dt.date(2024, 3, 6), dt.date(2024, 3, 7)],
        ),
        (["20240305", "20240306"], "int64", [20240305, 20240306]),  # nothing says that they are dates
        (["13/02/2024", "01/02/2024"], "date", [dt.date(2024, 2, 13), dt.date(2024, 2, 1)]),
        (["02/13/2024", "01/02/2024"], "date", [dt.date(2024, 2, 13), dt.date(2024, 1, 2)]),
        (["0.30000000000000004", "1"], "float64", [0.30000000000000004, 1.0]),
        (["123456789012345"], "int64", [123456789012345]),
    ],
)
def test_typed_when_every_value_parses(run: Converter, values: list[str], dtype: str, expected: list[Any]) -> None:
    found, typed, _ = column(run, values)
    assert (found, typed) == (dtype, expected)


@pytest.mark.parametrize(
    "values",
    [
        ["00123", "456"],  # leading zero
        ["1234567890123456", "1"],  # sixteen digits
        ["0.1234567890123456789", "1"],  # more digits than float64 gives back
        ["13800138000", "13912345678"],  # mobile phones
        ["110105491231002", "320311770706002"],  # fifteen-digit identity cards
        ["1E5", "2E3"],  # plate wells, not powers of ten
        ["2024-02-30", "2024-02-01"],  # no such day
        ["2024-02-01", "2024-02-02", "20240230"],
        ["2024-02-01", "20240202", "20240203"],  # too many to tell from codes
        ["2024-02-01", "2024-02-02", "19840203"],  # too far away
        ["2024-02-01", "2024-02-02", "20240203", "7"],
        ["1,234", "5,678"],  # beside semicolons a comma may be a decimal comma
        ["+5", "+6"],
        ["01/02/2024", "03/04/2024"],  # day or month first?
        ["13/01/2024", "01/13/2024"],  # contradicts itself
        ["yes", "是"],
        ["1899-12-31 25:00", "x"],
    ],
)
def test_text_stays_the_same_text(run: Converter, values: list[str]) -> None:
    found, kept, _ = column(run, values)
    assert (found, kept) == ("string", values)


def test_thousands_are_numbers_in_comma_quoted_text(run: Converter) -> None:
    result = run('a,b\n"1,234",x\n"12",y\n"-1,234,567",z\n')
    assert result.columns["a"] == [1234, 12, -1234567]
    assert result.column("a").format == "thousands"


def test_one_late_text_keeps_a_whole_column_text(run: Converter) -> None:
    values = [str(number) for number in range(3000)] + ["<0.5"]
    found, kept, _ = column(run, values)
    assert (found, kept) == ("string", values)


def test_a_late_number_of_too_many_digits_keeps_a_whole_column_text(run: Converter) -> None:
    values = [f"{number}.5" for number in range(3000)]
    values = [*values * 100, "9007199254740993"]  # beyond the first batch, where numbers are taken in at a glance
    found, kept, _ = column(run, values)
    assert (found, kept[-1]) == ("string", "9007199254740993")


def test_mixed_column_says_how_many_would_have_parsed(run: Converter) -> None:
    result = run("a,b\n" + "".join(f"{number},x\n" for number in range(9)) + "<0.5,x\n")
    (warning,) = [w for w in result.report.warnings if w.code == WarningCode.MIXED_TYPES]
    assert (warning.column, warning.count) == ("a", 1)
    assert "9 of 10" in warning.message
    assert "<0.5" in warning.message


def test_ambiguous_dates_are_reported(run: Converter) -> None:
    result = run("a,b\n01/02/2024,x\n03/04/2024,y\n")
    assert WarningCode.DATE_ORDER_AMBIGUOUS in result.codes()


def test_null_tokens_are_counted_one_by_one(run: Converter) -> None:
    result = run("a,b,c\n1,x,无\nNA,NA,y\n不详,无,z\n ,-,w\n2,N/A,NULL\n")
    numbers, texts = result.column("a"), result.column("b")
    assert result.columns["a"] == [1, None, None, None, 2]
    assert numbers.null_tokens == {"<blank>": 1, "NA": 1, "不详": 1}
    # In a text column 无 and - are values: "no allergies" is not "unknown".
    assert result.columns["b"] == ["x", None, "无", "-", None]
    assert texts.null_tokens == {"N/A": 1, "NA": 1}
    assert result.columns["c"] == ["无", "y", "z", "w", None]


def test_a_column_of_nothing_but_contextual_tokens_stays_text(run: Converter) -> None:
    result = run("a,b\n无,1\n-,2\n无,3\n")
    assert result.columns["a"] == ["无", "-", "无"]


def test_error_texts_are_errors_in_text_files_too(run: Converter) -> None:
    result = run("a,b\n1,x\n#DIV/0!,y\n#N/A,z\n#N/A,w\n")
    assert result.columns["a"] == [1, None, None, None]
    assert result.column("a").error_codes == {"#DIV/0!": 1, "#N/A": 2}
    assert result.warning_rows(WarningCode.ERROR_CELLS) == (3, 4, 5)


def test_samples_show_rows_and_outcomes(run: Converter) -> None:
    result = run("a,b\n1,x\nNA,y\n3,z\n")
    assert [(s.row, s.raw, s.outcome) for s in result.column("a").samples] == [
        (3, "NA", "null_token"),
        (2, "1", "typed"),
        (4, "3", "typed"),
    ]


def test_two_percent_of_na_does_not_make_columns_text(run: Converter) -> None:
    rows = "".join(f"{'NA' if number % 50 == 0 else number},{number / 4}\n" for number in range(1000))
    result = run("a,b\n" + rows)
    assert [column.dtype for column in result.report.columns] == ["int64", "float64"]
    assert result.column("a").nulled_by_token == 20


def test_the_caller_may_settle_the_order_of_dates(run: Converter) -> None:
    data = "a,b\n01/02/2024,x\n03/04/2024,y\n"
    assert run(data, date_order="day_first").columns["a"] == [dt.date(2024, 2, 1), dt.date(2024, 4, 3)]
    assert run(data, date_order="month_first").columns["a"] == [dt.date(2024, 1, 2), dt.date(2024, 3, 4)]
    # What cannot be read as asked is not read otherwise.
    assert run("a,b\n13/02/2024,x\n", date_order="month_first").columns["a"] == ["13/02/2024"]


def test_the_callers_null_tokens_count_in_every_column(run: Converter) -> None:
    result = run("a,b,c\n1,x,999\n空缺,空缺,5\n999,z,6\n", null_tokens=("空缺", "999"))
    assert result.columns == {"a": [1, None, None], "b": ["x", None, "z"], "c": [None, 5, 6]}
    assert result.column("a").null_tokens == {"999": 1, "空缺": 1}
