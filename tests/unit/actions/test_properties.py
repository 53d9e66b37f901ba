"""Every action does what its plain Python counterpart does, on any rows: nulls, NaN, Chinese, none at all."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.expressions import DataType
from tests.unit.actions import oracle
from tests.unit.actions.support import acted
from tests.unit.expressions.oracle import COLUMNS, ROWS, VALUES, Pair, Row, expressions, same

NAMES = list(COLUMNS)
SOME = st.lists(st.sampled_from(NAMES), min_size=1, max_size=4, unique=True)
NUMBERS = [name for name, dtype in COLUMNS.items() if dtype in {"int64", "float64"}]
Action = dict[str, Any]
Expected = list[dict[str, Any]]
Case = Callable[[st.DataObject, Sequence[Row]], tuple[Action, Expected]]


def _filter_rows(data: st.DataObject, rows: Sequence[Row]) -> tuple[Action, Expected]:
    text, meaning = data.draw(expressions("bool"))
    return {"filter_rows": {"condition": text}}, [dict(row) for row in rows if meaning(row)]


def _select_columns(data: st.DataObject, rows: Sequence[Row]) -> tuple[Action, Expected]:
    names = data.draw(SOME)
    return {"select_columns": {"columns": names}}, [{name: row[name] for name in names} for row in rows]


def _drop_columns(data: st.DataObject, rows: Sequence[Row]) -> tuple[Action, Expected]:
    gone = data.draw(SOME)
    kept = [name for name in NAMES if name not in gone]
    return {"drop_columns": {"columns": gone}}, [{name: row[name] for name in kept} for row in rows]


def _reorder_columns(data: st.DataObject, rows: Sequence[Row]) -> tuple[Action, Expected]:
    first = data.draw(SOME)
    order = [*first, *(name for name in NAMES if name not in first)]
    return {"reorder_columns": {"columns": first}}, [{name: row[name] for name in order} for row in rows]


def _rename_columns(data: st.DataObject, rows: Sequence[Row]) -> tuple[Action, Expected]:
    some = data.draw(SOME)
    swapped = dict(zip(some, [*some[1:], some[0]], strict=True))  # a cycle, and one that is new
    swapped[some[0]] = '新 "名`'
    if len(some) == 1:
        swapped = {some[0]: '新 "名`'}
    renames = [{"column": name, "new_name": new} for name, new in swapped.items()]
    return {"rename_columns": {"renames": renames}}, [{swapped.get(k, k): v for k, v in row.items()} for row in rows]


def _recode_values(data: st.DataObject, rows: Sequence[Row]) -> tuple[Action, Expected]:
    name = data.draw(st.sampled_from(NAMES))
    dtype = COLUMNS[name]
    seen = [row[name] for row in rows] + [None]
    values = st.sampled_from(seen).filter(_writable) | VALUES[dtype].filter(_writable)
    to: DataType = data.draw(st.sampled_from([dtype, "string"]))
    changes = data.draw(
        st.dictionaries(values.map(oracle.key_of), st.none() | VALUES[to].filter(_writable), min_size=1, max_size=5)
    )
    messages = [
        {f"{side}_value": oracle.text_of(value) for side, value in (("old", old), ("new", new)) if value is not None}
        for old, new in changes.items()
    ]
    action: Action = {"column": name, "changes": messages, "type": f"DATA_TYPE_{to.upper()}", "new_column": "k"}
    other: Callable[[Any], Any] = (lambda value: value) if to == dtype else (lambda value: oracle.converted(value, to))
    kind = data.draw(st.sampled_from(["keep", "null", "value"]))
    if kind == "null":
        action["otherwise_null"], other = True, lambda _: None
    elif kind == "value":
        chosen = data.draw(VALUES[to].filter(_writable))
        action["otherwise_value"], other = oracle.text_of(chosen), lambda _: chosen
    elif to != dtype and dtype in {"float64", "timestamp"}:
        action["otherwise_null"], other = True, lambda _: None  # their text has a test of its own
    return {"recode_values": action}, [{**row, "k": oracle.recode(row[name], changes, other)} for row in rows]


def _writable(value: Any) -> bool:
    return not (isinstance(value, float) and math.isnan(value))


def _bin_number(data: st.DataObject, rows: Sequence[Row]) -> tuple[Action, Expected]:
    name, bins = data.draw(st.sampled_from(NUMBERS)), data.draw(st.integers(2, 5))
    kind = data.draw(st.sampled_from(["equal_width", "quantiles", "edges"]))
    labels = [f"组{place}" for place in range(bins)] if data.draw(st.booleans()) else []
    found = oracle.numbers(rows, name)
    if kind == "edges":
        edges = sorted(data.draw(st.sets(st.floats(-100, 100), min_size=bins + 1, max_size=bins + 1)))
        bounds: Action = {"edges": {"values": edges}}
    else:
        edges = oracle.edges_of(found, bins, equal_width=kind == "equal_width") if found else []
        bounds = {kind: bins}
    names = labels or (oracle.written(edges) if edges else [])
    expected = [{**row, "组": oracle.bin_label(row[name], edges, names) if edges else None} for row in rows]
    return {"bin_number": {"column": name, "labels": labels, "new_column": "组", **bounds}}, expected


def _conditional_column(data: st.DataObject, rows: Sequence[Row]) -> tuple[Action, Expected]:
    dtype: DataType = data.draw(st.sampled_from(["int64", "string", "date"]))
    branches = data.draw(st.lists(st.tuples(expressions("bool", 1), expressions(dtype, 1)), min_size=1, max_size=3))
    other: Pair | None = data.draw(st.none() | expressions(dtype, 1))
    messages = [{"condition": condition[0], "value": value[0]} for condition, value in branches]

    def meaning(row: Row) -> Any:
        return next((value[1](row) for condition, value in branches if condition[1](row)), other and other[1](row))

    action = {"name": "c", "branches": messages, "otherwise": other[0] if other else ""}
    return {"conditional_column": action}, [{**row, "c": meaning(row)} for row in rows]


def _compute_column(data: st.DataObject, rows: Sequence[Row]) -> tuple[Action, Expected]:
    dtype: DataType = data.draw(st.sampled_from(["int64", "float64", "string", "bool", "date"]))
    text, meaning = data.draw(expressions(dtype))
    name = data.draw(st.sampled_from(["新", "t"]))  # a new column, and one that is replaced in its place
    return {"compute_column": {"name": name, "expression": text}}, [{**row, name: meaning(row)} for row in rows]


def _drop_missing(data: st.DataObject, rows: Sequence[Row]) -> tuple[Action, Expected]:
    names, only_if_all = data.draw(SOME | st.just([])), data.draw(st.booleans())
    expected = oracle.drop_missing(rows, names or NAMES, only_if_all=only_if_all)
    return {"drop_missing": {"columns": names, "only_if_all": only_if_all}}, expected


def _fill_missing(data: st.DataObject, rows: Sequence[Row]) -> tuple[Action, Expected]:
    kind = data.draw(st.sampled_from(["value", "mean", "median", "most_frequent", "previous"]))
    name = data.draw(st.sampled_from(NUMBERS if kind in {"mean", "median"} else NAMES))
    filled = list(oracle.fill_forward([row[name] for row in rows]))
    if kind == "previous":
        action: Action = {"previous": True}
    else:
        if kind == "value":
            value = data.draw(VALUES[COLUMNS[name]].filter(_writable))
            action = {"value": oracle.text_of(value)}
        else:
            value = oracle.filler(rows, name, kind)
            action = {"statistic": f"FILL_STATISTIC_{kind.upper()}"}
        filled = [value if row[name] is None else row[name] for row in rows]
    if kind in {"mean", "median"}:
        filled = [None if value is None else float(value) for value in filled]
    expected = [{**row, name: value} for row, value in zip(rows, filled, strict=True)]
    return {"fill_missing": {"columns": [name], **action}}, expected


_TEXTS = st.sampled_from(
    ["12", " -3 ", "+4", "1.5", "1e3", "是", "No", "2024-02-29", "2023-02-29", "0", "", "１２", "x", "."]
)


def _convert_type(data: st.DataObject, rows: Sequence[Row]) -> tuple[Action, Expected]:
    name = data.draw(st.sampled_from(NAMES))
    targets: dict[DataType, list[DataType]] = {
        "string": ["int64", "float64", "bool", "date"], "int64": ["float64", "string", "bool"],
        "float64": ["int64", "bool"], "bool": ["int64", "float64", "string"], "date": ["timestamp", "string"],
        "timestamp": ["date", "string"],
    }  # fmt: skip
    to: DataType = data.draw(st.sampled_from(targets[COLUMNS[name]]))
    action = {"column": name, "type": f"DATA_TYPE_{to.upper()}", "null_on_failure": True}
    return {"convert_type": action}, [{**row, name: oracle.converted(row[name], to)} for row in rows]


def _deduplicate(data: st.DataObject, rows: Sequence[Row]) -> tuple[Action, Expected]:
    names, keep_last = data.draw(SOME | st.just([])), data.draw(st.booleans())
    expected = oracle.deduplicate(rows, names or NAMES, keep_last=keep_last)
    return {"deduplicate": {"columns": names, "keep_last": keep_last}}, expected


def _sort_rows(data: st.DataObject, rows: Sequence[Row]) -> tuple[Action, Expected]:
    keys = [(name, data.draw(st.booleans()), data.draw(st.booleans())) for name in data.draw(SOME)]
    messages = [{"column": name, "descending": down, "nulls_first": first} for name, down, first in keys]
    return {"sort_rows": {"keys": messages}}, oracle.sort_rows(rows, keys)


def _unpivot(data: st.DataObject, rows: Sequence[Row]) -> tuple[Action, Expected]:
    columns = data.draw(st.sampled_from([["n", "年龄"], ["x"], ["年龄", "x"], ["t", "姓名"], ["日期"]]))
    kept = data.draw(st.sampled_from([[], ["是"], ["时间", "白细胞(10^9/L)"]]))
    expected = oracle.unpivot(rows, columns, kept, as_float="x" in columns)
    return {"unpivot": {"columns": columns, "row_columns": kept}}, expected


def _pivot(data: st.DataObject, rows: Sequence[Row]) -> tuple[Action, Expected]:
    names_from, values_from = data.draw(st.sampled_from([("n", "x"), ("姓名", "年龄"), ("日期", "t"), ("是", "n")]))
    kept = data.draw(st.sampled_from([["是"], ["t"], ["白细胞(10^9/L)", "年龄"]]))
    kept = [name for name in kept if name not in {names_from, values_from}] or ["时间"]
    kinds = ["first", "count", "min", "max"] + (["sum", "mean"] if values_from in NUMBERS else [])
    aggregate = data.draw(st.sampled_from(kinds))
    found = sorted({row[names_from] for row in rows if row[names_from] is not None and _nameable(row[names_from])})
    values = [{"value": value, "name": oracle.text_of(value)} for value in found[:3]]
    if not values:
        dtype = COLUMNS[names_from]
        value = data.draw(VALUES[dtype].filter(_nameable))
        values = [{"value": value, "name": oracle.text_of(value)}]
    action = {
        "row_columns": kept, "names_from": names_from, "values_from": values_from,
        "aggregate": f"AGGREGATE_{aggregate.upper()}", "names": [value["name"] for value in values],
    }  # fmt: skip
    return {"pivot": action}, oracle.pivot(rows, kept, names_from, values_from, aggregate, values)


def _nameable(value: Any) -> bool:
    text = oracle.text_of(value)
    return bool(text.strip()) and text.isprintable()


CASES: dict[str, Case] = {
    case.__name__.removeprefix("_"): case
    for case in (
        _filter_rows, _select_columns, _drop_columns, _reorder_columns, _rename_columns, _recode_values, _bin_number,
        _conditional_column, _compute_column, _drop_missing, _fill_missing, _convert_type, _deduplicate, _sort_rows,
        _unpivot, _pivot,
    )
}  # fmt: skip
# More equal values than chance gives, over several row groups.
_REPEATS = st.lists(
    st.fixed_dictionaries(
        {
            name: st.none() | (st.sampled_from([0.0, -0.0, math.nan, 1.5]) if dtype == "float64" else _TEXTS
            if dtype == "string" else st.integers(0, 2) if dtype == "int64" else VALUES[dtype])
            for name, dtype in COLUMNS.items()
        }
    ),
    max_size=12,
)  # fmt: skip


@pytest.mark.parametrize("kind", CASES)
def test_actions_do_what_plain_python_does(kind: str) -> None:
    @settings(max_examples=20, deadline=None)
    @given(rows=ROWS | _REPEATS, data=st.data())
    def check(rows: list[Row], data: st.DataObject) -> None:
        action, expected = CASES[kind](data, rows)
        names, found, rows_after = acted(rows, action)
        assert rows_after == {0: len(found)}
        assert len(found) == len(expected), (action, found, expected)
        for row, wanted in zip(found, expected, strict=True):
            assert list(row) == names
            assert row.keys() == wanted.keys()
            assert all(same(row[name], wanted[name]) for name in row), (action, row, wanted)

    check()


def test_every_kind_of_action_is_tested() -> None:
    from tablemill.v1 import action_pb2

    assert set(CASES) == {field.name for field in action_pb2.Action.DESCRIPTOR.oneofs_by_name["kind"].fields}
