"""The columns while actions are checked, and the checks that many kinds of actions share."""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from shared.actions.plan import Column
from shared.expressions import Compiled, DataType, ExpressionError, compile_condition, compile_expression
from shared.expressions.types import TYPE_NAMES, shown

_MAX_NAME_CHARS = 255


class Wrong(Exception):
    """What is wrong with a field of the action that is being checked."""

    def __init__(self, field: str, description: str) -> None:
        super().__init__(field, description)
        self.field = field
        self.description = description


@dataclass
class Workbench:
    """The columns by name, in order, as the actions so far leave them. All methods raise Wrong."""

    columns: dict[str, Column]
    same_rows: bool = True
    open_ended: bool = False

    @property
    def types(self) -> dict[str, DataType]:
        """The type of each column."""
        return {name: column.dtype for name, column in self.columns.items()}

    def column(self, field: str, name: str, *types: DataType) -> Column:
        """Return the column of this name, which must be of one of `types`, if any are given."""
        column = self.columns.get(name)
        if column is None:
            near = difflib.get_close_matches(name, self.columns, 1, cutoff=0.5)
            hint = f"; did you mean {shown(near[0])}?" if near else ""
            raise Wrong(field, f"there is no column {shown(name)!r}{hint}")
        if types and column.dtype not in types:
            wanted = " or ".join(TYPE_NAMES[dtype] for dtype in types)
            raise Wrong(field, f"{shown(name)} is {TYPE_NAMES[column.dtype]}, not {wanted}")
        return column

    def listed(self, field: str, names: Sequence[str], *, or_all: bool = False) -> list[str]:
        """Return `names`, which must be columns, each once, and at least one; all columns when `or_all` and empty."""
        if not names and or_all:
            return list(self.columns)
        if not names:
            raise Wrong(field, "must name at least one column")
        seen = set()
        for index, name in enumerate(names):
            self.column(f"{field}[{index}]", name)
            if name in seen:
                raise Wrong(f"{field}[{index}]", f"{shown(name)} is named twice")
            seen.add(name)
        return list(names)

    def assign(self, name: str, column: Column) -> None:
        """Have a column in place of the one of that name, or last."""
        self.columns[name] = column

    def result_name(self, column: str, new_column: str) -> str:
        """Return where a result goes: a new column of that name, or in place of `column`."""
        if not new_column:
            return column
        if new_column in self.columns:
            raise Wrong("new_column", f"there is a column {shown(new_column)!r} already")
        return new_name("new_column", new_column)

    def condition(self, field: str, text: str) -> Compiled:
        """Return the condition."""
        try:
            return compile_condition(text, self.types)
        except ExpressionError as error:
            raise Wrong(field, str(error)) from None

    def expression(self, field: str, text: str) -> Compiled:
        """Return the expression, which has a type."""
        try:
            compiled = compile_expression(text, self.types)
        except ExpressionError as error:
            raise Wrong(field, str(error)) from None
        if compiled.dtype == "null":
            raise Wrong(field, "is always null; say of which type, for example number(null)")
        return compiled


def new_name(field: str, name: str) -> str:
    """Return `name` when a column may have it. Raises Wrong."""
    if not 1 <= len(name) <= _MAX_NAME_CHARS or not name.isprintable() or not name.strip():
        raise Wrong(field, f"a column's name has 1 to {_MAX_NAME_CHARS} printable characters, not only spaces")
    return name


def unique(field: str, names: Iterable[str]) -> None:
    """Raise Wrong when a name comes twice."""
    seen = set()
    for name in names:
        if name in seen:
            raise Wrong(field, f"leads to two columns {shown(name)!r}")
        seen.add(name)
