"""Describes clean columns: exactly up to a million rows, above that with distincts and quantiles approximate."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from .arrow import Array, pc
from .model import ColumnProfile, Histogram, TextLengths, TimeHistogram, TopValue

EXACT_ROWS = 1_000_000
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
_TOP_VALUES = 20
_TOP_CHARS = 64
_BINS = 20
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
    numeric = pa.types.is_integer(column.type) or pa.types.is_floating(column.type)
    return ColumnProfile(
        distinct_count=len(counted),
        min=as_text(low),
        max=as_text(high),
        mean=_finite(pc.mean(column).as_py()) if numeric else None,
        stddev=_finite(pc.stddev(column, ddof=1, min_count=2).as_py()) if numeric else None,
        quantiles=_quantiles(column, numeric=numeric),
        top_values=_top(counted),
        histogram=_histogram(column, float(low), float(high)) if numeric else None,
        time_histogram=_time_histogram(column) if pa.types.is_temporal(column.type) else None,
        lengths=_lengths(column) if pa.types.is_string(column.type) else None,
    )


class Approximate:
    """Profiles columns of one large Parquet file in bounded memory, one at a time; use as a context manager."""

    def __init__(self, path: Path, number: int = 0, memory_bytes: int = 160 << 20) -> None:
        self._path = str(path)
        self._duckdb = duckdb.connect(
            config={
                "memory_limit": f"{memory_bytes >> 20}MiB",
                "threads": 1,  # estimates depend on the order of work: one thread always gives the same
                "temp_directory": str(path.parent / f"profile{number}.tmp"),
            }
        )

    def __enter__(self) -> "Approximate":
        return self

    def __exit__(self, *_: object) -> None:
        self._duckdb.close()

    def column(self, name: str, dtype: pa.DataType) -> ColumnProfile:
        """Profile one column: min, max, mean, deviation and histogram exact, the rest approximate."""
        numeric = pa.types.is_integer(dtype) or pa.types.is_floating(dtype)
        ordered = numeric or pa.types.is_temporal(dtype)
        quoted = '"' + name.replace('"', '""') + '"'
        row = self._one(
            f"count(c), approx_count_distinct(c), min(c), max(c), approx_top_k(c, {_TOP_VALUES}), "
            + ("avg(c), stddev_samp(c), " if numeric else "NULL, NULL, ")
            + (f"approx_quantile(c, {list(QUANTILES)})" if ordered else "NULL"),
            quoted,
        )
        count, distinct, low, high, top, mean, deviation, quantiles = row
        if not count:
            return ColumnProfile()
        return ColumnProfile(
            distinct_count=min(distinct, count),
            approximate=True,
            min=as_text(low),
            max=as_text(high),
            mean=_finite(mean),
            stddev=_finite(deviation),
            quantiles=_labelled(quantiles or []),
            top_values=self._top_counts(quoted, top),
            histogram=self._histogram(quoted, float(low), float(high)) if numeric else None,
        )

    def _one(self, select: str, quoted: str, parameters: list[object] | None = None) -> tuple[Any, ...]:
        query = f"SELECT {select} FROM (SELECT {quoted} AS c FROM read_parquet(?))"  # noqa: S608  # quoted
        row = self._duckdb.execute(query, [self._path, *(parameters or [])]).fetchone()
        return row or ()

    def _top_counts(self, quoted: str, top: list[object]) -> tuple[TopValue, ...]:
        query = (
            f"SELECT c, count(*) FROM (SELECT {quoted} AS c FROM read_parquet(?)) "  # noqa: S608  # quoted
            "WHERE list_contains(?, c) GROUP BY c ORDER BY 2 DESC, 1"
        )
        rows = self._duckdb.execute(query, [self._path, top]).fetchall()
        return tuple(TopValue(as_text(value)[:_TOP_CHARS], count) for value, count in rows)

    def _histogram(self, quoted: str, low: float, high: float) -> Histogram:
        if low == high:
            count = self._one("count(c)", quoted)[0]
            return Histogram((low, high), (count,))
        step = (high - low) / _BINS
        query = (
            f"SELECT least(greatest(floor((c - {low!r}) / {step!r}), 0), {_BINS - 1})::INT, count(*) "  # noqa: S608
            f"FROM (SELECT {quoted}::DOUBLE AS c FROM read_parquet(?)) WHERE c IS NOT NULL GROUP BY 1"
        )
        counts = dict(self._duckdb.execute(query, [self._path]).fetchall())
        return Histogram(_edges(low, high), tuple(counts.get(index, 0) for index in range(_BINS)))


def approximate(
    path: Path, names: list[str], types: list[pa.DataType], first: int, step: int
) -> dict[int, ColumnProfile]:
    """Profile every ``step``-th column of a large Parquet file from ``first`` on; position → profile."""
    with Approximate(path, first) as engine:
        return {index: engine.column(names[index], types[index]) for index in range(first, len(names), step)}


def as_text(value: object) -> str:
    """Canonical text: ISO dates and times, ``true``/``false``, shortest digits that give the number back."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _quantiles(column: Array, *, numeric: bool) -> dict[str, str]:
    if numeric:
        return _labelled(pc.quantile(column, list(QUANTILES)).to_pylist())
    if not pa.types.is_temporal(column.type):
        return {}
    width = pa.int32() if pa.types.is_date32(column.type) else pa.int64()
    nearest = pc.quantile(pc.cast(column, width), list(QUANTILES), interpolation="nearest")
    return _labelled(pc.cast(pc.cast(nearest, width), column.type).to_pylist())


def _labelled(values: list[object]) -> dict[str, str]:
    return {f"{q:g}": as_text(value) for q, value in zip(QUANTILES, values, strict=False)}


def _top(counted: Array) -> tuple[TopValue, ...]:
    """The most frequent values; equal counts in order of value, so that the result is always the same."""
    table = pa.table({"value": counted.field("values"), "count": counted.field("counts")})
    order = pc.sort_indices(table, sort_keys=[("count", "descending"), ("value", "ascending")])
    rows = table.take(order.slice(0, _TOP_VALUES)).to_pylist()
    return tuple(TopValue(as_text(row["value"])[:_TOP_CHARS], row["count"]) for row in rows)


def _histogram(column: Array, low: float, high: float) -> Histogram:
    if low == high:
        return Histogram((low, high), (len(column),))
    scaled = pc.multiply(pc.subtract(pc.cast(column, pa.float64()), low), _BINS / (high - low))
    bins = pc.min_element_wise(pc.cast(scaled, pa.int32(), safe=False), pa.scalar(_BINS - 1, pa.int32()))
    counts = {item["values"]: item["counts"] for item in pc.value_counts(bins).to_pylist()}
    return Histogram(_edges(low, high), tuple(counts.get(index, 0) for index in range(_BINS)))


def _time_histogram(column: Array) -> TimeHistogram:
    """At most 20 bins of whole days or whole microseconds."""
    numbers = _as_integers(column)
    low, high = pc.min_max(numbers).as_py().values()
    width, bins = time_bins(low, high)
    places = pc.min_element_wise(pc.divide(pc.subtract(numbers, low), width), bins - 1)
    counts = {item["values"]: item["counts"] for item in pc.value_counts(places).to_pylist()}
    return TimeHistogram(time_edges(column.type, low, width, bins), tuple(counts.get(i, 0) for i in range(bins)))


def time_bins(low: int, high: int) -> tuple[int, int]:
    """Width and number of equal bins of whole units from ``low`` to ``high``."""
    width = max(1, -(-(high - low) // _BINS))
    return width, max(1, -(-(high - low) // width))


def time_edges(dtype: pa.DataType, low: int, width: int, bins: int) -> tuple[str, ...]:
    """The edges as canonical text; bins that reach beyond the last possible day end there."""
    last = 2_932_896 if pa.types.is_date32(dtype) else 253_402_300_799_999_999
    numbers = [min(low + width * index, last) for index in range(bins + 1)]
    whole = pa.int32() if pa.types.is_date32(dtype) else pa.int64()
    return tuple(as_text(value) for value in pc.cast(pa.array(numbers, whole), dtype).to_pylist())


def _as_integers(column: Array) -> Array:
    """Days or microseconds since 1970."""
    return pc.cast(pc.cast(column, pa.int32() if pa.types.is_date32(column.type) else pa.int64()), pa.int64())


def _lengths(column: Array) -> TextLengths:
    lengths = pc.utf8_length(column)
    low, high = pc.min_max(lengths).as_py().values()
    return TextLengths(low, high, pc.mean(lengths).as_py())


def _edges(low: float, high: float) -> tuple[float, ...]:
    return (*(low + (high - low) * index / _BINS for index in range(_BINS)), high)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
