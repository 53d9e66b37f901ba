"""Writes with old tokens: what a worker does that was paused, or cut off, while its job went to somebody else."""

import asyncio
import itertools
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from shared.database import Pool
from shared.jobs.model import JobFailure, JobProgress, Lease
from shared.jobs.queue import JobQueue, LeaseLost

JOBS = 200
_WRITERS = 8
_FAILURE = JobFailure("STALE", "This must never be read.", retryable=True)
_PROGRESS = JobProgress("stale", 1, 1, "rows")
_TRUTH = "SELECT md5(string_agg(jobs::text, ',' ORDER BY job_id)) AS rows FROM jobs WHERE job_id = ANY(%s)"

Write = Callable[[Lease], Awaitable[bool]]


async def write(queue: JobQueue, pool: Pool, name: str, tries: int) -> dict[str, Any]:
    """Try `tries` writes of all kinds with the old tokens of `JOBS` ready jobs of queue `name`.

    Half of the jobs run anew by then, half were ended by their next holder. Returns how many writes were refused, by
    kind, and whether every row is, to the last column, what it was before.
    """
    old = await _claim_all(queue, name)
    await queue.release(old)
    newest = await _claim_all(queue, name)
    await queue.succeed_many(newest[: JOBS // 2])
    before = await _rows(pool, old)
    writes = _kinds(queue, pool)
    todo = itertools.islice(itertools.cycle(itertools.product(old, writes)), tries)
    refused: Counter[str] = Counter(dict.fromkeys(writes, 0))
    tried: Counter[str] = Counter()

    async def writer() -> None:
        for lease, kind in todo:
            accepted = await writes[kind](lease)
            tried[kind] += 1
            refused[kind] += not accepted

    await asyncio.gather(*(writer() for _ in range(_WRITERS)))
    untouched = await _rows(pool, old) == before
    accepted_of_newest = len(await queue.succeed_many(newest[JOBS // 2 :]))
    return {
        "tried": dict(tried),
        "refused": dict(refused),
        "rows_untouched": untouched,
        "newest_tokens_accepted": accepted_of_newest == JOBS - JOBS // 2,
    }


def _kinds(queue: JobQueue, pool: Pool) -> dict[str, Write]:
    """Return every write that a worker does; each tells whether it was accepted."""

    async def heartbeat(lease: Lease) -> bool:
        return bool(await queue.heartbeat([(lease, _PROGRESS)], lease_s=60))

    async def succeed(lease: Lease) -> bool:
        async with pool.connection() as connection, connection.transaction():
            await queue.succeed(connection, lease)
        return True

    async def succeed_many(lease: Lease) -> bool:
        return bool(await queue.succeed_many([lease]))

    async def fail(lease: Lease) -> bool:
        await queue.fail(lease, _FAILURE, backoff_s=0)
        return True

    async def release(lease: Lease) -> bool:
        return bool(await queue.release([lease]))

    kinds: Sequence[Write] = (heartbeat, _unless_lost(succeed), succeed_many, _unless_lost(fail), release)
    names = ("heartbeat", "succeed", "succeed_many", "fail", "release")
    return dict(zip(names, kinds, strict=True))


def _unless_lost(kind: Write) -> Write:
    async def guarded(lease: Lease) -> bool:
        try:
            return await kind(lease)
        except LeaseLost:
            return False

    return guarded


async def _claim_all(queue: JobQueue, name: str) -> list[Lease]:
    jobs = await queue.claim(name, limit=JOBS, worker_id="bench", lease_s=600, timeout_s=600)
    if len(jobs) != JOBS:
        raise RuntimeError(f"claimed {len(jobs)} jobs instead of {JOBS}")
    return [job.lease for job in jobs]


async def _rows(pool: Pool, leases: Sequence[Lease]) -> str:
    async with pool.connection() as connection:
        row = await (await connection.execute(_TRUTH, [[lease.job_id for lease in leases]])).fetchone()
    return str(row and row["rows"])
