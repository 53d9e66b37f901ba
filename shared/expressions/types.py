"""The words of this package: types, typed expressions, and the error that points at a character."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal, TypeAlias

import pyarrow as pa
import pyarrow.compute as _compute

DataType: TypeAlias = Literal["string", "int64", "float64", "bool", "date", "timestamp", "null"]
Expression: TypeAlias = Any  # pyarrow.compute.Expression: the published stubs reject valid calls
pc: Any = _compute

_ARROW_TYPES: dict[DataType, pa.DataType] = {
    "string": pa.string(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "bool": pa.bool_(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us"),
    "null": pa.null(),
}
# What a person calls them.
TYPE_NAMES: dict[DataType, str] = {
    "string": "text",
    "int64": "an integer",
    "float64": "a number",
    "bool": "true or false",
    "date": "a date",
    "timestamp": "a timestamp",
    "null": "null",
}
NUMERIC: frozenset[DataType] = frozenset({"int64", "float64"})
TIMES: frozenset[DataType] = frozenset({"date", "timestamp"})
MAX_COST = 2048
_SHOWN_CHARS = 40


class TooCostly(Exception):
    """The expression runs more than MAX_COST kernels on every row."""


class ExpressionError(ValueError):
    """What is wrong with an expression. `position` counts its characters (Unicode code points) from 1."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(f"at character {position}: {message}")
        self.message = message
        self.position = position


@dataclass(frozen=True)
class Kernels:
    """An Arrow expression and how many kernels run when it is evaluated; a part used twice is evaluated twice."""

    expression: Expression
    cost: int = 0


@dataclass(frozen=True)
class Growth:
    """At most how long a text may become: `factor` times the longest cell of the columns, plus `constant` chars."""

    factor: int = 0
    constant: int = 0

    def __add__(self, other: "Growth") -> "Growth":
        return Growth(self.factor + other.factor, self.constant + other.constant)

    def times(self, number: int) -> "Growth":
        """Return the growth of a text in which every character may become `number` characters."""
        return Growth(self.factor * number, self.constant * number)


@dataclass(frozen=True)
class Typed:
    """A part of an expression with its type.

    `value` is what a literal says, None for all else. `loose` numbers come of arithmetic and may be infinite or NaN:
    what looks at them takes `settled()`, where they are null.
    """

    dtype: DataType
    kernels: Kernels
    at: int
    value: Any = None
    loose: bool = False
    growth: Growth = Growth()

    def cast(self, dtype: DataType) -> Kernels:
        """Return the settled part as `dtype`, which `common_type` found."""
        if self.dtype == dtype:
            return self.settled()
        if self.dtype == "null":
            return null_of(dtype)
        if self.value is not None:
            return constant(float(self.value) if dtype == "float64" else midnight(self.value), dtype)
        return cast(self.settled(), arrow_type(dtype))

    def settled(self) -> Kernels:
        """Return the part with null for what is no finite number."""
        if not self.loose:
            return self.kernels
        return call(pc.if_else, call(pc.is_finite, self.kernels), self.kernels, null_of("float64"))


def call(kernel: Any, *parts: Kernels, **options: Any) -> Kernels:
    """Return a call of an Arrow kernel. Raises TooCostly."""
    cost = 1 + sum(part.cost for part in parts)
    if cost > MAX_COST:
        raise TooCostly
    return Kernels(kernel(*(part.expression for part in parts), **options), cost)


def cast(part: Kernels, target: pa.DataType) -> Kernels:
    """Return a cast that never fails for the values that get to it. Raises TooCostly."""
    return call(lambda expression: expression.cast(target, safe=False), part)


def arrow_type(dtype: DataType) -> pa.DataType:
    """Return the Arrow type of the values of a column of this type."""
    return _ARROW_TYPES[dtype]


def literal(value: Any, dtype: DataType) -> Expression:
    """Return a constant as Arrow has it."""
    return pc.scalar(pa.scalar(value, arrow_type(dtype)))


def constant(value: Any, dtype: DataType) -> Kernels:
    """Return a constant as a part."""
    return Kernels(literal(value, dtype))


def null_of(dtype: DataType) -> Kernels:
    """Return the null of a type."""
    return constant(None, dtype)


def shown(text: str) -> str:
    """Return a piece of the user's text as a message may show it."""
    cut = text if len(text) <= _SHOWN_CHARS else text[:_SHOWN_CHARS] + "…"
    return "".join(character if character.isprintable() else "�" for character in cut)


def common_type(parts: list[Typed], what: str) -> DataType:
    """Return the type that all `parts` can take: numbers meet as float64, dates as timestamps, null as any.

    Raises ExpressionError at the first part that does not go with those before it.
    """
    found: DataType = "null"
    for part in parts:
        joined = _joined(found, part.dtype)
        if joined is None:
            raise ExpressionError(
                f"{what} must be of one type; this is {TYPE_NAMES[part.dtype]}, before it is {TYPE_NAMES[found]}",
                part.at,
            )
        found = joined
    return found


def _joined(one: DataType, other: DataType) -> DataType | None:
    if other in {one, "null"}:
        return one
    if one == "null":
        return other
    if {one, other} <= NUMERIC:
        return "float64"
    return "timestamp" if {one, other} <= TIMES else None


def midnight(day: date) -> datetime:
    """Return the beginning of a day; a timestamp stays as it is."""
    return day if isinstance(day, datetime) else datetime(day.year, day.month, day.day)  # noqa: DTZ001  # zoneless data
