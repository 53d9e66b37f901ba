"""Lists of actions: what is refused and where, what stays bounded, and steps that follow each other."""

import json
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shared.actions import ActionErrors
from shared.actions.plan import Sort
from shared.expressions import DataType
from tests.unit.actions.support import acted, plan_of
from tests.unit.expressions.oracle import Row
from worker_service.actions.applying import apply_actions, try_actions
from worker_service.actions.engine import Engine
from worker_service.sandbox.task import Refused
from worker_service.tables import Limits, profile

COLUMNS: dict[str, DataType] = {"组": "string", "n": "int64", "x": "float64"}
ROWS: list[Row] = [{"组": "ab"[row % 2], "n": row, "x": row / 4} for row in range(10)]


def _wrong(*actions: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(ActionErrors) as caught:
        plan_of(*actions, columns=COLUMNS)
    return {violation.field: violation.description for violation in caught.value.violations}


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    ".filter_rows.condition": ({"filter_rows": {"condition": "n + 1"}}, "true or false"),
    ".select_columns.columns": ({"select_columns": {}}, "at least one"),
    ".select_columns.columns[1]": ({"select_columns": {"columns": ["n", "n"]}}, "twice"),
    ".drop_columns.columns": ({"drop_columns": {"columns": ["组", "n", "x"]}}, "must stay"),
    ".rename_columns.renames": ({"rename_columns": {"renames": [{"column": "n", "new_name": "x"}]}}, "two columns"),
    ".rename_columns.renames[0].new_name": (
        {"rename_columns": {"renames": [{"column": "n", "new_name": "a\nb"}]}}, "printable"
    ),
    ".recode_values.changes[0].old_value": (
        {"recode_values": {"column": "n", "changes": [{"old_value": "one"}]}}, "write it as 12"
    ),
    ".recode_values.type": (
        {"recode_values": {"column": "组", "changes": [{"old_value": "a", "new_value": "1"}],
                           "type": "DATA_TYPE_INT64"}}, "set otherwise"
    ),
    ".bin_number.column": ({"bin_number": {"column": "组", "quantiles": 4}}, "not an integer or a number"),
    ".bin_number.edges.values": ({"bin_number": {"column": "n", "edges": {"values": [1, 3, 2]}}}, "rise"),
    ".bin_number.labels": ({"bin_number": {"column": "n", "quantiles": 4, "labels": ["a"]}}, "must be 4"),
    ".bin_number.quantiles": ({"bin_number": {"column": "n", "quantiles": 101}}, "1 to 100"),
    ".bin_number.new_column": ({"bin_number": {"column": "n", "quantiles": 2, "new_column": "x"}}, "already"),
    ".conditional_column.branches": (
        {"conditional_column": {"name": "c", "branches": [{"condition": "n > 1", "value": "n"}], "otherwise": "组"}},
        "one type",
    ),
    ".conditional_column.branches[0].value": (
        {"conditional_column": {"name": "c", "branches": [{"condition": "n > 1", "value": "n +"}]}}, "character 4"
    ),
    ".compute_column.expression": ({"compute_column": {"name": "c", "expression": "null"}}, "number(null)"),
    ".compute_column.name": ({"compute_column": {"name": "", "expression": "1"}}, "1 to 255"),
    ".fill_missing.filler": ({"fill_missing": {"columns": ["n"]}}, "what nulls become"),
    ".fill_missing.columns": (
        {"fill_missing": {"columns": ["组"], "statistic": "FILL_STATISTIC_MEAN"}}, "组 is text"
    ),
    ".convert_type.type": ({"convert_type": {"column": "n", "type": "DATA_TYPE_DATE"}}, "cannot become a date"),
    ".sort_rows.keys": ({"sort_rows": {}}, "at least one"),
    ".unpivot.columns": ({"unpivot": {"columns": ["n", "组"]}}, "one type"),
    ".unpivot.value_column": (
        {"unpivot": {"columns": ["n"], "row_columns": ["x"], "value_column": "x"}}, "two columns"
    ),
    ".pivot.aggregate": ({"pivot": {"row_columns": ["n"], "names_from": "组", "values_from": "x"}}, "must say how"),
    ".pivot.names_from": (
        {"pivot": {"row_columns": ["组"], "names_from": "组", "values_from": "x", "aggregate": "AGGREGATE_SUM"}},
        "row_columns",
    ),
    ".kind": ({}, "must be one of the kinds"),
}  # fmt: skip


@pytest.mark.parametrize("field", REFUSED)
def test_a_wrong_action_is_named_with_its_field(field: str) -> None:
    action, words = REFUSED[field]
    told = _wrong({"filter_rows": {"condition": "n > 1"}}, action)
    assert list(told) == [f"actions[1]{field}"]
    assert words in told[f"actions[1]{field}"]


def test_every_wrong_action_is_told_and_later_ones_see_what_earlier_ones_leave() -> None:
    rename = {"rename_columns": {"renames": [{"column": "n", "new_name": "数"}]}}
    told = _wrong(
        rename, {"drop_columns": {"columns": ["n"]}}, {"filter_rows": {"condition": "数 >"}}, {"sort_rows": {}}
    )
    assert list(told) == [
        "actions[1].drop_columns.columns[0]", "actions[2].filter_rows.condition", "actions[3].sort_rows.keys"
    ]  # fmt: skip
    assert _wrong(*[rename] * 33).keys() == {"actions"}
    assert _wrong().keys() == {"actions"}


def test_a_pivot_without_names_is_the_last_action_and_takes_what_it_finds() -> None:
    pivot = {"pivot": {"row_columns": ["组"], "names_from": "n", "values_from": "x", "aggregate": "AGGREGATE_FIRST"}}
    assert "must be the last" in _wrong(pivot, {"filter_rows": {"condition": "true"}})["actions[1].filter_rows"]
    rows: list[Row] = [{"组": "a", "n": 2, "x": 1.0}, {"组": "a", "n": None, "x": 9.0}, {"组": "b", "n": -1, "x": None}]
    names, found, _ = acted(rows, pivot, columns=COLUMNS)
    assert names == ["组", "-1", "2"]
    assert found == [{"组": "a", "-1": None, "2": 1.0}, {"组": "b", "-1": None, "2": None}]
    clash: list[Row] = [{"组": "n", "n": 1, "x": 1.0}, {"组": "", "n": 1, "x": 2.0}]
    pivot["pivot"] |= {"row_columns": ["n"], "names_from": "组"}
    assert acted(clash, pivot, columns=COLUMNS)[0] == ["n", "empty", "n__2"]


def test_steps_follow_each_other_over_spills() -> None:
    """Sort, deduplicate, bin and fill each need the whole table, as the steps before leave it."""
    actions: list[dict[str, Any]] = [
        {"compute_column": {"name": "y", "expression": "if(n = 3, null, n * 2)"}},
        {"sort_rows": {"keys": [{"column": "n", "descending": True}]}},
        {"fill_missing": {"columns": ["y"], "previous": True}},
        {"filter_rows": {"condition": "n > 1"}},
        {"deduplicate": {"columns": ["组"], "keep_last": True}},
        {"bin_number": {"column": "y", "equal_width": 2, "labels": ["low", "high"], "new_column": "bin"}},
        {"fill_missing": {"columns": ["n"], "statistic": "FILL_STATISTIC_MEAN"}},
    ]
    names, found, rows_after = acted(ROWS, *actions, columns=COLUMNS)
    assert names == ["组", "n", "x", "y", "bin"]
    assert [type(row["n"]) for row in found] == [float, float]
    assert [list(row.values()) for row in found] == [["b", 3.0, 0.75, 8, "high"], ["a", 2.0, 0.5, 4, "low"]]
    assert rows_after == {0: 10, 1: 10, 2: 10, 3: 8, 4: 2, 5: 2, 6: 2}


def test_columns_know_where_they_come_from() -> None:
    plan = plan_of(
        {"rename_columns": {"renames": [{"column": "n", "new_name": "数"}]}},
        {"fill_missing": {"columns": ["x"], "value": "0"}},
        {"compute_column": {"name": "组", "expression": "upper(组)"}},
        {"sort_rows": {"keys": [{"column": "数"}]}},
        columns=COLUMNS,
    )
    assert {name: (column.source_name, column.base) for name, column in plan.columns.items()} == {
        "组": ("", None), "数": ("n", "n"), "x": ("x", None)
    }  # fmt: skip
    assert (plan.same_rows, plan_of({"drop_missing": {}}, columns=COLUMNS).same_rows) == (True, False)


def test_rows_stay_within_the_limit() -> None:
    unpivot = {"unpivot": {"columns": ["n", "x"], "row_columns": ["组"]}}
    assert acted(ROWS, unpivot, columns=COLUMNS, limits=Limits(max_rows=20))[2] == {0: 20}
    with pytest.raises(Refused) as caught:
        acted(ROWS, unpivot, columns=COLUMNS, limits=Limits(max_rows=19))
    assert (caught.value.facts["reason"], caught.value.facts["metadata"]["limit"]) == ("LIMIT_EXCEEDED", "max_rows")


def test_a_sum_that_does_not_fit_is_told() -> None:
    pivot = {"pivot": {"row_columns": ["x"], "names_from": "组", "values_from": "n", "aggregate": "AGGREGATE_SUM",
                       "names": ["a"]}}  # fmt: skip
    with pytest.raises(Refused) as caught:
        acted([{"组": "a", "n": 2**62, "x": 1.0}] * 4, pivot, columns=COLUMNS)
    assert caught.value.facts["reason"] == "ARITHMETIC_OVERFLOW"


def test_the_engine_touches_no_other_files(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    with Engine(tmp_path / "mine", memory_bytes=64 << 20) as engine, pytest.raises(duckdb.PermissionException):
        list(engine.sort(tmp_path / "other.parquet", Sort([("a", False, False)])))


def _ignore(stage: str, done: int, total: int, unit: str) -> None:
    pass


def test_a_file_becomes_the_next_one_with_its_profile(tmp_path: Path) -> None:
    source, target = tmp_path / "source.parquet", tmp_path / "target.parquet"
    field: Any = pa.field("n", pa.int64(), metadata={"source_name": "原"})
    pq.write_table(pa.table([pa.array([3, 1, None])], schema=pa.schema([field])), source)
    actions = [{"compute_column": {"name": "t", "expression": "if(n = 3, '\0', '乙')"}}]
    args = {"source": str(source), "target": str(target), "actions": actions, "max_rows": 100}
    found = apply_actions(args, _ignore)
    json.dumps(found, allow_nan=False)
    assert found["columns"] == [
        {"name": "n", "type": "int64", "source_name": "原", "null_count": 1},
        {"name": "t", "type": "string", "source_name": "", "null_count": 0},
    ]
    first, second = found["profile"]
    assert first == {"base": 0}
    assert (second["distinct_count"], second["min"], second["max"]) == (2, "\ufffd", "乙"), "jsonb holds no NUL"
    assert pq.read_schema(target).field("n").metadata == {b"source_name": b"\xe5\x8e\x9f"}
    tried = try_actions({**args, "actions": [*actions, {"filter_rows": {"condition": "n > 5"}}]}, _ignore)
    assert (tried["rows_after"], tried["row_count"], tried["rows"]) == ([3, 0], 0, [])
    assert [column["name"] for column in tried["columns"]] == ["n", "t"]


def test_a_large_version_is_described_without_sorting_its_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = tmp_path / "source.parquet", tmp_path / "target.parquet"
    pq.write_table(pa.table({"n": range(30_000)}), source)
    actions = [
        {"compute_column": {"name": "few", "expression": "if(n < 10000, '甲', '乙')"}},
        {"compute_column": {"name": 'of "many".', "expression": "n + 1"}},
    ]
    args = {"source": str(source), "target": str(target), "actions": actions, "max_rows": 100_000}
    monkeypatch.setattr(profile, "EXACT_ROWS", 10_000)
    _, few, many = apply_actions(args, _ignore)["profile"]
    assert (few["distinct_count"], few["approximate"]) == (2, False)
    assert few["top_values"][0] == {"value": "乙", "count": 20_000}
    assert (many["approximate"], many["min"], many["max"]) == (True, "1", "30000")
    assert many["distinct_count"] == pytest.approx(30_000, rel=0.1)
