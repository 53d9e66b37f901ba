"""The engine against a real Postgres: who may claim, who may write, and what every end makes of a job."""

import asyncio
from typing import cast
from uuid import UUID, uuid4

import psycopg
import pytest

from shared.database import Pool
from shared.jobs.model import ClaimedJob, JobFailure, JobProgress, JobState, Lease
from shared.jobs.operations import Operations
from shared.jobs.queue import JobQueue, LeaseLost
from tests.integration.jobs_engine import HeldPool
from tests.integration.worker_harness import QUEUE, Jobs

PASSING = JobFailure("STORE_UNAVAILABLE", "away", retryable=True)
CRASH = JobFailure("PROCESS_CRASHED", "died", retryable=True, crash=True)
BAD_INPUT = JobFailure("FILE_CORRUPT", "broken", retryable=False, sheet="S", row=3, column="C")


async def _claim(jobs: Jobs, limit: int = 1, lease_s: float = 60, queue: JobQueue | None = None) -> list[ClaimedJob]:
    return await (queue or jobs.queue).claim(QUEUE, limit=limit, worker_id="w", lease_s=lease_s, timeout_s=60)


async def _claim_one(jobs: Jobs, lease_s: float = 60) -> ClaimedJob:
    (claimed,) = await _claim(jobs, 1, lease_s)
    return claimed


async def _succeed(jobs: Jobs, lease: Lease) -> None:
    async with jobs.pool.connection() as connection, connection.transaction():
        await jobs.queue.succeed(connection, lease)


async def _make_due(jobs: Jobs, job_id: UUID) -> None:
    await jobs.rows("UPDATE jobs SET run_at = now() WHERE job_id = %s", job_id)


async def _expire(jobs: Jobs, job_id: UUID) -> None:
    await jobs.rows("UPDATE jobs SET lease_expires_at = now() - interval '1 s' WHERE job_id = %s", job_id)


async def test_concurrent_claimers_get_every_job_exactly_once(jobs: Jobs) -> None:
    wanted = {await jobs.add(owner=f"o{number % 7}") for number in range(200)}

    async def claimer() -> list[UUID]:
        queue, mine = JobQueue(jobs.pool), list[UUID]()
        while claimed := await _claim(jobs, 7, queue=queue):
            mine += [job.lease.job_id for job in claimed]
        return mine

    claimed = [job_id for mine in await asyncio.gather(*(claimer() for _ in range(8))) for job_id in mine]
    assert sorted(claimed) == sorted(wanted)
    assert await jobs.rows("SELECT job_id FROM jobs WHERE attempt <> 1 OR version <> 2 OR state <> 'running'") == []


async def _lost_claim(jobs: Jobs) -> ClaimedJob:
    """Claim without waiting for the disk, and have the server take it back, as a crash of it would."""
    async with jobs.pool.connection() as held, held.transaction(force_rollback=True):
        (claimed,) = await _claim(jobs, queue=JobQueue(cast(Pool, HeldPool(held))))
    return claimed


async def test_nothing_but_a_claim_commits_without_waiting_for_the_disk(jobs: Jobs) -> None:
    await jobs.add()
    async with jobs.pool.connection() as held:
        await held.execute("SET synchronous_commit = on")
        async with held.transaction():
            (claimed,) = await _claim(jobs, queue=JobQueue(cast(Pool, HeldPool(held))))
            assert await (await held.execute("SHOW synchronous_commit")).fetchone() == {"synchronous_commit": "off"}
        async with held.transaction():
            await jobs.queue.succeed(held, claimed.lease)
            assert await (await held.execute("SHOW synchronous_commit")).fetchone() == {"synchronous_commit": "on"}
        await held.execute("RESET synchronous_commit")


async def test_the_token_of_a_claim_that_a_crash_took_back_is_never_given_again(jobs: Jobs) -> None:
    await jobs.add()
    lost, again = await _lost_claim(jobs), await _claim_one(jobs)
    assert again.lease.token > lost.lease.token
    assert await jobs.queue.heartbeat([(lost.lease, None)], lease_s=60) == {}
    assert await jobs.queue.succeed_many([lost.lease]) == set()
    assert await jobs.queue.succeed_many([again.lease]) == {again.lease.job_id}


async def test_watchers_who_saw_a_claim_that_a_crash_took_back_hear_of_the_cancel(jobs: Jobs) -> None:
    job_id = await jobs.add()
    version = (await jobs.row(job_id))["version"]
    await _lost_claim(jobs)
    claimed_version = version + 1
    assert (await Operations(jobs.pool).cancel("o", job_id)).version > claimed_version


async def test_a_claim_never_takes_more_than_it_asked_for(jobs: Jobs) -> None:
    for _ in range(30):
        await jobs.add()
    sizes = [len(mine) for mine in await asyncio.gather(*(_claim(jobs, 3) for _ in range(6)))]
    assert max(sizes) == 3


async def test_a_paused_queue_is_not_claimed_and_not_announced(jobs: Jobs) -> None:
    await jobs.add()
    assert (await jobs.queue.outlook()).ready == {QUEUE}
    await jobs.rows("UPDATE queues SET paused_at = now()")
    assert await _claim(jobs) == []
    assert (await jobs.queue.outlook()).ready == frozenset()


async def _stale(jobs: Jobs) -> Lease:
    """Return the lease of a worker that was taken for dead, while another one works on its job."""
    await jobs.add()
    stale = (await _claim_one(jobs)).lease
    await _expire(jobs, stale.job_id)
    assert [job_id for job_id, _ in await jobs.queue.rescue()] == [stale.job_id]
    fresh = (await _claim_one(jobs)).lease
    assert fresh.job_id == stale.job_id
    assert fresh.token > stale.token
    return stale


async def test_a_stale_token_can_write_nothing(jobs: Jobs) -> None:
    stale = await _stale(jobs)
    before = await jobs.row(stale.job_id)
    with pytest.raises(LeaseLost):
        await _succeed(jobs, stale)
    with pytest.raises(LeaseLost):
        await jobs.queue.fail(stale, BAD_INPUT, backoff_s=0)
    assert await jobs.queue.heartbeat([(stale, JobProgress("read", 1, 2, "rows"))], lease_s=60) == {}
    assert await jobs.queue.release([stale]) == []
    assert not await jobs.queue.succeeded_with([stale])
    assert await jobs.row(stale.job_id) == before


async def test_a_lost_lease_rolls_everything_back(jobs: Jobs) -> None:
    stale = await _stale(jobs)

    async def write_and_succeed() -> None:
        async with jobs.pool.connection() as connection, connection.transaction():
            await connection.execute("INSERT INTO queues (queue) VALUES ('written')")
            await jobs.queue.succeed(connection, stale)

    with pytest.raises(LeaseLost):
        await write_and_succeed()
    assert await jobs.rows("SELECT queue FROM queues WHERE queue = 'written'") == []


async def test_success_is_final_and_known_to_its_lease_alone(jobs: Jobs) -> None:
    await jobs.add()
    lease = (await _claim_one(jobs)).lease
    assert not await jobs.queue.succeeded_with([lease])
    await _succeed(jobs, lease)
    assert (await jobs.row(lease.job_id))["state"] == JobState.SUCCEEDED
    assert await jobs.queue.succeeded_with([lease])
    assert not await jobs.queue.succeeded_with([Lease(lease.job_id, lease.token + 1)])
    with pytest.raises(LeaseLost):
        await _succeed(jobs, lease)
    assert await jobs.queue.rescue() == []


async def test_a_passing_failure_is_tried_again_after_its_backoff(jobs: Jobs) -> None:
    job_id = await jobs.add(max_attempts=2)
    first = await _claim_one(jobs)
    assert await jobs.queue.fail(first.lease, PASSING, backoff_s=30) is JobState.SCHEDULED
    assert await _claim(jobs) == []
    assert await jobs.queue.promote() == []
    due_s = (await jobs.queue.outlook()).due_s
    assert due_s is not None
    assert 25 < due_s <= 30
    await _make_due(jobs, job_id)
    assert await jobs.queue.promote() == [(job_id, QUEUE)]
    again = await _claim_one(jobs)
    assert again.attempt == 2
    assert again.lease.token >= first.lease.token + 2, "the end of a lease raises the token, and so does the next"
    assert await jobs.queue.fail(again.lease, PASSING, backoff_s=30) is JobState.FAILED, "attempts are spent"
    row = await jobs.row(job_id)
    assert row["error"]["reason"] == "STORE_UNAVAILABLE"
    assert row["crash_count"] == 0


async def test_bad_input_is_final_at_once(jobs: Jobs) -> None:
    job_id = await jobs.add()
    assert await jobs.queue.fail((await _claim_one(jobs)).lease, BAD_INPUT, backoff_s=0) is JobState.FAILED
    error = (await jobs.row(job_id))["error"]
    assert (error["reason"], error["sheet"], error["row"], error["column"]) == ("FILE_CORRUPT", "S", 3, "C")


async def test_the_third_crash_is_final_whatever_attempts_are_left(jobs: Jobs) -> None:
    job_id = await jobs.add(max_attempts=10)
    states = []
    for failure in (CRASH, PASSING, CRASH, CRASH):
        states.append(await jobs.queue.fail((await _claim_one(jobs)).lease, failure, backoff_s=0))
        await jobs.queue.promote()
    assert states == [JobState.SCHEDULED, JobState.SCHEDULED, JobState.SCHEDULED, JobState.FAILED]
    assert (await jobs.row(job_id))["crash_count"] == 3


async def test_a_worker_that_dies_three_times_on_a_job_ends_it(jobs: Jobs) -> None:
    job_id = await jobs.add(max_attempts=10)
    for state in ("ready", "ready", "failed"):
        await _claim_one(jobs)
        assert await jobs.queue.rescue() == [], "the lease still holds"
        await _expire(jobs, job_id)
        assert (await jobs.queue.outlook()).due_s is not None
        assert await jobs.queue.rescue() == [(job_id, QUEUE)]
        assert (await jobs.row(job_id))["state"] == state
    assert (await jobs.row(job_id))["error"]["reason"] == "WORKER_LOST"


async def test_release_gives_a_job_back_without_using_up_an_attempt(jobs: Jobs) -> None:
    job_id = await jobs.add(max_attempts=1)
    newest = 0
    for _ in range(3):
        claimed = await _claim_one(jobs)
        assert claimed.attempt == 1
        assert claimed.lease.token > newest
        assert await jobs.queue.release([claimed.lease]) == [job_id]
        newest = (await jobs.row(job_id))["lease_token"]
        assert newest == claimed.lease.token + 1, "the end raises the token"


async def _request_cancel(jobs: Jobs, job_id: UUID) -> None:
    await jobs.rows("UPDATE jobs SET cancel_requested = true WHERE job_id = %s", job_id)


async def test_a_cancelled_job_ends_by_whatever_its_worker_does_first(jobs: Jobs) -> None:
    ends = []
    for _ in range(4):
        await jobs.add()
        lease = (await _claim_one(jobs)).lease
        await _request_cancel(jobs, lease.job_id)
        assert await jobs.queue.heartbeat([(lease, None)], lease_s=60) == {lease.job_id: True}
        ends.append(lease)
    await _succeed(jobs, ends[0])
    assert await jobs.queue.fail(ends[1], PASSING, backoff_s=0) is JobState.CANCELLED
    await jobs.queue.release([ends[2]])
    await _expire(jobs, ends[3].job_id)
    await jobs.queue.rescue()
    states = [(await jobs.row(lease.job_id))["state"] for lease in ends]
    assert states == ["succeeded", "cancelled", "cancelled", "cancelled"]


async def test_a_heartbeat_extends_leases_and_raises_the_version_only_for_news(jobs: Jobs) -> None:
    await jobs.add()
    lease = (await _claim_one(jobs, lease_s=1)).lease
    seen = []
    for progress in (None, JobProgress("read", 1, 9, "rows"), JobProgress("read", 1, 9, "rows")):
        await jobs.queue.heartbeat([(lease, progress)], lease_s=600)
        row = await jobs.row(lease.job_id)
        seen.append(row["version"])
    assert seen == [2, 3, 3]
    assert (row["progress_stage"], row["progress_done"], row["progress_total"]) == ("read", 1, 9)
    (left,) = await jobs.rows("SELECT lease_expires_at > now() + interval '500 s' AS long FROM jobs")
    assert left == {"long": True}


async def test_heartbeats_are_heap_only_updates(jobs: Jobs) -> None:
    await jobs.add()
    lease = (await _claim_one(jobs)).lease
    async with jobs.pool.connection() as connection:
        await connection.execute("SELECT pg_stat_force_next_flush()")
        await connection.execute("SELECT pg_stat_reset_single_table_counters('jobs'::regclass)")
    for done in range(20):
        await jobs.queue.heartbeat([(lease, JobProgress("read", done, 0, "rows"))], lease_s=60)
    async with asyncio.timeout(10):
        while True:
            await jobs.rows("SELECT pg_stat_force_next_flush()")
            (counts,) = await jobs.rows(
                "SELECT n_tup_upd AS all, n_tup_hot_upd AS hot FROM pg_stat_user_tables WHERE relname = 'jobs'"
            )
            if counts["all"] >= 20:
                break
            await asyncio.sleep(0.05)
    assert counts["hot"] >= 0.9 * counts["all"]


async def test_one_owners_pile_does_not_stand_before_anothers_file(jobs: Jobs) -> None:
    for _ in range(50):
        await jobs.add(owner="big")
    await jobs.add(owner="small")
    for _ in range(3):
        await jobs.add(owner="third")
    owners = [(await _claim_one(jobs)).owner for _ in range(8)]
    assert "small" in owners[:3]
    assert owners.count("third") == 3


async def test_a_position_below_the_low_water_mark_is_claimed_in_the_same_breath(jobs: Jobs) -> None:
    for _ in range(3):
        await jobs.add()
    await _claim(jobs, 2)  # sets the mark at the second position
    low = uuid4()
    await jobs.rows(
        "INSERT INTO jobs (job_id, owner, queue, state, pos, max_attempts) VALUES (%s, 'o', %s, 'ready', 1, 1)",
        low,
        QUEUE,
    )
    claimed = await _claim(jobs, 5)
    assert low in {job.lease.job_id for job in claimed}
    assert len(claimed) == 2


async def test_the_outlook_of_an_idle_queue_is_empty(jobs: Jobs) -> None:
    outlook = await jobs.queue.outlook()
    assert (outlook.due_s, outlook.ready) == (None, frozenset())


@pytest.mark.parametrize("statement", ["SUCCEED", "FAIL", "HEARTBEAT", "RELEASE"])
async def test_the_planner_finds_a_leased_job_by_its_primary_key(jobs: Jobs, statement: str) -> None:
    """Also among many running jobs, without statistics, where the partial index of running jobs looks tempting."""
    for _ in range(50):
        await jobs.add()
    leases = [job.lease for job in await _claim(jobs, 50)]
    await jobs.rows("ANALYZE jobs")
    text = getattr(__import__("shared.jobs.statements", fromlist=["x"]), statement)
    one = leases[0]
    values = {
        "job_id": one.job_id, "token": one.token, "retryable": True, "crash": False, "max_crashes": 3,
        "error": "{}", "backoff_s": 1.0, "lease_s": 1.0, "job_ids": [one.job_id], "tokens": [one.token],
        "stages": ["read"], "dones": [1], "totals": [1], "units": ["rows"],
    }  # fmt: skip
    async with jobs.pool.connection() as connection:
        await connection.execute("SET enable_seqscan = off")
        cursor = await connection.execute("EXPLAIN " + text, values)
        plan = "\n".join(str(row["QUERY PLAN"]) for row in await cursor.fetchall())
        await connection.execute("RESET enable_seqscan")
    assert "jobs_pkey" in plan
    assert "jobs_running" not in plan


async def test_a_bad_queue_name_is_refused(jobs: Jobs) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        await jobs.queue.register("no spaces")
