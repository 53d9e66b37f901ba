"""Expressions by example: what they give, what is refused and where, and what they may cost."""

import re
import time
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from shared.expressions import DataType, ExpressionError, compile_condition, compile_expression
from shared.expressions.functions import FUNCTIONS
from tests.unit.expressions.oracle import evaluate, table_of

COLUMNS: dict[str, DataType] = {
    "n": "int64", "zero": "int64", "x": "float64", "t": "string", "年龄": "int64", "白细胞(10^9/L)": "float64",
    "d": "date", "s": "timestamp", "k": "bool", "or": "int64", "a`b": "int64",
}  # fmt: skip
ROW = {
    "n": 7, "zero": 0, "x": 2.5, "t": " Ab中 ", "年龄": 70, "白细胞(10^9/L)": 11.5, "d": date(2024, 1, 31),
    "s": datetime(2024, 1, 31, 8, 30), "k": True, "or": 3, "a`b": 4,
}  # fmt: skip
NOTHING: dict[str, Any] = dict.fromkeys(ROW)

GIVES: dict[str, Any] = {
    "n + 2 * 3": 13,
    "(n + 2) * 3": 27,
    "10 - 3 - 2": 5,
    "-n + 1": -6,
    "n / 2": 3.5,
    "n / zero": None,
    "1 / (1 / 0.0)": 0.0,
    "年龄 >= 65 and `白细胞(10^9/L)` not between 4 and 10": True,
    '"白细胞(10^9/L)" is not null': True,
    "`or` + `a``b`": 7,
    "not k or n in (1, 7)": True,
    "n not in (1, 2, 3, 4, 5, 6, 8, 9, 10)": True,
    "n = 7.0": True,
    "n between 6.5 and 7": True,
    "d >= '2024-01-31' and s > '2024-01-31'": True,
    "d < timestamp '2024-01-31T00:00:01'": True,
    "CASE WHEN n > 8 THEN 'big' WHEN n > 6 THEN 'mid' ELSE 'small' END": "mid",
    "case when n > 8 then 1 end": None,
    "if(null, 1, 2.5)": 2.5,
    "coalesce(null, n)": 7,
    "nullif(n, 7)": None,
    "round(2.5)": 3.0,
    "round(-2.345, 2)": -2.35,
    "floor(x) + ceil(x)": 5.0,
    "abs(-n)": 7,
    "sqrt(-1)": None,
    "power(2, 10)": 1024.0,
    "exp(1000)": None,
    "log10(1000) + ln(1)": 3.0,
    "least(n, x, null)": 2.5,
    "greatest(d, s)": datetime(2024, 1, 31, 8, 30),
    "length(t)": 5,
    "concat(upper(trim(t)), lower('É'), text(k))": "AB中étrue",
    "substring(t, 2, 2)": "Ab",
    "substring(t, 4)": "中 ",
    "contains(t, '%')": False,
    "starts_with(t, ' A') and ends_with(t, '中 ')": True,
    "replace('a.b.c', '.', '')": "abc",
    "text(2.50)": "2.5",
    "text(s)": "2024-01-31T08:30:00",
    "number(' +1e3 ') + number('x1')": None,
    "number('-.5')": -0.5,
    "number(k)": 1.0,
    "integer(-2.9)": -2,
    "integer(1e300)": None,
    "date('2023-02-30')": None,
    "date('2024-02-29')": date(2024, 2, 29),
    "date(s) = d": True,
    "year(d) * 10000 + month(d) * 100 + day(d)": 20240131,
    "weekday(d) + hour(s) + minute(s) + second(s)": 41,
    "days_between(d, date '2024-03-01')": 30,
    "add_days(d, 29)": date(2024, 2, 29),
    "add_days(d, 9999999999)": None,
    "t is null": False,
}


@pytest.mark.parametrize("text", GIVES)
def test_values(text: str) -> None:
    assert evaluate(text, table_of([ROW], COLUMNS), COLUMNS) == [GIVES[text]]


@pytest.mark.parametrize("text", ["n + 1 > 0", "not k", "t = 'a'", "n in (1)", "x between 1 and 2", "k and k", "-n"])
def test_nothing_comes_of_null(text: str) -> None:
    assert evaluate(text, table_of([NOTHING], COLUMNS), COLUMNS) == [None]


def test_a_literal_null_takes_the_type_beside_it() -> None:
    assert compile_expression("if(k, n, null)", COLUMNS).dtype == "int64"
    assert compile_expression("null", COLUMNS).dtype == "null"


def test_the_columns_used_are_known() -> None:
    assert compile_condition("n > 1 and t = 'n'", COLUMNS).columns == {"n", "t"}


REFUSED: dict[str, tuple[int, str]] = {
    "": (1, "expected a value"),
    "n +": (4, "not the end"),
    "n > 1 > 2": (7, "do not chain"),
    "年令 > 3": (1, "did you mean 年龄"),
    "n = 1 and t = 2": (15, "one type"),
    "n = null": (3, "is null"),
    "n & 1": (3, "no meaning"),
    "（n）": (1, "write ( instead of （"),
    "t = 'abc": (5, "never closed"),
    "lenght(t)": (1, "did you mean length"),
    "n + t": (5, "calculates with numbers"),
    "t + 'a'": (1, "concat"),
    "d - 1": (1, "days_between"),
    "contains(t, t)": (13, "single quotes"),
    "if(n, 1, 2)": (4, "a condition is expected"),
    "n in (n)": (7, "only literals"),
    "n in (1, null)": (10, "is null"),
    "n is 3": (6, "expected null"),
    "k < k": (3, "no order"),
    "replace(t, '', 'x')": (12, "must not be empty"),
    "date '2024-13-01'": (6, "YYYY-MM-DD"),
    "d > 'yesterday'": (5, "2024-01-31"),
    "99999999999999999999": (1, "64 bits"),
    "1e999": (1, "too large"),
    "n 3": (3, "expected an operator"),
    "case n when 1 then 2 end": (6, "expected when"),
    "round(x, n)": (10, "written out"),
    "length(n)": (8, "takes text here"),
    "power(2)": (1, "takes 2 arguments"),
    "__import__('os').system('true')": (17, "no meaning"),
    "n; drop table records": (2, "no meaning"),
}


@pytest.mark.parametrize("text", REFUSED)
def test_errors_point_at_the_character(text: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_expression(text, COLUMNS)
    position, words = REFUSED[text]
    assert (caught.value.position, words in caught.value.message) == (position, True), caught.value


def test_a_condition_is_true_or_false() -> None:
    with pytest.raises(ExpressionError, match="a condition is true or false; this is an integer"):
        compile_condition("n + 1", COLUMNS)


TOO_MUCH = {
    "(" * 3000: "deep",
    "not " * 1000 + "k": "deep",
    "n" + " + n" * 1000: "in a row",
    "n = 1" + " and n = 1" * 400: "parts",
    "n" + " " * 5000: "4,096 characters",
    "replace(replace(t, 'a', 'aaaaaaaa'), 'a', 'aaaaaaaa')": "16 times as long",
    "concat(" * 6 + "t" + ", t, t, t)" * 6: "times as long",
    "if(x / n > 1, 1.0 / " * 20 + "x" + ", 2)" * 20: "too many steps",
}


@pytest.mark.parametrize("text", TOO_MUCH, ids=["deep", "not", "row", "parts", "long", "replace", "concat", "steps"])
def test_what_would_cost_too_much_is_refused_at_once(text: str) -> None:
    began_s = time.process_time()
    with pytest.raises(ExpressionError, match=TOO_MUCH[text]):
        compile_expression(text, COLUMNS)
    assert time.process_time() - began_s < 1


def test_long_chains_and_deep_chains_are_fine() -> None:
    many = " or ".join(f"n = {number}" for number in range(120))
    assert evaluate(many, table_of([ROW], COLUMNS), COLUMNS) == [True]
    deep = "n"
    for _ in range(5):
        deep = f"({deep}" + " + 1" * 40 + ")"
    assert evaluate(deep, table_of([ROW], COLUMNS), COLUMNS) == [207]


def test_an_integer_that_does_not_fit_is_an_error_never_another_number() -> None:
    table = table_of([{**ROW, "n": 2**62}], COLUMNS)
    with pytest.raises(pa.ArrowInvalid, match="overflow"):
        evaluate("n + n", table, COLUMNS)
    assert evaluate("number(n) + n", table, COLUMNS) == [2.0**63]


def test_every_function_is_documented() -> None:
    page = (Path(__file__).parents[3] / "docs/actions.md").read_text()
    documented = set(re.findall(r"`([a-z_0-9]+)\(", page.split("### Functions")[1].split("### Limits")[0]))
    assert documented == set(FUNCTIONS)
