"""Counts the values of one column while it is written, so that most columns of a large table need no second look."""

from bisect import bisect_right

import pyarrow as pa

from .arrow import Array, pc
from .model import ColumnProfile, Histogram, TextLengths, TimeHistogram
from .profile import (
    BINS,
    QUANTILES,
    as_integers,
    as_text,
    edges,
    finite,
    is_numeric,
    labelled,
    time_bins,
    time_edges,
    top,
)

_MAX_DISTINCT = 20_000
_MAX_HELD = 100_000
_SAMPLE_ROWS = 100_000


class Tally:
    """The distinct values of a column with their counts, as long as they are few, and a sample of its rows."""

    def __init__(self, dtype: pa.DataType, rows: int) -> None:
        """``rows`` is how many there will be."""
        self._held: list[Array] = [
            pa.StructArray.from_arrays([pa.array([], dtype), pa.array([], pa.int64())], ["values", "counts"])
        ]
        self._stride = max(1, rows // _SAMPLE_ROWS)
        self._row = 0
        self._held_values = 0
        self._samples: list[Array] = []
        self.has_many = False

    def add(self, column: Array) -> None:
        """Count one batch; every n-th row is also kept as it is."""
        first = -self._row % self._stride
        self._samples.append(column.take(pa.array(range(first, len(column), self._stride), pa.int64())))
        self._row += len(column)
        if self.has_many:
            return
        counted = pc.value_counts(column.drop_null())
        if len(counted) > _MAX_DISTINCT or (len(column) > 10_000 and len(counted) * 2 > len(column)):
            self._give_up()
            return
        self._held.append(counted)
        self._held_values += len(counted)
        if self._held_values > _MAX_HELD:
            merged = self._merged()
            self._held, self._held_values = [merged], len(merged)
            if len(merged) > _MAX_DISTINCT:
                self._give_up()

    def sample(self) -> Array:
        """The sampled values without nulls."""
        return pa.concat_arrays(self._samples).drop_null()

    def profile(self) -> ColumnProfile:
        """The exact profile; only while not ``has_many``."""
        counted = self._merged()
        return from_counts(counted.field("values"), counted.field("counts"))

    def _give_up(self) -> None:
        self.has_many, self._held = True, []

    def _merged(self) -> Array:
        if len(self._held) == 1:
            return self._held[0]
        parts = [pa.table({"values": p.field("values"), "counts": p.field("counts")}) for p in self._held]
        table = pa.concat_tables(parts)
        merged = table.group_by("values", use_threads=False).aggregate([("counts", "sum")]).combine_chunks()
        columns = [merged.column(name).combine_chunks() for name in ("values", "counts_sum")]
        return pa.StructArray.from_arrays(columns, ["values", "counts"])


def from_counts(values: Array, counts: Array) -> ColumnProfile:
    """The exact profile of a column from its distinct values and how often each occurs."""
    if not len(values):
        return ColumnProfile()
    dtype = values.type
    low, high = pc.min_max(values).as_py().values()
    numeric = is_numeric(dtype)
    mean, deviation = _moments(values, counts) if numeric else (None, None)
    return ColumnProfile(
        distinct_count=len(values),
        min=as_text(low),
        max=as_text(high),
        mean=mean,
        stddev=deviation,
        quantiles=_quantiles(values, counts, numeric=numeric),
        top_values=top(values, counts),
        histogram=_histogram(values, counts, float(low), float(high)) if numeric else None,
        time_histogram=_time_histogram(values, counts) if pa.types.is_temporal(dtype) else None,
        lengths=_lengths(values, counts) if pa.types.is_string(dtype) else None,
    )


def _moments(values: Array, counts: Array) -> tuple[float | None, float | None]:
    total = pc.sum(counts).as_py()
    floats = pc.cast(values, pa.float64())
    mean = pc.sum(pc.multiply(floats, counts)).as_py() / total
    apart = pc.subtract(floats, mean)
    spread = pc.sum(pc.multiply(pc.multiply(apart, apart), counts)).as_py()
    return finite(mean), finite((spread / (total - 1)) ** 0.5) if total > 1 else None


def _quantiles(values: Array, counts: Array, *, numeric: bool) -> dict[str, str]:
    if not numeric and not pa.types.is_temporal(values.type):
        return {}
    order = pc.sort_indices(values)
    in_order = values.take(order)
    reached: list[int] = pc.cumulative_sum(counts.take(order)).to_pylist()
    found: list[object] = []
    for share in QUANTILES:
        place = share * (reached[-1] - 1)
        if numeric:
            below = in_order[bisect_right(reached, int(place))].as_py()
            above = in_order[bisect_right(reached, min(int(place) + 1, reached[-1] - 1))].as_py()
            found.append(below + (above - below) * (place - int(place)))
        else:
            found.append(in_order[bisect_right(reached, round(place))].as_py())
    return labelled(found)


def _histogram(values: Array, counts: Array, low: float, high: float) -> Histogram:
    if low == high:
        return Histogram((low, high), (pc.sum(counts).as_py(),))
    scaled = pc.multiply(pc.subtract(pc.cast(values, pa.float64()), low), BINS / (high - low))
    return Histogram(edges(low, high), _weights(pc.cast(scaled, pa.int64(), safe=False), counts, BINS))


def _time_histogram(values: Array, counts: Array) -> TimeHistogram:
    numbers = as_integers(values)
    low, high = pc.min_max(numbers).as_py().values()
    width, bins = time_bins(low, high)
    places = pc.divide(pc.subtract(numbers, low), width)
    return TimeHistogram(time_edges(values.type, low, width, bins), _weights(places, counts, bins))


def _weights(places: Array, counts: Array, bins: int) -> tuple[int, ...]:
    """How many values fall into each bin; the last one takes what stands on its upper edge."""
    table = pa.table({"bin": pc.min_element_wise(places, bins - 1), "count": counts})
    summed = table.group_by("bin", use_threads=False).aggregate([("count", "sum")]).to_pylist()
    found = {row["bin"]: row["count_sum"] for row in summed}
    return tuple(found.get(index, 0) for index in range(bins))


def _lengths(values: Array, counts: Array) -> TextLengths:
    lengths = pc.utf8_length(values)
    low, high = pc.min_max(lengths).as_py().values()
    total = pc.sum(pc.multiply(pc.cast(lengths, pa.int64()), counts)).as_py()
    return TextLengths(low, high, total / pc.sum(counts).as_py())
