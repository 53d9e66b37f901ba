"""Dates as people write them, parsed over whole arrays of distinct texts."""

import datetime as dt
from typing import Literal

import pyarrow as pa

from .arrow import Array, pc

Order = Literal["", "day_month_year", "month_day_year"]

TIMESTAMP = pa.timestamp("us")
_CLOCK = r"(?:[T ]+\d{1,2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?)?"
CANONICAL = r"^\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?)?$"
YEAR_FIRST = r"^\d{4}(?:[-/.]\d{1,2}[-/.]\d{1,2}|年\d{1,2}月\d{1,2}[日号])" + _CLOCK + "$"
COMPACT = r"^(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])$"
YEAR_LAST = r"^\d{1,2}[-/.]\d{1,2}[-/.]\d{4}" + _CLOCK + "$"

_EPOCH_1900 = dt.datetime(1899, 12, 30)  # noqa: DTZ001  # spreadsheets know no time zone
_EPOCH_1904 = dt.datetime(1904, 1, 1)  # noqa: DTZ001
_DAY_US = 86_400_000_000


def parse(texts: Array, order: Order) -> Array:
    """Timestamps (microseconds, no zone) for texts shaped YEAR_FIRST, COMPACT or, given an ``order``, YEAR_LAST.

    A text of that shape that is no date (30 February) becomes null.
    """
    canonical = _canonical(texts, order)
    try:
        return pc.cast(canonical, TIMESTAMP)
    except pa.ArrowInvalid:
        return pa.array([_one(text) for text in canonical.to_pylist()], TIMESTAMP)


def serials(numbers: Array, *, date1904: bool) -> Array:
    """Timestamps for spreadsheet day numbers (float64), rounded to the millisecond that spreadsheets keep."""
    epoch = _EPOCH_1904 if date1904 else _EPOCH_1900
    offset_us = (epoch - dt.datetime(1970, 1, 1)) // dt.timedelta(microseconds=1)  # noqa: DTZ001
    thousandths = pc.cast(pc.round(pc.multiply(numbers, 86_400_000.0)), pa.int64())
    return pc.cast(pc.add(pc.multiply(thousandths, 1000), offset_us), TIMESTAMP)


def all_midnight(stamps: Array) -> bool:
    """Whether no timestamp has a time of day."""
    micros = pc.cast(stamps, pa.int64())
    days = pc.multiply(pc.floor(pc.divide(pc.cast(micros, pa.float64(), safe=False), float(_DAY_US))), float(_DAY_US))
    return bool(pc.all(pc.equal(pc.cast(days, pa.int64(), safe=False), micros), min_count=0).as_py())


def _canonical(texts: Array, order: Order) -> Array:
    if pc.all(pc.match_substring_regex(texts, CANONICAL), min_count=0).as_py():
        return texts
    texts = pc.replace_substring_regex(texts, r"^(\d{4})(\d\d)(\d\d)$", r"\1-\2-\3")
    texts = pc.replace_substring_regex(texts, r"^(\d{4})[-/.年](\d{1,2})[-/.月](\d{1,2})[日号]?", r"\1-0\2-0\3")
    if order:
        day, month = (1, 2) if order == "day_month_year" else (2, 1)
        texts = pc.replace_substring_regex(texts, r"^(\d{1,2})[-/.](\d{1,2})[-/.](\d{4})", rf"\3-0\{month}-0\{day}")
    texts = pc.replace_substring_regex(texts, r"-0(\d\d)", r"-\1")
    texts = pc.replace_substring_regex(texts, r"[T ]+(\d{1,2}):", r" 0\1:")
    return pc.replace_substring_regex(texts, r" 0(\d\d):", r" \1:")


def _one(text: str | None) -> dt.datetime | None:
    try:
        return None if text is None else dt.datetime.fromisoformat(text)
    except ValueError:
        return None
