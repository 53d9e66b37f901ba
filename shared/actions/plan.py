"""What a list of actions comes down to: few kinds of steps, in terms of Arrow expressions and column names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from shared.expressions import DataType
from shared.expressions.types import Expression

Statistic: TypeAlias = Literal["mean", "median", "most_frequent"]
Aggregate: TypeAlias = Literal["first", "count", "sum", "mean", "min", "max"]


@dataclass(frozen=True)
class Column:
    """A column as an action leaves it.

    `source_name` is the header it goes back to, empty for a new one. `base` names the column of the base version
    whose values it has, unchanged; None when an action made or changed them.
    """

    dtype: DataType
    source_name: str = ""
    base: str | None = None


@dataclass(frozen=True)
class Keep:
    """Keep the rows for which the condition is true."""

    condition: Expression


@dataclass(frozen=True)
class Arrange:
    """Have these columns alone, each under its name: (name, name before)."""

    columns: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Assign:
    """Calculate a column: in its place when there is one of that name, else last.

    `checked` names the column each value was made of: a null made of a value ends the job.
    """

    name: str
    expression: Expression
    dtype: DataType
    checked: str = ""


@dataclass(frozen=True)
class Lookup:
    """Calculate a column of listed values: `values[index]`, and `otherwise` where the index is null.

    A step of its own, because the Arrow kernel `choose` loses nulls among its values.
    """

    name: str
    index: Expression
    values: Any  # pyarrow.Array
    otherwise: Expression


@dataclass(frozen=True)
class FillForward:
    """Replace nulls by the last value above."""

    columns: Sequence[str]


@dataclass(frozen=True)
class FillStatistic:
    """Replace nulls by what is calculated from the whole column; `dtype` is the column's type afterwards."""

    column: str
    statistic: Statistic
    dtype: DataType


@dataclass(frozen=True)
class Bin:
    """Sort numbers into intervals whose bounds come from the whole column."""

    column: str
    name: str
    bounds: Literal["equal_width", "quantiles"]
    bins: int
    labels: Sequence[str]


@dataclass(frozen=True)
class Distinct:
    """Keep the first or last of the rows that are equal in these columns."""

    columns: Sequence[str]
    keep_last: bool


@dataclass(frozen=True)
class Spread:
    """Pivot: `names` are the values that become columns, each with its column's name; None takes all there are."""

    row_columns: Sequence[str]
    names_from: str
    values_from: str
    aggregate: Aggregate
    names: Sequence[tuple[object, str]] | None
    dtype: DataType


@dataclass(frozen=True)
class Gather:
    """Unpivot: each row becomes one row a column."""

    columns: Sequence[str]
    row_columns: Sequence[str]
    name_column: str
    value_column: str
    dtype: DataType


@dataclass(frozen=True)
class Sort:
    """Put rows in order: (column, descending, nulls first)."""

    keys: Sequence[tuple[str, bool, bool]]


Step: TypeAlias = (
    Keep | Arrange | Assign | Lookup | FillForward | FillStatistic | Bin | Distinct | Spread | Gather | Sort
)


@dataclass(frozen=True)
class Plan:
    """Steps, each with the index of its action, and the columns at the end.

    `same_rows` tells that no action adds or removes rows. `open_ended`: a pivot takes its columns from the data.
    """

    steps: Sequence[tuple[int, Step]]
    columns: Mapping[str, Column]
    same_rows: bool
    open_ended: bool


@dataclass(frozen=True)
class Violation:
    """What is wrong with a field, named from the request on, for example `actions[2].sort_rows.keys`."""

    field: str
    description: str


class ActionErrors(Exception):
    """What is wrong with the actions, at most one thing an action."""

    def __init__(self, violations: Sequence[Violation]) -> None:
        super().__init__(violations)
        self.violations = violations
