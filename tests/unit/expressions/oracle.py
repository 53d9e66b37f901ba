"""Random expressions, each with its meaning in plain Python: (text, function of a row). None is null."""

import math
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from typing import Any, TypeAlias

import pyarrow as pa
from hypothesis import strategies as st
from pyarrow import acero

from shared.expressions import DataType, arrow_type, compile_expression

Row: TypeAlias = Mapping[str, Any]
Meaning: TypeAlias = Callable[[Row], Any]
Pair: TypeAlias = tuple[str, Meaning]

COLUMNS: dict[str, DataType] = {
    "n": "int64",
    "年龄": "int64",
    "白细胞(10^9/L)": "float64",
    "x": "float64",
    "姓名": "string",
    "t": "string",
    "日期": "date",
    "时间": "timestamp",
    "是": "bool",
}
_LETTERS = st.text(st.sampled_from("ab A中é'`\"%_\\0１\U0001f600"), max_size=6)
_DATES = st.dates(date(1900, 1, 1), date(2100, 1, 1))
_TIMES = st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1))
VALUES: dict[DataType, st.SearchStrategy[Any]] = {
    "int64": st.integers(-50, 50) | st.integers(-(10**9), 10**9),
    "float64": st.floats(-1e6, 1e6) | st.sampled_from([0.0, -0.0, math.nan, 0.5, 2.0]),
    "string": _LETTERS,
    "bool": st.booleans(),
    "date": _DATES,
    "timestamp": _TIMES,
}
ROWS = st.lists(st.fixed_dictionaries({name: st.none() | VALUES[dtype] for name, dtype in COLUMNS.items()}), max_size=8)


def table_of(rows: list[Row], columns: Mapping[str, DataType] = COLUMNS) -> pa.Table:
    """Return rows as a table with these columns."""
    arrays = {name: pa.array([row[name] for row in rows], arrow_type(dtype)) for name, dtype in columns.items()}
    return pa.table(arrays)


def evaluate(text: str, table: pa.Table, columns: Mapping[str, DataType] = COLUMNS) -> list[Any]:
    """Return the value of an expression for each row."""
    expression = compile_expression(text, columns).expression
    source = acero.Declaration("table_source", acero.TableSourceNodeOptions(table))
    project = acero.Declaration("project", acero.ProjectNodeOptions([expression], ["result"]), [source])
    values: list[Any] = project.to_table(use_threads=False).column("result").to_pylist()
    return values


def same(one: Any, other: Any) -> bool:
    """Whether two values are the same; numbers within a rounding of the last digits, NaN as NaN."""
    if isinstance(one, float) and isinstance(other, float):
        return (math.isnan(one) and math.isnan(other)) or math.isclose(one, other, rel_tol=1e-12, abs_tol=1e-12)
    return type(one) is type(other) and bool(one == other)


def _lifted(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *values: None if None in values else function(*values)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _divide(one: float, other: float) -> float:
    if other == 0:
        sign = math.copysign(1, one) * math.copysign(1, other)
        return math.nan if one == 0 or math.isnan(one) else sign * math.inf
    return one / other


def _and(one: bool | None, other: bool | None) -> bool | None:
    return False if one is False or other is False else None if None in (one, other) else True


def _not(one: bool | None) -> bool | None:
    return None if one is None else not one


def _columns(dtype: DataType) -> st.SearchStrategy[Pair]:
    names = [name for name, found in COLUMNS.items() if found == dtype]
    return st.sampled_from(names).map(lambda name: (f"`{name}`", lambda row: row[name]))


def _literals(dtype: DataType) -> st.SearchStrategy[Pair]:
    def pair(value: Any) -> Pair:
        match value:
            case str():
                text = "'" + value.replace("'", "''") + "'"
            case bool():
                text = str(value).lower()
            case datetime():
                text = f"timestamp '{value.isoformat()}'"
            case date():
                text = f"date '{value}'"
            case _:
                text = repr(value)
        return text, lambda _: value

    return VALUES[dtype].filter(lambda value: not same(value, math.nan)).map(pair)


def _leaf(dtype: DataType) -> st.SearchStrategy[Pair]:
    return _columns(dtype) | _literals(dtype)


@st.composite
def _comparison(draw: st.DrawFn, depth: int) -> Pair:
    dtype = draw(st.sampled_from(["int64", "float64", "string", "date", "timestamp"]))
    (a, f), (b, g), (c, h) = (draw(expressions(dtype, depth - 1)) for _ in range(3))  # type: ignore[arg-type]
    kind = draw(st.sampled_from(["=", "!=", "<", "<=", ">", ">=", "between", "null", "in"]))
    operators: dict[str, Callable[[Any, Any], bool]] = {
        "=": lambda x, y: x == y, "!=": lambda x, y: x != y, "<": lambda x, y: x < y, "<=": lambda x, y: x <= y,
        ">": lambda x, y: x > y, ">=": lambda x, y: x >= y,
    }  # fmt: skip
    if kind == "null":
        return f"({a} is null)", lambda row: f(row) is None
    if kind == "between":
        low, high = _lifted(operators[">="]), _lifted(operators["<="])
        return f"({a} between {b} and {c})", lambda row: _and(low(f(row), g(row)), high(f(row), h(row)))
    if kind == "in":
        items = draw(st.lists(_literals(dtype), min_size=1, max_size=12))  # type: ignore[arg-type]
        texts, values = ", ".join(text for text, _ in items), [value({}) for _, value in items]
        return f"({a} in ({texts}))", lambda row: None if f(row) is None else any(f(row) == value for value in values)
    compare = _lifted(operators[kind])
    return f"({a} {kind} {b})", lambda row: compare(f(row), g(row))


@st.composite
def _logic(draw: st.DrawFn, depth: int) -> Pair:
    (a, f), (b, g) = (draw(expressions("bool", depth - 1)) for _ in range(2))
    kind = draw(st.sampled_from(["and", "or", "not"]))
    if kind == "not":
        return f"(not {a})", lambda row: _not(f(row))
    if kind == "and":
        return f"({a} and {b})", lambda row: _and(f(row), g(row))
    return f"({a} or {b})", lambda row: _not(_and(_not(f(row)), _not(g(row))))


@st.composite
def _number(draw: st.DrawFn, dtype: DataType, depth: int) -> Pair:
    (a, f), (b, g) = (draw(expressions(dtype, depth - 1)) for _ in range(2))
    if dtype == "int64":
        (t, u), (d, e), (s, v) = (draw(expressions(kind, depth - 1)) for kind in ("string", "date", "timestamp"))
        pairs: list[Pair] = [
            (f"({a} + {b})", lambda row: _lifted(lambda x, y: x + y)(f(row), g(row))),
            (f"({a} - {b})", lambda row: _lifted(lambda x, y: x - y)(f(row), g(row))),
            (f"abs({a})", lambda row: _lifted(abs)(f(row))),
            (f"length({t})", lambda row: _lifted(len)(u(row))),
            (f"year({d})", lambda row: _lifted(lambda x: x.year)(e(row))),
            (f"weekday({d})", lambda row: _lifted(lambda x: x.isoweekday())(e(row))),
            (f"hour({s})", lambda row: _lifted(lambda x: x.hour)(v(row))),
            (f"days_between({d}, {s})", lambda row: _lifted(lambda x, y: (y.date() - x).days)(e(row), v(row))),
            (f"integer({t})", lambda row: _lifted(_integer)(u(row))),
            (f"least({a}, {b})", lambda row: min((x for x in (f(row), g(row)) if x is not None), default=None)),
        ]
        return draw(st.sampled_from(pairs))
    n, m = draw(expressions("int64", depth - 1))
    pairs = [
        (f"({a} + {b})", lambda row: _finite(_lifted(lambda x, y: x + y)(f(row), g(row)))),
        (f"({a} * {b})", lambda row: _finite(_lifted(lambda x, y: x * y)(f(row), g(row)))),
        (f"({a} / {b})", lambda row: _finite(_lifted(_divide)(f(row), g(row)))),
        (f"({n} / 4)", lambda row: _lifted(lambda x: x / 4)(m(row))),
        (f"sqrt({a})", lambda row: _finite(_lifted(lambda x: math.sqrt(x) if x >= 0 else math.nan)(f(row)))),
        (f"floor({a})", lambda row: _finite(_lifted(lambda x: math.floor(x) if math.isfinite(x) else x)(f(row)))),
        (f"number({n})", lambda row: _lifted(float)(m(row))),
    ]
    return draw(st.sampled_from([(text, _settled(meaning)) for text, meaning in pairs]))


def _settled(meaning: Meaning) -> Meaning:
    return lambda row: None if meaning(row) is None else float(meaning(row))


def _integer(text: str) -> int | None:
    text = text.strip()
    return int(text) if text.isascii() and text.lstrip("+-").isdigit() and len(text.lstrip("+-")) == len(text) else None


@st.composite
def _text(draw: st.DrawFn, depth: int) -> Pair:
    (a, f), (b, g), (n, m), (d, e), (s, v) = (
        draw(expressions(kind, depth - 1)) for kind in ("string", "string", "int64", "date", "timestamp")
    )
    start, length = draw(st.integers(1, 4)), draw(st.integers(0, 3))
    old, new = draw(_literals("string").filter(lambda pair: pair[0] != "''")), draw(_literals("string"))
    pairs: list[Pair] = [
        (f"concat({a}, {b})", lambda row: _lifted(lambda x, y: x + y)(f(row), g(row))),
        (f"trim({a})", lambda row: _lifted(str.strip)(f(row))),
        (f"substring({a}, {start}, {length})", lambda r: _lifted(lambda x: x[start - 1 :][:length])(f(r))),
        (f"replace({a}, {old[0]}, {new[0]})", lambda r: _lifted(lambda x: x.replace(old[1]({}), new[1]({})))(f(r))),
        (f"text({n})", lambda row: _lifted(str)(m(row))),
        (f"text({d})", lambda row: _lifted(lambda x: x.isoformat())(e(row))),
        (f"text({s})", lambda row: _lifted(lambda x: x.isoformat())(v(row))),
    ]
    return draw(st.sampled_from(pairs))


@st.composite
def _day(draw: st.DrawFn, depth: int) -> Pair:
    (d, e), (s, v) = (draw(expressions(kind, depth - 1)) for kind in ("date", "timestamp"))
    days = draw(st.integers(-1000, 1000))
    pairs: list[Pair] = [
        (f"date({s})", lambda row: _lifted(lambda x: x.date())(v(row))),
        (f"add_days({d}, {days})", lambda row: _lifted(lambda x: x + timedelta(days))(e(row))),
        (f"date(text({d}))", e),
    ]
    return draw(st.sampled_from(pairs))


@st.composite
def _choice(draw: st.DrawFn, dtype: DataType, depth: int) -> Pair:
    (c, h), (a, f), (b, g) = (draw(expressions(kind, depth - 1)) for kind in ("bool", dtype, dtype))
    kind = draw(st.sampled_from(["if", "case", "coalesce"]))
    if kind == "coalesce":
        return f"coalesce({a}, {b})", lambda row: g(row) if f(row) is None else f(row)
    if kind == "case":
        return f"case when {c} then {a} end", lambda row: f(row) if h(row) else None
    return f"if({c}, {a}, {b})", lambda row: f(row) if h(row) else g(row)


def expressions(dtype: DataType, depth: int = 2) -> st.SearchStrategy[Pair]:
    """Random expressions of a type, nested at most `depth` deep."""
    if depth <= 0:
        return _leaf(dtype)
    deeper = {
        "bool": _comparison(depth) | _logic(depth),
        "int64": _number("int64", depth),
        "float64": _number("float64", depth),
        "string": _text(depth),
        "date": _day(depth),
        "timestamp": _leaf("timestamp"),
    }[dtype]
    return _leaf(dtype) | deeper | deeper | _choice(dtype, depth)
