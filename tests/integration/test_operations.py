"""What operators see of the queues and their jobs, at what price, and how they hold a queue back."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message
from psycopg.rows import DictRow
from uuid_utils.compat import uuid7

from ingest_service.auth import LOCAL_OWNER
from shared.jobs.model import JobState, NewJob
from shared.jobs.operations import Operations
from tablemill.v1 import job_pb2
from tablemill.v1 import ops_service_pb2 as pb
from tests.integration.operating import BAD_FILE, UNKNOWN, claim, end, job_in, refusal
from tests.integration.worker_harness import QUEUE, Jobs, ToyArgs, running_worker, toy
from tests.rpc import Calls
from worker_service.job_type import JobContext, JobFailed

# --- queues ---------------------------------------------------------------------------------------------------------


async def test_queues_are_counted_by_state(calls: Calls, jobs: Jobs) -> None:
    for state in (JobState.SUCCEEDED, JobState.FAILED, JobState.SCHEDULED, JobState.RUNNING, JobState.CANCELLED):
        await job_in(jobs, state)
    await jobs.queue.register("empty")
    first, second = await jobs.add(), await jobs.add()
    await jobs.rows("UPDATE jobs SET ready_at = ready_at - interval '90 s' WHERE job_id = %s", first)
    await jobs.rows("UPDATE jobs SET ready_at = ready_at - interval '5 s' WHERE job_id = %s", second)
    await jobs.rows("UPDATE queues SET max_running = 7 WHERE queue = 'empty'")

    empty, toys = (await calls.ops.ListQueues(pb.ListQueuesRequest())).queues
    assert (empty.queue, toys.queue) == ("empty", QUEUE)
    assert (toys.ready_count, toys.scheduled_count, toys.running_count) == (2, 1, 1)
    assert (toys.succeeded_last_hour_count, toys.failed_last_hour_count) == (1, 1)
    assert 90 <= toys.oldest_ready_age.ToTimedelta().total_seconds() < 120
    assert not toys.HasField("pause_time")
    assert (empty.ready_count, empty.scheduled_count, empty.running_count) == (0, 0, 0)
    assert not empty.HasField("oldest_ready_age")
    assert (empty.max_running, empty.max_running_per_owner) == (7, 0)


async def test_throughput_is_that_of_the_last_hour(operations: Operations, jobs: Jobs) -> None:
    for state in (JobState.SUCCEEDED, JobState.FAILED):
        job_id = await job_in(jobs, state)
        await job_in(jobs, state)
        await jobs.rows("UPDATE jobs SET ended_at = ended_at - interval '61 min' WHERE job_id = %s", job_id)
    (toys,) = await operations.list_queues()
    assert (toys.succeeded_last_hour, toys.failed_last_hour) == (1, 1)


async def test_a_paused_queue_gives_no_jobs_until_it_is_resumed(calls: Calls, jobs: Jobs) -> None:
    await jobs.add()
    paused = (await calls.ops.PauseQueue(pb.PauseQueueRequest(queue=QUEUE, reason="磁盘已满"))).queue
    assert (paused.pause_reason, paused.ready_count) == ("磁盘已满", 1)
    assert await claim(jobs) == []
    again = (await calls.ops.PauseQueue(pb.PauseQueueRequest(queue=QUEUE, reason="still full"))).queue
    assert (again.pause_reason, again.pause_time) == ("still full", paused.pause_time)

    resumed = (await calls.ops.ResumeQueue(pb.ResumeQueueRequest(queue=QUEUE))).queue
    assert (resumed.pause_reason, resumed.HasField("pause_time")) == ("", False)
    assert (await calls.ops.ResumeQueue(pb.ResumeQueueRequest(queue=QUEUE))).queue.queue == QUEUE
    assert len(await claim(jobs)) == 1


async def test_resuming_wakes_the_workers(calls: Calls, jobs: Jobs, database_url: str, tmp_path: Path) -> None:
    begun = asyncio.Event()

    async def handler(_context: JobContext, _args: ToyArgs) -> Any:
        begun.set()
        raise JobFailed(BAD_FILE)

    await calls.ops.PauseQueue(pb.PauseQueueRequest(queue=QUEUE))
    async with running_worker(jobs.pool, database_url, tmp_path, toy(handler), poll_s=300) as running:
        await running.listener.up.wait()
        await jobs.add()
        running.notifier.ready([QUEUE])
        await asyncio.sleep(0.2)
        assert not begun.is_set()
        await calls.ops.ResumeQueue(pb.ResumeQueueRequest(queue=QUEUE))
        async with asyncio.timeout(5):
            await begun.wait()


REFUSED: list[tuple[Message, str]] = [
    (pb.PauseQueueRequest(queue="nobody"), "QUEUE_NOT_FOUND"),
    (pb.PauseQueueRequest(queue=QUEUE, reason="x" * 201), "FIELD_INVALID"),
    (pb.PauseQueueRequest(queue=QUEUE, reason="a\0b"), "FIELD_INVALID"),
    (pb.PauseQueueRequest(queue="a b"), "FIELD_INVALID"),
    (pb.ResumeQueueRequest(queue="nobody"), "QUEUE_NOT_FOUND"),
    (pb.ResumeQueueRequest(), "FIELD_INVALID"),
    (pb.ListJobsRequest(queue="a\0b"), "FIELD_INVALID"),
    (pb.ListJobsRequest(states=[job_pb2.JOB_STATE_UNSPECIFIED]), "FIELD_INVALID"),
    (pb.ListJobsRequest(states=[job_pb2.JOB_STATE_QUEUED, 99]), "FIELD_INVALID"),  # type: ignore[list-item]
    (pb.ListJobsRequest(record_id="1"), "FIELD_INVALID"),
    (pb.ListJobsRequest(page_size=-1), "FIELD_INVALID"),
    (pb.ListJobsRequest(page_token="cmVjb3Jkczox"), "FIELD_INVALID"),
    (pb.CancelJobRequest(job_id=UNKNOWN), "JOB_NOT_FOUND"),
    (pb.CancelJobRequest(job_id="x"), "FIELD_INVALID"),
    (pb.RetryJobRequest(job_id=UNKNOWN), "JOB_NOT_FOUND"),
    (pb.RetryJobRequest(), "FIELD_INVALID"),
]


async def test_what_does_not_fit_is_refused(calls: Calls, jobs: Jobs) -> None:
    for request, reason in REFUSED:
        method = getattr(calls.ops, type(request).__name__.removesuffix("Request"))
        code, found, _ = await refusal(method(request))
        assert found == reason, request
        assert code == ("NOT_FOUND" if reason.endswith("NOT_FOUND") else "INVALID_ARGUMENT"), request


# --- jobs -----------------------------------------------------------------------------------------------------------


async def _listed(calls: Calls, **filters: Any) -> list[str]:
    response = await calls.ops.ListJobs(pb.ListJobsRequest(**filters))
    assert not response.next_page_token
    return [job.job_id for job in response.jobs]


async def test_jobs_are_listed_newest_first_through_filters(calls: Calls, jobs: Jobs) -> None:
    states = (JobState.SUCCEEDED, JobState.FAILED, JobState.SCHEDULED, JobState.RUNNING, JobState.CANCELLED)
    done, failed, scheduled, running, cancelled, ready = [
        str(await job_in(jobs, state, LOCAL_OWNER)) for state in (*states, JobState.READY)
    ]
    other = str(await jobs.add(LOCAL_OWNER, "other"))
    await jobs.add("somebody else")
    assert await _listed(calls) == [other, ready, cancelled, running, scheduled, failed, done]
    assert await _listed(calls, queue="other") == [other]
    assert await _listed(calls, queue=QUEUE, states=[job_pb2.JOB_STATE_QUEUED]) == [ready, scheduled]
    assert await _listed(calls, states=[job_pb2.JOB_STATE_FAILED, job_pb2.JOB_STATE_SUCCEEDED]) == [failed, done]
    assert await _listed(calls, states=[job_pb2.JOB_STATE_CANCELLED] * 2) == [cancelled]
    assert await _listed(calls, record_id=UNKNOWN) == []


async def test_jobs_of_one_record_are_listed(calls: Calls, jobs: Jobs) -> None:
    record_id, job_id = uuid7(), uuid7()
    await jobs.rows(
        "INSERT INTO records (record_id, owner, file_name, raw_object, raw_size_bytes, raw_crc32c)"
        " VALUES (%s, %s, 'f', 'raw/1', 1, 1)",
        record_id,
        LOCAL_OWNER,
    )
    async with jobs.pool.connection() as connection, connection.transaction():
        await jobs.queue.enqueue(connection, NewJob(job_id, LOCAL_OWNER, QUEUE, record_id))
    await jobs.add(LOCAL_OWNER)
    assert await _listed(calls, record_id=str(record_id)) == [str(job_id)]


async def test_pages_join_without_gap_or_repeat_while_jobs_arrive(calls: Calls, jobs: Jobs) -> None:
    added = [str(await jobs.add(LOCAL_OWNER)) for _ in range(5)]
    (claimed,) = await claim(jobs)
    await end(jobs, claimed)
    request, seen = pb.ListJobsRequest(page_size=2), []
    while True:
        page = await calls.ops.ListJobs(request)
        seen += [job.job_id for job in page.jobs]
        if not page.next_page_token:
            break
        assert len(page.jobs) == 2
        await jobs.add(LOCAL_OWNER)
        request.page_token = page.next_page_token
    assert seen == added[::-1]


async def test_looks_walk_indexes(jobs: Jobs, operations: Operations, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look must not read the history of the queues, nor a page of rare jobs all others."""
    await jobs.rows(
        "INSERT INTO jobs (job_id, owner, queue, state, pos, max_attempts, attempt, error, ended_at)"
        " SELECT gen_random_uuid(), 'o' || n %% 3, %s, CASE WHEN n %% 1000 = 0 THEN 'failed' ELSE 'succeeded' END,"
        " n, 5, 1, '{}', now() - interval '2 h' FROM generate_series(1, 20000) AS n",
        QUEUE,
    )
    await jobs.rows("ANALYZE jobs")
    plans: list[str] = []
    rows = Operations._rows

    async def explained(self: Operations, query: Any, values: Mapping[str, Any]) -> list[DictRow]:
        plans.append("\n".join(row["QUERY PLAN"] for row in await rows(self, "EXPLAIN " + query, values)))
        return []

    monkeypatch.setattr(Operations, "_rows", explained)
    await operations.list_jobs("o1", queue=QUEUE, states=[JobState.FAILED], record_id=None, before=None, limit=50)
    await operations.list_queues()
    page, queues = plans
    assert all(index in queues for index in ("jobs_ready", "jobs_scheduled", "jobs_running", "jobs_ended"))
    assert "Seq Scan on jobs" not in queues
    assert "jobs_by_owner" in page
    assert "Seq Scan" not in page
