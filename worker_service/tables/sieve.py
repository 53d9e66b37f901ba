"""What the values of a column look like: every value gets one kind, and the counts decide the column's type.

The work is done on distinct values, batch by batch, over all rows. Each pattern is tried only on what the previous
ones left, so a clean numeric column costs one pass.
"""

from functools import reduce

import pyarrow as pa

from . import bools, dates, numbers, width
from .arrow import Array, pc
from .kinds import Evidence, Kind
from .nulls import ERROR_SET, NOTHINGS
from .numbers import MAX_EXACT_CHARS, Shape
from .shortcut import Shortcut, are_short_decimals, note_point

_ID_CARD_15 = r"^[1-9]\d{5}\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\d{3}$"
_MAX_OTHERS = 1_000
_NEARLY_DISTINCT = 0.5
_BOOL_SET = pa.array(bools.SPELLINGS)


def observe(evidence: Evidence, column: Array) -> None:
    """Add the non-null strings of one batch."""
    column = column.drop_null()
    if not len(column):
        return
    if evidence.gave_up:
        evidence.counts[Kind.TEXT] += len(column)
        return
    if not evidence.padded and not len(evidence.nulls.asked) and Shortcut(evidence, column).taken():
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


class _Sieve:
    """One batch of distinct values, shrinking as kinds are recognised."""

    def __init__(self, evidence: Evidence, values: Array, weights: Array | None) -> None:
        self.evidence = evidence
        self.values = values
        self.weights = weights

    def run(self) -> None:
        """Try the kinds from common to rare; what none takes is text."""
        if len(self.evidence.nulls.asked):
            self._take(Kind.NULL_ALWAYS, pc.is_in(self.values, self.evidence.nulls.asked))
        if pc.any(pc.is_in(self.values, self.evidence.nulls.words), min_count=0).as_py():
            self._words()
        self._numbers()
        if len(self.values) and pc.any(self._matching(r"[\d年]")).as_py():
            self._written()
        self._fold()
        self._texts()

    def _written(self) -> None:
        """Numbers and dates in the forms people write."""
        self._years_first()
        if len(self.values):
            self._take(Kind.PERCENT, self._matching(numbers.PERCENT))
            self._separated()
            self._years_last()
            self._affixed()
            self._take(Kind.SHORT_YEAR, self._matching(dates.SHORT_YEAR))

    def _numbers(self) -> None:
        """Whole numbers and decimals; where there is nothing else, a decimal point tells them apart."""
        if len(self.values) and are_short_decimals(self.values):
            pointed = pc.or_(pc.match_substring(self.values, "."), pc.equal(self.values, "-0"))
            self._ints(self._take(Kind.INT, pc.invert(pointed)))
            if len(self.values):
                note_point(self.evidence, self._take(Kind.FLOAT, pc.is_valid(self.values)))
        else:
            self._ints(self._take(Kind.INT, self._matching(numbers.INT)))
            self._floats()

    def _words(self) -> None:
        """What stands in a list: null tokens, errors, yes and no."""
        self._take(Kind.NULL_ALWAYS, pc.is_in(self.values, self.evidence.nulls.always))
        self._nothings()
        self._take(Kind.ERROR, pc.is_in(self.values, ERROR_SET))
        self.evidence.bool_words.update(self._take(Kind.BOOL, pc.is_in(self.values, _BOOL_SET)).to_pylist())

    def _matching(self, pattern: str) -> Array:
        return pc.match_substring_regex(self.values, pattern)

    def _take(self, kind: Kind, mask: Array) -> Array:
        """Count the masked values as ``kind``, remove and return them."""
        if not len(self.values):
            return self.values
        hits = pc.sum(mask).as_py()
        if not hits:
            return self.values.slice(0, 0)
        taken = self.values if hits == len(self.values) else self.values.filter(mask)
        self.evidence.examples.setdefault(kind, taken[0].as_py())
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
        values, seen = pc.cast(taken, pa.int64()), self.evidence
        high = pc.max(values).as_py()
        compact = _compact_dates(taken) if high >= 19_000_101 else values.slice(0, 0)
        seen.note_ints(values.filter(pc.is_null(compact)) if len(compact) else values, compact.drop_null())
        if high >= 13_000_000_000:
            in_range = pc.and_(pc.greater_equal(values, 13_000_000_000), pc.less(values, 20_000_000_000))
            seen.phones += pc.sum(in_range).as_py()
        if high >= 10**14:
            seen.id_cards += pc.sum(pc.match_substring_regex(taken, _ID_CARD_15)).as_py()

    def _floats(self) -> None:
        if not len(self.values):
            return
        mask = self._matching(numbers.FLOAT)
        long = pc.and_(mask, pc.greater(pc.utf8_length(self.values), MAX_EXACT_CHARS))
        if pc.any(long, min_count=0).as_py():
            mask = pc.and_(mask, pc.invert(pc.is_in(self.values, numbers.inexact(self.values.filter(long)))))
        note_point(self.evidence, self._take(Kind.FLOAT, mask))

    def _separated(self) -> None:
        seen = self.evidence
        found = numbers.separators(self.values)
        if not found:
            return
        for shape, mask in found.items():
            seen.shapes[shape] += self._weight(mask, pc.sum(mask).as_py())
        if Shape.COMMA in found:
            seen.may_be_fours &= numbers.are_fours(self.values.filter(found[Shape.COMMA]))
        for shape in numbers.WITH_POINT & set(found):
            self._find_point(self.values.filter(found[shape]))
        self._take(Kind.SEPARATED, reduce(pc.or_, found.values()))

    def _affixed(self) -> None:
        taken = self._take(Kind.AFFIXED, numbers.affixed(self.values))
        if len(taken):
            self.evidence.affixes.update(numbers.affixes(taken))
            self._find_point(taken)

    def _find_point(self, texts: Array) -> None:
        """Remember whether any of the texts, in which a point is a decimal mark, has one."""
        if not self.evidence.has_point:
            self.evidence.has_point = bool(pc.any(pc.match_substring(texts, "."), min_count=0).as_py())

    def _nothings(self) -> None:
        """Null tokens of typed columns; of those, 无 may be the "no" of a column that says 有."""
        weights = self.weights
        taken = pc.is_in(self.values, NOTHINGS)
        if pc.any(taken, min_count=0).as_py():
            for word in self.values.filter(taken).to_pylist():
                mask = pc.equal(self.values, word)
                hits = pc.sum(mask).as_py() if weights is None else pc.sum(weights.filter(mask)).as_py()
                self.evidence.nothings[word] += hits
        self._take(Kind.NULL_TYPED, pc.is_in(self.values, self.evidence.nulls.typed))

    def _fold(self) -> None:
        """Take what is written in full-width characters and go through the kinds again with its plain form."""
        if not len(self.values):
            return
        mask = width.foldable(self.values)
        if not pc.any(mask).as_py():
            return
        plain = width.folded(self.values.filter(mask))
        weights = None if self.weights is None else self.weights.filter(mask)
        rest = pc.invert(mask)
        self.values = self.values.filter(rest)
        self.weights = None if self.weights is None else self.weights.filter(rest)
        self.evidence.folded = True
        _Sieve(self.evidence, plain, weights).run()

    def _years_first(self) -> None:
        if not len(self.values):
            return
        mask = self._matching(dates.YEAR_FIRST)
        if not pc.any(mask).as_py():
            return
        shaped = self.values.filter(mask)
        stamps = dates.parse(shaped, "", "wall")
        if stamps.null_count:
            mask = pc.and_(mask, pc.invert(pc.is_in(self.values, shaped.filter(pc.is_null(stamps)))))
            stamps = stamps.drop_null()
        if len(stamps):
            self.evidence.note_dates(stamps)
            self._note_zones(mask)
        self._take(Kind.YEAR_FIRST, mask)

    def _note_zones(self, mask: Array) -> None:
        zoned = pc.and_(mask, self._matching(dates.ZONED))
        if pc.any(zoned).as_py():
            self.evidence.zoned += self._weight(zoned, pc.sum(zoned).as_py())
            texts = self.values.filter(zoned)
            ends = pc.unique(pc.utf8_slice_codeunits(texts, -6, None) if len(texts) else texts)
            self.evidence.offsets.update(dates.offset(end) for end in ends.to_pylist())

    def _years_last(self) -> None:
        """Day/month dates: which order makes dates of them."""
        shaped = self._take(Kind.YEAR_LAST, self._matching(dates.YEAR_LAST))
        if not len(shaped):
            return
        day_first, month_first = dates.parse(shaped, "day_month_year"), dates.parse(shaped, "month_day_year")
        seen = self.evidence
        seen.not_day_first += day_first.null_count
        seen.not_month_first += month_first.null_count
        stamps = pc.coalesce(day_first, month_first).drop_null()
        seen.has_clock = seen.has_clock or not dates.all_midnight(stamps)

    def _texts(self) -> None:
        others = self.evidence.others
        if len(others) < _MAX_OTHERS and len(self.values):
            values = self.values.slice(0, _MAX_OTHERS).to_pylist()
            weights = [1] * len(values) if self.weights is None else self.weights.slice(0, _MAX_OTHERS).to_pylist()
            for value, weight in zip(values, weights, strict=True):
                others[value] += weight
        self._take(Kind.TEXT, pc.is_valid(self.values))


def _compact_dates(texts: Array) -> Array:
    """Timestamps for those whole numbers that may be dates without separators, null for the others."""
    nothing = pa.scalar(None, pa.string())
    return dates.parse(pc.if_else(pc.match_substring_regex(texts, dates.COMPACT), texts, nothing), "")
