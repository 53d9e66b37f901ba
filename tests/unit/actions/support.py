"""Runs actions on rows of plain Python values, as the worker does on a file."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from google.protobuf.json_format import ParseDict

from shared.actions import Column, Plan, check_actions
from shared.expressions import DataType, arrow_type
from tablemill.v1 import action_pb2 as pb
from tests.unit.expressions.oracle import COLUMNS, Row, table_of
from worker_service.actions.engine import Engine
from worker_service.actions.execution import Execution
from worker_service.tables import Limits

TYPES = {column: f"DATA_TYPE_{dtype.upper()}" for column, dtype in COLUMNS.items()}


def plan_of(*actions: Mapping[str, Any], columns: Mapping[str, DataType] = COLUMNS) -> Plan:
    """Return the plan of actions given as JSON."""
    messages = [ParseDict(json.loads(json.dumps(action)), pb.Action()) for action in actions]
    return check_actions(messages, {name: Column(dtype, name, name) for name, dtype in columns.items()})


def acted(
    rows: Sequence[Row],
    *actions: Mapping[str, Any],
    columns: Mapping[str, DataType] = COLUMNS,
    limits: Limits | None = None,
) -> tuple[list[str], list[dict[str, Any]], dict[int, int]]:
    """Return the names, the rows after the actions, and the rows after each action."""
    plan = plan_of(*actions, columns=columns)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "source.parquet"
        # Small row groups: rows of one step come from several tables.
        pq.write_table(table_of(list(rows), columns), source, row_group_size=3)
        with Engine(folder, memory_bytes=64 << 20, threads=1) as engine:
            execution = Execution(plan, source, folder, limits or Limits(), engine)
            table = pa.concat_tables(list(execution.tables()))
    if not plan.open_ended:
        types = [(name, arrow_type(column.dtype)) for name, column in plan.columns.items()]
        assert list(zip(table.column_names, table.schema.types, strict=True)) == types
    return table.column_names, table.to_pylist(), execution.rows_after
