"""Checks actions against the columns they meet, one after the other, and makes the plan."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from shared.actions import building, shapes, values
from shared.actions.plan import ActionErrors, Column, Plan, Step, Violation
from shared.actions.workbench import Workbench, Wrong
from tablemill.v1 import action_pb2 as pb

MAX_ACTIONS = 32
MAX_COLUMNS = 4096

_CHECKS: dict[str, Callable[[Workbench, Any], Step | list[Step]]] = {
    "filter_rows": building.filter_rows,
    "select_columns": shapes.select_columns,
    "drop_columns": shapes.drop_columns,
    "rename_columns": shapes.rename_columns,
    "reorder_columns": shapes.reorder_columns,
    "recode_values": values.recode_values,
    "bin_number": values.bin_number,
    "conditional_column": building.conditional_column,
    "compute_column": building.compute_column,
    "drop_missing": building.drop_missing,
    "fill_missing": values.fill_missing,
    "convert_type": values.convert_type,
    "deduplicate": shapes.deduplicate,
    "pivot": shapes.pivot,
    "unpivot": shapes.unpivot,
    "sort_rows": shapes.sort_rows,
}


def check_actions(actions: Sequence[pb.Action], columns: Mapping[str, Column]) -> Plan:
    """Return the plan of `actions` on a table with these columns. Raises ActionErrors.

    An action that is wrong is left out while those after it are checked: what they miss of it is told too.
    """
    if not 1 <= len(actions) <= MAX_ACTIONS:
        raise ActionErrors([Violation("actions", f"must be 1 to {MAX_ACTIONS}")])
    bench, steps, wrong = Workbench(dict(columns)), list[tuple[int, Step]](), list[Violation]()
    for index, action in enumerate(actions):
        kind = action.WhichOneof("kind")
        place = f"actions[{index}]" + (f".{kind}" if kind else "")
        if bench.open_ended:
            wrong.append(Violation(place, "a pivot without names must be the last action"))
            break
        before = dict(bench.columns)
        try:
            made = _checked(bench, action)
        except Wrong as error:
            bench.columns = before
            wrong.append(Violation(f"{place}.{error.field}".rstrip("."), error.description))
        else:
            steps += [(index, step) for step in made]
    if wrong:
        raise ActionErrors(wrong)
    return Plan(steps, bench.columns, bench.same_rows, bench.open_ended)


def _checked(bench: Workbench, action: pb.Action) -> Sequence[Step]:
    kind = action.WhichOneof("kind")
    if kind is None:
        raise Wrong("kind", "must be one of the kinds of actions")
    made = _CHECKS[kind](bench, getattr(action, kind))
    if len(bench.columns) > MAX_COLUMNS:
        raise Wrong("", f"leads to more than {MAX_COLUMNS:,} columns")
    return made if isinstance(made, list) else [made]
