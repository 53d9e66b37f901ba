"""DuckDB for what needs the whole table: within a memory limit, spilling to disk, on files.

No text of a caller becomes SQL: columns go by their place (c0, c1, …), values as parameters. It may touch no files but
those of its folder.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeAlias

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from shared.actions.plan import Aggregate, Distinct, Sort, Spread
from shared.expressions import arrow_type
from worker_service.sandbox.task import Refused
from worker_service.tables.arrow import Array, pc
from worker_service.tables.profile import as_text

Tables: TypeAlias = Iterator[pa.Table]

_BATCH_ROWS = 65_536
_MAX_PIVOT_NAMES = 1000
_MAX_NAME_CHARS = 255
_AGGREGATES: dict[Aggregate, str] = {
    "first": "arg_min(v, r)",
    "count": "count(v)",
    "sum": "sum(v)",
    "mean": "favg(v)",
    "min": "min(v)",
    "max": "max(v)",
}


class Engine:
    """Use it as a context manager."""

    def __init__(self, folder: Path, *, memory_bytes: int, threads: int = 2) -> None:
        self._folder = folder
        self._memory_bytes = memory_bytes
        self._threads = threads
        self._held = ExitStack()

    @cached_property
    def _duckdb(self) -> duckdb.DuckDBPyConnection:
        """The connection, made when it is needed: many lists of actions never do."""
        config: dict[str, Any] = {
            "memory_limit": f"{self._memory_bytes >> 20}MiB",
            "threads": self._threads,
            "temp_directory": str(self._folder / "duckdb.tmp"),
            "preserve_insertion_order": "true",
        }
        connection = self._held.enter_context(duckdb.connect(config=config))
        connection.execute("SET allowed_directories = [$1]", [str(self._folder)])
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        return connection

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._held.close()

    def sort(self, path: Path, step: Sort) -> Tables:
        """Give the rows in order; rows with equal keys keep the order they have."""
        names = _names(path)
        order = [
            f"c{names.index(name)} {'DESC' if descending else 'ASC'} NULLS {'FIRST' if nulls_first else 'LAST'}"
            for name, descending, nulls_first in step.keys
        ]
        columns = ", ".join(f"c{place}" for place in range(len(names)))
        query = f"SELECT {columns} FROM {_table(names)} ORDER BY {', '.join(order)}, r"  # noqa: S608  # places alone
        return self._tables(query, path, pq.read_schema(path))

    def firsts(self, path: Path, step: Distinct) -> Array:
        """Return the places of the first (or last) rows among those that are equal, rising."""
        names = _names(path)
        keys = ", ".join(f"c{names.index(name)}" for name in step.columns)
        pick = "max" if step.keep_last else "min"
        query = f"SELECT {pick}(r) AS k FROM {_table(names)} GROUP BY {keys} ORDER BY k"  # noqa: S608  # places alone
        return self._duckdb.sql(query, params=[str(path)]).to_arrow_table().column(0).combine_chunks()

    def most_frequent(self, path: Path, column: str) -> Any:
        """Return the most frequent value, the smallest of several; None when all are null or NaN."""
        names = _names(path)
        place = f"c{names.index(column)}"
        query = (
            f"SELECT {place} FROM {_table(names)} WHERE {place} IS NOT NULL AND {place} = {place} "  # noqa: S608
            f"AND CAST({place} AS VARCHAR) <> 'nan' GROUP BY {place} ORDER BY count(*) DESC, {place} LIMIT 1"
        )
        row = self._duckdb.execute(query, [str(path)]).fetchone()
        return row[0] if row else None

    def pivot(self, path: Path, step: Spread) -> Tables:
        """Give one row for each combination of the row columns, in the order of their first occurrence."""
        columns = _names(path)
        schema = pq.read_schema(path)
        names = step.names if step.names is not None else self._pivot_names(path, columns, step)
        keys = [f"c{columns.index(name)}" for name in step.row_columns]
        source = _table(columns)
        inner = (
            f"SELECT {', '.join(keys)}, r, c{columns.index(step.names_from)} AS n, "  # noqa: S608  # places alone
            f"c{columns.index(step.values_from)} AS v FROM {source}"
        )
        aggregate = _AGGREGATES[step.aggregate]
        if step.aggregate == "sum":
            aggregate = "fsum(v)" if step.dtype == "float64" else aggregate
        spread = [f"{aggregate} FILTER (WHERE n = ${place} AND v IS NOT NULL)" for place in range(2, len(names) + 2)]
        if step.aggregate == "sum" and step.dtype == "int64":
            spread = [f"CAST({part} AS BIGINT)" for part in spread]
        known = ", ".join(f"${place}" for place in range(2, len(names) + 2))
        query = (
            f"SELECT {', '.join([*keys, *spread])} FROM ({inner}) WHERE n IN ({known}) "  # noqa: S608  # places alone
            f"GROUP BY {', '.join(keys)} ORDER BY min(r)"
        )
        fields: list[Any] = [schema.field(name) for name in step.row_columns]
        fields += [pa.field(name, arrow_type(step.dtype)) for _, name in names]
        result = pa.schema(fields)
        if not names:
            return iter([result.empty_table()])
        return _settled(self._tables(query, path, result, [value for value, _ in names]), len(step.row_columns), step)

    def _pivot_names(self, path: Path, columns: Sequence[str], step: Spread) -> list[tuple[Any, str]]:
        place = f"c{columns.index(step.names_from)}"
        query = (
            f"SELECT DISTINCT {place} FROM {_table(columns)} WHERE {place} IS NOT NULL "  # noqa: S608  # places alone
            f"ORDER BY {place} LIMIT {_MAX_PIVOT_NAMES + 1}"
        )
        values = [row[0] for row in self._duckdb.execute(query, [str(path)]).fetchall()]
        if len(values) > _MAX_PIVOT_NAMES:
            message = f"The pivot would make more than {_MAX_PIVOT_NAMES:,} columns; name those you want."
            raise Refused("LIMIT_EXCEEDED", message, metadata={"limit": "pivot_names"})
        names: list[tuple[Any, str]] = []
        taken = set(step.row_columns)
        for value in values:
            name = stem = as_text(value)[:_MAX_NAME_CHARS] or "empty"
            number = 2
            while name in taken:
                name, number = f"{stem}__{number}", number + 1
            taken.add(name)
            names.append((value, name))
        return names

    def _tables(self, query: str, path: Path, schema: pa.Schema, values: Sequence[Any] = ()) -> Tables:
        empty = True
        try:
            reader = self._duckdb.sql(query, params=[str(path), *values]).to_arrow_reader(_BATCH_ROWS)
            for batch in reader:
                empty = False
                yield pa.Table.from_batches([batch]).rename_columns(schema.names).cast(schema)
        except duckdb.ConversionException:
            message = "A sum of the pivot does not fit 64 bits; convert the column to float64 first."
            raise Refused("ARITHMETIC_OVERFLOW", message) from None
        if empty:
            yield schema.empty_table()


def _names(path: Path) -> list[str]:
    return list(pq.read_schema(path).names)


def _table(names: Sequence[str]) -> str:
    """Return the file $1 as a table of columns c0, c1, … and r, the place of the row."""
    columns = ", ".join(f"c{place}" for place in range(len(names)))
    return f"read_parquet($1, file_row_number = true) AS t ({columns}, r)"


def _settled(tables: Tables, first: int, step: Spread) -> Tables:
    """Make null of sums and means that are no finite number, as all calculations do."""
    for table in tables:
        columns = table.columns
        if step.dtype == "float64" and step.aggregate in {"sum", "mean"}:
            nothing = pa.scalar(None, pa.float64())
            columns[first:] = [pc.if_else(pc.is_finite(column), column, nothing) for column in columns[first:]]
        yield pa.table(columns, schema=table.schema)
