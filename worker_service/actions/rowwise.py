"""Steps that look at one row at a time, or at one row and the one above."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, TypeAlias

import pyarrow as pa
from pyarrow import acero

from shared.actions.plan import Arrange, Assign, FillForward, Gather, Keep, Lookup, Step
from shared.expressions import arrow_type
from worker_service.sandbox.task import Refused
from worker_service.tables.arrow import Array, pc

Tables: TypeAlias = Iterator[pa.Table]

_GATHERED_ROWS = 262_144


def apply(step: Step, table: pa.Table, action: int, first_row: int) -> pa.Table:
    """Return `table` after the step. `first_row` is the place of its first row, from 0. Raises Refused."""
    match step:
        case Arrange():
            columns = [table.column(before) for _, before in step.columns]
            return pa.table(columns, names=[name for name, _ in step.columns])
        case Keep():
            return _run(table, acero.Declaration("filter", acero.FilterNodeOptions(step.condition)), action)
        case Assign():
            return _with(table, step.name, _assigned(step, table, action, first_row))
        case Lookup():
            index, other = _project(table, [step.index, step.otherwise], action)
            found = step.values.take(index.combine_chunks())
            return _with(table, step.name, pc.if_else(pc.is_valid(index), found, other))
    raise TypeError(f"not a step on single rows: {step}")


def _assigned(step: Assign, table: pa.Table, action: int, first_row: int) -> Array:
    (result,) = _project(table, [step.expression], action)
    if step.checked:
        before = table.column(step.checked)
        lost = pc.and_(pc.is_valid(before), pc.is_null(result))
        if pc.any(lost).as_py():
            row = first_row + pc.index(lost, True).as_py() + 1
            message = (
                f"Action {action + 1}: row {row:,} of column {step.name!r} has no counterpart in the type; "
                "filter or recode such values first, or set null_on_failure."
            )
            raise Refused("CONVERSION_FAILED", message, row=row, column=step.name, metadata={"action": str(action)})
    return result


def _with(table: pa.Table, name: str, column: Array) -> pa.Table:
    if name in table.column_names:
        return table.set_column(table.column_names.index(name), name, column)
    return table.append_column(name, column)


def _project(table: pa.Table, expressions: list[Any], action: int) -> list[Array]:
    names = [str(place) for place in range(len(expressions))]
    return _run(table, acero.Declaration("project", acero.ProjectNodeOptions(expressions, names)), action).columns


def _run(table: pa.Table, node: Any, action: int) -> pa.Table:
    source = acero.Declaration("table_source", acero.TableSourceNodeOptions(table))
    try:
        return acero.Declaration.from_sequence([source, node]).to_table(use_threads=False)
    except pa.ArrowInvalid as error:
        if "overflow" not in str(error):
            raise
        message = (
            f"Action {action + 1}: an integer result does not fit 64 bits; calculate with number(x) instead of x there."
        )
        raise Refused("ARITHMETIC_OVERFLOW", message, metadata={"action": str(action)}) from None


def fill_forward(tables: Tables, step: FillForward) -> Tables:
    """Replace nulls by the last value above, also across tables."""
    last: dict[str, Any] = {}
    for table in tables:
        columns = {name: table.column(name) for name in table.column_names}
        for name in step.columns:
            column = pc.fill_null_forward(columns[name].combine_chunks())
            columns[name] = pc.coalesce(column, last[name]) if name in last else column
            if len(column) and column[-1].is_valid:
                last[name] = column[-1]
        yield pa.table(columns)


def gather(tables: Tables, step: Gather) -> Tables:
    """Give one row for each row and column, a bounded number at a time."""
    dtype = arrow_type(step.dtype)
    rows = max(1, _GATHERED_ROWS // len(step.columns))
    names = pa.array(step.columns)
    for table in tables:
        for start in range(0, max(table.num_rows, 1), rows):
            piece = table.slice(start, rows)
            row, column = _row_and_column(piece.num_rows, len(step.columns))
            values: Array = pa.concat_arrays(
                [pc.cast(piece.column(name), dtype, safe=False).combine_chunks() for name in step.columns]
            )
            place = pc.add(pc.multiply(column, piece.num_rows), row)
            kept = [piece.column(name).take(row) for name in step.row_columns]
            gathered = [*kept, names.take(column), values.take(place)]
            yield pa.table(gathered, names=[*step.row_columns, step.name_column, step.value_column])


@lru_cache(maxsize=2)
def _row_and_column(rows: int, columns: int) -> tuple[Array, Array]:
    place = pa.array(range(rows * columns), pa.int64())
    row = pc.divide(place, columns)
    return row, pc.subtract(place, pc.multiply(row, columns))


def take(tables: Tables, rows: Array) -> Tables:
    """Give the rows at these places, which rise."""
    first_row = taken = 0
    for table in tables:
        until = first_row + table.num_rows
        end = _first_at_least(rows, until, taken)
        yield table.take(pc.subtract(rows.slice(taken, end - taken), first_row))
        first_row, taken = until, end


def _first_at_least(rows: Array, value: int, low: int) -> int:
    high = len(rows)
    while low < high:
        middle = (low + high) // 2
        if rows[middle].as_py() < value:
            low = middle + 1
        else:
            high = middle
    return low
