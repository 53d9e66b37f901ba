"""Writes the clean table and the rejects as Parquet: zstd, row groups of bounded rows, cells and bytes."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from .arrow import Array
from .errors import InvariantError
from .model import Limits

_GROUP_CELLS = 4_000_000
_GROUP_BYTES = 64 << 20  # in memory: a dictionary may hide that a small row group is a large one

_REJECT_FIELDS: list[Any] = [
    pa.field("row", pa.int64(), nullable=False),
    pa.field("column", pa.string()),
    pa.field("raw", pa.string(), nullable=False),
    pa.field("reason", pa.string(), nullable=False),
]
REJECTS = pa.schema(_REJECT_FIELDS)


def schema(names: list[str], sources: list[str], units: list[str], types: list[pa.DataType]) -> pa.Schema:
    """The clean table's schema; each field's metadata holds its ``source_name`` and, if it has one, its ``unit``."""
    fields: list[Any] = []
    for name, source, unit, dtype in zip(names, sources, units, types, strict=True):
        facts = {"source_name": source, **({"unit": unit} if unit else {})}
        fields.append(pa.field(name, dtype, metadata=facts))
    return pa.schema(fields)


class CleanWriter:
    """Gathers clean batches into full row groups; use as a context manager."""

    def __init__(
        self, path: Path, columns: pa.Schema, repetitive: list[str], limits: Limits, on_rows: Callable[[int], None]
    ) -> None:
        """``repetitive`` names the columns worth a dictionary."""
        self._schema = columns
        self._group_rows = max(1, min(limits.row_group_rows, _GROUP_CELLS // max(len(columns), 1)))
        self._on_rows = on_rows
        self._held: list[pa.RecordBatch] = []
        self._held_rows = 0
        self._held_bytes = 0
        self.rows_written = 0
        self._thread = ThreadPoolExecutor(1)
        self._pending: Future[None] | None = None
        dictionary: Any = repetitive or False  # the stubs know only the boolean
        self._writer = pq.ParquetWriter(
            path, columns, compression="zstd", compression_level=1, use_dictionary=dictionary, write_page_index=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._write(everything=True)
                self._wait()
        finally:
            self._thread.shutdown()
            self._writer.close()

    def note(self, facts: dict[str, str]) -> None:
        """Add to the file's own metadata."""
        self._writer.add_key_value_metadata(facts)

    def append(self, columns: list[Array]) -> None:
        """Add one batch of typed columns."""
        batch = pa.record_batch(columns, schema=self._schema)
        self._held.append(batch)
        self._held_rows += batch.num_rows
        self._held_bytes += batch.nbytes
        if self._held_rows >= self._group_rows or self._held_bytes >= _GROUP_BYTES:
            self._write(everything=self._held_bytes >= _GROUP_BYTES)

    def _write(self, *, everything: bool) -> None:
        table = pa.Table.from_batches(self._held, self._schema)
        rows = table.num_rows if everything else table.num_rows // self._group_rows * self._group_rows
        if rows or (everything and not self.rows_written):
            self._wait()
            self._pending = self._thread.submit(self._writer.write_table, table.slice(0, rows), self._group_rows)
        self.rows_written += rows
        rest = table.slice(rows)
        self._held, self._held_rows, self._held_bytes = rest.to_batches(), rest.num_rows, rest.nbytes
        self._on_rows(self.rows_written)

    def _wait(self) -> None:
        """One row group is written while the next is cleaned, never two: memory stays bounded."""
        if self._pending is not None:
            self._pending.result()
            self._pending = None


def verify(path: Path, rows: int, null_counts: list[int]) -> None:
    """Read the file's own footer; raises InvariantError unless rows and nulls are what cleaning counted."""
    footer = pq.read_metadata(path)
    if footer.num_rows != rows:
        raise InvariantError(f"{footer.num_rows} rows were written, {rows} cleaned")
    for index, expected in enumerate(null_counts):
        stored = 0
        for group in range(footer.num_row_groups):
            statistics = footer.row_group(group).column(index).statistics
            if statistics is None or statistics.null_count is None:
                break
            stored += statistics.null_count
        else:
            if stored != expected:
                raise InvariantError(f"column {index}: {stored} nulls were written, {expected} counted")


def rejects(parts: list[pa.RecordBatch]) -> pa.Table:
    """Batches of REJECTS as one table, by row."""
    return pa.Table.from_batches(parts, REJECTS).sort_by("row")


def as_rejects(cells: list[tuple[int, str | None, str, str]]) -> list[pa.RecordBatch]:
    """(1-based source row, column name or None, raw text, reason) as a batch of REJECTS."""
    if not cells:
        return []
    columns = [pa.array(values, field.type) for values, field in zip(zip(*cells, strict=True), REJECTS, strict=True)]
    return [pa.record_batch(columns, schema=REJECTS)]


def write_rejects(path: Path, rejects: pa.Table) -> None:
    """Write a table of REJECTS; nothing if it has no rows."""
    if len(rejects):
        pq.write_table(rejects, path, compression="zstd")
