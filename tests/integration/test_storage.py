"""Both object stores, held to the same promises."""

import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import google_crc32c
import pytest

from shared.storage import ObjectDiffers, ObjectMissing, ObjectStore, StoreError, open_store

pytestmark = pytest.mark.asyncio


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[ObjectStore]:
    store = open_store(store_url, emulator_url=os.environ.get("STORAGE_EMULATOR_HOST", ""))
    yield store
    await store.close()


async def _read(store: ObjectStore, name: str, offset: int = 0) -> bytes:
    return b"".join([piece async for piece in store.read(name, offset)])


async def _put(store: ObjectStore, name: str, data: bytes) -> None:
    await store.put(name, [data[:7], data[7:]], google_crc32c.value(data))


async def _put_part(store: ObjectStore, base: str, offset: int, data: bytes) -> str:
    return await store.put_part(base, offset, [data[:3], data[3:]], google_crc32c.value(data))


async def _names(store: ObjectStore, prefix: str) -> list[str]:
    return sorted([found.name async for page in store.list_objects(prefix) for found in page])


async def test_what_is_put_is_read_from_any_offset(store: ObjectStore) -> None:
    data = os.urandom(5 << 20)
    await _put(store, "raw/a", data)
    assert await _read(store, "raw/a") == data
    assert await _read(store, "raw/a", 4_500_001) == data[4_500_001:]
    assert await _read(store, "raw/a", len(data)) == b""
    assert await store.read_range("raw/a", 4_500_001, 7) == data[4_500_001:4_500_008]
    assert await store.read_range("raw/a", len(data) - 3, 100) == data[-3:]


async def test_an_empty_object_is_an_object(store: ObjectStore) -> None:
    await _put(store, "raw/empty", b"")
    assert await _read(store, "raw/empty") == b""


async def test_a_name_is_written_once(store: ObjectStore) -> None:
    await _put(store, "raw/a", b"first")
    await _put(store, "raw/a", b"first")
    with pytest.raises(ObjectDiffers):
        await _put(store, "raw/a", b"other")
    assert await _read(store, "raw/a") == b"first"


@pytest.mark.parametrize("writers", [1, 2])
async def test_compose_joins_more_parts_than_one_request_takes(store: ObjectStore, writers: int) -> None:
    parts = [bytes([number]) * 1000 for number in range(70)]
    names = []
    for number, part in enumerate(parts):
        writer = number * writers // len(parts)
        names.append(await _put_part(store, f"uploads/u-{writer}", number * 1000, part))
    whole = b"".join(parts)
    info = await store.compose(names, "raw/whole", google_crc32c.value(whole) if writers == 1 else None)
    assert (info.size_bytes, info.crc32c) == (len(whole), google_crc32c.value(whole))
    assert await _read(store, "raw/whole") == whole
    await store.delete(names)
    assert await _read(store, "raw/whole") == whole
    assert await _names(store, "uploads/") == []


async def test_parts_may_be_joined_before_their_end(store: ObjectStore) -> None:
    names = [await _put_part(store, "uploads/u-1", offset, b"0123456789") for offset in (0, 10)]
    rest = await _put_part(store, "uploads/u-2", 10, b"abcde")
    info = await store.compose([names[0], rest], "raw/whole", None)
    assert await _read(store, "raw/whole") == b"0123456789abcde"
    assert info.crc32c == google_crc32c.value(b"0123456789abcde")


async def test_a_listing_tells_names_and_ages(store: ObjectStore) -> None:
    before = datetime.now(UTC) - timedelta(seconds=2)
    for number in range(3):
        await _put(store, f"raw/{number}", b"x")
    await _put(store, "clean/r/1", b"x")
    found = [entry async for page in store.list_objects("raw/") for entry in page]
    assert sorted(entry.name for entry in found) == ["raw/0", "raw/1", "raw/2"]
    assert all(before <= entry.created_at <= datetime.now(UTC) + timedelta(seconds=2) for entry in found)
    assert await _names(store, "clean/") == ["clean/r/1"]
    await store.delete(["clean/r/1"])
    assert await _names(store, "clean/") == []
    assert await _names(store, "nothing/") == []


async def test_files_go_both_ways(store: ObjectStore, tmp_path: Path) -> None:
    data = os.urandom(3 << 20)
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(data)
    info = await store.put_file("clean/a.parquet", source)
    assert (info.size_bytes, info.crc32c) == (len(data), google_crc32c.value(data))
    await store.get_file("clean/a.parquet", target)
    assert target.read_bytes() == data


async def test_what_is_missing_is_said_to_be_missing(store: ObjectStore, tmp_path: Path) -> None:
    with pytest.raises(ObjectMissing):
        await _read(store, "raw/none")
    with pytest.raises(ObjectMissing):
        await store.get_file("raw/none", tmp_path / "none")
    await store.delete(["raw/none"])


async def test_compose_of_what_is_missing_makes_nothing(file_store_url: str) -> None:
    # In a directory only: the emulator answers 500, which is retried, where GCS answers 404.
    store = open_store(file_store_url)
    with pytest.raises(ObjectMissing):
        await store.compose(["uploads/none/000000000000000+5"], "raw/none", None)
    with pytest.raises(ObjectMissing):
        await _read(store, "raw/none")
    await store.close()


async def test_check_tells_a_store_that_is_away(store: ObjectStore, tmp_path: Path) -> None:
    await store.check()
    away = open_store("gs://bucket", emulator_url="http://127.0.0.1:9")
    with pytest.raises(StoreError):
        await away.check()
    await away.close()


async def test_a_name_cannot_leave_the_directory(file_store_url: str) -> None:
    store = open_store(file_store_url)
    with pytest.raises(StoreError):
        await _put(store, "../outside", b"x")
    await store.close()
