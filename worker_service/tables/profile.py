"""Describes clean columns: exactly up to a million rows or few distinct values, else with estimates."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from .arrow import Array, pc
from .model import ColumnProfile, Histogram, TextLengths, TimeHistogram, TopValue
from .profile_counts import (
    BINS,
    QUANTILES,
    TOP_VALUES,
    as_integers,
    as_text,
    describe,
    edges,
    finite,
    labelled,
    time_bins,
    time_edges,
    top_value,
)

EXACT_ROWS = 1_000_000
_LENGTHS = "{'low': min(length(c)), 'high': max(length(c)), 'mean': avg(length(c))}"
_FEW_VALUES = 50_000  # so many distinct ones are counted exactly in a table of any size
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
    return describe(counted.field("values"), counted.field("counts"))


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
        """Profile one column: exactly if it has few distinct values, else distincts, quantiles and top approximate."""
        count, distinct = self._one("count(c), approx_count_distinct(c)", _quoted(name))
        if not count:
            return ColumnProfile()
        return self._counted(_quoted(name)) if distinct <= _FEW_VALUES else self._estimated(name, dtype, distinct)

    def _counted(self, quoted: str) -> ColumnProfile:
        query = (
            f"SELECT c, count(*) AS n FROM (SELECT {quoted} AS c FROM read_parquet(?)) "  # noqa: S608  # quoted
            "WHERE c IS NOT NULL GROUP BY c"
        )
        table: pa.Table = self._duckdb.sql(query, params=[self._path]).to_arrow_table()
        return describe(table.column("c").combine_chunks(), table.column("n").combine_chunks())

    def _estimated(self, name: str, dtype: pa.DataType, distinct: int) -> ColumnProfile:
        numeric = pa.types.is_integer(dtype) or pa.types.is_floating(dtype)
        temporal = pa.types.is_temporal(dtype)
        quoted = _quoted(name)
        row = self._one(
            f"count(c), min(c), max(c), approx_top_k(c, {TOP_VALUES}), "
            + ("avg(c), stddev_samp(c), " if numeric else "NULL, NULL, ")
            + (f"approx_quantile(c, {list(QUANTILES)}), " if numeric or temporal else "NULL, ")
            + (_LENGTHS if pa.types.is_string(dtype) else "NULL"),
            quoted,
        )
        count, low, high, top, mean, deviation, quantiles, lengths = row
        return ColumnProfile(
            distinct_count=min(distinct, count),
            approximate=True,
            min=as_text(low),
            max=as_text(high),
            mean=finite(mean),
            stddev=finite(deviation),
            quantiles=labelled(quantiles or []),
            top_values=self._top_counts(quoted, top),
            histogram=self._histogram(quoted, float(low), float(high)) if numeric else None,
            time_histogram=self._time_histogram(quoted, dtype, low, high) if temporal else None,
            lengths=TextLengths(*lengths.values()) if lengths else None,
        )

    def _one(self, select: str, quoted: str, parameters: list[object] | None = None) -> tuple[Any, ...]:
        query = f"SELECT {select} FROM (SELECT {quoted} AS c FROM read_parquet(?))"  # noqa: S608  # quoted
        (row,) = self._duckdb.execute(query, [self._path, *(parameters or [])]).fetchall()
        return tuple(row)

    def _top_counts(self, quoted: str, top: list[object]) -> tuple[TopValue, ...]:
        query = (
            f"SELECT c, count(*) FROM (SELECT {quoted} AS c FROM read_parquet(?)) "  # noqa: S608  # quoted
            "WHERE c IN (SELECT unnest(?)) GROUP BY c ORDER BY 2 DESC, 1"
        )
        rows = self._duckdb.execute(query, [self._path, top]).fetchall()
        return tuple(top_value(value, count) for value, count in rows)

    def _histogram(self, quoted: str, low: float, high: float) -> Histogram:
        if low == high:
            count = self._one("count(c)", quoted)[0]
            return Histogram((low, high), (count,))
        step = (high - low) / BINS
        return Histogram(edges(low, high), self._binned(f"floor(({quoted}::DOUBLE - {low!r}) / {step!r})", BINS))

    def _time_histogram(self, quoted: str, dtype: pa.DataType, low: object, high: object) -> TimeHistogram:
        first, last = (as_integers(pa.array([value], dtype))[0].as_py() for value in (low, high))
        width, bins = time_bins(first, last)
        number = f"({quoted} - DATE '1970-01-01')" if pa.types.is_date32(dtype) else f"epoch_us({quoted})"
        counts = self._binned(f"({number} - ({first})) // {width}", bins)
        return TimeHistogram(time_edges(dtype, first, width, bins), counts)

    def _binned(self, place: str, bins: int) -> tuple[int, ...]:
        """How many values fall in each bin; ``place`` is the SQL of a value's bin, which may be one too high."""
        query = (
            f"SELECT least(greatest(b, 0), {bins - 1})::INT, count(*) "  # noqa: S608  # numbers and a quoted name
            f"FROM (SELECT {place} AS b FROM read_parquet(?)) WHERE b IS NOT NULL GROUP BY 1"
        )
        counts = dict(self._duckdb.execute(query, [self._path]).fetchall())
        return tuple(counts.get(index, 0) for index in range(bins))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def approximate(
    path: Path, names: list[str], types: list[pa.DataType], first: int, step: int
) -> dict[int, ColumnProfile]:
    """Profile every ``step``-th column of a large Parquet file from ``first`` on; position → profile."""
    with Approximate(path, first) as engine:
        return {index: engine.column(names[index], types[index]) for index in range(first, len(names), step)}
