"""A column in another type: a value without an exact counterpart there becomes null."""

from collections.abc import Callable

import pyarrow as pa

from shared.expressions.conversions import to_date, to_integer, to_number, to_text
from shared.expressions.types import DataType, Expression, Kernels, arrow_type, call, cast, constant, null_of, pc

_TRUE, _FALSE = ("true", "yes", "是", "1"), ("false", "no", "否", "0")
_STAMP = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([T ]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]{1,6})?)?)?$"


def converted(column: str, before: DataType, after: DataType) -> Expression | None:
    """Return the column in the type `after`; None when values of the one type never have counterparts in the other."""
    field = Kernels(pc.field(column))
    if before == after:
        return field.expression
    if after == "string":
        return to_text(field, before).expression
    convert = _CONVERSIONS.get((before, after))
    return convert(field).expression if convert else None


def _where(condition: Kernels, value: Kernels, dtype: DataType) -> Kernels:
    return call(pc.if_else, condition, value, null_of(dtype))


def _text_to_date(texts: Kernels) -> Kernels:
    return to_date(call(pc.utf8_trim_whitespace, texts), "string")


def _text_to_timestamp(texts: Kernels) -> Kernels:
    texts = call(pc.utf8_trim_whitespace, texts)
    day = to_date(call(pc.utf8_slice_codeunits, texts, start=0, stop=10), "string")
    fits = call(pc.and_kleene, call(pc.match_substring_regex, texts, pattern=_STAMP), call(pc.is_valid, day))
    return cast(_where(fits, texts, "string"), arrow_type("timestamp"))


def _text_to_bool(texts: Kernels) -> Kernels:
    words = call(pc.utf8_lower, call(pc.utf8_trim_whitespace, texts))
    known = call(pc.is_in, words, value_set=pa.array([*_TRUE, *_FALSE]))
    return _where(known, call(pc.is_in, words, value_set=pa.array(_TRUE)), "bool")


def _number_to_bool(numbers: Kernels) -> Kernels:
    one, zero = (call(pc.equal, numbers, constant(value, "int64")) for value in (1, 0))
    return _where(call(pc.or_kleene, one, zero), one, "bool")


def _integer_to_number(integers: Kernels) -> Kernels:
    numbers = to_number(integers, "int64")
    return _where(call(pc.equal, to_integer(numbers, "float64"), integers), numbers, "float64")


def _number_to_integer(numbers: Kernels) -> Kernels:
    integers = to_integer(numbers, "float64")
    return _where(call(pc.equal, to_number(integers, "int64"), numbers), integers, "int64")


def _timestamp_to_date(stamps: Kernels) -> Kernels:
    days = to_date(stamps, "timestamp")
    return _where(call(pc.equal, cast(days, arrow_type("timestamp")), stamps), days, "date")


_CONVERSIONS: dict[tuple[DataType, DataType], Callable[[Kernels], Kernels]] = {
    ("string", "int64"): lambda texts: to_integer(texts, "string"),
    ("string", "float64"): lambda texts: to_number(texts, "string"),
    ("string", "bool"): _text_to_bool,
    ("string", "date"): _text_to_date,
    ("string", "timestamp"): _text_to_timestamp,
    ("int64", "float64"): _integer_to_number,
    ("int64", "bool"): _number_to_bool,
    ("float64", "int64"): _number_to_integer,
    ("float64", "bool"): _number_to_bool,
    ("bool", "int64"): lambda values: to_integer(values, "bool"),
    ("bool", "float64"): lambda values: to_number(values, "bool"),
    ("date", "timestamp"): lambda days: cast(days, arrow_type("timestamp")),
    ("timestamp", "date"): _timestamp_to_date,
}
