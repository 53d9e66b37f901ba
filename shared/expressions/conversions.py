"""Values of one type as another: what a value cannot become is null."""

from typing import Any

import pyarrow as pa

from shared.expressions.types import DataType, Kernels, arrow_type, call, cast, constant, null_of, pc

_LARGEST_INTEGER = 9.2e18  # what a float64 may be to become an int64
_NUMBER = r"^\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?\s*$"
_INTEGER = r"^\s*[+-]?[0-9]{1,18}\s*$"
_DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
DAY_NUMBER: Any = pa.int32()


def to_text(kernels: Kernels, dtype: DataType) -> Kernels:
    """Return values as canonical text: ISO dates, true and false, the shortest digits that give a number back."""
    if dtype == "string":
        return kernels
    text = cast(kernels, arrow_type("string"))
    if dtype != "timestamp":
        return text
    text = call(pc.replace_substring, text, pattern=" ", replacement="T", max_replacements=1)
    return call(pc.replace_substring_regex, text, pattern=r"\.000000$", replacement="")


def to_number(kernels: Kernels, dtype: DataType) -> Kernels:
    """Return texts, integers or truth values as float64; null for a text that is no number."""
    if dtype == "string":
        kernels = _matching(kernels, _NUMBER)
        kernels = call(pc.replace_substring, call(pc.utf8_trim_whitespace, kernels), pattern="+", replacement="")
    number = cast(kernels, arrow_type("float64"))
    return number if dtype != "string" else _finite(number)


def to_integer(kernels: Kernels, dtype: DataType) -> Kernels:
    """Return texts, numbers (cut at the point) or truth values as int64; null for what is none."""
    if dtype == "string":
        kernels = call(pc.utf8_trim_whitespace, _matching(kernels, _INTEGER))
        kernels = call(pc.replace_substring, kernels, pattern="+", replacement="")
    elif dtype == "float64":
        fits = call(pc.less_equal, call(pc.abs, kernels), constant(_LARGEST_INTEGER, "float64"))
        kernels = call(pc.trunc, call(pc.if_else, fits, kernels, null_of("float64")))
    return cast(kernels, arrow_type("int64"))


def to_date(kernels: Kernels, dtype: DataType) -> Kernels:
    """Return timestamps or texts (YYYY-MM-DD) as dates; null for a text that is no date."""
    if dtype == "timestamp":
        return cast(call(pc.floor_temporal, kernels, unit="day"), arrow_type("date"))
    stamp = call(pc.strptime, _matching(kernels, _DATE), format="%Y-%m-%d", unit="us", error_is_null=True)
    found = cast(stamp, arrow_type("date"))
    # 2023-02-30 parses, but as another day.
    same = call(pc.equal, to_text(found, "date"), kernels)
    return call(pc.if_else, same, found, null_of("date"))


def _matching(texts: Kernels, pattern: str) -> Kernels:
    return call(pc.if_else, call(pc.match_substring_regex, texts, pattern=pattern), texts, null_of("string"))


def _finite(numbers: Kernels) -> Kernels:
    return call(pc.if_else, call(pc.is_finite, numbers), numbers, null_of("float64"))
