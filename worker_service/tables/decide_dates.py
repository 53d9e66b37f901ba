"""Which columns are dates."""

import datetime as dt
import re

import pyarrow as pa

from . import dates
from .decision import Decision, decision_of
from .kinds import Evidence, Kind
from .model import DType
from .number_style import Context

_SERIAL_SLACK_US = 5 * 366 * 86_400_000_000
_SMALLEST_SERIAL = 10_000  # 18 May 1927; smaller numbers are counts and scores more often than days
_DATE_NAME = re.compile(
    r"日期|生日|出生|(?:^|[^a-z])(?:date|dob|birthday|datum|fecha)(?:$|[^a-z])|date$", re.IGNORECASE
)


def dates_of_one_kind(_name: str, seen: Evidence, context: Context) -> Decision | None:
    """Nothing but dates, in an order that is certain."""
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
    return decision_of(seen, dtype, reason, order, order=order)


def _zoned(seen: Evidence, reason: str) -> Decision:
    if len(seen.offsets) == 1:
        (offset,) = seen.offsets
        style = "utc" if offset == "+00:00" else f"offset {offset}"
        return decision_of(seen, "timestamp", f"{reason}, all at UTC{offset}", style, zone="wall")
    return decision_of(seen, "timestamp", f"{reason}; their offsets differ, so they became UTC", "utc", zone="utc")


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


def dates_by_name(name: str, seen: Evidence, context: Context) -> Decision | None:
    """Nothing but whole numbers under a header that says date: day numbers, or dates without separators."""
    if seen.counts[Kind.INT] != seen.core or not _DATE_NAME.search(name):
        return None
    days = [day for day in (seen.smallest_int, seen.largest_int) if day is not None]
    if not days:
        return decision_of(seen, "date", "the header says date and every value is one, without separators")
    if seen.earliest_compact is not None or min(days) < 2 * _SMALLEST_SERIAL or max(days) > 6 * _SMALLEST_SERIAL:
        return None
    reason = "the header says date and every value is a spreadsheet's day number"
    return decision_of(seen, "date", reason, "serials", date1904=context.date1904)


def numbers_among_dates(_name: str, seen: Evidence, context: Context) -> Decision | None:
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
        return decision_of(seen, dtype, reason, "serials", date1904=context.date1904)
    return decision_of(seen, dtype, "every value is a date, some without separators")


def _serial_us(day: int, *, date1904: bool) -> int:
    if not _SMALLEST_SERIAL <= day < 2_958_466:  # up to 31 December 9999
        return -(2**62) if day < _SMALLEST_SERIAL else 2**62
    stamp: dt.datetime = dates.serials(pa.array([float(day)]), date1904=date1904)[0].as_py()
    return (stamp - dt.datetime(1970, 1, 1)) // dt.timedelta(microseconds=1)  # noqa: DTZ001  # no zone in sheets
