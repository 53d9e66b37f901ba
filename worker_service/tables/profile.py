"""Describes clean columns that fit into memory, exactly."""

import math
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from .arrow import Array, pc
from .model import ColumnProfile, Histogram, TextLengths, TimeHistogram, TopValue

EXACT_ROWS = 250_000  # more rows are counted while they are written: sorting them all would take memory and time
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
TOP_VALUES = 20
_TOP_CHARS = 64
BINS = 20
_READ_CELLS = 4_000_000


def columns_in_groups(path: Path) -> Iterator[Array]:
    """The columns of the Parquet file at ``path`` in order, read a few at a time."""
    file = pq.ParquetFile(path)
    names = file.schema_arrow.names
    step = max(1, _READ_CELLS // max(file.metadata.num_rows, 1))
    for start in range(0, len(names), step):
        yield from file.read(columns=names[start : start + step]).columns


def exact(chunks: Array) -> ColumnProfile:
    """Profile one column, all values considered."""
    column = chunks.drop_null().combine_chunks()
    if not len(column):
        return ColumnProfile()
    counted = pc.value_counts(column)
    low, high = pc.min_max(column).as_py().values()
    numeric = is_numeric(column.type)
    return ColumnProfile(
        distinct_count=len(counted),
        min=as_text(low),
        max=as_text(high),
        mean=finite(pc.mean(column).as_py()) if numeric else None,
        stddev=finite(pc.stddev(column, ddof=1, min_count=2).as_py()) if numeric else None,
        quantiles=quantiles(column),
        top_values=top(counted.field("values"), counted.field("counts")),
        histogram=_histogram(column, float(low), float(high)) if numeric else None,
        time_histogram=_time_histogram(column) if pa.types.is_temporal(column.type) else None,
        lengths=_lengths(column) if pa.types.is_string(column.type) else None,
    )


def as_text(value: object) -> str:
    """Canonical text: ISO dates and times, ``true``/``false``, shortest digits that give the number back."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def is_numeric(dtype: pa.DataType) -> bool:
    """Whether a mean makes sense."""
    return bool(pa.types.is_integer(dtype) or pa.types.is_floating(dtype))


def quantiles(column: Array) -> dict[str, str]:
    """Of numbers interpolated, of dates and times the nearest one; none of the others."""
    if is_numeric(column.type):
        return labelled(pc.quantile(column, list(QUANTILES)).to_pylist())
    if not pa.types.is_temporal(column.type):
        return {}
    width = pa.int32() if pa.types.is_date32(column.type) else pa.int64()
    nearest = pc.quantile(pc.cast(column, width), list(QUANTILES), interpolation="nearest")
    return labelled(pc.cast(pc.cast(nearest, width), column.type).to_pylist())


def labelled(values: list[object]) -> dict[str, str]:
    """Values at QUANTILES, by share."""
    return {f"{q:g}": as_text(value) for q, value in zip(QUANTILES, values, strict=False)}


def top(values: Array, counts: Array) -> tuple[TopValue, ...]:
    """The most frequent values; equal counts in order of value, so that the result is always the same."""
    table = pa.table({"value": values, "count": counts})
    order = pc.select_k_unstable(table, TOP_VALUES, sort_keys=[("count", "descending"), ("value", "ascending")])
    rows = table.take(order).to_pylist()
    return tuple(TopValue(as_text(row["value"])[:_TOP_CHARS], row["count"]) for row in rows)


def _histogram(column: Array, low: float, high: float) -> Histogram:
    if low == high:
        return Histogram((low, high), (len(column),))
    scaled = pc.multiply(pc.subtract(pc.cast(column, pa.float64()), low), BINS / (high - low))
    bins = pc.min_element_wise(pc.cast(scaled, pa.int32(), safe=False), pa.scalar(BINS - 1, pa.int32()))
    counts = {item["values"]: item["counts"] for item in pc.value_counts(bins).to_pylist()}
    return Histogram(edges(low, high), tuple(counts.get(index, 0) for index in range(BINS)))


def _time_histogram(column: Array) -> TimeHistogram:
    """At most 20 bins of whole days or whole microseconds."""
    numbers = as_integers(column)
    low, high = pc.min_max(numbers).as_py().values()
    width, bins = time_bins(low, high)
    places = pc.min_element_wise(pc.divide(pc.subtract(numbers, low), width), bins - 1)
    counts = {item["values"]: item["counts"] for item in pc.value_counts(places).to_pylist()}
    return TimeHistogram(time_edges(column.type, low, width, bins), tuple(counts.get(i, 0) for i in range(bins)))


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


def as_integers(column: Array) -> Array:
    """Days or microseconds since 1970."""
    return pc.cast(pc.cast(column, pa.int32() if pa.types.is_date32(column.type) else pa.int64()), pa.int64())


def _lengths(column: Array) -> TextLengths:
    lengths = pc.utf8_length(column)
    low, high = pc.min_max(lengths).as_py().values()
    return TextLengths(low, high, pc.mean(lengths).as_py())


def edges(low: float, high: float) -> tuple[float, ...]:
    """The edges of equal-width bins."""
    return (*(low + (high - low) * index / BINS for index in range(BINS)), high)


def finite(value: float | None) -> float | None:
    """The value, None for what is no number that JSON knows."""
    return value if value is not None and math.isfinite(value) else None
