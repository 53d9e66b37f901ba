"""Applies a column's decision to one batch and says where each of its cells went."""

from collections import Counter
from dataclasses import dataclass, field

import pyarrow as pa

from . import dates, numbers, width
from .arrow import Array, pc
from .bools import spellings
from .decision import Decision
from .errors import InvariantError
from .model import MAX_SAMPLES, MAX_WARNING_ROWS, Sample
from .nulls import BLANK, ERROR_SET, NOTHINGS

_SAMPLE_CHARS = 64


@dataclass
class Account:
    """Where the non-empty source cells of one column went. ``source_nonempty`` is counted when they are read."""

    source_nonempty: int = 0
    typed: int = 0
    kept_as_text: int = 0
    rejected: int = 0
    filled_down: int = 0
    filled_rows: list[int] = field(default_factory=list)
    null_tokens: Counter[str] = field(default_factory=Counter)
    error_codes: Counter[str] = field(default_factory=Counter)
    error_rows: list[int] = field(default_factory=list)
    serials: int = 0
    serial_rows: list[int] = field(default_factory=list)
    long_rows: list[int] = field(default_factory=list)
    odd_samples: list[Sample] = field(default_factory=list)
    plain_samples: list[Sample] = field(default_factory=list)

    def check(self, name: str) -> None:
        """Raise InvariantError unless every source cell is accounted for."""
        gone = self.typed + self.kept_as_text + self.null_tokens.total() + self.error_codes.total() + self.rejected
        if gone != self.source_nonempty:
            raise InvariantError(f"column {name!r}: {self.source_nonempty} cells were read, {gone} accounted for")

    @property
    def samples(self) -> tuple[Sample, ...]:
        """The cells that need a look first, then plain ones; at most 5."""
        return tuple((self.odd_samples + self.plain_samples)[:MAX_SAMPLES])


def clean(column: Array, rows: Array, decision: Decision, account: Account) -> Array:
    """The batch in the decision's Arrow type; null where a cell was empty, a null token or an error."""
    texts = pc.utf8_trim_whitespace(column) if decision.padded else column
    is_text = decision.dtype == "string"
    values = column if is_text else texts
    if decision.has_nulls:
        values = _without_nulls(column, texts, rows, decision, account)
    result = values if is_text else _cast(values, rows, decision, account)
    kept = len(result) - result.null_count
    if is_text:
        account.kept_as_text += kept
    else:
        account.typed += kept
    _plain_samples(values, rows, "text" if is_text else "typed", account)
    return result


def _without_nulls(column: Array, texts: Array, rows: Array, decision: Decision, account: Account) -> Array:
    """The values with null tokens and errors taken out, which are counted and sampled."""
    is_text = decision.dtype == "string"
    tokens = pc.is_in(texts, decision.nulls.always if is_text else decision.nulls.typed)
    errors = pc.is_in(texts, ERROR_SET)
    if decision.family[0] == "有":
        tokens = pc.and_not(tokens, pc.is_in(texts, NOTHINGS))
    if pc.any(errors).as_py():
        _count(texts, rows, errors, account.error_codes)
        _note_rows(rows, errors, account.error_rows)
        _sample(column, rows, errors, "error", account.odd_samples)
    if pc.any(tokens).as_py():
        _count(texts, rows, tokens, account.null_tokens)
        _sample(column, rows, tokens, "null_token", account.odd_samples)
    return pc.if_else(pc.or_(errors, tokens), pa.scalar(None, pa.string()), column if is_text else texts)


def _cast(values: Array, rows: Array, decision: Decision, account: Account) -> Array:
    if decision.folded:
        encoded = values.dictionary_encode()
        values = _half_width(encoded.dictionary).take(encoded.indices)
    if decision.dtype in ("int64", "float64"):
        return pc.cast(numbers.plain(values, decision.format) if decision.format else values, decision.arrow_type)
    if decision.dtype == "bool":
        return _booleans(values, decision.family[0])
    if not decision.format:
        try:
            return pc.cast(pc.cast(values, dates.TIMESTAMP), decision.arrow_type)
        except pa.ArrowInvalid:
            pass  # some are written differently
    encoded = values.dictionary_encode()
    if decision.format == "serials":
        _note_serials(values, rows, account)
        stamps = _dates_and_serials(encoded.dictionary, decision)
    else:
        stamps = dates.parse(encoded.dictionary, decision.order, decision.zone)
    return pc.cast(stamps, decision.arrow_type).take(encoded.indices)


def _half_width(texts: Array) -> Array:
    return pc.if_else(width.foldable(texts), width.folded(texts), texts)


def _booleans(values: Array, yes: str) -> Array:
    return pc.if_else(values.is_valid(), pc.is_in(values, pa.array(spellings(yes))), pa.scalar(None, pa.bool_()))


def _dates_and_serials(texts: Array, decision: Decision) -> Array:
    is_serial = _is_serial(texts)
    nothing = pa.scalar(None, pa.string())
    numbers = pc.cast(pc.if_else(is_serial, texts, nothing), pa.float64())
    stamps = dates.parse(pc.if_else(is_serial, nothing, texts), "")
    return pc.coalesce(stamps, dates.serials(numbers, date1904=decision.date1904))


def _is_serial(texts: Array) -> Array:
    return pc.match_substring_regex(texts, r"^\d{5,7}$")


def _note_serials(values: Array, rows: Array, account: Account) -> None:
    mask = pc.fill_null(_is_serial(values), False)
    account.serials += pc.sum(mask).as_py() or 0
    _note_rows(rows, mask, account.serial_rows)


def _count(texts: Array, _rows: Array, mask: Array, counter: Counter[str]) -> None:
    for item in pc.value_counts(texts.filter(mask)).to_pylist():
        counter[item["values"] or BLANK] += item["counts"]


def _note_rows(rows: Array, mask: Array, noted: list[int]) -> None:
    missing = MAX_WARNING_ROWS - len(noted)
    if missing > 0:
        noted += rows.filter(mask).slice(0, missing).to_pylist()


def _sample(column: Array, rows: Array, mask: Array, outcome: str, samples: list[Sample]) -> None:
    missing = MAX_SAMPLES - len(samples)
    if missing > 0:
        found = zip(rows.filter(mask)[:missing].to_pylist(), column.filter(mask)[:missing].to_pylist(), strict=True)
        samples += [Sample(row, raw[:_SAMPLE_CHARS], outcome) for row, raw in found]  # type: ignore[arg-type]


def _plain_samples(values: Array, rows: Array, outcome: str, account: Account) -> None:
    if len(account.plain_samples) < MAX_SAMPLES:
        _sample(values, rows, pc.is_valid(values), outcome, account.plain_samples)
