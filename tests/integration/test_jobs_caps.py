"""Caps on how many jobs run at once over all workers: exact, whoever races."""

import asyncio
import random
from collections import Counter
from pathlib import Path
from uuid import UUID

import psycopg
import pytest

from shared.database import Pool
from shared.jobs.model import ClaimedJob
from shared.jobs.queue import JobQueue
from tests.integration.worker_harness import QUEUE, Jobs, ToyArgs, running_worker, toy
from worker_service.job_type import JobContext

CLAIMERS = 6
JOBS = 90
OWNERS = 3


async def _capped(pool: Pool, max_running: int | None, max_running_per_owner: int | None) -> Jobs:
    queue = JobQueue(pool)
    await queue.register(QUEUE, max_running=max_running, max_running_per_owner=max_running_per_owner)
    return Jobs(pool, queue)


async def _claim(queue: JobQueue, limit: int) -> list[ClaimedJob]:
    return await queue.claim(QUEUE, limit=limit, worker_id="w", lease_s=60, timeout_s=60)


class Most:
    """The most that ever ran at once, as rows that say who began and who ended, in the order of their commits."""

    def __init__(self) -> None:
        self.running: Counter[str] = Counter()
        self.in_all = self.of_one = 0

    def began(self, jobs: list[ClaimedJob]) -> None:
        self.running.update(job.owner for job in jobs)
        self.in_all = max(self.in_all, self.running.total())
        self.of_one = max(self.of_one, *self.running.values(), 0)

    def ended(self, job: ClaimedJob) -> None:
        self.running[job.owner] -= 1


@pytest.mark.parametrize(("max_running", "max_running_per_owner"), [(5, None), (None, 2), (4, 2)])
async def test_racing_claimers_reach_a_cap_and_never_exceed_it(
    pool: Pool, max_running: int | None, max_running_per_owner: int | None
) -> None:
    jobs = await _capped(pool, max_running, max_running_per_owner)
    for number in range(JOBS):
        await jobs.add(owner=f"o{number % OWNERS}")
    queues = [JobQueue(pool) for _ in range(CLAIMERS)]
    for queue in queues:
        await queue.outlook()  # from which it learns of the caps
    per_owner = max_running_per_owner or JOBS
    first = [job for claimed in await asyncio.gather(*(_claim(queue, 2) for queue in queues)) for job in claimed]
    assert len(first) == min(max_running or JOBS, per_owner * OWNERS), "while nothing ends all room is taken"
    most, done = Most(), list[UUID]()
    most.began(first)
    for job in first:
        most.ended(job)
        await queues[0].succeed_many([job.lease])
        done.append(job.lease.job_id)
    random.seed(7)

    async def claimer(queue: JobQueue) -> None:
        while len(done) < JOBS:
            claimed = await _claim(queue, random.randint(1, 5))
            # Began before it is known here, ended after: what is counted is at most what really ran.
            most.began(claimed)
            for job in claimed:
                await asyncio.sleep(0.002 * random.random())
                most.ended(job)
                assert await queue.succeed_many([job.lease]) == {job.lease.job_id}
                done.append(job.lease.job_id)

    async def observer() -> None:
        while len(done) < JOBS:
            rows = await jobs.rows("SELECT owner, count(*) AS n FROM jobs WHERE state = 'running' GROUP BY owner")
            counts = [row["n"] for row in rows]
            most.in_all, most.of_one = max(most.in_all, sum(counts)), max(most.of_one, *counts, 0)

    async with asyncio.timeout(60):
        await asyncio.gather(observer(), *(claimer(queue) for queue in queues))
    assert most.in_all <= min(max_running or JOBS, per_owner * OWNERS)
    assert most.of_one <= per_owner
    assert len(set(done)) == JOBS


async def test_an_owner_at_the_cap_does_not_stand_before_others(pool: Pool) -> None:
    jobs = await _capped(pool, None, 1)
    for _ in range(20):
        await jobs.add(owner="big")
    for owner in ("b", "c"):
        await jobs.add(owner=owner)
    first = await _claim(jobs.queue, 10)
    assert sorted(job.owner for job in first) == ["b", "big", "c"]
    assert await _claim(jobs.queue, 10) == []


async def test_a_paused_queue_is_not_claimed_from_whatever_its_caps(pool: Pool) -> None:
    jobs = await _capped(pool, 3, 1)
    await jobs.add()
    await jobs.rows("UPDATE queues SET paused_at = now()")
    assert await _claim(jobs.queue, 1) == []
    await jobs.queue.register(QUEUE, max_running=3)
    assert await _claim(jobs.queue, 1) == []


async def test_a_worker_that_does_not_know_of_a_cap_claims_nothing_until_it_does(pool: Pool) -> None:
    ignorant = JobQueue(pool)
    await ignorant.register(QUEUE)
    jobs = await _capped(pool, 1, None)
    for _ in range(3):
        await jobs.add()
    assert await _claim(ignorant, 3) == []
    await ignorant.outlook()
    assert len(await _claim(ignorant, 3)) == 1


async def test_the_last_registration_decides(pool: Pool) -> None:
    jobs = await _capped(pool, 1, 1)
    await jobs.queue.register(QUEUE)
    for _ in range(3):
        await jobs.add()
    assert len(await _claim(JobQueue(pool), 3)) == 3


async def test_a_cap_below_one_is_refused(pool: Pool) -> None:
    with pytest.raises(psycopg.errors.CheckViolation, match="queues_caps_positive"):
        await JobQueue(pool).register(QUEUE, max_running=0)


async def test_room_under_a_cap_is_taken_by_the_other_worker_at_once(
    pool: Pool, database_url: str, tmp_path: Path
) -> None:
    """Both workers wait for the same place; polls are too slow to matter."""
    jobs = await _capped(pool, 1, None)
    added = [await jobs.add(owner=f"o{number}") for number in range(20)]
    running = most = 0

    async def handler(context: JobContext, args: ToyArgs) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1

    job_type = toy(handler, concurrency=4, max_running=1)
    async with (
        running_worker(pool, database_url, tmp_path / "a", job_type, poll_s=300),
        running_worker(pool, database_url, tmp_path / "b", job_type, poll_s=300),
    ):
        for job_id in added:
            await jobs.until_final(job_id)
    assert most == 1
