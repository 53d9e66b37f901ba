"""A tenant's one job behind another tenant's pile: how many starts it waits for, counted, not timed.

With N slots over all workers, all of them busy, "within one slot time" is at most 2 N starts: one of each slot that
was on its way when the job came, and one round of everybody's turn.
"""

import asyncio
import random
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, LiteralString
from uuid import UUID

import pytest
from psycopg.rows import DictRow
from uuid_utils.compat import uuid7

from shared.database import Connection, Pool
from shared.jobs import low_water
from shared.jobs.model import ClaimedJob, NewJob
from shared.jobs.queue import JobQueue
from tests.integration.worker_harness import QUEUE, Jobs

WORKERS = 3
SLOTS = 4  # of each worker
ALL_SLOTS = WORKERS * SLOTS
LAG_S = 0.1  # a job whose transaction takes longer may have to wait for a second
_CHUNK = 10_000

backlogs = pytest.mark.parametrize("backlog", [10_000, pytest.param(100_000, marks=pytest.mark.slow)])


async def _pile(pool: Pool, backlog: int) -> Jobs:
    """Enqueue the backlog of one tenant through a queue object of its own, as the ingest service's process has."""
    jobs = Jobs(pool, JobQueue(pool))
    await jobs.queue.register(QUEUE)
    for start in range(0, backlog, _CHUNK):
        await jobs.add_many(min(_CHUNK, backlog - start), owners=["pile"])
    return jobs


async def _enqueue(jobs: Jobs, connection: Connection, owner: str) -> UUID:
    job_id = uuid7()
    await jobs.queue.enqueue(connection, NewJob(job_id, owner, QUEUE))
    return job_id


async def _claim(queue: JobQueue, limit: int) -> list[ClaimedJob]:
    return await queue.claim(QUEUE, limit=limit, worker_id="w", lease_s=600, timeout_s=600)


class Slots:
    """The slots of one worker, as many of them busy as there is work."""

    def __init__(self, pool: Pool) -> None:
        self._queue = JobQueue(pool)
        self._busy: list[ClaimedJob] = []

    async def turn_over(self, count: int) -> list[UUID]:
        """End up to `count` jobs; return those that start in all free slots, in the order of their starts."""
        ended, self._busy = self._busy[:count], self._busy[count:]
        if ended:
            assert len(await self._queue.succeed_many([job.lease for job in ended])) == len(ended)
        claimed = await _claim(self._queue, SLOTS - len(self._busy))
        self._busy += claimed
        return [job.lease.job_id for job in claimed]


@backlogs
async def test_one_job_behind_a_pile_starts_within_two_rounds_of_all_slots(pool: Pool, backlog: int) -> None:
    jobs = await _pile(pool, backlog)
    workers = [Slots(pool) for _ in range(WORKERS)]
    for worker in workers:
        assert len(await worker.turn_over(0)) == SLOTS
    chance = random.Random(5)
    for number in range(60):
        async with pool.connection() as connection:
            job_id = await _enqueue(jobs, connection, f"small-{number % 7}")
        starts: list[UUID] = []
        while job_id not in starts:
            starts += await chance.choice(workers).turn_over(chance.randint(1, SLOTS))
            assert len(starts) <= 2 * ALL_SLOTS, f"job {number} waits too long"
        for _ in range(chance.randint(0, 3)):
            await chance.choice(workers).turn_over(SLOTS)


@backlogs
async def test_jobs_that_come_while_all_slots_race_start_within_two_rounds(pool: Pool, backlog: int) -> None:
    """Slots that turn over as fast as they can are the worst case: the most starts while a job is on its way."""
    jobs = await _pile(pool, backlog)
    started: dict[UUID, int] = {}
    begun, through = asyncio.Condition(), asyncio.Event()

    async def slot(queue: JobQueue) -> None:
        while not through.is_set():
            for job in await _claim(queue, 1):
                started[job.lease.job_id] = len(started)
                async with begun:
                    begun.notify_all()
                await queue.succeed_many([job.lease])

    async def wait_of_one(owner: str) -> int | None:
        """Return how many jobs started before one that came in time."""
        clock = asyncio.get_running_loop().time
        began_s = clock()
        async with pool.connection() as connection:
            job_id = await _enqueue(jobs, connection, owner)
        in_time, already = clock() - began_s < LAG_S / 2, len(started)
        async with begun:
            await begun.wait_for(lambda: job_id in started)
        return started[job_id] - already if in_time else None

    queues = [JobQueue(pool) for _ in range(WORKERS)]
    async with asyncio.TaskGroup() as slots:
        for queue in queues * SLOTS:
            slots.create_task(slot(queue))
        waits = [wait for number in range(80) if (wait := await wait_of_one(f"small-{number % 7}")) is not None]
        through.set()
    assert len(waits) >= 10, "the machine is too slow for this test to tell anything"
    assert max(waits) <= 2 * ALL_SLOTS, sorted(waits)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The clock by which marks on the claim order lag behind and are forgotten."""
    clock = SimpleNamespace(now_s=1000.0)
    monkeypatch.setattr(low_water, "time", SimpleNamespace(monotonic=lambda: clock.now_s))
    return clock


async def test_claims_that_go_on_while_a_job_is_on_its_way_do_not_leave_it_behind(
    pool: Pool, clock: SimpleNamespace
) -> None:
    """Its place in the order is given out before its commit; by then the worker's mark must not be past it."""
    jobs = await _pile(pool, 100)
    worker = JobQueue(pool)
    for _ in range(20):
        clock.now_s += LAG_S / 4
        await _claim(worker, 1)
    async with pool.connection() as connection, connection.transaction():
        job_id = await _enqueue(jobs, connection, "small")
        passed = set()
        for _ in range(3):
            clock.now_s += LAG_S / 4
            passed |= {job.owner for job in await _claim(worker, 2)}
    assert passed == {"pile"}
    assert job_id in {job.lease.job_id for job in await _claim(worker, 2)}


async def _left_behind(pool: Pool, clock: SimpleNamespace) -> tuple[JobQueue, UUID]:
    """Return a worker and a job that took longer to commit than the mark of this worker lags behind."""
    jobs = await _pile(pool, 100)
    worker = JobQueue(pool)
    await _claim(worker, 1)
    async with pool.connection() as connection, connection.transaction():
        job_id = await _enqueue(jobs, connection, "small")
        for _ in range(4):
            clock.now_s += LAG_S
            await _claim(worker, 5)
    return worker, job_id


async def test_a_job_that_was_left_behind_is_found_within_a_second(pool: Pool, clock: SimpleNamespace) -> None:
    began_s = clock.now_s
    worker, job_id = await _left_behind(pool, clock)
    starts: list[UUID] = []
    while job_id not in starts:
        clock.now_s += LAG_S
        starts += [job.lease.job_id for job in await _claim(worker, 5)]
    assert clock.now_s < began_s + 1.2
    assert len(starts) > 5, "else the mark was not in force and nothing was shown"


async def test_a_slow_walk_from_the_start_is_not_made_more_often_than_a_tenth_of_the_time(
    pool: Pool, clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As beside a transaction that keeps vacuum away; and the queue says when it is worth looking again."""
    execute, walks = JobQueue._rows, 0

    async def slow(self: JobQueue, query: LiteralString, values: Mapping[str, Any]) -> list[DictRow]:
        nonlocal walks
        if values.get("low_water") == 0:
            walks += 1
            clock.now_s += 0.5
        return await execute(self, query, values)

    monkeypatch.setattr(JobQueue, "_rows", slow)
    worker, job_id = await _left_behind(pool, clock)
    before = walks
    assert job_id not in {job.lease.job_id for job in await _claim(worker, 100)}, "it found all the others"
    again_s = worker.passed_over_s(QUEUE)
    assert again_s is not None
    assert 3 < again_s <= 4.5
    clock.now_s += again_s - 0.1
    assert await _claim(worker, 100) == []
    clock.now_s += 0.1
    assert [job.lease.job_id for job in await _claim(worker, 100)] == [job_id]
    assert walks == before + 1
    assert worker.passed_over_s(QUEUE) is None


async def test_who_only_enqueues_remembers_where_the_queue_begins(
    pool: Pool, clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else each enqueueing beside a long transaction would walk over all that was ever claimed meanwhile."""
    walked: list[int] = []
    enqueue = JobQueue._enqueue

    async def noted(
        self: JobQueue, connection: Connection, query: LiteralString, values: Mapping[str, Any], low: Mapping[str, int]
    ) -> None:
        walked.append(low[QUEUE])
        await enqueue(self, connection, query, values, low)

    monkeypatch.setattr(JobQueue, "_enqueue", noted)
    jobs, worker = await _pile(pool, 100), JobQueue(pool)
    for _ in range(12):
        clock.now_s += LAG_S
        claimed = await _claim(worker, 5)
        async with pool.connection() as connection:
            await _enqueue(jobs, connection, "small")
    (begins,) = await jobs.rows("SELECT min(pos) AS pos FROM jobs WHERE state = 'ready'")
    marks = [mark for mark in walked if mark]
    assert claimed
    assert marks == sorted(marks)
    assert 0 < marks[-1] <= begins["pos"]
    assert len(marks) >= len(walked) - 4, "only at the beginning, and once a second"


async def test_a_claim_that_finds_too_little_looks_for_those_left_behind_at_once(
    pool: Pool, clock: SimpleNamespace
) -> None:
    worker, job_id = await _left_behind(pool, clock)
    assert (await _claim(worker, 5))[0].owner == "pile", "the mark is in force"
    assert job_id in {job.lease.job_id for job in await _claim(worker, 100)}
