"""WatchStatus: the truth first, then every change that matters, then an end; whatever hints get lost."""

import asyncio
from uuid import UUID, uuid4

import grpc
import psycopg
import pytest
from google.protobuf.duration_pb2 import Duration

from shared.database import Pool
from shared.jobs.model import ClaimedJob, JobFailure, JobProgress, Lease
from shared.jobs.queue import JobQueue
from tablemill.v1 import ingest_service_pb2 as pb
from tablemill.v1 import job_pb2
from tests.rpc import Calls, next_update, reason_of, upload

FILE = b"a,b\n1,2\n"


@pytest.fixture
def jobs(pool: Pool) -> JobQueue:
    return JobQueue(pool)


class Watch:
    """A watch whose updates are read one at a time."""

    def __init__(self, calls: Calls, job_id: str, after_version: int = 0) -> None:
        target = pb.WatchTarget(job_id=job_id, after_version=after_version)
        self.call = calls.ingest.WatchStatus(pb.WatchStatusRequest(targets=[target]), timeout=30)

    async def job(self) -> job_pb2.Job:
        """Return the next state told, heartbeats skipped."""
        while True:
            update = await next_update(self.call)
            assert update is not None, "the stream ended"
            if update.jobs:
                assert len(update.jobs) == 1
                return update.jobs[0]

    async def ends_ok(self) -> bool:
        return await next_update(self.call) is None and await self.call.code() is grpc.StatusCode.OK


async def _claim(jobs: JobQueue) -> ClaimedJob:
    (claimed,) = await jobs.claim("ingest", limit=1, worker_id="test", lease_s=60, timeout_s=60)
    return claimed


async def _succeed(pool: Pool, jobs: JobQueue, lease: Lease) -> None:
    async with pool.connection() as connection, connection.transaction():
        await jobs.succeed(connection, lease)


async def _hint(pool: Pool, job_id: str) -> None:
    async with pool.connection() as connection:
        await connection.execute("SELECT pg_notify('tablemill_changed', %s)", [job_id])


async def test_a_watch_tells_snapshot_changes_and_end(calls: Calls, pool: Pool, jobs: JobQueue) -> None:
    stored = await upload(calls, FILE)
    watch = Watch(calls, stored.job_id)
    first = await watch.job()
    assert (first.state, first.version, first.done) == (job_pb2.JOB_STATE_QUEUED, 1, False)

    claimed = await _claim(jobs)
    await _hint(pool, stored.job_id)
    assert (await watch.job()).state == job_pb2.JOB_STATE_RUNNING
    await jobs.heartbeat([(claimed.lease, JobProgress("read", 10, 100, "rows"))], lease_s=60)
    await _hint(pool, stored.job_id)
    progress = (await watch.job()).progress
    assert (progress.stage, progress.done, progress.total, progress.unit) == ("read", 10, 100, "rows")

    await _succeed(pool, jobs, claimed.lease)
    await _hint(pool, stored.job_id)
    last = await watch.job()
    assert (last.state, last.done, last.version) == (job_pb2.JOB_STATE_SUCCEEDED, True, 4)
    assert last.HasField("end_time")
    assert await watch.ends_ok()


async def test_without_any_hint_the_poll_tells(calls: Calls, pool: Pool, jobs: JobQueue) -> None:
    stored = await upload(calls, FILE)
    watch = Watch(calls, stored.job_id)
    await watch.job()
    claimed = await _claim(jobs)
    await _succeed(pool, jobs, claimed.lease)
    while not (job := await watch.job()).done:
        pass
    assert job.state == job_pb2.JOB_STATE_SUCCEEDED
    assert await watch.ends_ok()


async def test_a_watch_of_a_finished_job_tells_it_and_ends(calls: Calls, pool: Pool, jobs: JobQueue) -> None:
    stored = await upload(calls, FILE)
    await _succeed(pool, jobs, (await _claim(jobs)).lease)
    fresh = Watch(calls, stored.job_id)
    last = await fresh.job()
    assert last.done
    assert await fresh.ends_ok()
    resumed = Watch(calls, stored.job_id, after_version=last.version)
    update = await next_update(resumed.call)
    assert update is not None
    assert (list(update.jobs), update.synced) == ([], True)
    assert await resumed.ends_ok()


async def test_a_resumed_watch_does_not_repeat_what_was_seen(calls: Calls, pool: Pool, jobs: JobQueue) -> None:
    stored = await upload(calls, FILE)
    resumed = Watch(calls, stored.job_id, after_version=1)
    claimed = await _claim(jobs)
    await _hint(pool, stored.job_id)
    assert (await resumed.job()).version == 2
    await _succeed(pool, jobs, claimed.lease)
    await _hint(pool, stored.job_id)
    assert (await resumed.job()).version == 3
    assert await resumed.ends_ok()


async def test_a_failed_attempt_is_seen_as_queued_with_its_error(calls: Calls, pool: Pool, jobs: JobQueue) -> None:
    stored = await upload(calls, FILE)
    claimed = await _claim(jobs)
    failure = JobFailure("STORE_UNAVAILABLE", "The object store did not answer.", retryable=True)
    await jobs.fail(claimed.lease, failure, backoff_s=60)
    job = await Watch(calls, stored.job_id).job()
    assert (job.state, job.attempt, job.error.reason) == (job_pb2.JOB_STATE_QUEUED, 1, "STORE_UNAVAILABLE")
    assert job.HasField("next_attempt_time")


async def test_heartbeats_come_when_nothing_else_does(calls: Calls) -> None:
    stored = await upload(calls, FILE)
    request = pb.WatchStatusRequest(
        targets=[pb.WatchTarget(job_id=stored.job_id)], heartbeat_interval=Duration(seconds=1)
    )
    call = calls.ingest.WatchStatus(request, timeout=30)
    first, second = await next_update(call), await next_update(call)
    assert first is not None
    assert second is not None
    assert first.jobs
    assert (list(second.jobs), second.synced) == ([], True)
    call.cancel()


async def test_many_jobs_in_one_watch(calls: Calls, pool: Pool, jobs: JobQueue) -> None:
    stored = [await upload(calls, FILE) for _ in range(5)]
    targets = [pb.WatchTarget(job_id=each.job_id) for each in stored]
    call = calls.ingest.WatchStatus(pb.WatchStatusRequest(targets=targets), timeout=30)
    final: set[str] = set()

    async def follow() -> None:
        async for update in call:
            final.update(job.job_id for job in update.jobs if job.done)

    following = asyncio.create_task(follow())
    for claimed in await jobs.claim("ingest", limit=5, worker_id="test", lease_s=60, timeout_s=60):
        await _succeed(pool, jobs, claimed.lease)
        await _hint(pool, str(claimed.lease.job_id))
    await following
    assert final == {each.job_id for each in stored}


BAD_TARGETS: dict[str, list[pb.WatchTarget]] = {
    "none": [],
    "no uuid": [pb.WatchTarget(job_id="x")],
    "twice": [pb.WatchTarget(job_id=str(UUID(int=1)))] * 2,
    "too many": [pb.WatchTarget(job_id=str(UUID(int=number))) for number in range(101)],
    "nothing in it": [pb.WatchTarget()],
    "two things in one": [pb.WatchTarget(job_id=str(UUID(int=1)), record_id=str(UUID(int=2)))],
    "record twice": [pb.WatchTarget(record_id=str(UUID(int=1)))] * 2,
    "all twice": [pb.WatchTarget(all=pb.WatchFilter())] * 2,
    "no queue": [pb.WatchTarget(all=pb.WatchFilter(queues=["no queue"]))],
    "no state": [pb.WatchTarget(all=pb.WatchFilter(states=[job_pb2.JOB_STATE_UNSPECIFIED]))],
    "negative version": [pb.WatchTarget(job_id=str(UUID(int=1)), after_version=-1)],
}


@pytest.mark.parametrize("what", BAD_TARGETS)
async def test_bad_targets_are_refused(calls: Calls, what: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await calls.ingest.WatchStatus(pb.WatchStatusRequest(targets=BAD_TARGETS[what])).read()
    assert reason_of(caught.value)[:2] == ("INVALID_ARGUMENT", "FIELD_INVALID")


@pytest.mark.parametrize("token", ["x", "d2F0Y2g6LTE", "d2F0Y2g6OTk5OTk5OTk5OTk5OTk5OTk5OTk5"])
async def test_a_token_from_elsewhere_is_refused(calls: Calls, token: str) -> None:
    request = pb.WatchStatusRequest(targets=[pb.WatchTarget(all=pb.WatchFilter())], resume_token=token)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await calls.ingest.WatchStatus(request).read()
    assert reason_of(caught.value) == ("INVALID_ARGUMENT", "FIELD_INVALID", {"field": "resume_token"})


async def test_everything_is_watched_over_the_wire(calls: Calls, pool: Pool, jobs: JobQueue) -> None:
    request = pb.WatchStatusRequest(targets=[pb.WatchTarget(all=pb.WatchFilter(queues=["ingest"]))])
    call = calls.ingest.WatchStatus(request, timeout=30)
    first = await next_update(call)
    assert first is not None
    assert (list(first.jobs), first.synced) == ([], True)
    assert first.resume_token
    stored = await upload(calls, FILE)  # its hint tells of a job that nobody named
    second = await next_update(call)
    assert second is not None
    assert [job.job_id for job in second.jobs] == [stored.job_id]
    assert second.HasField("server_time")
    call.cancel()
    await _succeed(pool, jobs, (await _claim(jobs)).lease)
    request.resume_token = first.resume_token
    resumed = await next_update(calls.ingest.WatchStatus(request, timeout=30))
    assert resumed is not None
    assert [(job.job_id, job.done) for job in resumed.jobs] == [(stored.job_id, True)]


async def test_another_owners_job_looks_like_no_job(calls: Calls, database_url: str) -> None:
    stored = await upload(calls, FILE)
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE jobs SET owner = 'somebody else'")
    answers = []
    for job_id in (stored.job_id, str(uuid4())):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await calls.ingest.WatchStatus(pb.WatchStatusRequest(targets=[pb.WatchTarget(job_id=job_id)])).read()
        answers.append((caught.value.details(), reason_of(caught.value)))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await calls.ingest.GetJob(pb.GetJobRequest(job_id=job_id))
        answers.append((caught.value.details(), reason_of(caught.value)))
    assert len(set(map(str, answers))) == 1
    assert answers[0][1][:2] == ("NOT_FOUND", "JOB_NOT_FOUND")


async def test_too_many_watches_are_told_so(calls: Calls) -> None:
    stored = await upload(calls, FILE)
    open_watches = [Watch(calls, stored.job_id) for _ in range(20)]
    for watch in open_watches:
        await watch.job()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await calls.ingest.WatchStatus(pb.WatchStatusRequest(targets=[pb.WatchTarget(job_id=stored.job_id)])).read()
    assert reason_of(caught.value)[:2] == ("RESOURCE_EXHAUSTED", "TOO_MANY_STREAMS")
