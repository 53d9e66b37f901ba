"""Checks of the arguments of functions. All raise ExpressionError."""

from collections.abc import Sequence
from typing import Any

from shared.expressions.types import TYPE_NAMES, ExpressionError, Typed, null_of


def take(at: int, name: str, arguments: Sequence[Typed], *types: str) -> Sequence[Typed]:
    """Return the arguments, one for each of `types`: names of types that go there, or "any"."""
    exactly(at, name, arguments, len(types))
    for part, allowed in zip(arguments, types, strict=True):
        of_type(part, name, allowed)
    return [_nulls_as(part, allowed) for part, allowed in zip(arguments, types, strict=True)]


def _nulls_as(part: Typed, allowed: str) -> Typed:
    if part.dtype != "null":
        return part
    dtype: Any = "string" if allowed == "any" else allowed.split(maxsplit=1)[0]
    return Typed(dtype, null_of(dtype), part.at)


def of_type(part: Typed, name: str, allowed: str) -> None:
    """Refuse an argument that is none of the `allowed` types, null aside."""
    if allowed != "any" and part.dtype not in {*allowed.split(), "null"}:
        wanted = " or ".join(TYPE_NAMES[dtype] for dtype in TYPE_NAMES if dtype in allowed.split())
        raise ExpressionError(f"{name} takes {wanted} here, not {TYPE_NAMES[part.dtype]}", part.at)


def exactly(at: int, name: str, arguments: Sequence[Typed], count: int) -> None:
    """Refuse any other number of arguments."""
    if len(arguments) != count:
        raise ExpressionError(f"{name} takes {count} argument{'s' * (count != 1)}, not {len(arguments)}", at)


def at_least(at: int, name: str, arguments: Sequence[Typed], count: int) -> None:
    """Refuse fewer arguments."""
    if len(arguments) < count:
        raise ExpressionError(f"{name} takes at least {count} arguments, not {len(arguments)}", at)


def literal_text(part: Typed) -> str:
    """Return the text of a literal."""
    if not isinstance(part.value, str):
        raise ExpressionError("this must be a text in 'single quotes', not something calculated", part.at)
    return part.value


def literal_integer(part: Typed, low: int, high: int = 1_000_000) -> int:
    """Return the integer of a literal within these bounds."""
    if not isinstance(part.value, int) or not low <= part.value <= high:
        raise ExpressionError(f"this must be a whole number written out, from {low} to {high:,}", part.at)
    return part.value
