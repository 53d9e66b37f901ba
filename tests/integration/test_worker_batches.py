"""Jobs that leave nothing to commit are ended together, each by its own lease; and how a worker waits."""

import asyncio
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest

from shared import telemetry
from shared.database import Pool
from shared.jobs.model import ClaimedJob, JobProgress, JobState, Lease, Outlook
from shared.jobs.queue import JobQueue
from tests.integration.worker_harness import QUEUE, Jobs, ToyArgs, running_worker, toy
from worker_service.job_type import JobContext
from worker_service.maintenance import Maintenance

BATCH = 30


class Together:
    """A handler of which all wait for each other, and which makes nothing."""

    def __init__(self, count: int) -> None:
        self.barrier = asyncio.Barrier(count + 1)

    async def __call__(self, context: JobContext, args: ToyArgs) -> None:
        await self.barrier.wait()


async def _nothing(context: JobContext, args: ToyArgs) -> None:
    return None


async def _all_ended(jobs: Jobs) -> None:
    async with asyncio.timeout(20):
        while await jobs.rows("SELECT job_id FROM jobs WHERE state NOT IN ('succeeded', 'failed')"):
            await asyncio.sleep(0.02)


async def test_what_ends_together_is_written_together(
    jobs: Jobs, pool: Pool, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes, together = list[int](), Together(BATCH)
    succeed_many = JobQueue.succeed_many

    async def counted(self: JobQueue, leases: Sequence[Lease]) -> set[UUID]:
        sizes.append(len(leases))
        return await succeed_many(self, leases)

    monkeypatch.setattr(JobQueue, "succeed_many", counted)
    for _ in range(BATCH):
        await jobs.add()
    async with running_worker(pool, database_url, tmp_path, toy(together, concurrency=BATCH)):
        async with asyncio.timeout(10):
            await together.barrier.wait()
        await _all_ended(jobs)
    assert sum(sizes) == BATCH
    assert len(sizes) <= 3


async def test_a_lost_lease_in_a_batch_is_told_and_costs_the_others_nothing(
    jobs: Jobs, pool: Pool, database_url: str, tmp_path: Path
) -> None:
    lost, together = telemetry.LEASES_LOST.labels(QUEUE)._value.get(), Together(BATCH)
    async with running_worker(
        pool, database_url, tmp_path, toy(together, concurrency=BATCH), lease_s=60, heartbeat_s=30, poll_s=300
    ) as running:
        # A listener that comes up sends a heartbeat at once, which would find the lost leases before the batch does.
        await running.listener.up.wait()
        added = [await jobs.add() for _ in range(BATCH)]
        async with asyncio.timeout(20):
            while together.barrier.n_waiting < BATCH:
                await asyncio.sleep(0.01)
        await jobs.rows("UPDATE jobs SET lease_token = lease_token + 1 WHERE job_id = ANY(%s)", added[:3])
        before = await jobs.rows("SELECT * FROM jobs WHERE job_id = ANY(%s) ORDER BY job_id", added[:3])
        async with asyncio.timeout(10):
            await together.barrier.wait()
        for job_id in added[3:]:
            assert (await jobs.until_final(job_id)).state == "succeeded"
        async with asyncio.timeout(20):
            while telemetry.LEASES_LOST.labels(QUEUE)._value.get() != lost + 3:
                await asyncio.sleep(0.01)
    assert await jobs.rows("SELECT * FROM jobs WHERE job_id = ANY(%s) ORDER BY job_id", added[:3]) == before


async def test_a_batch_whose_answer_got_lost_counts_once(
    jobs: Jobs, pool: Pool, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection dies after the server has committed and before the client hears of it."""
    together, outcomes = Together(BATCH), telemetry.JOBS_ENDED.labels(QUEUE, "succeeded")
    before, lies = outcomes._value.get(), 1
    succeed_many = JobQueue.succeed_many

    async def lossy(self: JobQueue, leases: Sequence[Lease]) -> set[UUID]:
        nonlocal lies
        held = await succeed_many(self, leases)
        if lies:
            lies -= 1
            raise psycopg.OperationalError("server closed the connection unexpectedly")
        return held

    monkeypatch.setattr(JobQueue, "succeed_many", lossy)
    for _ in range(BATCH):
        await jobs.add()
    async with running_worker(pool, database_url, tmp_path, toy(together, concurrency=BATCH)):
        async with asyncio.timeout(10):
            await together.barrier.wait()
        async with asyncio.timeout(20):
            while outcomes._value.get() != before + BATCH:
                await asyncio.sleep(0.02)
    assert await jobs.rows("SELECT job_id FROM jobs WHERE state <> 'succeeded' OR attempt <> 1 OR version <> 3") == []


async def test_a_claim_whose_answer_got_lost_is_given_back_at_once(
    jobs: Jobs, pool: Pool, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim, lies = JobQueue.claim, 1

    async def lossy(self: JobQueue, *args: Any, **values: Any) -> list[ClaimedJob]:
        nonlocal lies
        claimed = await claim(self, *args, **values)
        if claimed and lies:
            lies -= 1
            raise psycopg.OperationalError("server closed the connection unexpectedly")
        return claimed

    async def handler(context: JobContext, args: ToyArgs) -> None:
        return

    monkeypatch.setattr(JobQueue, "claim", lossy)
    added = [await jobs.add() for _ in range(3)]
    async with running_worker(pool, database_url, tmp_path, toy(handler), lease_s=600, heartbeat_s=100):
        ended = [await jobs.until_final(job_id) for job_id in added]
    assert {(job.state, job.attempt, len(job.history)) for job in ended} == {(JobState.SUCCEEDED, 1, 0)}


async def test_what_a_claim_passed_over_is_looked_for_again_without_a_wakeup(
    jobs: Jobs, pool: Pool, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim, passes = JobQueue.claim, 2

    async def handler(context: JobContext, args: ToyArgs) -> None:
        return

    async def passing_over(self: JobQueue, *args: Any, **values: Any) -> list[ClaimedJob]:
        """At first as if the job lay below the mark."""
        nonlocal passes
        passes -= 1
        return [] if passes >= 0 else await claim(self, *args, **values)

    monkeypatch.setattr(JobQueue, "claim", passing_over)
    monkeypatch.setattr(JobQueue, "passed_over_s", lambda *_: 0.05 if passes >= 0 else None)
    monkeypatch.setattr(Maintenance, "run", lambda _: asyncio.Event().wait())
    job_id = await jobs.add()
    async with running_worker(pool, database_url, tmp_path, toy(handler)):
        await jobs.until_final(job_id)


async def test_thousands_go_through_a_few_slots_exactly_once(
    jobs: Jobs, pool: Pool, database_url: str, tmp_path: Path
) -> None:
    ran: list[UUID] = []

    async def handler(context: JobContext, args: ToyArgs) -> None:
        ran.append(context.job.lease.job_id)

    await jobs.add_many(3000)
    async with running_worker(pool, database_url, tmp_path, toy(handler, concurrency=100), poll_s=300):
        await _all_ended(jobs)
    assert len(ran) == len(set(ran)) == 3000
    assert await jobs.rows("SELECT job_id FROM jobs WHERE attempt <> 1 OR version <> 3") == []


async def test_looks_are_rare_while_wakeups_arrive_and_frequent_while_they_do_not(
    jobs: Jobs, pool: Pool, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: asyncio.Queue[float] = asyncio.Queue()
    outlook = JobQueue.outlook

    async def counted(self: JobQueue) -> Outlook:
        looks.put_nowait(asyncio.get_running_loop().time())
        return await outlook(self)

    monkeypatch.setattr(JobQueue, "outlook", counted)

    async with running_worker(pool, database_url, tmp_path, toy(_nothing), poll_s=300) as running:
        await running.listener.up.wait()
        await asyncio.sleep(2.5)
        assert looks.qsize() <= 2, "at the start, and when the listener was there"
        running.listener.up.clear()
        while not looks.empty():
            looks.get_nowait()
        async with asyncio.timeout(3):
            await looks.get()


async def test_slow_looks_take_no_more_than_a_tenth_of_the_time(
    jobs: Jobs, pool: Pool, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, looks = asyncio.get_running_loop().time, asyncio.Queue[tuple[float, float]]()

    async def slow(_: JobQueue) -> Outlook:
        began_s = clock()
        await asyncio.sleep(0.05)
        looks.put_nowait((began_s, clock()))
        return Outlook(due_s=0.01, ready=frozenset())

    monkeypatch.setattr(JobQueue, "outlook", slow)
    async with running_worker(pool, database_url, tmp_path, toy(_nothing), poll_s=0.1) as running:
        await running.listener.up.wait()  # which has it look at once
        await looks.get()
        times = [await looks.get() for _ in range(4)][1:]
    for (began_s, ended_s), (next_s, _) in itertools.pairwise(times):
        assert next_s - ended_s >= 8.9 * (ended_s - began_s)


async def test_a_flood_of_progress_is_written_now_and_then(
    jobs: Jobs, pool: Pool, database_url: str, tmp_path: Path
) -> None:
    """Every write wakes whoever watches, and all who commit wait for the lock that NOTIFY takes."""
    clock, reports, lasted_s = asyncio.get_running_loop().time, 0, 0.0

    async def handler(context: JobContext, args: ToyArgs) -> None:
        nonlocal reports, lasted_s
        began_s = clock()
        while lasted_s < 1:
            reports += 1
            context.progress(JobProgress("count", reports, 0, "rows"))
            await asyncio.sleep(0)
            lasted_s = clock() - began_s

    job_id = await jobs.add()
    async with running_worker(
        pool, database_url, tmp_path, toy(handler), lease_s=60, heartbeat_s=30, progress_every_s=0.2
    ):
        job = await jobs.until_final(job_id)
    writes = job.version - 3  # enqueued, claimed, ended
    assert 1 <= writes <= lasted_s / 0.2 + 1 < reports


async def test_many_enqueued_at_once_keep_their_order_and_are_fair(jobs: Jobs, pool: Pool) -> None:
    owners: dict[Any, str] = await jobs.add_many(20, owners=["big"])
    owners |= await jobs.add_many(2, owners=["small"])
    claimed = await jobs.queue.claim(QUEUE, limit=22, worker_id="w", lease_s=60, timeout_s=60)
    assert [job.owner for job in claimed[:4]].count("small") == 2
    assert [job.lease.job_id for job in claimed if job.owner == "big"] == [
        job_id for job_id, owner in owners.items() if owner == "big"
    ]


async def test_what_waits_in_a_queue_that_was_never_registered_is_found_at_the_start(
    pool: Pool, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register = JobQueue.register

    async def late(self: JobQueue, queue: str, **caps: Any) -> None:
        await asyncio.sleep(1)  # the first look and the one after LISTEN come before
        await register(self, queue, **caps)

    monkeypatch.setattr(JobQueue, "register", late)
    jobs = Jobs(pool, JobQueue(pool))
    job_id = await jobs.add()
    async with running_worker(pool, database_url, tmp_path, toy(_nothing), poll_s=300):
        assert (await jobs.until_final(job_id)).state == "succeeded"
