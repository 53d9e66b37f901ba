"""Dates as people write them, parsed over whole arrays of distinct texts."""

import datetime as dt
import re
from typing import Literal

import pyarrow as pa

from .arrow import Array, pc

Order = Literal["", "day_month_year", "month_day_year"]
Zone = Literal["", "wall", "utc"]  # how offsets are read: none allowed, the clock as written, or converted to UTC

TIMESTAMP = pa.timestamp("us")
_MONTHS = "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"
_MONTH = (
    r"(?i:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?"
    r"|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\.?"
)
_COLON_CLOCK = r"\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d{1,9})?)?"
_CHINESE_CLOCK = r"\d{1,2}[时時点點](?:\d{1,2}分(?:\d{1,2}秒)?)?"
_CLOCK = rf"(?:T{_COLON_CLOCK}|[ ]*(?:(?:上午|下午)[ ]*)?(?:{_COLON_CLOCK}|{_CHINESE_CLOCK})(?:[ ]?(?i:[ap]\.?m\.?))?)"
_ZONE = r"(?:[ ]?(?:Z|UTC|GMT|[+-]\d{2}:?\d{2}))"
_NUMERAL_DAY = r"[〇○零一二三四五六七八九]{4}年[一二三四五六七八九十]{1,2}月[一二三四五六七八九十]{1,3}[日号]"
_NAMED_DAY = (
    rf"(?:\d{{1,2}}(?i:st|nd|rd|th)?[ \-]{_MONTH}[ ,\-]+\d{{4}}|{_MONTH}[ ]\d{{1,2}}(?i:st|nd|rd|th)?,?[ ]\d{{4}})"
)
_PLAIN_DAY = r"\d{4}(?:[-/.]\d{1,2}[-/.]\d{1,2}|[ ]?年[ ]?\d{1,2}[ ]?月[ ]?\d{1,2}[ ]?[日号])"

CANONICAL = r"^\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?)?$"
YEAR_FIRST = rf"^(?:{_PLAIN_DAY}|{_NAMED_DAY}|{_NUMERAL_DAY})(?:[ ]*{_CLOCK}{_ZONE}?)?$"
ZONED = rf"{_COLON_CLOCK}(?:[ ]?(?i:[ap]\.?m\.?))?{_ZONE}$"
COMPACT = r"^(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])$"
YEAR_LAST = rf"^\d{{1,2}}[-/.]\d{{1,2}}[-/.]\d{{4}}(?:[ ]*{_CLOCK})?$"
SHORT_YEAR = rf"^(?:\d{{1,2}}[-/.]\d{{1,2}}[-/.]\d{{2}}|\d{{1,2}}[ \-]{_MONTH}[ \-]\d{{2}})(?:[ ]*{_CLOCK})?$"

_WRITTEN = re.compile(
    rf"(?:(?P<plain>{_PLAIN_DAY})|(?P<last>\d{{1,2}}[-/.]\d{{1,2}}[-/.]\d{{4}})|(?P<named>{_NAMED_DAY})"
    rf"|(?P<numeral>{_NUMERAL_DAY}))(?:[ ]*(?P<clock>{_CLOCK})(?P<zone>{_ZONE})?)?"
)
_NUMERALS = {char: digit for digit, chars in enumerate(("〇○零", "一", "二", "三", "四", "五", "六", "七", "八", "九"))
             for char in chars}  # fmt: skip
_EPOCH_1900 = dt.datetime(1899, 12, 30)  # noqa: DTZ001  # spreadsheets know no time zone
_EPOCH_1904 = dt.datetime(1904, 1, 1)  # noqa: DTZ001
_DAY_US = 86_400_000_000


def parse(texts: Array, order: Order, zone: Zone = "") -> Array:
    """Timestamps (microseconds, no zone) for texts shaped YEAR_FIRST, COMPACT or, given an ``order``, YEAR_LAST.

    A text of that shape that is no date (30 February), or has an offset although ``zone`` is empty, becomes null.
    """
    simple = _canonical(texts, order)
    try:
        return pc.cast(simple, TIMESTAMP)
    except pa.ArrowInvalid:
        written = zip(texts.to_pylist(), simple.to_pylist(), strict=True)
        return pa.array([_one(text, canonical, order, zone) for text, canonical in written], TIMESTAMP)


def offset(text: str) -> str:
    """The offset from UTC that a ZONED text ends with, as ``+08:00``."""
    found = re.search(r"([+-])(\d{2}):?(\d{2})$", text)
    return "{}{}:{}".format(*found.groups()) if found else "+00:00"


def serials(numbers: Array, *, date1904: bool) -> Array:
    """Timestamps for spreadsheet day numbers (float64), rounded to the millisecond that spreadsheets keep."""
    epoch = _EPOCH_1904 if date1904 else _EPOCH_1900
    offset_us = (epoch - dt.datetime(1970, 1, 1)) // dt.timedelta(microseconds=1)  # noqa: DTZ001
    thousandths = pc.cast(pc.round(pc.multiply(numbers, 86_400_000.0)), pa.int64())
    return pc.cast(pc.add(pc.multiply(thousandths, 1000), offset_us), TIMESTAMP)


def all_midnight(stamps: Array) -> bool:
    """Whether no timestamp has a time of day."""
    return bool(pc.all(pc.equal(pc.floor_temporal(stamps, unit="day"), stamps), min_count=0).as_py())


def _canonical(texts: Array, order: Order) -> Array:
    """Simple forms rewritten to ISO, others as they are."""
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


def _one(text: str | None, canonical: str | None, order: Order, zone: Zone) -> dt.datetime | None:
    if text is None or canonical is None:
        return None
    try:
        if re.match(CANONICAL, canonical):
            return dt.datetime.fromisoformat(canonical)
        return _written(text, order, zone)
    except (ValueError, OverflowError):
        return None


def _written(text: str, order: Order, zone: Zone) -> dt.datetime | None:
    """One date in any form this module knows. Raises ValueError when there is no such day or time."""
    found = _WRITTEN.fullmatch(text)
    if found is None or (found["last"] and not order):
        return None
    if found["named"]:
        year, month, day = _named_day(found["named"])
    elif found["numeral"]:
        year, month, day = _numeral_day(found["numeral"])
    else:
        year, month, day = (int(part) for part in re.findall(r"\d+", found["plain"] or found["last"]))
        if found["last"]:
            year, month, day = (day, month, year) if order == "day_month_year" else (day, year, month)
    stamp = dt.datetime(year, month, day) + _clock(found["clock"] or "")  # noqa: DTZ001  # offsets are handled below
    if not found["zone"]:
        return stamp
    if not zone:
        return None
    sign, hours, minutes = offset(text)[0], int(offset(text)[1:3]), int(offset(text)[4:])
    ahead = dt.timedelta(hours=hours, minutes=minutes)
    utc = stamp - ahead if sign == "+" else stamp + ahead  # out of range in the first and the last year
    return stamp if zone == "wall" else utc


def _named_day(text: str) -> tuple[int, int, int]:
    name = re.search(_MONTH, text)
    day, year = (int(number) for number in re.findall(r"\d+", text))
    return year, _MONTHS.split("|").index(name[0][:3].lower()) + 1 if name else 0, day


def _numeral_day(text: str) -> tuple[int, int, int]:
    year, month, day = re.split("[年月日号]", text)[:3]
    return int("".join(str(_NUMERALS[char]) for char in year)), _numeral(month), _numeral(day)


def _numeral(text: str) -> int:
    """``二十三`` → 23; raises ValueError for what is no number from 1 to 39."""
    if not re.fullmatch("[二三]?十[一二三四五六七八九]?|[一二三四五六七八九]", text):
        raise ValueError(text)
    tens, ten, ones = text.rpartition("十")
    return (_NUMERALS.get(tens, 1) * 10 if ten else 0) + (_NUMERALS[ones] if ones else 0)


def _clock(text: str) -> dt.timedelta:
    """The time of day; raises ValueError for 25:00 or 13:00 PM."""
    digits = re.findall(r"\d+", text)
    hour, minute, second = (int(part) for part in (*digits[:3], "0", "0", "0")[:3])
    fraction = digits[3] if len(digits) > 3 else "0"
    if half := re.search(r"上午|下午|[ap](?=\.?m\.?$)", text, re.IGNORECASE):
        late = half[0].lower() in ("下午", "p")
        chinese = half[0] in ("上午", "下午")
        if hour > 12 and not (chinese and late):
            raise ValueError(text)
        hour = hour % 12 + 12 * late if hour <= 12 else hour
    if hour > 23 or minute > 59 or second > 59 or fraction[6:].strip("0"):
        raise ValueError(text)
    return dt.timedelta(hours=hour, minutes=minute, seconds=second, microseconds=int(fraction[:6].ljust(6, "0")))
