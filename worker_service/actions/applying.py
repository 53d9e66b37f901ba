"""Actions on one file, as they run in a sandbox: `apply_actions` and `try_actions` get JSON and return JSON."""

import resource
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from google.protobuf.json_format import ParseDict

from shared.actions import ActionErrors, Column, Plan, check_actions
from shared.expressions.types import DataType, arrow_type
from tablemill.v1 import action_pb2
from worker_service.actions.engine import Engine
from worker_service.actions.execution import Execution
from worker_service.conversion import profile_fields, storable
from worker_service.sandbox.task import Refused, Report
from worker_service.tables import ColumnProfile, Limits, parquet, profile
from worker_service.tables.profile_large import LargeProfiles
from worker_service.tables.tally import Tally

_DEFAULT_MEMORY_BYTES = 512 << 20
_ENGINE_SHARE = 3  # of the memory of the process; the rest is for what streams beside it
_SHOWN_ROWS = 20
_SHOWN_BYTES = 256 << 10
_SHOWN_CHARS = 1024
_DTYPES: list[DataType] = ["string", "int64", "float64", "bool", "date", "timestamp"]
_NAMES: dict[Any, DataType] = {arrow_type(dtype): dtype for dtype in _DTYPES}


def apply_actions(args: Mapping[str, Any], report: Report) -> dict[str, Any]:
    """Write what becomes of `args["source"]` to `args["target"]`; return fields of CleanData."""
    source, target = Path(args["source"]), Path(args["target"])
    plan, nulls = write_version(args, report)
    rows = pq.read_metadata(target).num_rows
    columns = _columns(pq.read_schema(target), plan, nulls)
    parquet.verify(target, rows, nulls)
    return {"row_count": rows, "columns": columns, "profile": _profiles(source, target, plan, report)}


def write_version(args: Mapping[str, Any], report: Report) -> tuple[Plan, list[int]]:
    """Write what becomes of `args["source"]` to `args["target"]`; return the plan, and the nulls of each column."""
    with _execution(args) as (plan, execution):
        return plan, _write(execution.tables(), plan, Path(args["source"]), Path(args["target"]), report)


def try_actions(args: Mapping[str, Any], report: Report) -> dict[str, Any]:
    """Run the actions on `args["source"]` and write nothing; return fields of GetDryRunResponse."""
    shown: list[list[dict[str, Any]]] = []
    rows, shown_bytes, nulls, schema = 0, 0, list[int](), pa.schema([])
    with _execution(args) as (plan, execution):
        for table in execution.tables():
            schema = table.schema
            counts = [column.null_count for column in table.columns]
            nulls = [*map(sum, zip(nulls, counts, strict=True))] if nulls else counts
            for row in table.slice(0, max(0, _SHOWN_ROWS - len(shown))).to_pylist():
                cells = [_cell(row[field.name], _NAMES[field.type]) for field in schema]
                shown_bytes += sum(len(str(value)) + 8 for cell in cells for value in cell.values())
                if shown_bytes <= _SHOWN_BYTES:
                    shown.append(cells)
            rows += table.num_rows
            report("act", rows, 0, "rows")
    after = [execution.rows_after[index] for index in range(len(args["actions"]))]
    return {"row_count": rows, "columns": _columns(schema, plan, nulls), "rows": storable(shown), "rows_after": after}


@contextmanager
def _execution(args: Mapping[str, Any]) -> Iterator[tuple[Plan, Execution]]:
    source = Path(args["source"])
    schema = pq.read_schema(source)
    columns = {
        field.name: Column(_NAMES[field.type], (field.metadata or {}).get(b"source_name", b"").decode(), field.name)
        for field in schema
    }
    try:
        plan = check_actions([ParseDict(action, action_pb2.Action()) for action in args["actions"]], columns)
    except ActionErrors as errors:
        wrong = errors.violations[0]
        raise Refused("ARGS_INVALID", f"{wrong.field}: {wrong.description}") from None
    limit = resource.getrlimit(resource.RLIMIT_DATA)[0]
    memory_bytes = _DEFAULT_MEMORY_BYTES if limit == resource.RLIM_INFINITY else limit // _ENGINE_SHARE
    with Engine(source.parent, memory_bytes=memory_bytes) as engine:
        yield plan, Execution(plan, source, source.parent, Limits(max_rows=args["max_rows"]), engine)


def _write(tables: Iterator[pa.Table], plan: Plan, source: Path, target: Path, report: Report) -> list[int]:
    """Write the tables to `target`; return the nulls of each column."""
    first = next(tables)
    names = first.column_names
    schema = _schema(first.schema, plan, pq.read_schema(source))
    nulls = [0] * len(names)
    repetitive = _repetitive(source, plan, names)
    with parquet.CleanWriter(
        target, schema, repetitive, Limits(), lambda rows: report("write", rows, 0, "rows")
    ) as writer:
        for table in chain([first], tables):
            for batch in table.to_batches():
                writer.append(batch.columns)
            nulls = [count + column.null_count for count, column in zip(nulls, table.columns, strict=True)]
    return nulls


def _schema(made: pa.Schema, plan: Plan, base: pa.Schema) -> pa.Schema:
    """Return the schema to write: columns that stay as they are keep what is noted of them."""
    fields: list[Any] = []
    for field in made:
        column = plan.columns.get(field.name, Column(_NAMES[field.type]))
        kept = base.field(column.base).metadata if column.base is not None else None
        fields.append(pa.field(field.name, field.type, metadata=kept or {b"source_name": column.source_name.encode()}))
    return pa.schema(fields)


def _repetitive(source: Path, plan: Plan, names: Sequence[str]) -> list[str]:
    """Return the columns worth a dictionary: those that had one, and texts that are new."""
    footer = pq.read_metadata(source)
    had = {}
    if footer.num_row_groups:
        group = footer.row_group(0)
        had = {name: group.column(place).has_dictionary_page for place, name in enumerate(footer.schema.names)}
    found = [(name, plan.columns.get(name)) for name in names]
    return [
        name
        for name, column in found
        if column is not None and (had.get(column.base, True) if column.base else column.dtype == "string")
    ]


def _columns(schema: pa.Schema, plan: Plan, nulls: Sequence[int]) -> list[dict[str, Any]]:
    return [
        {
            "name": field.name,
            "type": _NAMES[field.type],
            "source_name": plan.columns[field.name].source_name if field.name in plan.columns else "",
            "null_count": count,
        }
        for field, count in zip(schema, nulls, strict=True)
    ]


def _profiles(source: Path, target: Path, plan: Plan, report: Report) -> list[dict[str, Any]]:
    """Describe the columns whose values are others than in the base version, and point at its profile for the rest."""
    schema, places = pq.read_schema(target), {name: place for place, name in enumerate(pq.read_schema(source).names)}
    exact = pq.read_metadata(target).num_rows <= profile.EXACT_ROWS
    profiles = []
    with LargeProfiles(target) as large:
        for done, field in enumerate(schema, start=1):
            base = plan.columns[field.name].base if plan.same_rows and field.name in plan.columns else None
            if base is not None:
                profiles.append({"base": places[base]})
            elif exact:
                profiles.append(_described(profile.exact(pq.read_table(target, columns=[field.name]).column(0))))
            else:
                profiles.append(_described(_profile_of_many(target, field.name, field.type, large)))
            report("profile", done, len(schema), "columns")
    return profiles


def _profile_of_many(path: Path, name: str, dtype: pa.DataType, large: LargeProfiles) -> ColumnProfile:
    file = pq.ParquetFile(path)
    tally = Tally(dtype, file.metadata.num_rows)
    for batch in file.iter_batches(columns=[name]):
        tally.add(batch.column(0))
    return large.column(name, dtype, tally.sample()) if tally.has_many else tally.profile()


def _described(found: ColumnProfile) -> dict[str, Any]:
    fields: dict[str, Any] = storable(profile_fields(asdict(found)))
    return {"type_reason": "Made by actions.", **fields}


def _cell(value: Any, dtype: DataType) -> dict[str, Any]:
    """Return a field of the message Cell; numbers as text, for NaN has no other JSON."""
    if value is None:
        return {}
    if dtype == "string":
        return {"text": value[:_SHOWN_CHARS]}
    if dtype in {"date", "timestamp"}:
        return {dtype: value.isoformat()}
    return {dtype: value if dtype == "bool" else str(value)}
