"""The sweeper removes what is over, and nothing else."""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from uuid import UUID, uuid4

import google_crc32c
import psycopg
import pytest
from uuid_utils.compat import uuid7

from shared.database import make_pool
from shared.records.expiry import Expiry
from shared.records.uploads import UploadHeader, Uploads
from shared.storage import ObjectStore, open_store
from worker_service.sweeper import Retention, Sweeper

AT_ONCE = Retention(every_s=0.001, orphan_grace_s=0.001, job_retention_s=3600)


class House:
    """A database, a store and a sweeper, and what tests put in."""

    def __init__(self, url: str, store: ObjectStore, expiry: Expiry, uploads: Uploads) -> None:
        self.database = psycopg.connect(url, autocommit=True)
        self.store = store
        self.expiry = expiry
        self.uploads = uploads

    async def sweep(self, retention: Retention = AT_ONCE) -> bool:
        return await Sweeper(self.expiry, self.store, retention).sweep()

    async def put(self, name: str) -> str:
        await self.store.put(name, [b"x"], google_crc32c.value(b"x"))
        return name

    async def names(self) -> set[str]:
        folders = ("raw/", "clean/", "exports/", "uploads/", "other/")
        return {entry.name for folder in folders async for page in self.store.list_objects(folder) for entry in page}

    async def record(self, *, expires_in_s: float | None, record_id: UUID | None = None) -> UUID:
        record_id = record_id or uuid7()
        self.database.execute(
            "INSERT INTO records (record_id, owner, file_name, raw_object, raw_size_bytes, raw_crc32c, expires_at)"
            " VALUES (%s, 'o', 'a.csv', %s, 1, 0, clock_timestamp() + make_interval(secs => %s::float))",
            [record_id, await self.put(f"raw/{record_id}-1"), expires_in_s],
        )
        return record_id

    def job(self, record_id: UUID | None, state: str, age_s: float = 0) -> UUID:
        job_id = uuid7()
        self.database.execute(
            "INSERT INTO jobs (job_id, owner, record_id, queue, state, pos, max_attempts, attempt, ended_at,"
            " lease_expires_at, deadline_at, worker_id) VALUES (%(id)s, 'o', %(record)s, 'q', %(state)s, 1, 1, 1,"
            " CASE WHEN %(state)s = 'succeeded' THEN clock_timestamp() - make_interval(secs => %(age)s) END,"
            " CASE WHEN %(state)s = 'running' THEN clock_timestamp() END,"
            " CASE WHEN %(state)s = 'running' THEN clock_timestamp() END, 'w')",
            {"id": job_id, "record": record_id, "state": state, "age": age_s},
        )
        return job_id

    def version(self, record_id: UUID, revision: int, clean: str) -> None:
        self.database.execute(
            "INSERT INTO versions (record_id, revision, base_revision, actions, clean_object, clean_size_bytes,"
            " clean_crc32c, row_count, column_count, columns, profile, warnings)"
            " VALUES (%s, %s, 0, '[]', %s, 1, 0, 1, 1, '[]', '[]', '[]')",
            [record_id, revision, clean],
        )
        self.database.execute(
            "UPDATE records SET revision = %s, format = 'csv' WHERE record_id = %s", [revision, record_id]
        )

    def export(self, record_id: UUID, name: str, *, expires_in_s: float) -> None:
        """Insert an export of the record's first version whose file is `name`."""
        self.database.execute(
            "INSERT INTO exports (job_id, owner, record_id, revision, request_id, request, media_type, file_name,"
            " object, size_bytes, crc32c, ttl_s, expires_at)"
            " VALUES (%s, 'o', %s, 1, %s, '{}', 'text/csv', 'x.csv', %s, 1, 0, 60, now() + make_interval(secs => %s))",
            [uuid7(), record_id, uuid4(), name, expires_in_s],
        )

    def ids(self, table: str) -> set[UUID]:
        column = {"records": "record_id", "jobs": "job_id", "uploads": "upload_id"}[table]
        return {row[0] for row in self.database.execute(f"SELECT {column} FROM {table}")}


@pytest.fixture
async def house(database_url: str, store_url: str) -> AsyncIterator[House]:
    async with AsyncExitStack() as held:
        store = open_store(store_url, emulator_url=os.environ["STORAGE_EMULATOR_HOST"])
        held.push_async_callback(store.close)
        pool = await held.enter_async_context(make_pool(database_url, "test", max_size=4))
        house = House(database_url, store, Expiry(pool), Uploads(pool, idle_ttl_s=3600))
        held.callback(house.database.close)
        yield house


async def test_abandoned_uploads_go_with_their_segments(house: House) -> None:
    kept, gone = [await house.uploads.begin("o", UploadHeader(uuid4(), "a.csv", None, {}, {}, None)) for _ in range(2)]
    for upload in (kept, gone):
        part = await house.store.put_part(f"uploads/{upload.upload_id}-1", 0, [b"xy"], google_crc32c.value(b"xy"))
        await house.uploads.commit_segments(upload, [part], 2, google_crc32c.value(b"xy"))
    house.database.execute("UPDATE uploads SET expires_at = now() WHERE upload_id = %s", [gone.upload_id])
    assert await house.sweep()
    assert house.ids("uploads") == {kept.upload_id}
    assert {name[:44] for name in await house.names()} == {f"uploads/{kept.upload_id}"}


async def test_expired_records_go_with_their_objects_jobs_and_uploads(house: House) -> None:
    kept = [await house.record(expires_in_s=None), await house.record(expires_in_s=3600)]
    gone = await house.record(expires_in_s=-1)
    job = house.job(kept[0], "succeeded")
    house.job(gone, "running")
    first, second = [await house.put(f"clean/{gone}/1-{token}.parquet") for token in (1, 2)]
    for revision, clean in enumerate((first, second, first), 1):  # the third goes back to the first
        house.version(gone, revision, clean)
    upload = await house.uploads.begin("o", UploadHeader(uuid4(), "a.csv", None, {}, {}, None))
    house.database.execute("UPDATE uploads SET state = 'committed', record_id = %s", [gone])
    assert await house.sweep()
    assert house.ids("records") == set(kept)
    assert house.ids("jobs") == {job}
    assert upload.upload_id not in house.ids("uploads")
    assert await house.names() == {f"raw/{record_id}-1" for record_id in kept}


async def test_objects_of_all_versions_stay(house: House) -> None:
    record_id = await house.record(expires_in_s=None)
    clean = [await house.put(f"clean/{record_id}/{uuid7()}-1.parquet") for _ in range(2)]
    for revision, name in enumerate((*clean, clean[0]), 1):
        house.version(record_id, revision, name)
    assert await house.sweep()
    assert await house.names() == {f"raw/{record_id}-1", *clean}


async def test_exports_go_when_their_time_is_over_and_with_their_record(house: House) -> None:
    record_id, gone = await house.record(expires_in_s=None), await house.record(expires_in_s=-1)
    clean = [await house.put(f"clean/{record}/{uuid7()}-1.parquet") for record in (record_id, gone)]
    files = [await house.put(f"exports/{record}/{uuid7()}-1.csv") for record in (record_id, record_id, gone)]
    for record, name in zip((record_id, gone), clean, strict=True):
        house.version(record, 1, name)
    for record, name, seconds in zip((record_id, record_id, gone), files, (60, -60, 60), strict=True):
        house.export(record, name, expires_in_s=seconds)
    await house.put(f"exports/{record_id}/{uuid7()}-1.csv")  # no row names it
    assert await house.sweep()
    assert await house.names() == {f"raw/{record_id}-1", clean[0], files[0]}


async def test_objects_that_no_row_names_go_once_they_are_old(house: House) -> None:
    record_id, other = await house.record(expires_in_s=None), uuid7()
    orphans = [f"raw/{record_id}-2", f"raw/{other}-1", f"clean/{record_id}/{other}-1.parquet", f"uploads/{other}-1"]
    for name in orphans:
        await house.put(name)
    foreign = {await house.put("raw/notes.txt"), await house.put("other/file")}
    named = {f"raw/{record_id}-1"}
    assert await house.sweep(Retention(every_s=0.001, orphan_grace_s=3600, job_retention_s=3600))
    assert await house.names() == named | foreign | set(orphans)
    assert await house.sweep()
    assert await house.names() == named | foreign


async def test_what_a_running_attempt_has_stored_stays(house: House) -> None:
    record_id = await house.record(expires_in_s=None)
    house.job(record_id, "running")
    clean = await house.put(f"clean/{record_id}/{uuid7()}-1.parquet")
    assert await house.sweep()
    assert clean in await house.names()


async def test_old_jobs_go_but_the_newest_of_a_record_stays(house: House) -> None:
    record_id = await house.record(expires_in_s=None)
    old, newest = house.job(record_id, "succeeded", 7200), house.job(record_id, "succeeded", 7200)
    loose_old, loose_new, running = (
        house.job(None, "succeeded", 7200),
        house.job(None, "succeeded", 60),
        house.job(None, "running"),
    )
    assert await house.sweep()
    assert house.ids("jobs") == {newest, loose_new, running}
    assert {old, loose_old}.isdisjoint(house.ids("jobs"))


async def test_one_process_at_a_time_and_not_too_often(house: House) -> None:
    async with house.expiry.leading("sweep", every_s=3600) as turn:
        assert turn
        assert not await house.sweep()
    assert not await house.sweep(Retention(every_s=3600, orphan_grace_s=1, job_retention_s=1))
    assert await house.sweep()


async def test_a_turn_that_failed_is_not_done(house: House) -> None:
    with pytest.raises(ConnectionError):
        async with house.expiry.leading("sweep", every_s=3600):
            raise ConnectionError
    async with house.expiry.leading("sweep", every_s=3600) as turn:
        assert turn
