"""Recognises a whole batch at once when its column has been all numbers or all dates so far."""

import struct

import pyarrow as pa

from . import dates, numbers
from .arrow import Array, pc
from .kinds import Evidence, Kind
from .numbers import MAX_EXACT_CHARS

_NUMBER_BYTES = b"0123456789.-"


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
        return self._decimals() if Kind.FLOAT in kinds and kinds <= {Kind.INT, Kind.FLOAT} else False

    def _decimals(self) -> bool:
        """Numbers short enough for float64; counted as decimals even if some are whole."""
        if not _are_short_decimals(self.column):
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


def _are_short_decimals(column: Array) -> bool:
    """Whether all values are decimals of at most 16 characters; far cheaper than one pattern a value."""
    if pc.max(pc.binary_length(column)).as_py() > MAX_EXACT_CHARS or _bytes(column).translate(None, _NUMBER_BYTES):
        return False
    if pc.any(pc.or_(pc.starts_with(column, "0"), pc.starts_with(column, "-0"))).as_py():
        return bool(pc.all(pc.match_substring_regex(column, numbers.SHORT_DECIMAL)).as_py())
    if pc.any(pc.or_(pc.ends_with(column, "."), pc.starts_with(column, "."))).as_py():
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
