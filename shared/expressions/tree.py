"""The tree that a text is parsed into. `at` is the place of the character that an error points at, from 1."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import TypeAlias

Value: TypeAlias = str | int | float | bool | date | datetime | None


@dataclass(frozen=True)
class Constant:
    """A literal."""

    value: Value
    at: int


@dataclass(frozen=True)
class ColumnName:
    """The value of a column."""

    name: str
    at: int


@dataclass(frozen=True)
class Operation:
    """Two operands and what stands between them: arithmetic or a comparison."""

    operator: str
    left: "Node"
    right: "Node"
    at: int


@dataclass(frozen=True)
class Logic:
    """`and` or `or` over two or more operands."""

    operator: str
    operands: tuple["Node", ...]
    at: int


@dataclass(frozen=True)
class Not:
    """The contrary."""

    operand: "Node"
    at: int


@dataclass(frozen=True)
class IsNull:
    """Whether the operand is null."""

    operand: "Node"
    at: int


@dataclass(frozen=True)
class Membership:
    """Whether the operand equals one of the items."""

    operand: "Node"
    items: tuple[Constant, ...]
    at: int


@dataclass(frozen=True)
class Between:
    """Whether the operand is neither below `low` nor above `high`."""

    operand: "Node"
    low: "Node"
    high: "Node"
    at: int


@dataclass(frozen=True)
class Case:
    """The value of the first branch whose condition is true, else `otherwise`."""

    branches: tuple[tuple["Node", "Node"], ...]
    otherwise: "Node"
    at: int


@dataclass(frozen=True)
class Call:
    """A function of the closed list."""

    name: str
    arguments: tuple["Node", ...]
    at: int


Node: TypeAlias = Constant | ColumnName | Operation | Logic | Not | IsNull | Membership | Between | Case | Call
