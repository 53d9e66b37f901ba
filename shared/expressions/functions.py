"""The closed list of functions. docs/actions.md has a line for each; a test holds the two against each other.

Every function takes (place of the call, arguments) and returns its meaning, or raises ExpressionError. Unless it says
otherwise, the result is null when an argument is null.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from shared.expressions.arguments import at_least, exactly, literal_integer, literal_text, of_type, take
from shared.expressions.conversions import DAY_NUMBER, to_date, to_integer, to_number, to_text
from shared.expressions.types import (
    NUMERIC,
    TIMES,
    TYPE_NAMES,
    DataType,
    ExpressionError,
    Growth,
    Typed,
    arrow_type,
    call,
    cast,
    common_type,
    constant,
    null_of,
    pc,
)

Function: TypeAlias = Callable[[int, Sequence[Typed]], Typed]

MAX_TEXT_FACTOR = 16
_FIRST_DAY, _LAST_DAY = constant(-719_162, "int64"), constant(2_932_896, "int64")  # 0001-01-01, 9999-12-31
_ALL_DAYS = 3_652_058.0


def _text(at: int, arguments: Sequence[Typed]) -> Typed:
    (part,) = take(at, "text", arguments, "any")
    return Typed("string", to_text(part.settled(), part.dtype), at, growth=part.growth + Growth(0, 32))


def _number(at: int, arguments: Sequence[Typed]) -> Typed:
    (part,) = take(at, "number", arguments, "string int64 float64 bool")
    return Typed("float64", to_number(part.settled(), part.dtype), at)


def _integer(at: int, arguments: Sequence[Typed]) -> Typed:
    (part,) = take(at, "integer", arguments, "string int64 float64 bool")
    return Typed("int64", to_integer(part.settled(), part.dtype), at)


def _date(at: int, arguments: Sequence[Typed]) -> Typed:
    (part,) = take(at, "date", arguments, "string date timestamp")
    return Typed("date", part.kernels if part.dtype == "date" else to_date(part.kernels, part.dtype), at)


def _of_text(name: str, kernel: Any, dtype: DataType = "string") -> Function:
    def function(at: int, arguments: Sequence[Typed]) -> Typed:
        (part,) = take(at, name, arguments, "string")
        kernels = call(kernel, part.kernels)
        if dtype == "int64":
            kernels = cast(kernels, arrow_type("int64"))
        return Typed(dtype, kernels, at, growth=part.growth)

    return function


def _substring(at: int, arguments: Sequence[Typed]) -> Typed:
    if len(arguments) == 2:
        part, start = take(at, "substring", arguments, "string", "int64")
        stop = None
    else:
        part, start, length = take(at, "substring", arguments, "string", "int64", "int64")
        stop = literal_integer(start, 1) - 1 + literal_integer(length, 0)
    first = literal_integer(start, 1) - 1
    kernels = call(pc.utf8_slice_codeunits, part.kernels, start=first, stop=stop)
    return Typed("string", kernels, at, growth=part.growth)


def _search(name: str, kernel: Any) -> Function:
    def function(at: int, arguments: Sequence[Typed]) -> Typed:
        part, sought = take(at, name, arguments, "string", "string")
        return Typed("bool", call(kernel, part.kernels, pattern=literal_text(sought)), at)

    return function


def _replace(at: int, arguments: Sequence[Typed]) -> Typed:
    part, old, new = take(at, "replace", arguments, "string", "string", "string")
    pattern, replacement = literal_text(old), literal_text(new)
    if not pattern:
        raise ExpressionError("the text to replace must not be empty", old.at)
    kernels = call(pc.replace_substring, part.kernels, pattern=pattern, replacement=replacement)
    return Typed("string", kernels, at, growth=part.growth.times(max(1, -(-len(replacement) // len(pattern)))))


def _concat(at: int, arguments: Sequence[Typed]) -> Typed:
    at_least(at, "concat", arguments, 2)
    growth = Growth()
    for part in arguments:
        of_type(part, "concat", "string")
        growth += part.growth
    texts = [part.cast("string") for part in arguments]
    return Typed("string", call(pc.binary_join_element_wise, *texts, constant("", "string")), at, growth=growth)


def _numeric(name: str, kernel: Any, *, keeps_integers: bool = False) -> Function:
    """A function of one number; its result is null where it has none, as the root of -1."""

    def function(at: int, arguments: Sequence[Typed]) -> Typed:
        (part,) = take(at, name, arguments, "int64 float64")
        if keeps_integers and part.dtype == "int64":
            return part if kernel in {pc.floor, pc.ceil} else Typed("int64", call(pc.abs_checked, part.kernels), at)
        return Typed("float64", call(kernel, part.cast("float64")), at, loose=True)

    return function


def _round(at: int, arguments: Sequence[Typed]) -> Typed:
    if len(arguments) == 1:
        (part,), digits = take(at, "round", arguments, "int64 float64"), 0
    else:
        part, places = take(at, "round", arguments, "int64 float64", "int64")
        digits = literal_integer(places, 0, 15)
    if part.dtype == "int64":
        return part
    kernels = call(pc.round, part.settled(), ndigits=digits, round_mode="half_towards_infinity")
    return Typed("float64", kernels, at, loose=True)


def _power(at: int, arguments: Sequence[Typed]) -> Typed:
    base, exponent = take(at, "power", arguments, "int64 float64", "int64 float64")
    return Typed("float64", call(pc.power, base.cast("float64"), exponent.cast("float64")), at, loose=True)


def _extreme(name: str, kernel: Any) -> Function:
    """The least or greatest of the arguments that are not null."""

    def function(at: int, arguments: Sequence[Typed]) -> Typed:
        at_least(at, name, arguments, 2)
        dtype = common_type(list(arguments), "the arguments")
        if dtype not in NUMERIC | TIMES:
            raise ExpressionError(f"{name} compares numbers or dates, not {TYPE_NAMES[dtype]}", at)
        return Typed(dtype, call(kernel, *(part.cast(dtype) for part in arguments)), at)

    return function


def _calendar(name: str, kernel: Any, types: str, **options: Any) -> Function:
    def function(at: int, arguments: Sequence[Typed]) -> Typed:
        (part,) = take(at, name, arguments, types)
        return Typed("int64", call(kernel, part.cast(part.dtype), **options), at)

    return function


def _days_between(at: int, arguments: Sequence[Typed]) -> Typed:
    """Whole days from the first date to the second; the time of day does not count."""
    days = []
    for part in take(at, "days_between", arguments, "date timestamp", "date timestamp"):
        day = part.kernels if part.dtype == "date" else to_date(part.kernels, part.dtype)
        number = cast(day, DAY_NUMBER)
        days.append(cast(number, arrow_type("int64")))
    return Typed("int64", call(pc.subtract, days[1], days[0]), at)


def _add_days(at: int, arguments: Sequence[Typed]) -> Typed:
    """A date so many days later; null outside of the years 1 to 9999."""
    part, days = take(at, "add_days", arguments, "date", "int64")
    number = cast(cast(part.kernels, DAY_NUMBER), arrow_type("int64"))
    # Wraps only far outside of the years that count.
    total = call(pc.add, number, days.kernels)
    near = call(pc.less_equal, call(pc.abs, days.cast("float64")), constant(_ALL_DAYS, "float64"))
    known = call(pc.and_kleene, call(pc.greater_equal, total, _FIRST_DAY), call(pc.less_equal, total, _LAST_DAY))
    total = call(pc.if_else, call(pc.and_kleene, near, known), total, null_of("int64"))
    return Typed("date", cast(cast(total, DAY_NUMBER), arrow_type("date")), at)


def _coalesce(at: int, arguments: Sequence[Typed]) -> Typed:
    """The first argument that is not null."""
    at_least(at, "coalesce", arguments, 2)
    dtype = common_type(list(arguments), "the arguments")
    growth = Growth(max(p.growth.factor for p in arguments), max(p.growth.constant for p in arguments))
    return Typed(dtype, call(pc.coalesce, *(part.cast(dtype) for part in arguments)), at, growth=growth)


def _nullif(at: int, arguments: Sequence[Typed]) -> Typed:
    """Null when both are equal, else the first."""
    exactly(at, "nullif", arguments, 2)
    dtype = common_type(list(arguments), "the arguments")
    value, other = (part.cast(dtype) for part in arguments)
    differs = call(pc.coalesce, call(pc.not_equal, value, other), constant(True, "bool"))
    return Typed(dtype, call(pc.if_else, differs, value, null_of(dtype)), at, growth=arguments[0].growth)


def _if(at: int, _arguments: Sequence[Typed]) -> Typed:
    raise ExpressionError("if takes 3 arguments: if(condition, then, else)", at)  # the compiler knows its condition


FUNCTIONS: dict[str, Function] = {
    "abs": _numeric("abs", pc.abs, keeps_integers=True),
    "add_days": _add_days,
    "ceil": _numeric("ceil", pc.ceil, keeps_integers=True),
    "coalesce": _coalesce,
    "concat": _concat,
    "contains": _search("contains", pc.match_substring),
    "date": _date,
    "day": _calendar("day", pc.day, "date timestamp"),
    "days_between": _days_between,
    "ends_with": _search("ends_with", pc.ends_with),
    "exp": _numeric("exp", pc.exp),
    "floor": _numeric("floor", pc.floor, keeps_integers=True),
    "greatest": _extreme("greatest", pc.max_element_wise),
    "hour": _calendar("hour", pc.hour, "timestamp"),
    "if": _if,
    "integer": _integer,
    "least": _extreme("least", pc.min_element_wise),
    "length": _of_text("length", pc.utf8_length, "int64"),
    "ln": _numeric("ln", pc.ln),
    "log10": _numeric("log10", pc.log10),
    "lower": _of_text("lower", pc.utf8_lower),
    "minute": _calendar("minute", pc.minute, "timestamp"),
    "month": _calendar("month", pc.month, "date timestamp"),
    "nullif": _nullif,
    "number": _number,
    "power": _power,
    "replace": _replace,
    "round": _round,
    "second": _calendar("second", pc.second, "timestamp"),
    "sqrt": _numeric("sqrt", pc.sqrt),
    "starts_with": _search("starts_with", pc.starts_with),
    "substring": _substring,
    "text": _text,
    "trim": _of_text("trim", pc.utf8_trim_whitespace),
    "upper": _of_text("upper", pc.utf8_upper),
    "weekday": _calendar("weekday", pc.day_of_week, "date timestamp", count_from_zero=False, week_start=1),
    "year": _calendar("year", pc.year, "date timestamp"),
}
