"""What hints cost those who commit: NOTIFY takes a lock through commit that all of them share."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from uuid import UUID

from benchmarks.harness import Report
from shared.database import make_pool
from shared.jobs.notify import CHANGED_CHANNEL, Notifier
from tests.watch_fleet import JobDriver

_WRITERS = 16
_TURN_S = 2.0
_TURNS = 3
_CHANGE = "UPDATE jobs SET progress_done = progress_done + 1, version = version + 1 WHERE job_id = %s"


async def notify_cost(out: Report, database_url: str) -> None:
    """Have writers commit as fast as they can: without hints, with ours, and with a NOTIFY in each transaction."""
    async with make_pool(database_url, "bench", max_size=_WRITERS) as pool:
        notifier = Notifier(database_url, "bench")
        sending = asyncio.create_task(notifier.run())
        job_ids = await JobDriver(pool, notifier).add(_WRITERS)

        async def write(job_id: UUID, until_s: float, *, within: bool, after: Callable[[UUID], None]) -> int:
            commits = 0
            async with pool.connection() as connection:
                while time.perf_counter() < until_s:
                    async with connection.transaction():
                        await connection.execute(_CHANGE, [job_id])
                        if within:
                            await connection.execute("SELECT pg_notify(%s, %s)", [CHANGED_CHANNEL, str(job_id)])
                    after(job_id)
                    commits += 1
            return commits

        ways: dict[str, tuple[bool, Callable[[UUID], None]]] = {
            "without": (False, lambda _job_id: None),
            "coalesced": (False, lambda job_id: notifier.changed([job_id])),
            "in_transaction": (True, lambda _job_id: None),
        }
        commits = dict.fromkeys(ways, 0)
        for _ in range(_TURNS):
            for name, (within, after) in ways.items():
                until_s = time.perf_counter() + _TURN_S
                writers = [write(job_id, until_s, within=within, after=after) for job_id in job_ids]
                commits[name] += sum(await asyncio.gather(*writers))
        sending.cancel()
        with suppress(asyncio.CancelledError):
            await sending
    out.row(
        f"{_WRITERS} writers, commits/s by their hints",
        **{f"{name}_per_s": count / (_TURN_S * _TURNS) for name, count in commits.items()},
    )
