"""Actions that are expressions: filters and calculated columns."""

from shared.actions.plan import Assign, Column, Keep
from shared.actions.workbench import Workbench, Wrong, new_name
from shared.expressions.compiling import chosen
from shared.expressions.types import Expression, ExpressionError, Kernels, TooCostly, Typed, pc
from tablemill.v1 import action_pb2 as pb

_MAX_BRANCHES = 40


def filter_rows(bench: Workbench, action: pb.FilterRows) -> Keep:
    """Check a row filter."""
    condition = bench.condition("condition", action.condition)
    bench.same_rows = False
    return Keep(condition.expression)


def drop_missing(bench: Workbench, action: pb.DropMissing) -> Keep:
    """Make a filter of it."""
    names = bench.listed("columns", action.columns, or_all=True)
    bench.same_rows = False
    # A struct of the columns would copy them all; pairs keep the tree of many columns flat.
    return Keep(
        _joined(pc.or_kleene if action.only_if_all else pc.and_kleene, [pc.is_valid(pc.field(name)) for name in names])
    )


def _joined(join: object, parts: list[Expression]) -> Expression:
    while len(parts) > 1:
        parts = [join(*parts[i : i + 2]) if i + 1 < len(parts) else parts[i] for i in range(0, len(parts), 2)]  # type: ignore[operator]
    return parts[0]


def compute_column(bench: Workbench, action: pb.ComputeColumn) -> Assign:
    """Check a calculated column."""
    name = new_name("name", action.name)
    compiled = bench.expression("expression", action.expression)
    bench.assign(name, Column(compiled.dtype))
    return Assign(name, compiled.expression, compiled.dtype)


def conditional_column(bench: Workbench, action: pb.ConditionalColumn) -> Assign:
    """Make one expression of the branches."""
    name = new_name("name", action.name)
    if not 1 <= len(action.branches) <= _MAX_BRANCHES:
        raise Wrong("branches", f"must be 1 to {_MAX_BRANCHES}")
    conditions, results = [], []
    for index, branch in enumerate(action.branches):
        place = f"branches[{index}]"
        conditions.append(Kernels(bench.condition(f"{place}.condition", branch.condition).expression))
        results.append(_typed(bench, f"{place}.value", branch.value))
    results.append(_typed(bench, "otherwise", action.otherwise or "null"))
    try:
        typed = chosen(conditions, results, 1)
    except (ExpressionError, TooCostly):
        raise Wrong("branches", "the values must be of one type, and so must otherwise") from None
    if typed.dtype == "null":
        raise Wrong("branches", "all values are null")
    bench.assign(name, Column(typed.dtype))
    return Assign(name, typed.kernels.expression, typed.dtype)


def _typed(bench: Workbench, field: str, text: str) -> Typed:
    if text.strip().lower() == "null":
        return Typed("null", Kernels(pc.scalar(None)), 1)
    compiled = bench.expression(field, text)
    return Typed(compiled.dtype, Kernels(compiled.expression), 1)
