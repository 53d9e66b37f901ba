"""Arrow as this package types it.

The published type stubs of pyarrow reject valid calls of compute functions (a scalar beside an array, a chunked
array where an array is meant) and make every element optional, so arrays and compute functions are untyped here and
docstrings name the Arrow types instead.
"""

from typing import Any, TypeAlias

import pyarrow.compute as _compute

Array: TypeAlias = Any
pc: Any = _compute

__all__ = ["Array", "pc"]
