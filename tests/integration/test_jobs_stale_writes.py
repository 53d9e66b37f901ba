"""Thousands of writes by workers who were taken for dead: none may count, nor touch a row."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from shared.jobs.model import JobProgress, Lease
from shared.jobs.operations import Operations
from shared.jobs.queue import LeaseLost
from tests.integration.operating import BAD_FILE, PASSING, POISON, claim, end
from tests.integration.worker_harness import Jobs

JOBS = 120
LIVES = 3  # how often every job is claimed; all but the last worker are taken for dead
TRIES = 10_000
BATCH = 50  # tries at once, where the engine takes many
WRITERS = 4  # at the same time


async def _stale_leases(jobs: Jobs) -> list[Lease]:
    """Return leases that ended by rescue, of jobs that others went on with: some still run, others ended in every way.

    With them come leases that nobody ever got, from between two that were given.
    """
    await jobs.add_many(JOBS)
    await jobs.rows("UPDATE jobs SET max_attempts = 9")
    stale = []
    for life in range(LIVES):
        claimed = await claim(jobs, JOBS)
        assert len(claimed) == JOBS
        if life < LIVES - 1:
            await jobs.rows("UPDATE jobs SET lease_expires_at = now() - interval '1 s', crash_count = 0")
            assert len(await jobs.queue.rescue()) == JOBS
            stale += [Lease(job.lease.job_id, job.lease.token - before) for job in claimed for before in (0, 1)]
    operations = Operations(jobs.pool)
    for number, job in enumerate(claimed):
        match number % 8:
            case 0:
                await end(jobs, job)
            case 1 | 2 | 3 as kind:
                await end(jobs, job, (BAD_FILE, PASSING, POISON)[kind - 1])
            case 4:
                await jobs.queue.release([job.lease])
            case 5 | 6 as kind:
                await operations.cancel(job.owner, job.lease.job_id)
                if kind == 5:
                    await jobs.queue.release([job.lease])
    return stale


class Zombies:
    """They hold old leases and count what they get away with."""

    def __init__(self, jobs: Jobs, leases: list[Lease], seed: int) -> None:
        self._jobs = jobs
        self._leases = leases
        self._random = random.Random(seed)
        self.tries = 0
        self.accepted: list[Any] = []

    async def write(self, tries: int) -> None:
        """Try that often, a few at once, in batches where batches are taken."""
        writes: list[Callable[[], Awaitable[Any]]] = [
            self._heartbeat, self._succeed_many, self._release, self._succeed, self._fail
        ]  # fmt: skip

        async def writer() -> None:
            while self.tries < tries:
                if answer := await self._random.choice(writes)():
                    self.accepted.append(answer)

        await asyncio.gather(*(writer() for _ in range(WRITERS)))

    def _some(self, most: int = BATCH) -> list[Lease]:
        """Return one lease each of some jobs."""
        picked = self._random.sample(self._leases, self._random.randint(1, most))
        some = {lease.job_id: lease for lease in picked}
        self.tries += len(some)
        return list(some.values())

    async def _heartbeat(self) -> dict[UUID, bool]:
        progress = self._random.choice([None, JobProgress("clean", 7, 7, "rows")])
        return await self._jobs.queue.heartbeat([(lease, progress) for lease in self._some()], lease_s=3600)

    async def _succeed_many(self) -> set[UUID]:
        return await self._jobs.queue.succeed_many(self._some())

    async def _release(self) -> list[UUID]:
        return await self._jobs.queue.release(self._some())

    async def _succeed(self) -> str:
        """With an effect in the same transaction, written before or after."""
        (lease,) = self._some(1)
        first = self._random.random() < 0.5
        try:
            async with self._jobs.pool.connection() as connection, connection.transaction():
                if first:
                    await connection.execute("INSERT INTO effects VALUES (%s)", [lease.job_id])
                await self._jobs.queue.succeed(connection, lease)
                await connection.execute("INSERT INTO effects VALUES (%s)", [lease.job_id])
        except LeaseLost:
            return ""
        return f"succeeded: {lease}"

    async def _fail(self) -> str:
        (lease,) = self._some(1)
        try:
            state = await self._jobs.queue.fail(lease, self._random.choice([BAD_FILE, PASSING, POISON]), backoff_s=0)
        except LeaseLost:
            return ""
        return f"{state}: {lease}"


async def test_no_stale_write_counts(jobs: Jobs) -> None:
    leases = await _stale_leases(jobs)
    await jobs.rows("CREATE TABLE effects (job_id uuid)")
    rows = "SELECT xmin::text, xmax::text, ctid::text, * FROM jobs ORDER BY job_id"
    before = await jobs.rows(rows)
    assert {row["state"] for row in before} == {"running", "succeeded", "failed", "scheduled", "ready", "cancelled"}
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    zombies = Zombies(jobs, leases, seed)
    await zombies.write(TRIES)
    assert zombies.accepted == []
    assert zombies.tries >= TRIES
    assert await jobs.rows(rows) == before, "no row was written, nor locked"
    assert await jobs.rows("SELECT * FROM effects") == []
    assert not await jobs.queue.succeeded_with(leases)
