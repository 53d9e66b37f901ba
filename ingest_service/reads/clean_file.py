"""Clean Parquet objects, read by ranges: the footer once, then only the columns and row groups that are asked for."""

import asyncio
import io
from bisect import bisect_right
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, ParamSpec, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from ingest_service.reads.cache import ReadCache, Sized
from shared.errors import OutOfRange, invalid_field
from shared.storage import ObjectStore, StoreError

_TAIL_BYTES = 64 << 10  # holds the footer of most files; what is longer takes a second request
_FOOTER_END_BYTES = 8  # length and magic, https://parquet.apache.org/docs/file-format/
_GAP_BYTES = 128 << 10  # rather read what lies between than ask twice
_RANGE_BYTES = 8 << 20
_RANGES_AT_ONCE = 4
# What a parsed footer takes, as a multiple of its encoded size: measured 4 to 8.
_FOOTER_EXPANSION = 8
P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class CleanFile:
    """The footer of a clean Parquet object: the bytes at its `tail`, and what they say.

    `group_starts`: the first row of each row group, then the row count.
    """

    name: str
    size_bytes: int
    tail: bytes
    metadata: pq.FileMetaData
    schema: pa.Schema
    group_starts: Sequence[int]

    @property
    def row_count(self) -> int:
        """Rows of the whole table."""
        return self.group_starts[-1]

    def schema_of(self, names: Sequence[str]) -> pa.Schema:
        """Return the schema of these columns, in this order."""
        return pa.schema([self.schema.field(name) for name in names])

    def checked_columns(self, columns: Sequence[str]) -> list[str]:
        """Return the names asked for, all when none are. Raises InvalidArgument for an unknown or repeated one."""
        known = set(self.schema.names)
        unknown = sum(name not in known for name in columns)
        if unknown:
            raise invalid_field("columns", f"{unknown} of them are not columns of this record")
        if len(set(columns)) < len(columns):
            raise invalid_field("columns", "must not name a column twice")
        return list(columns) or list(self.schema.names)

    def checked_rows(self, offset: int, limit: int) -> int:
        """Return the end of the rows asked for (`limit` 0: all). Raises OutOfRange when they begin beyond the end."""
        if offset > self.row_count:
            raise OutOfRange(
                "ROW_OUT_OF_RANGE",
                f"row_offset {offset} is beyond the {self.row_count} rows of this record",
                {"row_count": str(self.row_count)},
            )
        return min(offset + limit, self.row_count) if limit else self.row_count

    def groups(self, start: int, end: int) -> range:
        """Return the row groups that hold rows [start, end)."""
        if start >= end:
            return range(0)
        return range(bisect_right(self.group_starts, start) - 1, bisect_right(self.group_starts, end - 1))

    def ranges(self, group: int, names: Sequence[str]) -> list[tuple[int, int]]:
        """Return (start, end) of the bytes of these columns in a row group, neighbours joined."""
        wanted = set(names)
        row_group = self.metadata.row_group(group)
        found: list[tuple[int, int]] = []
        for index, name in enumerate(self.schema.names):
            if not _is_read(name, wanted):
                continue
            chunk = row_group.column(index)
            start = chunk.dictionary_page_offset or chunk.data_page_offset
            end = start + chunk.total_compressed_size
            if found and 0 <= start - found[-1][1] <= _GAP_BYTES:
                found[-1] = (found[-1][0], end)
            else:
                found.append((start, end))
        return found


def _is_read(name: str, wanted: set[str]) -> bool:
    """Return whether pyarrow reads the column `name`: to it, "a" means the column "a.b" too."""
    return name in wanted or ("." in name and not wanted.isdisjoint(accumulate(name.split("."), "{}.{}".format)))


class _Pieces(io.RawIOBase):
    """The parts of an object that were fetched, as the file that pyarrow asks for."""

    def __init__(self, size_bytes: int, pieces: Sequence[tuple[int, bytes]]) -> None:
        self._size_bytes = size_bytes
        self._starts = [start for start, _ in pieces]
        self._pieces = [memoryview(data) for _, data in pieces]
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size_bytes}[whence]
        self._position = base + offset
        return self._position

    def read(self, size: int = -1) -> Any:
        """Return a view of fetched bytes. Raises OSError for bytes that were not fetched."""
        index = bisect_right(self._starts, self._position) - 1
        piece = self._pieces[index]
        begin = self._position - self._starts[index]
        if index < 0 or begin + size > len(piece):
            raise OSError("bytes were asked for that were not fetched")
        self._position += size
        return piece[begin : begin + size]


class CleanFiles:
    """Opens clean Parquet objects; decoding runs on `decoders`. Footers are kept in `cache`."""

    def __init__(self, store: ObjectStore, decoders: ThreadPoolExecutor, cache: ReadCache) -> None:
        self._store = store
        self._decoders = decoders
        self._cache = cache

    async def open(self, name: str, size_bytes: int) -> CleanFile:
        """Return the footer of the object. Raises StoreError."""
        return await self._cache.get((name,), lambda: self._read_footer(name, size_bytes))

    async def fetch(self, file: CleanFile, group: int, names: Sequence[str]) -> pq.ParquetFile:
        """Fetch these columns of a row group; the file that is returned can read nothing else. Raises StoreError."""
        room = asyncio.Semaphore(_RANGES_AT_ONCE)

        async def read_part(start: int, size_bytes: int) -> bytes:
            async with room:
                data = await self._store.read_range(file.name, start, size_bytes)
            if len(data) < size_bytes:
                raise StoreError("an object is shorter than its footer says")
            return data

        async def read(start: int, end: int) -> tuple[int, bytes]:
            parts = (read_part(at, min(_RANGE_BYTES, end - at)) for at in range(start, end, _RANGE_BYTES))
            return start, b"".join(await asyncio.gather(*parts))

        pieces = await asyncio.gather(*(read(start, end) for start, end in file.ranges(group, names)))
        source: Any = _Pieces(file.size_bytes, pieces)
        return await self.decode(lambda: pq.ParquetFile(source, metadata=file.metadata))

    async def decode(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work` on a decoder thread."""
        return await asyncio.get_running_loop().run_in_executor(self._decoders, lambda: work(*args, **kwargs))

    async def _read_footer(self, name: str, size_bytes: int) -> Sized[CleanFile]:
        tail_bytes = min(_TAIL_BYTES, size_bytes)
        tail = await self._store.read_range(name, size_bytes - tail_bytes, tail_bytes)
        footer_bytes = int.from_bytes(tail[-_FOOTER_END_BYTES:-4], "little") + _FOOTER_END_BYTES
        if footer_bytes > tail_bytes:
            tail = await self._store.read_range(name, size_bytes - footer_bytes, footer_bytes)
        file = await self.decode(_parse_footer, name, size_bytes, tail)
        return Sized(file, len(tail) + footer_bytes * _FOOTER_EXPANSION)


def _parse_footer(name: str, size_bytes: int, tail: bytes) -> CleanFile:
    with pq.ParquetFile(pa.BufferReader(tail)) as parsed:
        metadata, schema = parsed.metadata, parsed.schema_arrow
    starts = [0]
    for group in range(metadata.num_row_groups):
        starts.append(starts[-1] + metadata.row_group(group).num_rows)
    return CleanFile(name, size_bytes, tail, metadata, schema, starts)
