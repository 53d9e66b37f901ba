"""Batches of rows in order: row groups are fetched one ahead of the one being decoded, batches one ahead of the reader.

Whoever takes them slowly slows the decoding down; never more than two row groups and two batches are held.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing
from functools import partial
from itertools import repeat
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from ingest_service.reads.clean_file import CleanFile, CleanFiles

_BATCH_CELLS = 1 << 18  # about 2 MiB of numbers
_MAX_BATCH_ROWS = 1 << 15
T = TypeVar("T")


async def read_batches(
    files: CleanFiles,
    file: CleanFile,
    names: list[str],
    rows: range,
    make: Callable[[int, pa.RecordBatch], T],
    *,
    groups: Sequence[int] | None = None,
) -> AsyncGenerator[T]:
    """Yield `make(first_row, batch)`, run on a decoder thread, for these rows of the columns `names`.

    `groups` are the row groups to look at, all that hold such rows when it is None. Raises StoreError, and what `make`
    raises.
    """
    if groups is None:
        groups = file.groups(rows.start, rows.stop)
    fetches = (partial(files.fetch, file, group, names) for group in groups)
    async with aclosing(_one_ahead(fetches)) as sources:
        for group in groups:
            made = _made(await anext(sources), file, group, names, rows, make)
            async with aclosing(_one_ahead(repeat(partial(files.decode, next, made, None)))) as results:
                async for result in results:
                    if result is None:
                        break
                    yield result


def _made(
    source: pq.ParquetFile,
    file: CleanFile,
    group: int,
    names: list[str],
    rows: range,
    make: Callable[[int, pa.RecordBatch], T],
) -> Iterator[T]:
    first = file.group_starts[group]
    batch_rows = max(1, min(_MAX_BATCH_ROWS, _BATCH_CELLS // len(names)))
    for batch in source.iter_batches(batch_size=batch_rows, row_groups=[group], columns=names):
        begin, end = max(rows.start, first), min(rows.stop, first + batch.num_rows)
        if begin < end:
            yield make(begin, batch.select(names).slice(begin - first, end - begin))
        first += batch.num_rows
        if first >= rows.stop:
            return


async def _one_ahead(works: Iterable[Callable[[], Awaitable[T]]]) -> AsyncGenerator[T]:
    """Yield the result of each work in order; while the caller uses one, the next is under way."""
    ahead: asyncio.Task[T] | None = None
    try:
        for work in works:
            done = [await ahead] if ahead else []
            ahead = asyncio.ensure_future(work())
            for result in done:
                yield result
        if ahead:
            yield await ahead
    finally:
        if ahead:
            ahead.cancel()
            await asyncio.gather(ahead, return_exceptions=True)
