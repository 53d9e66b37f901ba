"""Jobs in any state, by hand, for tests of what operators do to them."""

from typing import Any
from uuid import UUID

import grpc
import pytest

from shared.jobs.model import ClaimedJob, JobFailure, JobState
from shared.jobs.operations import Operations
from tests.integration.worker_harness import QUEUE, Jobs
from tests.rpc import reason_of

UNKNOWN = "00000000-0000-7000-8000-000000000000"
BAD_FILE = JobFailure("FILE_CORRUPT", "It is broken.", retryable=False)
PASSING = JobFailure("STORE_UNAVAILABLE", "It is away.", retryable=True)
POISON = JobFailure("PROCESS_CRASHED", "It died.", retryable=True, crash=True)


async def claim(jobs: Jobs, limit: int = 1) -> list[ClaimedJob]:
    return await jobs.queue.claim(QUEUE, limit=limit, worker_id="test", lease_s=60, timeout_s=60)


async def end(jobs: Jobs, job: ClaimedJob, failure: JobFailure | None = None) -> None:
    if failure:
        await jobs.queue.fail(job.lease, failure, backoff_s=60)
        return
    async with jobs.pool.connection() as connection, connection.transaction():
        await jobs.queue.succeed(connection, job.lease)


async def job_in(jobs: Jobs, state: JobState, owner: str = "o") -> UUID:
    """Add a job and bring it into a state; no other job of the queue may be ready."""
    job_id = await jobs.add(owner)
    match state:
        case JobState.READY:
            return job_id
        case JobState.CANCELLED:
            await Operations(jobs.pool).cancel(owner, job_id)
            return job_id
    (claimed,) = await claim(jobs)
    if state is JobState.SUCCEEDED:
        await end(jobs, claimed)
    elif state is not JobState.RUNNING:
        await end(jobs, claimed, BAD_FILE if state is JobState.FAILED else PASSING)
    assert (await jobs.row(job_id))["state"] == state
    return job_id


async def refusal(call: Any) -> tuple[str, str, dict[str, str]]:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    return reason_of(refused.value)
