"""What a job remembers of attempts that did not succeed."""

from uuid import UUID

from shared.jobs.model import AttemptOutcome, Job, JobFailure, Lease, PastAttempt
from tests.integration.worker_harness import QUEUE, Jobs

PASSING = JobFailure("STORE_UNAVAILABLE", "away", retryable=True)
CRASH = JobFailure("OUT_OF_MEMORY", "too much", retryable=True, crash=True)


async def _begin(jobs: Jobs, worker_id: str = "w") -> Lease:
    (claimed,) = await jobs.queue.claim(QUEUE, limit=1, worker_id=worker_id, lease_s=60, timeout_s=60)
    return claimed.lease


async def _fail(jobs: Jobs, lease: Lease, failure: JobFailure = PASSING) -> None:
    await jobs.queue.fail(lease, failure, backoff_s=0)
    await jobs.queue.promote()


async def _lose(jobs: Jobs, lease: Lease) -> None:
    await jobs.rows("UPDATE jobs SET lease_expires_at = now() - interval '1 s' WHERE job_id = %s", lease.job_id)
    assert len(await jobs.queue.rescue()) == 1


async def _read(jobs: Jobs, job_id: UUID) -> Job:
    (job,) = await jobs.queue.read("o", [job_id])
    return job


async def test_every_attempt_that_did_not_succeed_leaves_an_entry(jobs: Jobs) -> None:
    job_id = await jobs.add(max_attempts=9)
    await _fail(jobs, await _begin(jobs, "a"))
    await _fail(jobs, await _begin(jobs, "b"), CRASH)
    await _lose(jobs, await _begin(jobs, "c"))
    await jobs.queue.release([await _begin(jobs, "d")])  # which never counted
    lease = await _begin(jobs, "e")
    await jobs.rows("UPDATE jobs SET cancel_requested = true WHERE job_id = %s", job_id)
    await _fail(jobs, lease)
    history = (await _read(jobs, job_id)).history
    assert [(past.attempt, past.worker_id, past.outcome, past.error["reason"]) for past in history] == [
        (1, "a", AttemptOutcome.FAILED, "STORE_UNAVAILABLE"),
        (2, "b", AttemptOutcome.CRASHED, "OUT_OF_MEMORY"),
        (3, "c", AttemptOutcome.LOST, "WORKER_LOST"),
        (4, "e", AttemptOutcome.CANCELLED, "STORE_UNAVAILABLE"),
    ]
    assert all(past.started_at < past.ended_at for past in history)
    assert [past.started_at for past in history] == sorted(past.started_at for past in history)


async def test_a_cancelled_job_that_is_given_back_remembers_its_attempt(jobs: Jobs) -> None:
    job_id = await jobs.add()
    lease = await _begin(jobs)
    await jobs.rows("UPDATE jobs SET cancel_requested = true WHERE job_id = %s", job_id)
    await jobs.queue.release([lease])
    (past,) = (await _read(jobs, job_id)).history
    assert (past.attempt, past.outcome) == (1, AttemptOutcome.CANCELLED)


async def test_success_keeps_the_history_and_adds_nothing(jobs: Jobs) -> None:
    job_id = await jobs.add()
    await _fail(jobs, await _begin(jobs))
    await jobs.queue.succeed_many([await _begin(jobs)])
    job = await _read(jobs, job_id)
    assert (job.error, [past.attempt for past in job.history]) == (None, [1])
    assert isinstance(job.history[0], PastAttempt)


async def test_the_newest_twenty_are_kept(jobs: Jobs) -> None:
    job_id = await jobs.add(max_attempts=100)
    for _ in range(23):
        await _fail(jobs, await _begin(jobs))
    assert [past.attempt for past in (await _read(jobs, job_id)).history] == list(range(4, 24))


async def test_a_job_knows_since_when_it_is_ready(jobs: Jobs) -> None:
    job_id = await jobs.add()
    seen = [(await jobs.row(job_id))["ready_at"]]
    await _fail(jobs, await _begin(jobs))
    seen.append((await jobs.row(job_id))["ready_at"])
    await _lose(jobs, await _begin(jobs))
    seen.append((await jobs.row(job_id))["ready_at"])
    await jobs.queue.release([await _begin(jobs)])
    seen.append((await jobs.row(job_id))["ready_at"])
    assert seen == sorted(set(seen))
