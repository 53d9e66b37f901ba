"""Actions on the values of one column: recode, bin, fill, convert."""

from itertools import pairwise
from typing import Any

import pyarrow as pa

from shared.actions.binning import binned
from shared.actions.conversion import converted
from shared.actions.literals import value_of
from shared.actions.plan import Assign, Bin, Column, FillForward, FillStatistic, Lookup, Statistic, Step
from shared.actions.workbench import Workbench, Wrong
from shared.expressions import DataType, arrow_type
from shared.expressions.conversions import to_text
from shared.expressions.types import TYPE_NAMES, Expression, Kernels, literal, pc
from tablemill.v1 import action_pb2 as pb
from tablemill.v1 import record_pb2

_MAX_CHANGES = 1000
_MAX_BINS = 100
_MAX_LABEL_CHARS = 255
DTYPES: dict[int, DataType] = {
    record_pb2.DATA_TYPE_STRING: "string",
    record_pb2.DATA_TYPE_INT64: "int64",
    record_pb2.DATA_TYPE_FLOAT64: "float64",
    record_pb2.DATA_TYPE_BOOL: "bool",
    record_pb2.DATA_TYPE_DATE: "date",
    record_pb2.DATA_TYPE_TIMESTAMP: "timestamp",
}
_STATISTICS: dict[int, Statistic] = {
    pb.FILL_STATISTIC_MEAN: "mean",
    pb.FILL_STATISTIC_MEDIAN: "median",
    pb.FILL_STATISTIC_MOST_FREQUENT: "most_frequent",
}


def recode_values(bench: Workbench, action: pb.RecodeValues) -> Lookup:
    """Look values up in the list of changes."""
    column = bench.column("column", action.column)
    dtype = DTYPES.get(action.type) if action.type else column.dtype
    if dtype is None:
        raise Wrong("type", "is no type of a column")
    if not 1 <= len(action.changes) <= _MAX_CHANGES:
        raise Wrong("changes", f"must be 1 to {_MAX_CHANGES:,}")
    old, new = _changes(action, column.dtype, dtype)
    name = bench.result_name(action.column, action.new_column)
    bench.assign(name, Column(dtype, column.source_name if name == action.column else ""))
    field = pc.field(action.column)
    sought = pc.add(field, literal(0.0, "float64")) if column.dtype == "float64" else field  # -0.0 is 0.0
    index = pc.index_in(sought, value_set=pa.array(old, arrow_type(column.dtype)))
    other = _other(action, field, column.dtype, dtype)
    return Lookup(name, index, pa.array(new, arrow_type(dtype)), other)


def _changes(action: pb.RecodeValues, before: DataType, after: DataType) -> tuple[list[Any], list[Any]]:
    old, new = list[Any](), list[Any]()
    for index, change in enumerate(action.changes):
        place = f"changes[{index}]"
        sought = value_of(f"{place}.old_value", change.old_value, before) if change.HasField("old_value") else None
        if sought in old:
            raise Wrong(f"{place}.old_value", "this value is listed twice")
        old.append(sought)
        new.append(value_of(f"{place}.new_value", change.new_value, after) if change.HasField("new_value") else None)
    return old, new


def _other(action: pb.RecodeValues, field: Expression, before: DataType, after: DataType) -> Expression:
    match action.WhichOneof("otherwise"):
        case "otherwise_value":
            return literal(value_of("otherwise_value", action.otherwise_value, after), after)
        case "otherwise_null" if action.otherwise_null:
            return literal(None, after)
    if after == before:
        return field
    if after != "string":
        raise Wrong("type", f"values that are not listed would not become {TYPE_NAMES[after]}: set otherwise")
    return to_text(Kernels(field), before).expression


def bin_number(bench: Workbench, action: pb.BinNumber) -> Step:
    """Check the bounds, or how they are found."""
    column = bench.column("column", action.column, "int64", "float64")
    kind = action.WhichOneof("bounds")
    if kind is None:
        raise Wrong("bounds", "must say how the bounds are found")
    edges = list(action.edges.values) if kind == "edges" else []
    bins = len(edges) - 1 if kind == "edges" else getattr(action, kind)
    if not 1 <= bins <= _MAX_BINS or (kind == "quantiles" and bins == 1):
        raise Wrong(kind, f"must make 1 to {_MAX_BINS} intervals, quantiles at least 2")
    if any(not low < high for low, high in pairwise(edges)) or float("inf") in map(abs, edges):
        raise Wrong("edges.values", "must be finite numbers that rise")
    labels = list(action.labels)
    if labels and len(labels) != bins:
        raise Wrong("labels", f"must be {bins}, one for each interval, not {len(labels)}")
    if any(len(label) > _MAX_LABEL_CHARS for label in labels):
        raise Wrong("labels", f"must have at most {_MAX_LABEL_CHARS} characters each")
    name = bench.result_name(action.column, action.new_column)
    bench.assign(name, Column("string", column.source_name if name == action.column else ""))
    if kind == "edges":
        return binned(action.column, name, edges, labels)
    return Bin(action.column, name, "equal_width" if kind == "equal_width" else "quantiles", bins, labels)


def fill_missing(bench: Workbench, action: pb.FillMissing) -> list[Step]:
    """Check what nulls become."""
    names = bench.listed("columns", action.columns)
    match action.WhichOneof("filler"):
        case "value":
            return [_fill_value(bench, name, action.value) for name in names]
        case "statistic":
            return [_fill_statistic(bench, name, action.statistic) for name in names]
        case "previous" if action.previous:
            for name in names:
                bench.assign(name, Column(bench.columns[name].dtype, bench.columns[name].source_name))
            return [FillForward(names)]
    raise Wrong("filler", "must say what nulls become")


def _fill_value(bench: Workbench, name: str, text: str) -> Assign:
    column = bench.columns[name]
    value = value_of("value", text, column.dtype)
    bench.assign(name, Column(column.dtype, column.source_name))
    return Assign(name, pc.coalesce(pc.field(name), literal(value, column.dtype)), column.dtype)


def _fill_statistic(bench: Workbench, name: str, number: int) -> FillStatistic:
    statistic = _STATISTICS.get(number)
    if statistic is None:
        raise Wrong("statistic", "must name a statistic")
    dtype = bench.columns[name].dtype
    if statistic != "most_frequent":
        bench.column("columns", name, "int64", "float64")
        dtype = "float64"
    bench.assign(name, Column(dtype, bench.columns[name].source_name))
    return FillStatistic(name, statistic, dtype)


def convert_type(bench: Workbench, action: pb.ConvertType) -> Assign:
    """Check that the types go together."""
    column = bench.column("column", action.column)
    dtype = DTYPES.get(action.type)
    if dtype is None:
        raise Wrong("type", "must name a type")
    expression = converted(action.column, column.dtype, dtype)
    if expression is None:
        raise Wrong("type", f"{TYPE_NAMES[column.dtype]} cannot become {TYPE_NAMES[dtype]}")
    base = column.base if column.dtype == dtype else None
    bench.assign(action.column, Column(dtype, column.source_name, base))
    return Assign(action.column, expression, dtype, "" if action.null_on_failure else action.column)
