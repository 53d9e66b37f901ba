"""From tree to a typed Arrow expression: the one meaning of an expression, wherever it is evaluated."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import reduce
from typing import Any

import pyarrow as pa

from shared.expressions.functions import FUNCTIONS, MAX_TEXT_FACTOR
from shared.expressions.lexing import time_of
from shared.expressions.parsing import parse
from shared.expressions.tree import (
    Between,
    Call,
    Case,
    ColumnName,
    Constant,
    IsNull,
    Logic,
    Membership,
    Node,
    Not,
    Operation,
)
from shared.expressions.types import (
    NUMERIC,
    TYPE_NAMES,
    DataType,
    Expression,
    ExpressionError,
    Growth,
    Kernels,
    TooCostly,
    Typed,
    arrow_type,
    call,
    common_type,
    constant,
    null_of,
    pc,
    shown,
)

_COMPARISONS: dict[str, Any] = {
    "=": pc.equal,
    "!=": pc.not_equal,
    "<": pc.less,
    "<=": pc.less_equal,
    ">": pc.greater,
    ">=": pc.greater_equal,
}
# Checked for integers: a result that does not fit 64 bits is an error, never another number.
_INTEGER_ARITHMETIC: dict[str, Any] = {
    "+": pc.add_checked,
    "-": pc.subtract_checked,
    "*": pc.multiply_checked,
}
_FLOAT_ARITHMETIC: dict[str, Any] = {"+": pc.add, "-": pc.subtract, "*": pc.multiply, "/": pc.divide}
_FEW_ITEMS = 8
_MAX_CONSTANT_CHARS = 65_536


@dataclass(frozen=True)
class Compiled:
    """An expression that fits its columns: the type of its values, and what Arrow evaluates.

    Evaluating it raises pyarrow.ArrowInvalid when an integer result does not fit 64 bits, and nothing else.
    """

    dtype: DataType
    expression: Expression
    columns: frozenset[str]


def compile_expression(text: str, columns: Mapping[str, DataType]) -> Compiled:
    """Check `text` against the columns (name → type) and return what it means. Raises ExpressionError."""
    tree = parse(text)
    compiler = _Compiler(columns)
    try:
        typed = compiler.typed(tree)
        kernels = typed.settled()
    except TooCostly:
        raise ExpressionError("this takes too many steps for every row; make it simpler", tree.at) from None
    return Compiled(typed.dtype, kernels.expression, frozenset(compiler.used))


def compile_condition(text: str, columns: Mapping[str, DataType]) -> Compiled:
    """Do the same for an expression that must be true or false, such as a row filter. Raises ExpressionError."""
    compiled = compile_expression(text, columns)
    if compiled.dtype != "bool":
        raise ExpressionError(f"a condition is true or false; this is {TYPE_NAMES[compiled.dtype]}", 1)
    return compiled


class _Compiler:
    def __init__(self, columns: Mapping[str, DataType]) -> None:
        self._columns = columns
        self.used: set[str] = set()

    def typed(self, node: Node) -> Typed:  # noqa: C901, PLR0911  # one case a kind of node
        """Return the meaning of a node. Raises ExpressionError, TooCostly."""
        match node:
            case Constant():
                return _constant(node)
            case ColumnName():
                return self._column(node)
            case Operation():
                left, right = self.typed(node.left), self.typed(node.right)
                if node.operator in _COMPARISONS:
                    return _comparison(node.operator, left, right, node.at)
                return _arithmetic(node.operator, left, right, node.at)
            case Logic():
                return self._logic(node)
            case Not():
                return Typed("bool", call(pc.invert, self._condition(node.operand)), node.at)
            case IsNull():
                return Typed("bool", call(pc.is_null, self.typed(node.operand).settled()), node.at)
            case Membership():
                return self._membership(node)
            case Between():
                operand = self.typed(node.operand)
                low = _comparison(">=", operand, self.typed(node.low), node.at)
                high = _comparison("<=", operand, self.typed(node.high), node.at)
                return Typed("bool", call(pc.and_kleene, low.kernels, high.kernels), node.at)
            case Case():
                return self._case(node)
            case Call():
                return self._call(node)

    def _column(self, node: ColumnName) -> Typed:
        dtype = self._columns.get(node.name)
        if dtype is None:
            near = difflib.get_close_matches(node.name, self._columns, 1, cutoff=0.5)
            hint = f"; did you mean {shown(near[0])}?" if near else ""
            raise ExpressionError(f"there is no column {shown(node.name)}{hint}", node.at)
        self.used.add(node.name)
        return Typed(dtype, Kernels(pc.field(node.name)), node.at, growth=Growth(int(dtype == "string")))

    def _condition(self, node: Node) -> Kernels:
        typed = self.typed(node)
        if typed.dtype == "null":
            return null_of("bool")
        if typed.dtype != "bool":
            raise ExpressionError(f"a condition is expected here, not {TYPE_NAMES[typed.dtype]}", typed.at)
        return typed.kernels

    def _logic(self, node: Logic) -> Typed:
        join = pc.and_kleene if node.operator == "and" else pc.or_kleene
        parts = [self._condition(operand) for operand in node.operands]
        return Typed("bool", _balanced(join, parts), node.at)

    def _membership(self, node: Membership) -> Typed:
        operand = self.typed(node.operand)
        items = [_fitting(self.typed(item), operand) for item in node.items]
        dtype = common_type([operand, *items], "the values of a list")
        if dtype in {"bool", "null"}:
            raise ExpressionError(f"in looks for texts, numbers or dates, not {TYPE_NAMES[dtype]}", node.at)
        sought = operand.cast(dtype)
        if len(items) <= _FEW_ITEMS and isinstance(node.operand, ColumnName):
            # Comparisons of a column are what the statistics of a Parquet file can rule out.
            return Typed(
                "bool", _balanced(pc.or_kleene, [call(pc.equal, sought, i.cast(dtype)) for i in items]), node.at
            )
        values = pa.array([_as_type(item.value, dtype) for item in items], arrow_type(dtype))
        found = call(pc.is_in, sought, value_set=values)
        return Typed("bool", call(pc.if_else, call(pc.is_valid, sought), found, null_of("bool")), node.at)

    def _case(self, node: Case) -> Typed:
        conditions = [self._condition(condition) for condition, _ in node.branches]
        results = [self.typed(result) for _, result in node.branches]
        otherwise = self.typed(node.otherwise)
        return chosen(conditions, [*results, otherwise], node.at)

    def _call(self, node: Call) -> Typed:
        function = FUNCTIONS.get(node.name)
        if function is None:
            near = difflib.get_close_matches(node.name, FUNCTIONS, 1)
            hint = f"; did you mean {near[0]}?" if near else "; docs/actions.md lists them"
            raise ExpressionError(f"there is no function {shown(node.name)}{hint}", node.at)
        if node.name == "if":
            if len(node.arguments) != 3:
                raise ExpressionError("if takes 3 arguments: if(condition, then, else)", node.at)
            condition, *results = node.arguments
            return chosen([self._condition(condition)], [self.typed(result) for result in results], node.at)
        typed = function(node.at, [self.typed(argument) for argument in node.arguments])
        if typed.growth.factor > MAX_TEXT_FACTOR or typed.growth.constant > _MAX_CONSTANT_CHARS:
            raise ExpressionError(f"this may make a text more than {MAX_TEXT_FACTOR} times as long", node.at)
        return typed


def chosen(conditions: list[Kernels], results: list[Typed], at: int) -> Typed:
    """Return the first result whose condition is true, the last of `results` when none is; null is not true."""
    dtype = common_type(results, "the results")
    *rest, kernels = [result.cast(dtype) for result in results]
    for condition, result in reversed(list(zip(conditions, rest, strict=True))):
        kernels = call(pc.if_else, call(pc.coalesce, condition, constant(False, "bool")), result, kernels)
    growth = Growth(max(r.growth.factor for r in results), max(r.growth.constant for r in results))
    return Typed(dtype, kernels, at, growth=growth)


def _constant(node: Constant) -> Typed:
    dtype = _type_of(node.value)
    growth = Growth(0, len(node.value)) if isinstance(node.value, str) else Growth()
    return Typed(dtype, constant(node.value, dtype), node.at, node.value, growth=growth)


def _type_of(value: Any) -> DataType:
    types: list[tuple[type, DataType]] = [
        (str, "string"), (bool, "bool"), (int, "int64"), (float, "float64"), (datetime, "timestamp"), (date, "date")
    ]  # fmt: skip
    return next((dtype for kind, dtype in types if isinstance(value, kind)), "null")


def _comparison(operator: str, left: Typed, right: Typed, at: int) -> Typed:
    if "null" in {left.dtype, right.dtype}:
        raise ExpressionError("nothing equals null; write is null or is not null", at)
    left, right = _fitting(left, right), _fitting(right, left)
    if {left.dtype, right.dtype} == {"bool"} and operator not in {"=", "!="}:
        raise ExpressionError("true and false have no order; compare them with = or !=", at)
    dtype = common_type([left, right], "what is compared")
    return Typed("bool", call(_COMPARISONS[operator], left.cast(dtype), right.cast(dtype)), at)


def _fitting(part: Typed, other: Typed) -> Typed:
    """Return a literal in the type of what it is compared with: '2024-01-31' beside a date, 3.0 beside an integer."""
    if isinstance(part.value, str) and other.dtype in {"date", "timestamp"}:
        value = time_of(other.dtype, part.value) or time_of("timestamp", part.value)
        if value is None:
            raise ExpressionError(f"this is no {other.dtype}; write it as '2024-01-31'", part.at)
        return _constant(Constant(value, part.at))
    if isinstance(part.value, float) and other.dtype == "int64" and part.value.is_integer() and abs(part.value) < 2**53:
        return _constant(Constant(int(part.value), part.at))
    return part


def _as_type(value: Any, dtype: DataType) -> Any:
    return float(value) if dtype == "float64" else value


def _arithmetic(operator: str, left: Typed, right: Typed, at: int) -> Typed:
    for part in (left, right):
        if part.dtype not in NUMERIC:
            hint = "; use days_between or add_days" if part.dtype in {"date", "timestamp"} else ""
            hint = "; use concat to join texts" if part.dtype == "string" and operator == "+" else hint
            raise ExpressionError(f"{operator} calculates with numbers, not {TYPE_NAMES[part.dtype]}{hint}", part.at)
    if left.dtype == right.dtype == "int64" and operator != "/":
        return Typed("int64", call(_INTEGER_ARITHMETIC[operator], left.kernels, right.kernels), at)
    kernels = call(_FLOAT_ARITHMETIC[operator], _as_float(left), _as_float(right))
    return Typed("float64", kernels, at, loose=True)


def _as_float(part: Typed) -> Kernels:
    # Not settled: within a calculation, infinite and undefined values go on as IEEE 754 has it.
    return part.kernels if part.dtype == "float64" else part.cast("float64")


def _balanced(join: Any, parts: list[Kernels]) -> Kernels:
    """Join many parts in pairs: the tree of a long chain stays flat."""
    while len(parts) > 1:
        parts = [reduce(lambda one, other: call(join, one, other), parts[i : i + 2]) for i in range(0, len(parts), 2)]
    return parts[0]
