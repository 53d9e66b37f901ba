"""What the values of a column look like: every value gets one kind, and the counts decide the column's type.

The work is done on distinct values, batch by batch, over all rows. Each pattern is tried only on what the previous
ones left, so a clean numeric column costs one pass.
"""

import pyarrow as pa

from . import dates
from .arrow import Array, pc
from .kinds import BOOL_FAMILIES, Evidence, Kind
from .nulls import ALWAYS_SET, ERROR_SET, TYPED_SET

_INT = r"^(?:-?[1-9]\d{0,14}|0)$"
_FLOAT = (
    r"^-?(?:0|[1-9]\d*)?\.\d+$"
    r"|^-?(?:0|[1-9]\d*)(?:\.\d+)?[eE][+-]\d{1,2}$"  # 1E5 without sign or point is more likely a code
    r"|^-?(?:0|[1-9]\d*)\.\d+[eE]\d{1,2}$"
    r"|^-0$"
)
_SHORT_DECIMAL = r"^-?(?:0|[1-9]\d*)(?:\.\d+)?$"
_THOUSANDS = r"^-?[1-9]\d{0,2}(?:,\d{3}){1,4}(?:\.\d{1,3})?$"
_PERCENT = r"^-?(?:0|[1-9]\d{0,9})(?:\.\d{1,5})?\s?[%％]$"
_ID_CARD_15 = r"^[1-9]\d{5}\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\d{3}$"
_MAX_EXACT_CHARS = 16  # fifteen digits and a point always survive float64
_MAX_EXAMPLES = 5
_NEARLY_DISTINCT = 0.5
_BOOL_SET = pa.array([text for family in BOOL_FAMILIES for text in family])


def observe(evidence: Evidence, column: Array) -> None:
    """Add the non-null strings of one batch."""
    column = column.drop_null()
    if not len(column):
        return
    if evidence.gave_up:
        evidence.counts[Kind.TEXT] += len(column)
        return
    if not evidence.padded and _Shortcut(evidence, column).taken():
        return
    if evidence.nearly_distinct:
        values, weights = column, None
    else:
        counted = pc.value_counts(column)
        values, weights = counted.field("values"), counted.field("counts")
        evidence.nearly_distinct = len(column) > 1000 and len(values) > _NEARLY_DISTINCT * len(column)
    trimmed = pc.utf8_trim_whitespace(values)
    if not evidence.padded:
        evidence.padded = not trimmed.equals(values)
    _Sieve(evidence, trimmed, weights).run()


class _Shortcut:
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
        if pc.max(pc.binary_length(self.column)).as_py() > _MAX_EXACT_CHARS:
            return False
        if not pc.all(pc.match_substring_regex(self.column, _SHORT_DECIMAL)).as_py():
            return False
        self.evidence.counts[Kind.FLOAT] += len(self.column)
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


class _Sieve:
    """One batch of distinct values, shrinking as kinds are recognised."""

    def __init__(self, evidence: Evidence, values: Array, weights: Array | None) -> None:
        self.evidence = evidence
        self.values = values
        self.weights = weights

    def run(self) -> None:
        """Try the kinds from common to rare; what none takes is text."""
        self._ints(self._take(Kind.INT, pc.match_substring_regex(self.values, _INT)))
        self._floats()
        self._years_first()
        self._take(Kind.NULL_ALWAYS, pc.is_in(self.values, ALWAYS_SET))
        self._take(Kind.NULL_TYPED, pc.is_in(self.values, TYPED_SET))
        self._take(Kind.ERROR, pc.is_in(self.values, ERROR_SET))
        self._bools(self._take(Kind.BOOL, pc.is_in(self.values, _BOOL_SET)))
        if len(self.values):
            self._take(Kind.PERCENT, pc.match_substring_regex(self.values, _PERCENT))
            thousands = self._take(Kind.THOUSANDS, pc.match_substring_regex(self.values, _THOUSANDS))
            if pc.any(pc.match_substring(thousands, "."), min_count=0).as_py():
                self.evidence.thousands_with_point = True
            self._years_last()
            self._texts()

    def _take(self, kind: Kind, mask: Array) -> Array:
        """Count the masked values as ``kind``, remove and return them."""
        if not len(self.values):
            return self.values
        hits = pc.sum(mask).as_py()
        if not hits:
            return self.values.slice(0, 0)
        taken = self.values if hits == len(self.values) else self.values.filter(mask)
        self.evidence.counts[kind] += self._weight(mask, hits)
        if hits == len(self.values):
            self.values = self.values.slice(0, 0)
            self.weights = None if self.weights is None else self.weights.slice(0, 0)
            return taken
        rest = pc.invert(mask)
        self.values = self.values.filter(rest)
        if self.weights is not None:
            self.weights = self.weights.filter(rest)
        return taken

    def _weight(self, mask: Array, hits: int) -> int:
        return hits if self.weights is None else int(pc.sum(self.weights.filter(mask)).as_py())

    def _ints(self, taken: Array) -> None:
        if not len(taken):
            return
        numbers, seen = pc.cast(taken, pa.int64()), self.evidence
        high = pc.max(numbers).as_py()
        compact = _compact_dates(taken) if high >= 19_000_101 else numbers.slice(0, 0)
        seen.note_ints(numbers.filter(pc.is_null(compact)) if len(compact) else numbers, compact.drop_null())
        if high >= 13_000_000_000:
            in_range = pc.and_(pc.greater_equal(numbers, 13_000_000_000), pc.less(numbers, 20_000_000_000))
            seen.phones += pc.sum(in_range).as_py()
        if high >= 10**14:
            seen.id_cards += pc.sum(pc.match_substring_regex(taken, _ID_CARD_15)).as_py()

    def _floats(self) -> None:
        if not len(self.values):
            return
        mask = pc.match_substring_regex(self.values, _FLOAT)
        long = pc.and_(mask, pc.greater(pc.utf8_length(self.values), _MAX_EXACT_CHARS))
        if pc.any(long, min_count=0).as_py():
            mask = pc.and_(mask, pc.invert(pc.is_in(self.values, _inexact(self.values.filter(long)))))
        self._take(Kind.FLOAT, mask)

    def _years_first(self) -> None:
        if not len(self.values):
            return
        mask = pc.match_substring_regex(self.values, dates.YEAR_FIRST)
        if not pc.any(mask).as_py():
            return
        shaped = self.values.filter(mask)
        stamps = dates.parse(shaped, "")
        if stamps.null_count:
            mask = pc.and_(mask, pc.invert(pc.is_in(self.values, shaped.filter(pc.is_null(stamps)))))
            stamps = stamps.drop_null()
        self._take(Kind.YEAR_FIRST, mask)
        if len(stamps):
            self.evidence.note_dates(stamps)

    def _years_last(self) -> None:
        """Day/month dates: which of the first two numbers can only be a day."""
        shaped = self._take(Kind.YEAR_LAST, pc.match_substring_regex(self.values, dates.YEAR_LAST))
        if not len(shaped):
            return
        seen = self.evidence
        parts = pc.extract_regex(shaped, r"^(?P<first>\d{1,2})[-/.](?P<second>\d{1,2})")
        seen.first_above_12 += pc.sum(pc.greater(pc.cast(parts.field("first"), pa.int64()), 12)).as_py()
        seen.second_above_12 += pc.sum(pc.greater(pc.cast(parts.field("second"), pa.int64()), 12)).as_py()
        seen.year_last_example = seen.year_last_example or shaped[0].as_py()
        if not seen.has_clock:
            seen.has_clock = pc.any(pc.match_substring_regex(shaped, ":.*[1-9]|[ T]0*[1-9]")).as_py()

    def _bools(self, taken: Array) -> None:
        for text in pc.unique(taken).to_pylist():
            self.evidence.bool_families.update(n for n, family in enumerate(BOOL_FAMILIES) if text in family)

    def _texts(self) -> None:
        seen = self.evidence
        missing = _MAX_EXAMPLES - len(seen.text_examples)
        seen.text_examples += self.values.slice(0, max(missing, 0)).to_pylist()
        self._take(Kind.TEXT, pc.is_valid(self.values))


def _compact_dates(texts: Array) -> Array:
    """Timestamps for those whole numbers that may be dates without separators, null for the others."""
    nothing = pa.scalar(None, pa.string())
    return dates.parse(pc.if_else(pc.match_substring_regex(texts, dates.COMPACT), texts, nothing), "")


def _inexact(texts: Array) -> Array:
    """Those long decimals that float64 cannot give back digit for digit."""
    printed = pc.cast(pc.cast(texts, pa.float64()), pa.string())
    doubtful = texts.filter(pc.not_equal(printed, texts))
    return pa.array([text for text in doubtful.to_pylist() if not _round_trips(text)], pa.string())


def _round_trips(text: str) -> bool:
    """Whether the shortest text of the float has the same digits."""
    return _digits(repr(float(text))) == _digits(text)


def _digits(text: str) -> tuple[str, int]:
    """Significant digits without sign, and the power of ten of the last one."""
    mantissa, _, exponent = text.lower().lstrip("-").partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    significant = digits.rstrip("0")
    if not significant:
        return "", 0
    return significant, int(exponent or 0) - len(fraction) + len(digits) - len(significant)
