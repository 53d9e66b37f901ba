"""Runs the steps of a plan one after the other over a stream of tables."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from shared.actions.plan import (
    Arrange,
    Assign,
    Bin,
    Distinct,
    FillForward,
    FillStatistic,
    Gather,
    Keep,
    Lookup,
    Plan,
    Sort,
    Spread,
    Step,
)
from worker_service.actions import rowwise, statistics
from worker_service.actions.engine import Engine
from worker_service.sandbox.task import Refused
from worker_service.tables import Limits

Tables: TypeAlias = Iterator[pa.Table]

_THREADS = 2
_AHEAD = 2  # tables in work at once: memory for those, and no more


class Execution:
    """A plan at work on the Parquet file `source`; what is spilled goes to `folder`.

    `rows_after[i]` is the number of rows after action i, once all tables were taken.
    """

    def __init__(self, plan: Plan, source: Path, folder: Path, limits: Limits, engine: Engine) -> None:
        self._folder = folder
        self._limits = limits
        self._engine = engine
        self._path: Path | None = source  # the file whose rows are the table, while there is one
        self._tables: Tables = _read(source)
        self._pending: list[tuple[int, Step]] = []
        self._spills = 0
        self._plan = plan
        self.rows_after: dict[int, int] = {}

    def tables(self) -> Tables:
        """Give the result, table by table, at least one. Raises Refused."""
        for index, step in self._plan.steps:
            self.rows_after[index] = 0
            self._take(index, step)
        return self._flow()

    def _take(self, index: int, step: Step) -> None:
        match step:
            case Keep() | Arrange() | Assign() | Lookup():
                self._pending.append((index, step))
                return
            case FillStatistic() | Bin():
                known = statistics.settled(step, self._file(), self._engine)
                self._pending.append((index, known))
                return
            case FillForward():
                self._tables = rowwise.fill_forward(self._flow(), step)
            case Gather():
                self._tables = rowwise.gather(self._flow(), step)
            case Distinct():
                path = self._file()
                self._tables = rowwise.take(_read(path), self._engine.firsts(path, step))
            case Sort():
                self._tables = self._engine.sort(self._file(), step)
            case Spread():
                self._tables = self._engine.pivot(self._file(), step)
        self._path = None
        self._tables = self._counted(index, self._tables)

    def _flow(self) -> Tables:
        """Give the table as it is after the steps so far, and begin anew from there."""
        steps, tables = self._pending, self._tables
        if steps:
            self._pending, self._path = [], None
            self._tables = self._worked(tables, steps)
        return self._tables

    def _file(self) -> Path:
        """Return a file with the rows so far."""
        tables = self._flow()
        if self._path is None:
            self._spills += 1
            self._path = self._folder / f"spill{self._spills}.parquet"
            _write(self._path, tables)
        self._tables = _read(self._path)
        return self._path

    def _worked(self, tables: Tables, steps: Sequence[tuple[int, Step]]) -> Tables:
        def work(table: pa.Table, first_row: int) -> tuple[pa.Table, list[int]]:
            counts = []
            for index, step in steps:
                table = rowwise.apply(step, table, index, first_row)
                counts.append(table.num_rows)
            return table, counts

        for table, counts in _ahead(tables, work):
            for (index, _), rows in zip(steps, counts, strict=True):
                self._add_rows(index, rows)
            yield table

    def _counted(self, index: int, tables: Tables) -> Tables:
        for table in tables:
            self._add_rows(index, table.num_rows)
            yield table

    def _add_rows(self, index: int, rows: int) -> None:
        self.rows_after[index] += rows
        if self.rows_after[index] > self._limits.max_rows:
            message = f"Action {index + 1} makes more than {self._limits.max_rows:,} rows."
            raise Refused("LIMIT_EXCEEDED", message, metadata={"limit": "max_rows", "action": str(index)})


def _read(path: Path) -> Tables:
    """Give the row groups of a file; while one is worked on, the next is read."""
    with pq.ParquetFile(path, memory_map=True, pre_buffer=False) as file, ThreadPoolExecutor(1) as pool:
        groups = file.metadata.num_row_groups
        if not groups:
            yield file.schema_arrow.empty_table()
            return
        reading = pool.submit(file.read_row_group, 0)
        for group in range(groups):
            table = reading.result()
            if group + 1 < groups:
                reading = pool.submit(file.read_row_group, group + 1)
            yield table


def _write(path: Path, tables: Tables) -> None:
    first = next(tables)
    with pq.ParquetWriter(path, first.schema, compression="lz4") as writer:
        writer.write_table(first)
        for table in tables:
            writer.write_table(table)


def _ahead(
    tables: Tables, work: Callable[[pa.Table, int], tuple[pa.Table, list[int]]]
) -> Iterator[tuple[pa.Table, list[int]]]:
    """Work on a few tables at once, and give the results in order."""
    first_row = 0
    running: deque[Future[tuple[pa.Table, list[int]]]] = deque()
    with ThreadPoolExecutor(_THREADS) as pool:
        for table in tables:
            running.append(pool.submit(work, table, first_row))
            first_row += table.num_rows
            if len(running) >= _AHEAD:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
