"""First pass: reads every row once, counts what is there, gathers evidence and spills the text.

What is counted here is counted before any cleaning, so that the second pass can be held against it.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from .arrow import Array, pc
from .errors import limit_exceeded
from .grid import Batch
from .kinds import Evidence, Kind
from .model import Limits
from .sieve import observe
from .text_lines import RowTally

KEPT_ROWS = 1_000_000  # source row numbers are remembered up to here
_MEMORY_BYTES = 64 << 20
_NOTE_ROWS = 20
_NOTE_MARKS = ("注", "备注", "说明", "来源", "note", "source", "*", "※")
_TOTALS = ("合计", "总计", "小计", "总和", "共计", "total", "totals", "grand total", "subtotal", "sum")
_CASES = (str, str.upper, str.title, str.capitalize)
_TOTALS_SET = pa.array(sorted({case(text) for text in _TOTALS for case in _CASES}))
_NEVER_TOTALS = frozenset((Kind.INT, Kind.FLOAT, Kind.YEAR_FIRST))


@dataclass
class Loose:
    """A source cell that is not in the table: its row, column number (1-based, 0 = none), raw text and why."""

    row: int
    column: int
    raw: str
    reason: str


@dataclass
class Intake:
    """All body rows as text, and what was counted on the way in."""

    width: int
    limits: Limits
    folder: Path
    pool: Executor
    protected_rows: Array
    row_count: int = 0
    source_nonempty: list[int] = field(default_factory=list)
    too_long: list[int] = field(default_factory=list)
    evidence: list[Evidence] = field(default_factory=list)
    blank_rows: RowTally = field(default_factory=RowTally)
    notes: RowTally = field(default_factory=RowTally)
    totals: RowTally = field(default_factory=RowTally)
    loose: list[Loose] = field(default_factory=list)
    kept_rows: list[Array] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.source_nonempty = [0] * self.width
        self.too_long = [0] * self.width
        self.evidence = [Evidence() for _ in range(self.width)]
        self._spill = Spill(self.folder / "spill.arrow", self.width)

    def read(self, source: Iterator[Batch], on_rows: Callable[[int], None]) -> None:
        """Take in every batch; raises LIMIT_EXCEEDED. The last rows are held back until notes are told apart."""
        held: Batch | None = None
        for batch in _ahead(source, self.pool):
            if held is not None:
                self._take(self._without_blank_rows(held), on_rows)
            held = batch
        if held is not None:
            self._take(self._without_notes(self._without_blank_rows(held)), on_rows)
        self._spill.finish()

    def batches(self) -> Iterator[Batch]:
        """The rows again, as often as needed."""
        return self._spill.batches()

    def discard(self) -> None:
        """Delete what was spilled to disk."""
        self._spill.discard()

    def _take(self, batch: Batch, on_rows: Callable[[int], None]) -> None:
        if not len(batch):
            return
        self.row_count += len(batch)
        if self.row_count > self.limits.max_rows:
            raise limit_exceeded("max_rows", self.limits.max_rows, "too many rows", "split the file.")
        if self.row_count * self.width > self.limits.max_cells:
            raise limit_exceeded("max_cells", self.limits.max_cells, "too many cells", "split the file.")
        columns = list(self.pool.map(self._observe, range(self.width), batch.columns))
        self._note_totals(batch)
        batch = Batch(
            [self._within_length(index, column, batch.rows) for index, column in enumerate(columns)], batch.rows
        )
        self._spill.append(batch)
        if self.row_count <= KEPT_ROWS:
            self.kept_rows.append(batch.rows)
        on_rows(self.row_count)

    def _observe(self, index: int, column: Array) -> Array:
        self.source_nonempty[index] += len(column) - column.null_count
        observe(self.evidence[index], column)
        return column

    def _within_length(self, index: int, column: Array, rows: Array) -> Array:
        longest = pc.max(pc.binary_length(column)).as_py() or 0
        if longest <= self.limits.max_cell_chars:
            return column
        mask = pc.fill_null(pc.greater(pc.utf8_length(column), self.limits.max_cell_chars), False)
        for row, raw in zip(rows.filter(mask).to_pylist(), column.filter(mask).to_pylist(), strict=True):
            self.loose.append(Loose(row, index + 1, raw, "CELL_TOO_LONG"))
            self.too_long[index] += 1
        return pc.if_else(mask, pa.scalar(None, pa.string()), column)

    def _without_blank_rows(self, batch: Batch) -> Batch:
        """Empty texts become null; rows of nothing but nulls go, except in one-column tables and merged ranges."""
        columns = [_null_if_empty(column) for column in batch.columns]
        if self.width == 1 or any(not column.null_count for column in columns):
            return Batch(columns, batch.rows)
        blank = columns[0].is_null()
        for column in columns[1:]:
            blank = pc.and_(blank, column.is_null())
        blank = pc.and_(blank, pc.invert(pc.is_in(batch.rows, self.protected_rows)))
        if not pc.any(blank).as_py():
            return Batch(columns, batch.rows)
        for row in batch.rows.filter(blank).to_pylist():
            self.blank_rows.add(row)
        keep = pc.invert(blank)
        return Batch([column.filter(keep) for column in columns], batch.rows.filter(keep))

    def _without_notes(self, batch: Batch) -> Batch:
        """Cut single-cell rows off the end if they are marked as notes or set apart by a blank row."""
        if self.width < 3:
            return batch
        first_note = len(batch)
        for index in range(len(batch) - 1, max(len(batch) - _NOTE_ROWS, 0), -1):
            cells = [text for column in batch.columns if (text := column[index].as_py())]
            if len(cells) != 1 or pc.is_in(batch.rows[index], self.protected_rows).as_py():
                break
            gap = batch.rows[index].as_py() - batch.rows[index - 1].as_py() > 1
            if gap or cells[0].strip().lower().startswith(_NOTE_MARKS):
                first_note = index
        for index in range(first_note, len(batch)):
            row = batch.rows[index].as_py()
            self.notes.add(row)
            for number, column in enumerate(batch.columns, start=1):
                if text := column[index].as_py():
                    self.loose.append(Loose(row, number, text, "NOTE_BELOW"))
        return Batch([column.slice(0, first_note) for column in batch.columns], batch.rows.slice(0, first_note))

    def _note_totals(self, batch: Batch) -> None:
        for column, seen in zip(batch.columns[:3], self.evidence, strict=False):
            if _NEVER_TOTALS.issuperset(seen.counts):
                continue
            mask = pc.is_in(pc.utf8_trim_whitespace(column) if seen.padded else column, _TOTALS_SET)
            if pc.any(mask).as_py():
                for row in batch.rows.filter(mask).to_pylist():
                    self.totals.add(row)


def _ahead(source: Iterator[Batch], pool: Executor) -> Iterator[Batch]:
    """The same batches, the next one always being read while one is worked on."""
    coming = pool.submit(next, source, None)
    while (batch := coming.result()) is not None:
        coming = pool.submit(next, source, None)
        yield batch


class Spill:
    """Batches kept in memory while they are small, else in an Arrow IPC file."""

    def __init__(self, path: Path, width: int) -> None:
        self._path = path
        fields: list[pa.Field[Any]] = [pa.field(str(index), pa.string()) for index in range(width)]
        self._schema = pa.schema([*fields, pa.field("row", pa.int64())])
        self._held: list[pa.RecordBatch] = []
        self._held_bytes = 0
        self._writer: pa.ipc.RecordBatchStreamWriter | None = None

    def append(self, batch: Batch) -> None:
        """Keep one more batch."""
        record = pa.record_batch([*batch.columns, batch.rows], schema=self._schema)
        if self._writer is not None:
            self._writer.write_batch(record)
            return
        self._held.append(record)
        self._held_bytes += record.nbytes
        if self._held_bytes > _MEMORY_BYTES:
            self._writer = pa.ipc.new_stream(str(self._path), self._schema)
            for held in self._held:
                self._writer.write_batch(held)
            self._held = []

    def finish(self) -> None:
        """No more batches will come."""
        if self._writer is not None:
            self._writer.close()

    def batches(self) -> Iterator[Batch]:
        """All batches in order."""
        if self._writer is None:
            yield from (_unpacked(record) for record in self._held)
            return
        with pa.OSFile(str(self._path), "r") as file, pa.ipc.open_stream(file) as reader:
            for record in reader:
                yield _unpacked(record)

    def discard(self) -> None:
        """Forget the batches and delete the file."""
        self._held = []
        if self._writer is not None:
            self._writer.close()
            self._path.unlink(missing_ok=True)


def _unpacked(record: pa.RecordBatch) -> Batch:
    return Batch(record.columns[:-1], record.columns[-1])


def _null_if_empty(column: Array) -> Array:
    empty = pc.equal(pc.binary_length(column), 0)
    if not pc.any(empty).as_py():
        return column
    return pc.if_else(empty, pa.scalar(None, pa.string()), column)
