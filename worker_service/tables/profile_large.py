"""Describes those columns of a large table that have too many distinct values to count while writing."""

from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from .arrow import Array, pc
from .model import ColumnProfile, Histogram, TextLengths, TimeHistogram, TopValue
from .profile import BINS, TOP_VALUES, as_text, edges, finite, is_numeric, quantiles, time_bins, time_edges, top


class LargeProfiles:
    """Profiles columns of one large Parquet file in bounded memory, one at a time; use as a context manager."""

    def __init__(self, path: Path, number: int = 0, memory_bytes: int = 160 << 20) -> None:
        self._path = str(path)
        self._duckdb = duckdb.connect(
            config={
                "memory_limit": f"{memory_bytes >> 20}MiB",
                "threads": 1,  # sums of floats depend on the order of work: one thread always gives the same
                "temp_directory": str(path.parent / f"profile{number}.tmp"),
            }
        )

    def __enter__(self) -> "LargeProfiles":
        return self

    def __exit__(self, *_: object) -> None:
        self._duckdb.close()

    def column(self, name: str, dtype: pa.DataType, sample: Array) -> ColumnProfile:
        """Profile one column: distinct count, quantiles and the choice of top values from ``sample`` or estimated."""
        quoted = '"' + name.replace('"', '""') + '"'
        numeric, temporal = is_numeric(dtype), pa.types.is_temporal(dtype)
        facts = [
            "count(c)", "approx_count_distinct(c)", "min(c)", "max(c)",
            *(("avg(c)", "stddev_samp(c)") if numeric else ("NULL", "NULL")),
            *(("min(length(c))", "max(length(c))", "avg(length(c))") if not numeric and not temporal else ()),
        ]  # fmt: skip
        count, distinct, low, high, mean, deviation, *lengths = self._rows(", ".join(facts), quoted)[0]
        if not count:
            return ColumnProfile()
        return ColumnProfile(
            distinct_count=min(distinct, count),
            approximate=True,
            min=as_text(low),
            max=as_text(high),
            mean=finite(mean),
            stddev=finite(deviation),
            quantiles=quantiles(sample),
            top_values=self._top(quoted, sample),
            histogram=self._histogram(quoted, float(low), float(high)) if numeric else None,
            time_histogram=self._time_histogram(quoted, dtype) if temporal else None,
            lengths=TextLengths(*lengths) if lengths else None,
        )

    def _rows(self, select: str, quoted: str, rest: str = "", parameters: list[object] | None = None) -> list[Any]:
        query = f"SELECT {select} FROM (SELECT {quoted} AS c FROM read_parquet(?)) {rest}"  # noqa: S608  # quoted
        return self._duckdb.execute(query, [self._path, *(parameters or [])]).fetchall()

    def _top(self, quoted: str, sample: Array) -> tuple[TopValue, ...]:
        """The most frequent values of the sample with their counts in the whole column."""
        counted = pc.value_counts(sample)
        frequent = pc.select_k_unstable(counted.field("counts"), TOP_VALUES, sort_keys=[("", "descending")])
        likely = counted.field("values").take(frequent).to_pylist()
        rows = self._rows("c, count(*)", quoted, "WHERE list_contains(?, c) GROUP BY c", [likely])
        values, counts = pa.array([row[0] for row in rows], sample.type), pa.array([row[1] for row in rows], pa.int64())
        return top(values, counts)

    def _histogram(self, quoted: str, low: float, high: float) -> Histogram:
        if low == high:
            return Histogram((low, high), (self._rows("count(c)", quoted)[0][0],))
        place = f"least(greatest(floor((c::DOUBLE - {low!r}) * {BINS / (high - low)!r}), 0), {BINS - 1})::INT"
        return Histogram(edges(low, high), self._binned(quoted, place, BINS))

    def _time_histogram(self, quoted: str, dtype: pa.DataType) -> TimeHistogram:
        number = "(c - DATE '1970-01-01')::BIGINT" if pa.types.is_date32(dtype) else "epoch_us(c)"
        ((low, high),) = self._rows(f"min({number}), max({number})", quoted)
        width, bins = time_bins(low, high)
        place = f"least(({number} - {low}) // {width}, {bins - 1})::INT"
        return TimeHistogram(time_edges(dtype, low, width, bins), self._binned(quoted, place, bins))

    def _binned(self, quoted: str, place: str, bins: int) -> tuple[int, ...]:
        counts = dict(self._rows(f"{place}, count(*)", quoted, "WHERE c IS NOT NULL GROUP BY 1"))
        return tuple(counts.get(index, 0) for index in range(bins))


def profile_large(
    path: Path, names: list[str], samples: dict[int, Array], first: int, step: int
) -> dict[int, ColumnProfile]:
    """Profile every ``step``-th of the columns that have ``samples``, from the ``first`` on; position → profile."""
    mine = sorted(samples)[first::step]
    with LargeProfiles(path, first) as engine:
        return {index: engine.column(names[index], samples[index].type, samples[index]) for index in mine}
