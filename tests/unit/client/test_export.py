"""Exports: what comes at once, what a job makes, and what is refused."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tablemill.client import TablemillClient
from tablemill.errors import DamagedFileError, RefusedError
from tablemill.v1 import data_service_pb2
from tablemill.v1.ingest_service_pb2 import WatchStatusResponse
from tablemill.v1.job_pb2 import JOB_STATE_FAILED, JOB_STATE_QUEUED, JOB_STATE_SUCCEEDED, Job, JobError
from tests.unit.client.fake import Context, FakeServer

CONTENT = b"a,b\n" * 3000


def _watched(fake: FakeServer, end: Job) -> None:
    async def script(_context: Context) -> AsyncIterator[WatchStatusResponse]:
        yield WatchStatusResponse(jobs=[end], synced=True)

    fake.data.export_job = Job(job_id="j", state=JOB_STATE_QUEUED, version=1)
    fake.ingest.watches = [script]


async def test_a_small_export_is_saved_at_once(client: TablemillClient, fake: FakeServer, tmp_path: Path) -> None:
    fake.data.content = CONTENT
    fake.data.breaks_at = [2000]
    result = await client.export("r", "csv", tmp_path / "x.csv", byte_order_mark=True)
    assert ((tmp_path / "x.csv").read_bytes(), result.size_bytes) == (CONTENT, len(CONTENT))
    first, second = fake.data.export_requests
    assert first == second, "asked again with the same request id"
    assert (first.format, first.byte_order_mark) == (data_service_pb2.EXPORT_FORMAT_CSV, True)


async def test_a_damaged_export_is_not_saved(client: TablemillClient, fake: FakeServer, tmp_path: Path) -> None:
    fake.data.content, fake.data.crc32c = CONTENT, 7
    with pytest.raises(DamagedFileError):
        await client.export("r", "xlsx", tmp_path / "x.xlsx")
    assert list(tmp_path.iterdir()) == []


async def test_a_large_export_waits_for_its_job(client: TablemillClient, fake: FakeServer, tmp_path: Path) -> None:
    fake.data.content = CONTENT
    _watched(fake, Job(job_id="j", state=JOB_STATE_SUCCEEDED, done=True, version=2))
    seen: list[Job] = []
    await client.export("r", "xlsx", tmp_path / "x.xlsx", on_job=seen.append)
    assert (tmp_path / "x.xlsx").read_bytes() == CONTENT
    assert [job.version for job in seen] == [2]


async def test_a_job_that_failed_is_a_refusal(client: TablemillClient, fake: FakeServer, tmp_path: Path) -> None:
    error = JobError(reason="EXPORT_TEXT_TOO_LONG", message="too long", metadata={"row": "3"})
    _watched(fake, Job(job_id="j", state=JOB_STATE_FAILED, done=True, version=2, error=error))
    with pytest.raises(RefusedError) as caught:
        await client.export("r", "xlsx", tmp_path / "x.xlsx")
    assert (caught.value.reason, caught.value.metadata) == ("EXPORT_TEXT_TOO_LONG", {"row": "3"})


async def test_a_format_that_is_none_is_told_at_once(client: TablemillClient, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="xlsx, csv, parquet"):
        await client.export("r", "ods", tmp_path / "x")
