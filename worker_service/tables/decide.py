"""From the evidence of a whole column to its type: everything parses, or the column is text."""

import datetime as dt
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from . import dates
from .bools import FAMILIES, family_of
from .kinds import NUMERIC, Evidence, Kind
from .messages import WarningCode
from .model import DType, Mixed, TableWarning, TopValue, warning
from .numbers import Shape, scale

ARROW_TYPES: dict[DType, pa.DataType] = {
    "string": pa.string(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "bool": pa.bool_(),
    "date": pa.date32(),
    "timestamp": dates.TIMESTAMP,
}

_MIXED_SHARE = 0.5
_MAX_OTHERS = 20
_SERIAL_SLACK_US = 5 * 366 * 86_400_000_000
_SMALLEST_SERIAL = 10_000  # 18 May 1927; smaller numbers are counts and scores more often than days
_DATE_NAME = re.compile(r"日期|生日|出生|(?:^|[^a-z])(?:date|dob|birthday|datum|fecha)(?:$|[^a-z])|date$", re.IGNORECASE)

Marks = Literal["", "comma", "point"]


@dataclass(frozen=True)
class Decision:
    """A column's type, the format its texts are in, and why.

    ``padded``: some values have outer white space; ``folded``: some are in full-width characters; ``unit``: the
    currency mark or unit that every value bears; ``mixed``: what a text column almost was.
    """

    dtype: DType
    format: str
    reason: str
    padded: bool = False
    folded: bool = False
    order: dates.Order = ""
    zone: dates.Zone = ""
    date1904: bool = False
    family: tuple[str, str] = ("", "")
    unit: str = ""
    mixed: Mixed | None = None

    @property
    def arrow_type(self) -> pa.DataType:
        """The Arrow type of the clean column."""
        return ARROW_TYPES[self.dtype]


@dataclass(frozen=True)
class Context:
    """What the file as a whole and the caller say.

    ``delimiter`` is empty for workbooks; ``decimal_mark`` is what the other columns use if they agree;
    ``date_order`` is the caller's.
    """

    delimiter: str = ""
    date1904: bool = False
    decimal_mark: Marks = ""
    date_order: dates.Order = ""


def decimal_mark(columns: Iterable[Evidence]) -> Marks:
    """The decimal mark of a file, from the numbers that allow but one reading."""
    comma = point = False
    for seen in columns:
        comma |= bool(seen.shapes[Shape.COMMA_SURE] or seen.shapes[Shape.POINT_GROUPS] or seen.shapes[Shape.SPACES_COMMA])
        point |= bool(seen.has_point or seen.shapes[Shape.GROUPS] or seen.shapes[Shape.FOURS])
    return "" if comma == point else "comma" if comma else "point"


def decide(name: str, seen: Evidence, context: Context) -> tuple[Decision, list[TableWarning]]:
    """The type of column ``name`` and the warnings that explain it."""
    if seen.core == 0:
        reason = "only null tokens and errors" if seen.counts.total() else "no values"
        return _decision(seen, "string", reason), []
    for rule in (_dates_by_name, _number, _bool, _date, _numbers_among_dates):
        if decision := rule(name, seen, context):
            return decision, []
    return _text(name, seen, context)


def _decision(seen: Evidence, dtype: DType, reason: str, style: str = "", **details: object) -> Decision:
    folded = seen.folded and dtype != "string"
    return Decision(dtype, style, reason, seen.padded, folded, **details)  # type: ignore[arg-type]


def _number(_name: str, seen: Evidence, context: Context) -> Decision | None:
    counts, core = seen.counts, seen.core
    if counts[Kind.PERCENT] == core:
        return _decision(seen, "float64", "every value is a percentage", "percent")
    if counts[Kind.AFFIXED] == core:
        return _with_unit(seen)
    if sum(counts[kind] for kind in NUMERIC) != core:
        return None
    if counts[Kind.SEPARATED]:
        return _with_separators(seen, context)
    if identifier := _identifier(seen):
        return _decision(seen, "string", "identifiers, not quantities", identifier)
    if counts[Kind.FLOAT]:
        return _decision(seen, "float64", "every value is a number")
    return _decision(seen, "int64", "every value is a whole number of at most 15 digits")


def _with_unit(seen: Evidence) -> Decision | None:
    if len(seen.affixes) != 1 or "" in seen.affixes:
        return None
    (unit,) = seen.affixes
    whole = not seen.has_point and not scale(unit)
    return _decision(seen, "int64" if whole else "float64", f"every value is a number with {unit}", "unit", unit=unit)


def _with_separators(seen: Evidence, context: Context) -> Decision | None:
    style = _style(seen, context)
    if not style:
        return None
    shapes = seen.shapes
    fractions = seen.counts[Kind.FLOAT] and style != "decimal_comma"
    if style == "decimal_comma":
        fractions = shapes.total() > shapes[Shape.POINT_GROUPS]
    whole = not fractions and not seen.has_point
    return _decision(seen, "int64" if whole else "float64", f"every value is a number, written as {style}", style)


def _style(seen: Evidence, context: Context) -> str:
    """How the numbers of a column are written, if there is one way to read them all."""
    found = {shape for shape, count in seen.shapes.items() if count}
    if Shape.FOURS in found:
        return "groups_of_four" if found == {Shape.FOURS} or _only_fours(found, seen) else ""
    if found == {Shape.APOSTROPHES}:
        return "thousands_apostrophe"
    if found == {Shape.SPACES}:
        return "thousands_space"
    if found <= {Shape.GROUP_OR_COMMA, Shape.GROUPS}:
        return _of_commas(seen, context)
    commas = {Shape.COMMA, Shape.COMMA_SURE, Shape.POINT_GROUPS, Shape.SPACES, Shape.SPACES_COMMA, Shape.GROUP_OR_COMMA}
    if not found <= commas or seen.has_point:
        return ""
    # 1,5 in a cell may be two answers of a questionnaire: only a comma that must be decimal, or a file of
    # semicolons, makes numbers of them.
    sure = found & {Shape.COMMA_SURE, Shape.SPACES_COMMA} or found == {Shape.POINT_GROUPS}
    return "decimal_comma" if sure or context.delimiter == ";" or context.decimal_mark == "comma" else ""


def _only_fours(found: set[Shape], seen: Evidence) -> bool:
    return found == {Shape.FOURS, Shape.COMMA} and seen.may_be_fours


def _of_commas(seen: Evidence, context: Context) -> str:
    """``1,234`` is a thousand or a decimal: the column settles it, else the file."""
    if seen.shapes[Shape.GROUPS] or seen.has_point:
        return "thousands"
    if seen.counts[Kind.FLOAT]:
        return ""  # 1,234 beside 1.234
    if context.decimal_mark == "comma":
        return "decimal_comma"
    return "thousands" if context.decimal_mark == "point" or context.delimiter != ";" else ""


def _identifier(seen: Evidence) -> str:
    """Which kind of number-like identifier at least half of the values are, if any."""
    if seen.counts[Kind.INT] != seen.core:
        return ""
    if seen.phones * 2 >= seen.core:
        return "phone"
    return "id_card" if seen.id_cards * 2 >= seen.core else ""


def _bool(_name: str, seen: Evidence, _context: Context) -> Decision | None:
    if not seen.bool_words or seen.counts[Kind.BOOL] != seen.core:
        return None
    nothings = set(seen.nothings) if "有" in seen.bool_words else set()
    number = family_of(seen.bool_words | nothings)
    if number is None:
        return None
    spelling = "/".join(FAMILIES[number])
    return _decision(seen, "bool", f"every value is one of {spelling}", spelling, family=FAMILIES[number])


def _date(_name: str, seen: Evidence, context: Context) -> Decision | None:
    counts = seen.counts
    if counts[Kind.YEAR_FIRST] + counts[Kind.YEAR_LAST] != seen.core or seen.zoned not in (0, seen.core):
        return None
    order = _order(seen, context)
    if counts[Kind.YEAR_LAST] and not order:
        return None
    dtype: DType = "timestamp" if seen.has_clock or seen.zoned else "date"
    reason = "every value is a date with a time of day" if dtype == "timestamp" else "every value is a date"
    if seen.zoned:
        return _zoned(seen, reason)
    if order:
        settled = "the upload asks for this order" if context.date_order else "numbers above 12 settle the order"
        reason += f"; {settled}"
    return _decision(seen, dtype, reason, order, order=order)


def _zoned(seen: Evidence, reason: str) -> Decision:
    if len(seen.offsets) == 1:
        (offset,) = seen.offsets
        style = "utc" if offset == "+00:00" else f"offset {offset}"
        return _decision(seen, "timestamp", f"{reason}, all at UTC{offset}", style, zone="wall")
    return _decision(seen, "timestamp", f"{reason}; their offsets differ, so they became UTC", "utc", zone="utc")


def _order(seen: Evidence, context: Context) -> dates.Order:
    """Day before month, month before day, or unknown (also when the column contradicts itself)."""
    if not seen.counts[Kind.YEAR_LAST]:
        return ""
    possible: list[dates.Order] = []
    if not seen.not_day_first:
        possible.append("day_month_year")
    if not seen.not_month_first:
        possible.append("month_day_year")
    if context.date_order in possible:
        return context.date_order
    return possible[0] if len(possible) == 1 and not context.date_order else ""


def _dates_by_name(name: str, seen: Evidence, context: Context) -> Decision | None:
    """Nothing but whole numbers under a header that says date: day numbers, or dates without separators."""
    if seen.counts[Kind.INT] != seen.core or not _DATE_NAME.search(name):
        return None
    days = [day for day in (seen.smallest_int, seen.largest_int) if day is not None]
    if not days:
        return _decision(seen, "date", "the header says date and every value is one, without separators")
    if seen.earliest_compact is not None or min(days) < 2 * _SMALLEST_SERIAL or max(days) > 6 * _SMALLEST_SERIAL:
        return None
    reason = "the header says date and every value is a spreadsheet's day number"
    return _decision(seen, "date", reason, "serials", date1904=context.date1904)


def _numbers_among_dates(_name: str, seen: Evidence, context: Context) -> Decision | None:
    """Day numbers and dates without separators: only where two thirds are plain dates and the others near them."""
    counts = seen.counts
    if counts[Kind.YEAR_FIRST] + counts[Kind.INT] != seen.core or seen.zoned:
        return None
    if seen.earliest is None or seen.latest is None:
        return None
    days = [day for day in (seen.smallest_int, seen.largest_int) if day is not None]
    # Eight digits that are a date near the others are hardly anything else; five digits may be.
    if counts[Kind.YEAR_FIRST] < (2 if days else 1) * counts[Kind.INT]:
        return None
    found = [_serial_us(day, date1904=context.date1904) for day in days]
    found += [stamp for stamp in (seen.earliest_compact, seen.latest_compact) if stamp is not None]
    if min(found) < seen.earliest - _SERIAL_SLACK_US or max(found) > seen.latest + _SERIAL_SLACK_US:
        return None
    dtype: DType = "timestamp" if seen.has_clock else "date"
    if days:
        reason = "dates, and day numbers close to them"
        return _decision(seen, dtype, reason, "serials", date1904=context.date1904)
    return _decision(seen, dtype, "every value is a date, some without separators")


def _serial_us(day: int, *, date1904: bool) -> int:
    if not _SMALLEST_SERIAL <= day < 2_958_466:  # up to 31 December 9999
        return -(2**62) if day < _SMALLEST_SERIAL else 2**62
    stamp: dt.datetime = dates.serials(pa.array([float(day)]), date1904=date1904)[0].as_py()
    return (stamp - dt.datetime(1970, 1, 1)) // dt.timedelta(microseconds=1)  # noqa: DTZ001  # no zone in sheets


def _text(name: str, seen: Evidence, context: Context) -> tuple[Decision, list[TableWarning]]:
    counts, core = seen.counts, seen.core
    dated = counts[Kind.YEAR_FIRST] + counts[Kind.YEAR_LAST]
    if counts[Kind.YEAR_LAST] and dated == core and not (seen.not_day_first or seen.not_month_first):
        return _unsettled(name, seen, WarningCode.DATE_ORDER_AMBIGUOUS, Kind.YEAR_LAST, "day and month cannot be told apart")
    if counts[Kind.SHORT_YEAR] * 2 > core:
        return _unsettled(name, seen, WarningCode.SHORT_YEARS, Kind.SHORT_YEAR, "years of two digits leave the century open")
    if counts[Kind.SEPARATED] and sum(counts[kind] for kind in NUMERIC) == core:
        why = "a comma may be a decimal mark or not"
        return _unsettled(name, seen, WarningCode.NUMBER_FORMAT_AMBIGUOUS, Kind.SEPARATED, why)
    mixed = _mixed(seen)
    if mixed is None:
        return _decision(seen, "string", "values are text"), []
    reason = f"{mixed.parsed} of {core} values read as {mixed.candidate}, the others do not"
    decision = _decision(seen, "string", reason, mixed=mixed)
    example = mixed.others[0].value if mixed.others else ""
    found = warning(
        WarningCode.MIXED_TYPES,
        column=name,
        count=core - mixed.parsed,
        values=core,
        parsed=mixed.parsed,
        candidate=mixed.candidate,
        example=example,
    )
    return decision, [found] if mixed.parsed >= core * _MIXED_SHARE else []


def _unsettled(
    name: str, seen: Evidence, code: WarningCode, kind: Kind, reason: str
) -> tuple[Decision, list[TableWarning]]:
    found = warning(code, column=name, count=seen.counts[kind], example=seen.examples[kind][:64])
    return _decision(seen, "string", reason), [found]


def _mixed(seen: Evidence) -> Mixed | None:
    """What most values are, and the others; None if no value is anything but text."""
    counts = seen.counts
    groups: dict[str, tuple[Kind, ...]] = {
        "numbers": NUMERIC,
        "percentages": (Kind.PERCENT,),
        "amounts with a unit": (Kind.AFFIXED,),
        "booleans": (Kind.BOOL,),
        "dates": (Kind.YEAR_FIRST, Kind.YEAR_LAST),
    }
    candidate = max(groups, key=lambda name: sum(counts[kind] for kind in groups[name]))
    parsed = sum(counts[kind] for kind in groups[candidate])
    if not parsed:
        return None
    skipped = {*groups[candidate], Kind.TEXT, Kind.NULL_ALWAYS, Kind.NULL_TYPED, Kind.ERROR}
    others = seen.others.most_common(_MAX_OTHERS)
    others += [(seen.examples[kind], count) for kind, count in counts.items() if count and kind not in skipped]
    others.sort(key=lambda item: (-item[1], item[0]))
    return Mixed(candidate, parsed, tuple(TopValue(text[:64], count) for text, count in others[:_MAX_OTHERS]))
