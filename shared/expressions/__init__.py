"""Expressions over the columns of a record: row filters, conditional and computed columns.

A small language of our own, explained in docs/actions.md: text → `parsing` → tree → `compiling` → a typed Arrow
expression. Nothing is evaluated as Python or pasted into SQL; length, depth and cost are bounded; what is wrong is told
with the place of the character.
"""

from shared.expressions.compiling import Compiled, compile_condition, compile_expression
from shared.expressions.types import DataType, ExpressionError, arrow_type

__all__ = ["Compiled", "DataType", "ExpressionError", "arrow_type", "compile_condition", "compile_expression"]
