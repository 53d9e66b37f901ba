"""Describes a column exactly, by its distinct values and how often each occurs."""

import math

import pyarrow as pa

from .arrow import Array, pc
from .model import ColumnProfile, Histogram, TextLengths, TimeHistogram, TopValue

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
TOP_VALUES = 20
BINS = 20
_TOP_CHARS = 64


def describe(values: Array, counts: Array) -> ColumnProfile:
    """The profile of a column that holds each of the distinct non-null ``values`` so often."""
    if not len(values):
        return ColumnProfile()
    dtype = values.type
    low, high = pc.min_max(values).as_py().values()
    numeric = pa.types.is_integer(dtype) or pa.types.is_floating(dtype)
    mean, stddev = _moments(values, counts) if numeric else (None, None)
    return ColumnProfile(
        distinct_count=len(values),
        min=as_text(low),
        max=as_text(high),
        mean=mean,
        stddev=stddev,
        quantiles=_quantiles(values, counts) if numeric or pa.types.is_temporal(dtype) else {},
        top_values=_top(values, counts),
        histogram=_histogram(values, counts, float(low), float(high)) if numeric else None,
        time_histogram=_time_histogram(values, counts) if pa.types.is_temporal(dtype) else None,
        lengths=_lengths(values, counts) if pa.types.is_string(dtype) else None,
    )


def as_text(value: object) -> str:
    """Canonical text: ISO dates and times, ``true``/``false``, shortest digits that give the number back."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def top_value(value: object, count: int) -> TopValue:
    """A frequent value, its text cut."""
    return TopValue(as_text(value)[:_TOP_CHARS], count)


def labelled(values: list[object]) -> dict[str, str]:
    """Quantiles by their probability."""
    return {f"{q:g}": as_text(value) for q, value in zip(QUANTILES, values, strict=False)}


def time_bins(low: int, high: int) -> tuple[int, int]:
    """Width and number of equal bins of whole units from ``low`` to ``high``."""
    width = max(1, -(-(high - low) // BINS))
    return width, max(1, -(-(high - low) // width))


def time_edges(dtype: pa.DataType, low: int, width: int, bins: int) -> tuple[str, ...]:
    """The edges as canonical text; bins that reach beyond the last possible day end there."""
    last = 2_932_896 if pa.types.is_date32(dtype) else 253_402_300_799_999_999
    numbers = [min(low + width * index, last) for index in range(bins + 1)]
    whole = pa.int32() if pa.types.is_date32(dtype) else pa.int64()
    return tuple(as_text(value) for value in pc.cast(pa.array(numbers, whole), dtype).to_pylist())


def edges(low: float, high: float) -> tuple[float, ...]:
    """The edges of the bins of a number column; the last one is ``high`` itself."""
    return (*(low + (high - low) * index / BINS for index in range(BINS)), high)


def finite(value: float | None) -> float | None:
    """``value``, unless it is too large for a float."""
    return value if value is not None and math.isfinite(value) else None


def as_integers(times: Array) -> Array:
    """Days or microseconds since 1970 as int64."""
    whole = pa.int32() if pa.types.is_date32(times.type) else pa.int64()
    return pc.cast(pc.cast(times, whole), pa.int64())


def _moments(values: Array, counts: Array) -> tuple[float | None, float | None]:
    """Mean and sample standard deviation."""
    rows = pc.sum(counts).as_py()
    floats, weights = pc.cast(values, pa.float64()), pc.cast(counts, pa.float64())
    mean = pc.sum(pc.multiply(floats, weights)).as_py() / rows
    if rows < 2:
        return finite(mean), None
    apart = pc.subtract(floats, mean)
    squares = pc.sum(pc.multiply(pc.multiply(apart, apart), weights)).as_py()
    return finite(mean), finite(math.sqrt(squares / (rows - 1)) if math.isfinite(squares) else None)


def _quantiles(values: Array, counts: Array) -> dict[str, str]:
    """Numbers are interpolated between neighbours; of days and times the nearest is taken."""
    order = pc.sort_indices(values)
    ordered, reached = values.take(order), pc.cumulative_sum(counts.take(order))
    last = reached[-1].as_py() - 1

    def at(rank: int) -> object:
        return ordered[pc.sum(pc.less_equal(reached, rank)).as_py() or 0].as_py()

    found: list[object] = []
    for quantile in QUANTILES:
        place = quantile * last
        if pa.types.is_temporal(values.type):
            found.append(at(round(place)))
            continue
        low, high = float(at(math.floor(place))), float(at(math.ceil(place)))  # type: ignore[arg-type]  # numbers
        found.append(low + (high - low) * (place - math.floor(place)))
    return labelled(found)


def _top(values: Array, counts: Array) -> tuple[TopValue, ...]:
    """The most frequent values; equal counts in order of value, so that the result is always the same."""
    table = pa.table({"value": values, "count": counts})
    if len(table) > TOP_VALUES:  # sorting all values by text is slow where nearly all are distinct
        least = pc.select_k_unstable(counts, TOP_VALUES, [("", "descending")])[-1]
        table = table.filter(pc.greater_equal(counts, counts[least.as_py()]))
    keys = [("count", "descending"), ("value", "ascending")]
    rows = table.take(pc.select_k_unstable(table, min(TOP_VALUES, len(table)), keys)).to_pylist()
    return tuple(top_value(row["value"], row["count"]) for row in rows)


def _binned(places: Array, counts: Array, bins: int) -> tuple[int, ...]:
    summed = pa.table({"bin": places, "count": counts}).group_by("bin").aggregate([("count", "sum")]).to_pylist()
    found = {row["bin"]: row["count_sum"] for row in summed}
    return tuple(found.get(index, 0) for index in range(bins))


def _histogram(values: Array, counts: Array, low: float, high: float) -> Histogram:
    if low == high:
        return Histogram((low, high), (pc.sum(counts).as_py(),))
    scaled = pc.multiply(pc.subtract(pc.cast(values, pa.float64()), low), BINS / (high - low))
    places = pc.min_element_wise(pc.cast(scaled, pa.int32(), safe=False), pa.scalar(BINS - 1, pa.int32()))
    return Histogram(edges(low, high), _binned(places, counts, BINS))


def _time_histogram(values: Array, counts: Array) -> TimeHistogram:
    """At most 20 bins of whole days or whole microseconds."""
    numbers = as_integers(values)
    low, high = pc.min_max(numbers).as_py().values()
    width, bins = time_bins(low, high)
    places = pc.min_element_wise(pc.divide(pc.subtract(numbers, low), width), bins - 1)
    return TimeHistogram(time_edges(values.type, low, width, bins), _binned(places, counts, bins))


def _lengths(values: Array, counts: Array) -> TextLengths:
    lengths = pc.utf8_length(values)
    low, high = pc.min_max(lengths).as_py().values()
    total = pc.sum(pc.multiply(pc.cast(lengths, pa.int64()), counts)).as_py()
    return TextLengths(low, high, total / pc.sum(counts).as_py())
