"""Tablemill's own queue, through JobQueue and Worker."""

import asyncio
import contextlib
import logging
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import uvloop
from pydantic import BaseModel
from uuid_utils.compat import uuid7

from benchmarks.peers.queue_protocol import Meter, answer, fill, say, vital
from shared.database import Pool, make_pool
from shared.jobs.model import NewJob
from shared.jobs.notify import Notifier
from shared.jobs.queue import JobQueue
from shared.migrations.run import migrate
from shared.storage import open_store
from worker_service.job_type import JobContext, JobType, Resources, RetryPolicy
from worker_service.sandbox import SandboxPool
from worker_service.scratch import Scratch
from worker_service.settings import WorkerSettings
from worker_service.worker import Worker

QUEUE = "noop"
_BEST_CONCURRENCY = 200
_CLAIMS = 200


class NoArgs(BaseModel):
    """A no-op job needs nothing."""


class Tablemill:
    """The job engine and one worker."""

    def __init__(self, url: str, pool: Pool) -> None:
        self.meter = Meter()
        self.hangs = False
        self._url = url
        self._pool = pool
        self._queue = JobQueue(pool)
        self._notifier = Notifier(url, "bench")

    async def install(self) -> None:
        await asyncio.to_thread(migrate, self._url)

    async def enqueue(self) -> None:
        async with self._pool.connection() as connection:
            await self._queue.enqueue(connection, NewJob(uuid7(), "owner", QUEUE))
        self._notifier.ready([QUEUE])

    async def enqueue_many(self, jobs: int) -> None:
        async with self._pool.connection() as connection:
            new = [NewJob(uuid7(), f"owner-{number % 10}", QUEUE) for number in range(jobs)]
            await self._queue.enqueue_many(connection, new)
        self._notifier.ready([QUEUE])

    @contextlib.asynccontextmanager
    async def working(self, *, best: bool) -> AsyncIterator[None]:
        with tempfile.TemporaryDirectory() as directory:
            settings = WorkerSettings(database_url=self._url, store_url=f"file://{directory}/objects")
            resources = Resources(_BEST_CONCURRENCY if best else settings.concurrency, 60, 256 << 20)
            job_type = JobType(QUEUE, NoArgs, self._handle, lambda _: resources, RetryPolicy(1, 60))
            store, scratch = open_store(settings.store_url, emulator_url=""), Scratch(Path(directory) / "scratch")
            sandbox = SandboxPool(spares=1, preload=())
            worker = Worker(self._pool, self._notifier, store, sandbox, scratch, {QUEUE: job_type}, settings)
            duties = [vital(duty) for duty in (self._notifier.run(), *worker.background())]
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
        self.meter.started()
        if self.hangs:
            say("started")
            await asyncio.Event().wait()

    async def claim(self, backlog: int) -> dict[str, Any]:
        """Time claims of one job with nothing and with `backlog` more jobs waiting, 200 jobs ahead in both cases."""
        found = {"claim_empty_ms": await self._claim_ms()}
        await fill(self, backlog)
        async with self._pool.connection() as connection:
            await connection.execute("SET statement_timeout = 0")
            await connection.execute("VACUUM ANALYZE jobs")
            await connection.execute("RESET statement_timeout")
        return {**found, "claim_backlog_ms": await self._claim_ms()}

    async def _claim_ms(self) -> float:
        await self._queue.register(QUEUE)
        await self.enqueue_many(_CLAIMS)
        took_ms = []
        for _ in range(_CLAIMS):
            began_s = time.perf_counter()
            (job,) = await self._queue.claim(QUEUE, limit=1, worker_id="bench", lease_s=60, timeout_s=60)
            took_ms.append((time.perf_counter() - began_s) * 1000)
            await self._queue.succeed_many([job.lease])
        return sorted(took_ms)[_CLAIMS // 2]

    async def hang(self, jobs: int) -> None:
        """Work on jobs that never end, and say when one has begun or, without any, that the worker waits."""
        self.hangs = True
        async with self.working(best=False):
            if jobs:
                await self.enqueue()
            else:
                await asyncio.sleep(2)
                say("waiting")
            await asyncio.Event().wait()


@contextlib.asynccontextmanager
async def _open(url: str) -> AsyncIterator[Tablemill]:
    async with make_pool(url, "bench", max_size=8) as pool:
        yield Tablemill(url, pool)


if __name__ == "__main__":
    logging.basicConfig(level="WARNING")
    uvloop.run(answer(_open, {"claim": Tablemill.claim, "hang": Tablemill.hang}))
