"""A page of rows as typed cells, decoded from no more than the row groups it touches.

Rows are decoded in windows, which are kept for a while: whoever turns pages reads each row group once or twice, and
fetches and decodes nothing for most pages.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import pyarrow as pa
import pyarrow.parquet as pq

from ingest_service.reads.cache import ReadCache, Sized
from ingest_service.reads.cells import encode_rows
from ingest_service.reads.clean_file import CleanFile, CleanFiles

_MAX_PAGE_BYTES = 2 << 20
_WINDOW_CELLS = 1 << 17
_MAX_WINDOW_ROWS = 1024


@dataclass(frozen=True)
class Page:
    """Rows in the wire format. `truncated`: the page was cut at 2 MiB."""

    columns: Sequence[str]
    rows: Sequence[bytes]
    truncated: bool


class Previews:
    """Reads pages; decoded windows are kept in `cache`."""

    def __init__(self, files: CleanFiles, cache: ReadCache) -> None:
        self._files = files
        self._cache = cache

    async def page(self, file: CleanFile, columns: Sequence[str], offset: int, limit: int) -> Page:
        """Return rows [offset, offset + limit) of `columns` (none: all).

        Raises OutOfRange for an offset beyond the end, InvalidArgument for unknown columns, StoreError.
        """
        names = file.checked_columns(columns)
        batches = await self._rows(file, names, offset, file.checked_rows(offset, limit))
        rows = await self._files.decode(encode_rows, batches)
        size_bytes = 0
        for count, row in enumerate(rows):
            size_bytes += len(row)
            if count and size_bytes > _MAX_PAGE_BYTES:
                return Page(names, rows[:count], truncated=True)
        return Page(names, rows, truncated=False)

    async def _rows(self, file: CleanFile, names: list[str], start: int, end: int) -> list[pa.RecordBatch]:
        found = []
        window_rows = max(1, min(_MAX_WINDOW_ROWS, _WINDOW_CELLS // len(names)))
        for group in file.groups(start, end):
            group_start, group_end = file.group_starts[group : group + 2]
            first = (max(start, group_start) - group_start) // window_rows
            last = (min(end, group_end) - 1 - group_start) // window_rows
            for window in range(first, last + 1):
                batch = await self._window(file, names, group, window, window_rows)
                window_start = group_start + window * window_rows
                skip = max(start - window_start, 0)
                found.append(batch.slice(skip, end - window_start - skip))
        return found

    async def _window(
        self, file: CleanFile, names: list[str], group: int, window: int, window_rows: int
    ) -> pa.RecordBatch:
        async def make() -> Sized[pa.RecordBatch]:
            fetched = await self._files.fetch(file, group, names)
            batch = await self._files.decode(_decode, fetched, group, names, window, window_rows)
            return Sized(batch, batch.get_total_buffer_size())

        return await self._cache.get((file.name, tuple(names), group, window), make)


def _decode(fetched: pq.ParquetFile, group: int, names: list[str], window: int, window_rows: int) -> pa.RecordBatch:
    """Return the rows of one window; Parquet pages can only be decoded in order, so all rows before are, too."""
    batches = fetched.iter_batches(batch_size=window_rows, row_groups=[group], columns=names, use_threads=True)
    return next(islice(batches, window, None)).select(names)
