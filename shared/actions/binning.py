"""Intervals of numbers: lower <= x < upper, the last one with its upper bound."""

from collections.abc import Sequence

import pyarrow as pa

from shared.actions.plan import Lookup
from shared.expressions.types import literal, pc


def binned(column: str, name: str, edges: Sequence[float], labels: Sequence[str]) -> Lookup:
    """Return the step that gives the label of the interval of each number; null outside and for null and NaN.

    `edges` do not fall; an interval between two equal ones is empty. Without `labels` the bounds are written.
    """
    number = pc.field(column).cast(pa.float64(), safe=False)
    passed = [pc.greater_equal(number, literal(edge, "float64")).cast(pa.int64()) for edge in edges[1:-1]]
    while len(passed) > 1:
        passed = [pc.add(*passed[i : i + 2]) if i + 1 < len(passed) else passed[i] for i in range(0, len(passed), 2)]
    inside = pc.and_kleene(
        pc.greater_equal(number, literal(edges[0], "float64")), pc.less_equal(number, literal(edges[-1], "float64"))
    )
    index = pc.if_else(inside, passed[0] if passed else literal(0, "int64"), literal(None, "int64"))
    return Lookup(name, index, pa.array(labels or bounds_of(edges), pa.string()), literal(None, "string"))


def bounds_of(edges: Sequence[float]) -> list[str]:
    """Return the intervals as text, for example "[0, 18)", "[18, 65]"; short where that is still unique."""
    for form in (_short, _exact):
        texts = [form(edge) for edge in edges]
        if len(set(texts)) == len(set(edges)):
            break
    closing = [")"] * (len(texts) - 2) + ["]"]
    return [f"[{low}, {high}{end}" for low, high, end in zip(texts, texts[1:], closing, strict=False)]


def _short(number: float) -> str:
    return f"{number + 0.0:.6g}"  # -0.0 is 0


def _exact(number: float) -> str:
    return repr(number + 0.0)
