"""From the evidence of a whole column to its type: everything parses, or the column is text."""

import datetime as dt
from dataclasses import dataclass

import pyarrow as pa

from . import dates
from .kinds import BOOL_FAMILIES, Evidence, Kind
from .messages import WarningCode
from .model import DType, TableWarning, warning

ARROW_TYPES: dict[DType, pa.DataType] = {
    "string": pa.string(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "bool": pa.bool_(),
    "date": pa.date32(),
    "timestamp": dates.TIMESTAMP,
}

_NUMERIC = (Kind.INT, Kind.FLOAT, Kind.THOUSANDS)
_MIXED_SHARE = 0.5
_SERIAL_SLACK_US = 5 * 366 * 86_400_000_000
_SMALLEST_SERIAL = 10_000  # 18 May 1927; smaller numbers are counts and scores more often than days


@dataclass(frozen=True)
class Decision:
    """A column's type, the format its texts are in, and why. ``padded``: some values have outer white space."""

    dtype: DType
    format: str
    reason: str
    padded: bool = False
    order: dates.Order = ""
    date1904: bool = False
    bool_family: int = 0

    @property
    def arrow_type(self) -> pa.DataType:
        """The Arrow type of the clean column."""
        return ARROW_TYPES[self.dtype]


@dataclass(frozen=True)
class Context:
    """What the file as a whole says: its delimiter (empty for workbooks) and its day-number system."""

    delimiter: str = ""
    date1904: bool = False


def decide(name: str, seen: Evidence, context: Context) -> tuple[Decision, list[TableWarning]]:
    """The type of column ``name`` and the warnings that explain it."""
    core = seen.counts.total() - sum(seen.counts[k] for k in (Kind.NULL_ALWAYS, Kind.ERROR, Kind.NULL_TYPED))
    if core == 0:
        reason = "only null tokens and errors" if seen.counts.total() else "no values"
        return Decision("string", "", reason, seen.padded), []
    for rule in (_number, _bool, _date, _numbers_among_dates):
        if decision := rule(seen, core, context):
            return decision, []
    return _text(name, seen, core, context)


def _number(seen: Evidence, core: int, context: Context) -> Decision | None:
    counts = seen.counts
    if counts[Kind.PERCENT] == core:
        return Decision("float64", "percent", "every value is a percentage", seen.padded)
    if sum(counts[kind] for kind in _NUMERIC) != core:
        return None
    if counts[Kind.THOUSANDS] and context.delimiter == ";":
        return None  # a comma beside semicolons may be a decimal comma
    if identifier := _identifier(seen, core):
        return Decision("string", identifier, "identifiers, not quantities", seen.padded)
    style = "thousands" if counts[Kind.THOUSANDS] else ""
    if counts[Kind.FLOAT] or seen.thousands_with_point:
        return Decision("float64", style, "every value is a number", seen.padded)
    return Decision("int64", style, "every value is a whole number of at most 15 digits", seen.padded)


def _identifier(seen: Evidence, core: int) -> str:
    """Which kind of number-like identifier at least half of the values are, if any."""
    if seen.counts[Kind.INT] != core:
        return ""
    if seen.phones * 2 >= core:
        return "phone"
    return "id_card" if seen.id_cards * 2 >= core else ""


def _bool(seen: Evidence, core: int, _context: Context) -> Decision | None:
    if seen.counts[Kind.BOOL] != core or len(seen.bool_families) != 1:
        return None
    (family,) = seen.bool_families
    spelling = "/".join(list(dict.fromkeys(text.lower() for text in BOOL_FAMILIES[family])))
    return Decision("bool", spelling, f"every value is one of {spelling}", seen.padded, bool_family=family)


def _date(seen: Evidence, core: int, _context: Context) -> Decision | None:
    counts = seen.counts
    if counts[Kind.YEAR_FIRST] + counts[Kind.YEAR_LAST] != core:
        return None
    order = _order(seen)
    if counts[Kind.YEAR_LAST] and not order:
        return None
    dtype: DType = "timestamp" if seen.has_clock else "date"
    reason = "every value is a date with a time of day" if seen.has_clock else "every value is a date"
    if order:
        reason += f"; {'first' if order == 'day_month_year' else 'second'} numbers above 12 settle the order"
    return Decision(dtype, order, reason, seen.padded, order)


def _order(seen: Evidence) -> dates.Order:
    """Day before month, month before day, or unknown (also when the column contradicts itself)."""
    if seen.first_above_12 and not seen.second_above_12:
        return "day_month_year"
    if seen.second_above_12 and not seen.first_above_12:
        return "month_day_year"
    return ""


def _numbers_among_dates(seen: Evidence, core: int, context: Context) -> Decision | None:
    """Day numbers and dates without separators: only where two thirds are plain dates and the others near them."""
    counts = seen.counts
    if counts[Kind.YEAR_FIRST] + counts[Kind.INT] != core or counts[Kind.YEAR_FIRST] < 2 * counts[Kind.INT]:
        return None
    if seen.earliest is None or seen.latest is None:
        return None
    days = [day for day in (seen.smallest_int, seen.largest_int) if day is not None]
    found = [_serial_us(day, date1904=context.date1904) for day in days]
    found += [stamp for stamp in (seen.earliest_compact, seen.latest_compact) if stamp is not None]
    if min(found) < seen.earliest - _SERIAL_SLACK_US or max(found) > seen.latest + _SERIAL_SLACK_US:
        return None
    dtype: DType = "timestamp" if seen.has_clock else "date"
    if days:
        reason = "dates, and day numbers close to them"
        return Decision(dtype, "serials", reason, seen.padded, date1904=context.date1904)
    return Decision(dtype, "", "every value is a date, some without separators", seen.padded)


def _serial_us(day: int, *, date1904: bool) -> int:
    if not _SMALLEST_SERIAL <= day < 2_958_466:  # up to 31 December 9999
        return -(2**62) if day < _SMALLEST_SERIAL else 2**62
    stamp: dt.datetime = dates.serials(pa.array([float(day)]), date1904=date1904)[0].as_py()
    return (stamp - dt.datetime(1970, 1, 1)) // dt.timedelta(microseconds=1)  # noqa: DTZ001  # no zone in sheets


def _text(name: str, seen: Evidence, core: int, context: Context) -> tuple[Decision, list[TableWarning]]:
    counts = seen.counts
    if counts[Kind.YEAR_LAST] and counts[Kind.YEAR_FIRST] + counts[Kind.YEAR_LAST] == core:
        code, example = WarningCode.DATE_ORDER_AMBIGUOUS, seen.year_last_example
        found = warning(code, column=name, count=counts[Kind.YEAR_LAST], example=example)
        return Decision("string", "", "day and month cannot be told apart", seen.padded), [found]
    best, label = max(
        (sum(counts[kind] for kind in _NUMERIC), "numbers"),
        (counts[Kind.PERCENT], "percentages"),
        (counts[Kind.BOOL], "booleans"),
        (counts[Kind.YEAR_FIRST] + counts[Kind.YEAR_LAST], "dates"),
    )
    warnings = []
    if best >= core * _MIXED_SHARE and best:
        example = seen.text_examples[0] if seen.text_examples else _odd_one(counts, label, context)
        found = warning(
            WarningCode.MIXED_TYPES,
            column=name,
            count=core - best,
            values=core,
            parsed=best,
            candidate=label,
            example=example[:64],
        )
        warnings.append(found)
    reason = f"{best} of {core} values read as {label}, the others do not" if best else "values are text"
    return Decision("string", "", reason, seen.padded), warnings


def _odd_one(counts: dict[Kind, int], label: str, context: Context) -> str:
    """What stands in the way when no value is plain text."""
    if counts[Kind.THOUSANDS] and context.delimiter == ";":
        return "a comma that may be a decimal comma"
    others = [kind.name.lower() for kind, count in counts.items() if count and kind not in _NUMERIC]
    return others[0] if others and label == "numbers" else "another kind of value"
