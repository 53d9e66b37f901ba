"""Recognises a whole batch at once when its column has been all numbers or all dates so far."""

import struct

import pyarrow as pa

from . import dates, numbers
from .arrow import Array, pc
from .kinds import Evidence, Kind
from .numbers import MAX_EXACT_CHARS

_DIGITS = b"0123456789"
_NUMBER_BYTES = _DIGITS + b".-"
_MAX_WHOLE_CHARS = 7  # a date without separators has eight


class Shortcut:
    """If all values so far were of one kind, the next batch most likely is too: one look at it is enough."""

    def __init__(self, evidence: Evidence, column: Array) -> None:
        self.evidence = evidence
        self.column = column

    def taken(self) -> bool:
        """Whether the whole batch was recognised, and counted, as the expected kind."""
        kinds = set(self.evidence.counts)
        if not kinds or not kinds <= {Kind.INT, Kind.FLOAT, Kind.YEAR_FIRST}:
            return False
        if kinds == {Kind.YEAR_FIRST}:
            return self._dates()
        if kinds == {Kind.INT}:
            return self._whole()
        return self._decimals() if Kind.FLOAT in kinds and kinds <= {Kind.INT, Kind.FLOAT} else False

    def _whole(self) -> bool:
        """Whole numbers that are too small for dates without separators and phones."""
        if pc.max(pc.binary_length(self.column)).as_py() > _MAX_WHOLE_CHARS:
            return False
        if _bytes(self.column).translate(None, _DIGITS) or pc.any(pc.starts_with(self.column, "0")).as_py():
            return False
        numbers = pc.cast(self.column, pa.int64())
        self.evidence.counts[Kind.INT] += len(self.column)
        self.evidence.note_ints(numbers, numbers.slice(0, 0))
        return True

    def _decimals(self) -> bool:
        """Numbers short enough for float64; counted as decimals even if some are whole."""
        if not are_short_decimals(self.column):
            return False
        self.evidence.counts[Kind.FLOAT] += len(self.column)
        note_point(self.evidence, self.column)
        return True

    def _dates(self) -> bool:
        """Canonical dates, which Arrow itself parses; it would also take an hour alone, 13 characters long."""
        lengths = pc.binary_length(self.column)
        if pc.any(pc.equal(lengths, 13)).as_py() or pc.max(lengths).as_py() > 26:
            return False
        try:
            stamps = pc.cast(self.column, dates.TIMESTAMP)
        except pa.ArrowInvalid:
            return False
        self.evidence.counts[Kind.YEAR_FIRST] += len(self.column)
        self.evidence.note_dates(stamps)
        return True


def are_short_decimals(column: Array) -> bool:
    """Whether all values are numbers of at most 16 characters; far cheaper than one pattern a value."""
    lengths = pc.binary_length(column)
    longest = pc.max(lengths).as_py()
    if longest > MAX_EXACT_CHARS or _bytes(column).translate(None, _NUMBER_BYTES):
        return False
    if longest == MAX_EXACT_CHARS:  # then it needs a sign or a point among them
        signed = pc.match_substring_regex(column, r"^-|[.]")
        if not pc.all(pc.or_(pc.less(lengths, MAX_EXACT_CHARS), signed)).as_py():
            return False
    if pc.any(pc.or_(pc.ends_with(column, "."), pc.starts_with(column, "."))).as_py():
        return False
    zeros = pc.or_(pc.starts_with(column, "0"), pc.starts_with(column, "-0"))
    if (
        pc.any(zeros).as_py()
        and not pc.all(pc.match_substring_regex(column.filter(zeros), numbers.SHORT_DECIMAL)).as_py()
    ):
        return False
    try:
        pc.cast(column, pa.float64())
    except pa.ArrowInvalid:
        return False
    return True


def _bytes(column: Array) -> bytes:
    """All texts of a string array without nulls, one after the other."""
    _, offsets, data = column.buffers()
    (start,) = struct.unpack_from("<i", offsets, 4 * column.offset)
    (stop,) = struct.unpack_from("<i", offsets, 4 * (column.offset + len(column)))
    return bytes(data)[start:stop] if data is not None else b""


def note_point(evidence: Evidence, decimals: Array) -> None:
    """Remember whether some decimal point cannot divide thousands."""
    if not evidence.has_point and len(decimals):
        pointed = pc.match_substring(decimals, ".")
        groups = pc.match_substring_regex(decimals, numbers.POINT_OR_GROUP)
        evidence.has_point = bool(pc.any(pc.and_not(pointed, groups)).as_py())
