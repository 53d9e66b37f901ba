"""The ingest job type with real sandboxes: from a raw object to a record that points at clean data."""

import asyncio
import io
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import google_crc32c
import pyarrow.parquet as pq
import pytest
from uuid_utils.compat import uuid7

from ingest_service.messages import profile_message, record_message
from shared.database import Pool
from shared.jobs.model import JobState, NewJob
from shared.jobs.queue import JobQueue
from shared.records.model import NewRecord, Record
from shared.records.records import Records, insert_record
from shared.storage import ObjectStore, open_store
from tests.integration.worker_harness import Jobs, ToyArgs, ToyResult, running_worker, toy
from tests.unit.worker import tasks
from worker_service.handlers import load_job_types
from worker_service.job_type import JobContext

FILE = "编号,值,日期\n001,1.5,2024-01-02\n002,2,2024-01-03\n003,NA,2024-01-04\n".encode()
PRELOAD = ("worker_service.conversion",)


@pytest.fixture
async def jobs(jobs: Jobs) -> Jobs:
    await jobs.queue.register("sink")
    return jobs


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[ObjectStore]:
    async for store in _store(store_url):
        yield store


@pytest.fixture
async def file_store(file_store_url: str) -> AsyncIterator[ObjectStore]:
    async for store in _store(file_store_url):
        yield store


async def _store(url: str) -> AsyncIterator[ObjectStore]:
    store = open_store(url, emulator_url=os.environ.get("STORAGE_EMULATOR_HOST", ""))
    yield store
    await store.close()


async def _add(jobs: Jobs, store: ObjectStore, data: bytes, *, stored: bool = True) -> tuple[UUID, UUID]:
    """Do what the ingest service does; return record id and job id."""
    record_id, job_id = uuid7(), uuid7()
    name = f"raw/{record_id}-1"
    if stored:
        await store.put(name, [data], google_crc32c.value(data))
    args = {"file_name": "数据.csv", "raw_object": name, "raw_size_bytes": len(data), "options": {}}
    record = NewRecord(record_id, "o", "数据.csv", {}, name, len(data), google_crc32c.value(data))
    async with jobs.pool.connection() as connection, connection.transaction():
        await insert_record(connection, record)
        await jobs.queue.enqueue(connection, NewJob(job_id, "o", "ingest", record_id, args, 5))
    return record_id, job_id


async def _record(jobs: Jobs, record_id: UUID) -> Record:
    record = await Records(jobs.pool).read("o", record_id)
    assert record is not None
    return record


def _ingest(store_url: str, **overrides: Any) -> dict[str, Any]:
    return {"store_url": store_url, "sandbox_preload": PRELOAD, **overrides}


async def test_a_raw_file_becomes_clean_data(
    jobs: Jobs, pool: Pool, database_url: str, store_url: str, store: ObjectStore, tmp_path: Path
) -> None:
    emulator = os.environ.get("STORAGE_EMULATOR_HOST", "")
    job_type = load_job_types()["ingest"]
    options = _ingest(store_url, STORAGE_EMULATOR_HOST=emulator)
    async with running_worker(pool, database_url, tmp_path, job_type, **options):
        record_id, job_id = await _add(jobs, store, FILE)
        job = await jobs.until_final(job_id)
    assert (job.state, job.attempt, job.error) == (JobState.SUCCEEDED, 1, None)
    record = await _record(jobs, record_id)
    assert (record.revision, record.format, record.row_count, record.column_count) == (1, "csv", 3, 3)
    token = (await jobs.row(job_id))["lease_token"] - 1
    assert record.clean_object == f"clean/{record_id}/{job_id}-{token}.parquet"
    table = pq.read_table(io.BytesIO(b"".join([piece async for piece in store.read(record.clean_object)])))
    assert table.num_rows == 3
    message = record_message(record)
    assert [column.name for column in message.columns] == table.column_names
    found = await Records(jobs.pool).read_profile("o", record_id, revision=0, offset=0, limit=10)
    assert found is not None
    for column, profile in zip(found[1], found[2], strict=True):
        assert profile_message(column, profile).cells.source_nonempty > 0


async def test_a_bad_file_fails_at_once_with_its_reason(
    jobs: Jobs, pool: Pool, database_url: str, file_store_url: str, file_store: ObjectStore, tmp_path: Path
) -> None:
    job_type = load_job_types()["ingest"]
    async with running_worker(pool, database_url, tmp_path, job_type, **_ingest(file_store_url)):
        record_id, job_id = await _add(jobs, file_store, b"")
        job = await jobs.until_final(job_id)
    assert job.error is not None
    assert (job.state, job.error["reason"], job.attempt) == (JobState.FAILED, "EMPTY_FILE", 1)
    assert (await _record(jobs, record_id)).revision == 0


async def test_a_raw_object_that_is_gone_is_final(
    jobs: Jobs, pool: Pool, database_url: str, file_store_url: str, file_store: ObjectStore, tmp_path: Path
) -> None:
    job_type = load_job_types()["ingest"]
    async with running_worker(pool, database_url, tmp_path, job_type, **_ingest(file_store_url)):
        _, job_id = await _add(jobs, file_store, FILE, stored=False)
        job = await jobs.until_final(job_id)
    assert job.error is not None
    assert (job.error["reason"], job.attempt) == ("RAW_OBJECT_MISSING", 1)


async def test_files_of_an_attempt_that_lost_its_lease_are_removed(
    jobs: Jobs,
    pool: Pool,
    database_url: str,
    file_store_url: str,
    file_store: ObjectStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    succeed, raced = JobQueue.succeed, asyncio.Event()

    async def too_late(self: JobQueue, connection: Any, lease: Any) -> None:
        if not raced.is_set():
            raced.set()
            await jobs.rows("UPDATE jobs SET lease_token = lease_token + 1 WHERE job_id = %s", lease.job_id)
            await jobs.rows("UPDATE jobs SET lease_expires_at = now() - interval '1 s'")
        await succeed(self, connection, lease)

    monkeypatch.setattr(JobQueue, "succeed", too_late)
    job_type = load_job_types()["ingest"]
    async with running_worker(pool, database_url, tmp_path, job_type, **_ingest(file_store_url, poll_s=0.3)):
        record_id, job_id = await _add(jobs, file_store, FILE)
        job = await jobs.until_final(job_id)
    assert (job.state, job.attempt) == (JobState.SUCCEEDED, 2)
    record = await _record(jobs, record_id)
    assert record.revision == 1
    assert record.clean_object is not None
    kept = [found.name async for page in file_store.list_objects("clean/") for found in page]
    assert kept == [record.clean_object], "the loser removed what it had stored"


async def _isolated(context: JobContext, args: ToyArgs) -> ToyResult:
    await context.isolated(f"{tasks.NAME}:{args.text}", {})
    return ToyResult(args.text)


@pytest.mark.parametrize(
    ("function", "reason", "timeout_s"),
    [
        ("abort", "PROCESS_CRASHED", 60.0),
        ("devour_memory", "OUT_OF_MEMORY", 60.0),
        ("hang", "TIME_LIMIT_EXCEEDED", 1.0),
    ],
)
async def test_a_poison_file_is_given_up_after_three_crashes_and_the_worker_lives_on(
    jobs: Jobs, pool: Pool, database_url: str, tmp_path: Path, function: str, reason: str, timeout_s: float
) -> None:
    options: dict[str, Any] = {"sandbox_preload": (tasks.NAME,)}
    async with running_worker(pool, database_url, tmp_path, toy(_isolated, timeout_s=timeout_s), **options):
        poison = await jobs.add(text=function)
        job = await jobs.until_final(poison)
        assert job.error is not None
        assert (job.state, job.error["reason"], job.attempt) == (JobState.FAILED, reason, 3)
        assert (await jobs.until_final(await jobs.add(text="answer"))).state is JobState.SUCCEEDED


async def test_drain_stops_a_running_conversion_and_gives_its_job_back(
    jobs: Jobs, pool: Pool, database_url: str, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"sandbox_preload": (tasks.NAME,), "drain_grace_s": 0.1}
    async with running_worker(pool, database_url, tmp_path, toy(_isolated), **options) as running:
        job_id = await jobs.add(text="hang")
        await jobs.until(job_id, lambda row: row["progress_stage"] == "read")
        async with asyncio.timeout(1.5):
            await running.worker.drain()
    row = await jobs.row(job_id)
    assert (row["state"], row["attempt"]) == ("ready", 0)
