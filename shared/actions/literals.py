"""Values that a message writes as text, in the type of a column."""

import math
import re
from datetime import date, datetime
from typing import TypeAlias

from shared.actions.workbench import Wrong
from shared.expressions.lexing import time_of
from shared.expressions.types import TYPE_NAMES, DataType

Value: TypeAlias = str | int | float | bool | date | datetime

_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")
_MAX_CHARS = 32_767
_FORMS: dict[DataType, str] = {
    "int64": "12", "float64": "0.5", "bool": "true", "date": "2024-01-31", "timestamp": "2024-01-31T08:30:00"
}  # fmt: skip


def value_of(field: str, text: str, dtype: DataType) -> Value:
    """Return the value that `text` says in this type. Raises Wrong."""
    value = _parsed(text, dtype)
    if value is None:
        form = f"; write it as {_FORMS[dtype]}" if dtype in _FORMS else f": at most {_MAX_CHARS:,} characters"
        raise Wrong(field, f"is not {TYPE_NAMES[dtype]}{form}")
    return value


def _parsed(text: str, dtype: DataType) -> Value | None:
    match dtype:
        case "int64":
            return int(text) if _INTEGER.fullmatch(text) and -(2**63) <= int(text) < 2**63 else None
        case "float64":
            return _number(text)
        case "bool":
            return {"true": True, "false": False}.get(text)
        case "date" | "timestamp":
            return time_of(dtype, text)
    return text if len(text) <= _MAX_CHARS else None


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
