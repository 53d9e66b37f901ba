"""Every expression means what its plain Python counterpart does; what is no expression is refused, never a crash."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.expressions import DataType, ExpressionError, compile_expression
from tests.unit.expressions.oracle import COLUMNS, ROWS, Pair, Row, evaluate, expressions, same, table_of


@pytest.mark.parametrize("dtype", ["bool", "int64", "float64", "string", "date"])
def test_expressions_agree_with_plain_python(dtype: DataType) -> None:
    @settings(max_examples=120, deadline=None)
    @given(rows=ROWS, pair=expressions(dtype))
    def check(rows: list[Row], pair: Pair) -> None:
        text, meaning = pair
        expected = [meaning(row) for row in rows]
        found = evaluate(text, table_of(rows))
        assert all(map(same, found, expected)), (text, found, expected)
        assert len(found) == len(expected)

    check()


_SCRAPS = st.sampled_from(
    [*COLUMNS, "`年龄`", "'a'", "1", "2.5", "null", "true", "and", "or", "not", "in", "is", "between", "case", "when",
     "then", "else", "end", "(", ")", ",", "+", "-", "*", "/", "=", "<", "if(", "coalesce(", "date '2024-01-01'", "'",
     "`", "；", "\0"]
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(st.lists(_SCRAPS, max_size=30).map(" ".join) | st.text(max_size=60))
def test_scraps_are_refused_with_a_place_or_can_be_evaluated(text: str) -> None:
    try:
        compile_expression(text, COLUMNS)
    except ExpressionError as error:
        assert 1 <= error.position <= len(text) + 1
        assert len(error.message) < 300
    else:
        evaluate(text, table_of([]))
