"""Cancels and retries that workers notice, the history that stays, and what a worker tells of itself."""

import asyncio
from importlib.metadata import version
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from ingest_service.auth import LOCAL_OWNER
from shared.errors import TablemillError
from shared.jobs.model import JobProgress, JobState
from shared.jobs.operations import Operations
from tablemill.v1 import ingest_service_pb2 as ipb
from tablemill.v1 import job_pb2, worker_service_pb2
from tablemill.v1 import ops_service_pb2 as pb
from tests.integration.operating import BAD_FILE, PASSING, POISON, claim, end, job_in, refusal
from tests.integration.worker_harness import QUEUE, Jobs, Running, ToyArgs, running_worker, toy
from tests.rpc import Calls
from worker_service.job_type import JobContext, JobFailed
from worker_service.worker_servicer import WorkerServicer


async def _run_job(jobs: Jobs, running: Running, begun: asyncio.Event) -> UUID:
    """Add a job; returns once its handler says that it has begun."""
    async with asyncio.timeout(5):
        await running.listener.up.wait()
        job_id = await jobs.add(LOCAL_OWNER)
        running.notifier.ready([QUEUE])
        await begun.wait()
    return job_id


# --- cancel ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [JobState.READY, JobState.SCHEDULED])
async def test_a_waiting_job_is_cancelled_at_once(calls: Calls, jobs: Jobs, state: JobState) -> None:
    job_id = await job_in(jobs, state, LOCAL_OWNER)
    before = await jobs.row(job_id)
    job = (await calls.ops.CancelJob(pb.CancelJobRequest(job_id=str(job_id)))).job
    assert (job.state, job.done, job.cancel_requested) == (job_pb2.JOB_STATE_CANCELLED, True, True)
    assert job.version > before["version"]
    assert job.HasField("end_time")
    again = (await calls.ops.CancelJob(pb.CancelJobRequest(job_id=str(job_id)))).job
    assert again == job
    assert await claim(jobs) == []


@pytest.mark.parametrize("state", [JobState.SUCCEEDED, JobState.FAILED])
async def test_a_job_that_ended_cannot_be_cancelled(calls: Calls, jobs: Jobs, state: JobState) -> None:
    job_id = await job_in(jobs, state, LOCAL_OWNER)
    before = await jobs.row(job_id)
    refused = await refusal(calls.ops.CancelJob(pb.CancelJobRequest(job_id=str(job_id))))
    assert refused == ("FAILED_PRECONDITION", "JOB_STATE", {"state": state})
    assert await jobs.row(job_id) == before


async def test_a_running_job_is_stopped_within_a_second(
    calls: Calls, jobs: Jobs, database_url: str, tmp_path: Path
) -> None:
    begun, stopped = asyncio.Event(), asyncio.Event()

    async def handler(_context: JobContext, _args: ToyArgs) -> Any:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    async with running_worker(
        jobs.pool, database_url, tmp_path, toy(handler), lease_s=60, heartbeat_s=30, progress_every_s=20
    ) as running:
        job_id = await _run_job(jobs, running, begun)
        job = (await calls.ops.CancelJob(pb.CancelJobRequest(job_id=str(job_id)))).job
        assert (job.state, job.cancel_requested) == (job_pb2.JOB_STATE_RUNNING, True)
        async with asyncio.timeout(1):
            await stopped.wait()
            row = await jobs.until(job_id, lambda row: row["state"] != JobState.RUNNING)
        assert (row["state"], row["cancel_requested"]) == (JobState.CANCELLED, True)


async def test_a_cancel_missed_by_the_listener_is_seen_when_it_is_back(
    jobs: Jobs, database_url: str, tmp_path: Path
) -> None:
    begun = asyncio.Event()

    async def handler(_context: JobContext, _args: ToyArgs) -> Any:
        begun.set()
        await asyncio.Event().wait()

    async with running_worker(jobs.pool, database_url, tmp_path, toy(handler), lease_s=60, heartbeat_s=30) as running:
        job_id = await _run_job(jobs, running, begun)
        await Operations(jobs.pool).cancel(LOCAL_OWNER, job_id)  # and nobody sends the hint
        await jobs.rows(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name LIKE '%%-listen'"
        )
        async with asyncio.timeout(5):
            await jobs.until(job_id, lambda row: row["state"] == JobState.CANCELLED)
        assert not running.worker.running


async def test_a_cancel_and_a_claim_at_once_agree_on_who_was_first(jobs: Jobs, operations: Operations) -> None:
    for _ in range(25):
        job_id = await jobs.add()
        claimed, job = await asyncio.gather(claim(jobs), operations.cancel("o", job_id))
        row = await jobs.row(job_id)
        assert (row["state"], row["cancel_requested"]) == (job.state, True)
        assert job.state == (JobState.RUNNING if claimed else JobState.CANCELLED)
        if claimed:
            await end(jobs, claimed[0])


async def test_a_job_that_succeeds_before_it_is_stopped_stays_succeeded(jobs: Jobs, operations: Operations) -> None:
    job_id = await jobs.add()
    (claimed,) = await claim(jobs)
    assert (await operations.cancel("o", job_id)).state is JobState.RUNNING
    await end(jobs, claimed)
    with pytest.raises(TablemillError, match="JOB_STATE"):
        await operations.cancel("o", job_id)
    row = await jobs.row(job_id)
    assert (row["state"], row["cancel_requested"]) == (JobState.SUCCEEDED, False)


# --- retry ----------------------------------------------------------------------------------------------------------


async def test_a_failed_job_gets_a_fresh_set_of_attempts(calls: Calls, jobs: Jobs, operations: Operations) -> None:
    job_id = await jobs.add(LOCAL_OWNER)
    for attempt in (1, 2, 3):
        await jobs.rows("UPDATE jobs SET state = 'ready' WHERE job_id = %s", job_id)
        (claimed,) = await claim(jobs)
        assert claimed.attempt == attempt
        await end(jobs, claimed, POISON)
    failed = await jobs.row(job_id)
    assert (failed["state"], failed["crash_count"]) == (JobState.FAILED, 3)

    job = (await calls.ops.RetryJob(pb.RetryJobRequest(job_id=str(job_id)))).job
    assert (job.job_id, job.state, job.done) == (str(job_id), job_pb2.JOB_STATE_QUEUED, False)
    assert (job.attempt, job.max_attempts) == (3, 3 + 5)
    assert job.error.reason == "PROCESS_CRASHED", "the last error stays in sight"
    assert not job.HasField("end_time")
    assert job.version == failed["version"] + 1
    row = await jobs.row(job_id)
    assert (row["crash_count"], row["history"]) == (0, failed["history"])
    assert row["lease_token"] == failed["lease_token"]

    (claimed,) = await claim(jobs)
    assert (claimed.lease.job_id, claimed.attempt) == (job_id, 4)
    await end(jobs, claimed)
    with pytest.raises(TablemillError, match="JOB_STATE"):
        await operations.retry(LOCAL_OWNER, job_id, attempts=5)


async def test_a_cancelled_job_is_retried_by_a_worker_that_is_told(
    calls: Calls, jobs: Jobs, database_url: str, tmp_path: Path
) -> None:
    begun = asyncio.Event()

    async def handler(_context: JobContext, _args: ToyArgs) -> Any:
        begun.set()
        raise JobFailed(BAD_FILE)

    job_id = await job_in(jobs, JobState.CANCELLED, LOCAL_OWNER)
    async with running_worker(jobs.pool, database_url, tmp_path, toy(handler), poll_s=300) as running:
        await running.listener.up.wait()
        job = (await calls.ops.RetryJob(pb.RetryJobRequest(job_id=str(job_id)))).job
        assert (job.attempt, job.max_attempts, job.cancel_requested) == (0, 5, False)
        async with asyncio.timeout(5):
            await begun.wait()
        assert (await jobs.until_final(job_id)).state is JobState.FAILED


@pytest.mark.parametrize("state", [JobState.READY, JobState.SCHEDULED, JobState.RUNNING, JobState.SUCCEEDED])
async def test_only_what_ended_badly_is_retried(calls: Calls, jobs: Jobs, state: JobState) -> None:
    job_id = await job_in(jobs, state, LOCAL_OWNER)
    before = await jobs.row(job_id)
    refused = await refusal(calls.ops.RetryJob(pb.RetryJobRequest(job_id=str(job_id))))
    assert refused == ("FAILED_PRECONDITION", "JOB_STATE", {"state": state})
    assert await jobs.row(job_id) == before


async def test_a_retry_whose_answer_was_lost_may_be_repeated_with_the_version(calls: Calls, jobs: Jobs) -> None:
    job_id = await job_in(jobs, JobState.FAILED, LOCAL_OWNER)
    request = pb.RetryJobRequest(job_id=str(job_id), version=(await jobs.row(job_id))["version"])
    first = (await calls.ops.RetryJob(request)).job
    assert first.state == job_pb2.JOB_STATE_QUEUED
    assert (await calls.ops.RetryJob(request)).job == first
    (claimed,) = await claim(jobs)
    await end(jobs, claimed, BAD_FILE)
    failed = await jobs.row(job_id)
    assert (await calls.ops.RetryJob(request)).job.state == job_pb2.JOB_STATE_FAILED, "this failure is another one"
    assert await jobs.row(job_id) == failed
    request.version = failed["version"]
    assert (await calls.ops.RetryJob(request)).job.state == job_pb2.JOB_STATE_QUEUED
    request.version = -1
    assert (await refusal(calls.ops.RetryJob(request)))[:2] == ("INVALID_ARGUMENT", "FIELD_INVALID")


async def test_nobody_steers_the_jobs_of_others(jobs: Jobs, operations: Operations) -> None:
    waiting, failed = await job_in(jobs, JobState.CANCELLED, "a"), await jobs.add("a")
    for act in (operations.cancel("b", failed), operations.retry("b", waiting, attempts=5)):
        with pytest.raises(TablemillError, match="JOB_NOT_FOUND"):
            await act
    assert (await jobs.row(failed))["state"] == JobState.READY
    assert (await jobs.row(waiting))["state"] == JobState.CANCELLED


async def test_cancels_and_retries_at_once_end_in_one_of_both(jobs: Jobs, operations: Operations) -> None:
    job_id = await job_in(jobs, JobState.CANCELLED)
    version = (await jobs.row(job_id))["version"]
    acts = [operations.retry("o", job_id, attempts=5) for _ in range(4)]
    outcomes = await asyncio.gather(*acts, return_exceptions=True)
    assert len([outcome for outcome in outcomes if not isinstance(outcome, Exception)]) == 1
    assert {outcome.reason for outcome in outcomes if isinstance(outcome, TablemillError)} == {"JOB_STATE"}
    row = await jobs.row(job_id)
    assert (row["state"], row["version"], row["max_attempts"]) == (JobState.READY, version + 1, 5)


async def test_a_job_tells_its_failed_attempts(calls: Calls, jobs: Jobs, operations: Operations) -> None:
    job_id = await jobs.add(LOCAL_OWNER)
    (first,) = await claim(jobs)
    await end(jobs, first, POISON)
    await jobs.rows("UPDATE jobs SET state = 'ready' WHERE job_id = %s", job_id)
    (second,) = await claim(jobs)
    await operations.cancel(LOCAL_OWNER, job_id)
    await end(jobs, second, PASSING)
    await operations.retry(LOCAL_OWNER, job_id, attempts=5)
    (third,) = await claim(jobs)
    await end(jobs, third)

    response = await calls.ingest.GetJob(ipb.GetJobRequest(job_id=str(job_id)))
    assert response.job.state == job_pb2.JOB_STATE_SUCCEEDED
    crashed, cancelled = response.failed_attempts
    assert (crashed.attempt, crashed.outcome) == (1, job_pb2.ATTEMPT_OUTCOME_CRASHED)
    assert (crashed.error.reason, crashed.worker_id) == ("PROCESS_CRASHED", "test")
    assert crashed.start_time.ToDatetime() <= crashed.end_time.ToDatetime() <= cancelled.start_time.ToDatetime()
    assert (cancelled.attempt, cancelled.outcome) == (2, job_pb2.ATTEMPT_OUTCOME_CANCELLED)


# --- the worker's own side ------------------------------------------------------------------------------------------


async def test_a_worker_tells_what_it_runs_and_drains_when_told(jobs: Jobs, database_url: str, tmp_path: Path) -> None:
    begun = asyncio.Event()

    async def handler(context: JobContext, _args: ToyArgs) -> Any:
        context.progress(JobProgress("read", 3, 10, "rows"))
        begun.set()
        await asyncio.Event().wait()

    async with running_worker(jobs.pool, database_url, tmp_path, toy(handler)) as running:
        stop = asyncio.Event()
        servicer = WorkerServicer(running.worker, stop)
        job_id = await _run_job(jobs, running, begun)
        worker = (await servicer.GetWorker(worker_service_pb2.GetWorkerRequest(), None)).worker
        assert worker.worker_id == (await jobs.row(job_id))["worker_id"]
        assert (worker.draining, worker.software_version) == (False, version("tablemill"))
        (queue,) = worker.queues
        assert (queue.queue, queue.capacity, queue.running_count) == (QUEUE, 2, 1)
        (job,) = worker.running
        assert (job.job_id, job.queue, job.attempt) == (str(job_id), QUEUE, 1)
        assert (job.progress.stage, job.progress.done, job.progress.total) == ("read", 3, 10)

        await asyncio.sleep(0.01)
        draining = (await servicer.Drain(worker_service_pb2.DrainRequest(), None)).worker
        assert (draining.draining, stop.is_set()) == (True, True)
        assert draining.running[0].running_for.ToTimedelta() > job.running_for.ToTimedelta()
        assert draining.uptime.ToTimedelta() > worker.uptime.ToTimedelta()
