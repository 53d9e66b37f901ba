"""Tablemill's own queue, through JobQueue and Worker."""

import asyncio
import contextlib
import itertools
import logging
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import uvloop
from pydantic import BaseModel
from uuid_utils.compat import uuid7

import benchmarks.peers.queue_stale as stale
from benchmarks.peers.queue_protocol import CLIENTS, Meter, Settings, answer, fill, vital
from shared.database import Pool, make_pool
from shared.jobs.model import NewJob
from shared.jobs.notify import Notifier
from shared.jobs.queue import JobQueue
from shared.migrations.run import migrate
from shared.storage import open_store
from worker_service.job_type import JobContext, JobType, Resources, RetryPolicy
from worker_service.sandbox.pool import SandboxPool
from worker_service.scratch import Scratch
from worker_service.settings import WorkerSettings
from worker_service.worker import Worker

QUEUE = "noop"
_BEST_CONCURRENCY = 500  # as large as the batches that peers are given
_CLAIMS = 200


class NoArgs(BaseModel):
    """A no-op job needs nothing."""


class Tablemill:
    """The job engine and one worker."""

    switches = True

    def __init__(self, url: str, pool: Pool, notifier: Notifier) -> None:
        self.meter = Meter()
        self.queue = JobQueue(pool)
        self._url = url
        self._pool = pool
        self._notifier = notifier
        self._owners = itertools.cycle([f"owner-{number}" for number in range(10)])

    async def install(self) -> None:
        await asyncio.to_thread(migrate, self._url)

    async def enqueue(self, *, wake: bool = True) -> None:
        async with self._pool.connection() as connection:
            await self.queue.enqueue(connection, NewJob(uuid7(), next(self._owners), QUEUE))
        if wake:
            self._notifier.ready([QUEUE])

    async def enqueue_many(self, jobs: int) -> None:
        async with self._pool.connection() as connection:
            await self.queue.enqueue_many(connection, [NewJob(uuid7(), next(self._owners), QUEUE) for _ in range(jobs)])
        self._notifier.ready([QUEUE])

    @contextlib.asynccontextmanager
    async def working(self, settings: Settings) -> AsyncIterator[None]:
        with tempfile.TemporaryDirectory() as directory:
            of_worker = WorkerSettings(database_url=self._url, store_url=f"file://{directory}/objects")
            concurrency = _BEST_CONCURRENCY if settings == "best" else of_worker.concurrency
            resources = Resources(concurrency, 60, 256 << 20)
            job_type = JobType(QUEUE, NoArgs, self._handle, lambda _: resources, RetryPolicy(1, 60))
            store, scratch = open_store(of_worker.store_url, emulator_url=""), Scratch(Path(directory) / "scratch")
            # No-op jobs need no isolated process, so none is kept in readiness.
            sandbox = SandboxPool(spares=1, preload=())
            worker = Worker(self._pool, self._notifier, store, sandbox, scratch, {QUEUE: job_type}, of_worker)
            duties = [vital(duty) for duty in worker.background()]
            try:
                yield
            finally:
                await worker.drain()
                for duty in duties:
                    duty.cancel()
                await asyncio.gather(*duties, return_exceptions=True)
                scratch.close()
                await store.close()

    async def _handle(self, context: JobContext, args: NoArgs) -> None:
        del context, args
        await self.meter.handle()

    async def claim(self, backlog: int) -> dict[str, Any]:
        """Time claims of one job with nothing and with `backlog` more jobs waiting, 200 jobs ahead in both cases."""
        await self._claim_ms()  # to prepare the statements
        empty_ms = await self._claim_ms()
        await fill(self, backlog)
        async with self._pool.connection() as connection:
            await connection.execute("SET statement_timeout = 0")
            await connection.execute("VACUUM ANALYZE jobs")
            await connection.execute("RESET statement_timeout")
        return {"empty_ms": empty_ms, "backlog_ms": await self._claim_ms()}

    async def _claim_ms(self) -> list[float]:
        await self.queue.register(QUEUE)
        await self.enqueue_many(_CLAIMS)
        took_ms = []
        for _ in range(_CLAIMS):
            began_s = time.perf_counter()
            (job,) = await self.queue.claim(QUEUE, limit=1, worker_id="bench", lease_s=60, timeout_s=60)
            took_ms.append((time.perf_counter() - began_s) * 1000)
            await self.queue.succeed_many([job.lease])
        return took_ms

    async def stale(self, tries: int) -> dict[str, Any]:
        """Try to write with tokens that are not the newest."""
        await self.queue.register(QUEUE)
        await self.enqueue_many(stale.JOBS)
        return await stale.write(self.queue, self._pool, QUEUE, tries)


@contextlib.asynccontextmanager
async def _open(url: str) -> AsyncIterator[Tablemill]:
    # As many connections as clients at most; a worker alone never needs more than a few of them.
    async with make_pool(url, "bench", max_size=CLIENTS) as pool:
        notifier = Notifier(url, "bench")
        notifying = vital(notifier.run())
        try:
            yield Tablemill(url, pool, notifier)
        finally:
            await notifier.settle(1)
            notifying.cancel()
            await asyncio.gather(notifying, return_exceptions=True)


if __name__ == "__main__":
    logging.basicConfig(level="WARNING")
    more = {"claim": Tablemill.claim, "stale": Tablemill.stale}
    uvloop.run(answer(_open, "this commit", more))
