"""Actions that choose, order, gather and spread columns and rows."""

from collections.abc import Sequence

from shared.actions.literals import value_of
from shared.actions.plan import Aggregate, Arrange, Column, Distinct, Gather, Sort, Spread
from shared.actions.workbench import Workbench, Wrong, new_name, unique
from shared.expressions.types import DataType, ExpressionError, Kernels, Typed, common_type, pc
from tablemill.v1 import action_pb2 as pb

_MAX_PIVOT_NAMES = 1000
_MAX_KEYS = 16
_AGGREGATES: dict[int, Aggregate] = {
    pb.AGGREGATE_FIRST: "first",
    pb.AGGREGATE_COUNT: "count",
    pb.AGGREGATE_SUM: "sum",
    pb.AGGREGATE_MEAN: "mean",
    pb.AGGREGATE_MIN: "min",
    pb.AGGREGATE_MAX: "max",
}


def select_columns(bench: Workbench, action: pb.SelectColumns) -> Arrange:
    """Keep the columns named."""
    return _arrange(bench, [(name, name) for name in bench.listed("columns", action.columns)])


def drop_columns(bench: Workbench, action: pb.DropColumns) -> Arrange:
    """Keep the others."""
    gone = set(bench.listed("columns", action.columns))
    if len(gone) == len(bench.columns):
        raise Wrong("columns", "at least one column must stay")
    return _arrange(bench, [(name, name) for name in bench.columns if name not in gone])


def reorder_columns(bench: Workbench, action: pb.ReorderColumns) -> Arrange:
    """Put the columns named in front of the others."""
    first = bench.listed("columns", action.columns)
    rest = [name for name in bench.columns if name not in set(first)]
    return _arrange(bench, [(name, name) for name in [*first, *rest]])


def rename_columns(bench: Workbench, action: pb.RenameColumns) -> Arrange:
    """Give the columns named their new names, in their places."""
    bench.listed("renames", [rename.column for rename in action.renames])
    names = {
        rename.column: new_name(f"renames[{index}].new_name", rename.new_name)
        for index, rename in enumerate(action.renames)
    }
    arranged = [(names.get(name, name), name) for name in bench.columns]
    unique("renames", (name for name, _ in arranged))
    return _arrange(bench, arranged)


def _arrange(bench: Workbench, columns: Sequence[tuple[str, str]]) -> Arrange:
    bench.columns = {name: bench.columns[before] for name, before in columns}
    return Arrange(columns)


def deduplicate(bench: Workbench, action: pb.Deduplicate) -> Distinct:
    """Check the columns that must be equal."""
    names = bench.listed("columns", action.columns, or_all=True)
    bench.same_rows = False
    return Distinct(names, action.keep_last)


def sort_rows(bench: Workbench, action: pb.SortRows) -> Sort:
    """Check the keys."""
    if len(action.keys) > _MAX_KEYS:
        raise Wrong("keys", f"must be 1 to {_MAX_KEYS}")
    bench.listed("keys", [key.column for key in action.keys])
    return Sort([(key.column, key.descending, key.nulls_first) for key in action.keys])


def unpivot(bench: Workbench, action: pb.Unpivot) -> Gather:
    """Check that the columns have a type in common."""
    columns = bench.listed("columns", action.columns)
    rows = bench.listed("row_columns", action.row_columns) if action.row_columns else []
    both = [name for name in rows if name in set(columns)]
    if both:
        raise Wrong("row_columns", f"{both[0]!r} cannot be repeated and turned into rows")
    names = (action.name_column or "name", action.value_column or "value")
    for field, name in zip(("name_column", "value_column"), names, strict=True):
        new_name(field, name)
    unique("value_column", [*rows, *names])
    try:
        dtype = common_type([Typed(bench.columns[name].dtype, Kernels(pc.field(name)), 1) for name in columns], "")
    except ExpressionError:
        raise Wrong("columns", "must be of one type; convert some of them first") from None
    name_column, value_column = names
    bench.columns = {name: _changed(bench.columns[name]) for name in rows}
    bench.columns |= {name_column: Column("string"), value_column: Column(dtype)}
    bench.same_rows = False
    return Gather(columns, rows, name_column, value_column, dtype)


def pivot(bench: Workbench, action: pb.Pivot) -> Spread:
    """Check the columns and, when they are named, the columns to come."""
    rows = bench.listed("row_columns", action.row_columns)
    names_from = bench.column("names_from", action.names_from)
    for field, name in (("names_from", action.names_from), ("values_from", action.values_from)):
        if name in rows:
            raise Wrong(field, "is one of row_columns")
    aggregate = _AGGREGATES.get(action.aggregate)
    if aggregate is None:
        raise Wrong("aggregate", "must say how several values become one")
    dtype = _aggregate_type(aggregate, bench.column("values_from", action.values_from).dtype)
    if len(action.names) > _MAX_PIVOT_NAMES:
        raise Wrong("names", f"must be at most {_MAX_PIVOT_NAMES:,}")
    values = [
        (value_of(f"names[{index}]", name, names_from.dtype), new_name(f"names[{index}]", name))
        for index, name in enumerate(action.names)
    ]
    unique("names", [*rows, *action.names])
    bench.columns = {name: _changed(bench.columns[name]) for name in rows}
    bench.columns |= {name: Column(dtype) for _, name in values}
    bench.same_rows, bench.open_ended = False, not values
    return Spread(rows, action.names_from, action.values_from, aggregate, values or None, dtype)


def _aggregate_type(aggregate: Aggregate, dtype: DataType) -> DataType:
    if aggregate == "count":
        return "int64"
    if aggregate in {"sum", "mean"}:
        if dtype not in {"int64", "float64"}:
            raise Wrong("aggregate", "only numbers have a sum or a mean")
        return "float64" if aggregate == "mean" else dtype
    return dtype


def _changed(column: Column) -> Column:
    return Column(column.dtype, column.source_name)
