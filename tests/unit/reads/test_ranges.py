"""What is fetched for a read, and what is held while somebody reads slowly."""

import asyncio
import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingest_service.reads.batches import read_batches
from ingest_service.reads.cache import ReadCache, Sized
from ingest_service.reads.clean_file import CleanFile, CleanFiles
from ingest_service.reads.preview import Previews
from ingest_service.reads.row_filter import RowFilter
from ingest_service.reads.streams import ReadStreams
from shared.errors import ResourceExhausted, Unavailable
from shared.storage import StoreError
from tests.unit.reads.counting_store import CountingStore

ROWS, GROUP_ROWS = 60_000, 10_000


@dataclass
class Reads:
    store: CountingStore
    files: CleanFiles
    previews: Previews

    async def open(self) -> CleanFile:
        return await self.files.open("clean/x", len(self.store.data))


def _object() -> bytes:
    """Return a file of ten columns that hardly compress."""
    columns = {f"c{place}": pa.array([hash((place, row)) for row in range(ROWS)], pa.int64()) for place in range(10)}
    columns["row"] = pa.array(range(ROWS), pa.int64())
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink, row_group_size=GROUP_ROWS, use_dictionary=False)
    return sink.getvalue()


@pytest.fixture(scope="module")
def data() -> bytes:
    return _object()


@pytest.fixture
def reads(data: bytes) -> Iterator[Reads]:
    store: Any = CountingStore(data)
    with ThreadPoolExecutor(2) as decoders:
        cache = ReadCache(max_bytes=1 << 20)
        files = CleanFiles(store, decoders, cache)
        yield Reads(store, files, Previews(files, cache))


async def test_a_page_costs_its_columns_of_its_row_group_and_a_second_one_nothing(reads: Reads) -> None:
    file = await reads.open()
    footer_bytes = reads.store.read_bytes
    assert footer_bytes <= 64 << 10
    page = await reads.previews.page(file, ["c3"], 25_000, 100)
    assert len(page.rows) == 100
    assert reads.store.read_bytes - footer_bytes < len(reads.store.data) / 60 * 1.2
    before = len(reads.store.ranges)
    await reads.previews.page(await reads.open(), ["c3"], 25_010, 50)
    assert len(reads.store.ranges) == before


async def test_many_who_ask_at_once_cost_one_fetch(reads: Reads) -> None:
    async def page() -> list[bytes]:
        return list((await reads.previews.page(await reads.open(), ["c1"], 5, 3)).rows)

    pages = await asyncio.gather(*(page() for _ in range(20)))
    assert len(reads.store.ranges) == 2
    assert all(found == pages[0] for found in pages)


async def test_a_fetch_that_failed_is_not_kept(reads: Reads) -> None:
    reads.store.failing = True
    with pytest.raises(StoreError):
        await reads.open()
    reads.store.failing = False
    assert (await reads.open()).row_count == ROWS


async def test_the_cache_stays_within_its_bytes() -> None:
    cache = ReadCache(max_bytes=100)
    made: list[int] = []

    async def get(key: int) -> int:
        async def make() -> Sized[int]:
            made.append(key)
            return Sized(key, 40)

        return await cache.get(key, make)

    for key in (1, 2, 1, 3, 1, 2):
        assert await get(key) == key
    assert made == [1, 2, 3, 2], "1 was used lately when 3 came, 2 was not"


async def test_a_slow_reader_holds_the_decoding_back(reads: Reads) -> None:
    file = await reads.open()
    made: list[int] = []
    names = list(file.schema.names)

    def note(first: int, batch: pa.RecordBatch) -> pa.RecordBatch:
        made.append(first)
        return batch

    batches = read_batches(reads.files, file, names, range(ROWS), note)
    async with aclosing(batches):
        for taken in range(1, 4):
            await anext(batches)
            await asyncio.sleep(0.05)  # time in which nothing more must happen
            assert len(made) <= taken + 1
            assert len(reads.store.ranges) <= 1 + taken + 1, "the footer, and at most one row group ahead"


async def test_row_groups_that_cannot_hold_a_row_are_not_fetched(reads: Reads) -> None:
    file = await reads.open()
    types = [{"name": name, "type": "int64"} for name in file.schema.names]
    all_groups = file.groups(0, ROWS)
    assert RowFilter("row >= 25000 and row < 31000", types).groups(file, all_groups) == [2, 3]
    assert RowFilter("row < 0", types).groups(file, all_groups) == []
    assert RowFilter("floor(row / 2) * 2 = row", types).groups(file, all_groups) == list(all_groups)


async def test_streams_are_counted_and_end_when_the_server_goes_away() -> None:
    streams = ReadStreams(max_streams=2)

    async def numbers() -> Any:
        for number in range(100):
            yield number

    first, second, third = (streams.admit(numbers()) for _ in range(3))
    assert (await anext(first), await anext(second)) == (0, 0)
    with pytest.raises(ResourceExhausted, match="TOO_MANY_STREAMS"):
        await anext(third)
    await second.aclose()
    await streams.drain(0)
    with pytest.raises(Unavailable, match="SERVER_DRAINING"):
        await anext(first)
    with pytest.raises(Unavailable, match="SERVER_DRAINING"):
        await anext(streams.admit(numbers()))


async def test_a_drain_waits_for_streams_that_end_in_time() -> None:
    streams = ReadStreams(max_streams=2)

    async def numbers() -> Any:
        for number in range(3):
            yield number

    stream = streams.admit(numbers())
    await anext(stream)
    drain = asyncio.create_task(streams.drain(60))
    assert [number async for number in stream] == [1, 2]
    await drain
