"""Many clients of the client library that watch two replicas, and jobs that change meanwhile."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from uuid import UUID

from uuid_utils.compat import uuid7

from ingest_service.auth import LOCAL_OWNER
from shared.database import Pool, make_pool
from shared.jobs.model import JobProgress, NewJob
from shared.jobs.notify import Notifier
from shared.jobs.queue import JobQueue
from tablemill.client import TablemillClient
from tablemill.v1.job_pb2 import Job

QUEUE = "toy"


def free_ports(count: int) -> list[int]:
    """Return ports on which nobody listens."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


class JobDriver:
    """Does to jobs what services do, with hints."""

    def __init__(self, pool: Pool, notifier: Notifier) -> None:
        self.queue = JobQueue(pool)
        self._pool = pool
        self._notifier = notifier

    async def add(self, count: int) -> list[UUID]:
        new = [NewJob(uuid7(), LOCAL_OWNER, QUEUE) for _ in range(count)]
        async with self._pool.connection() as connection:
            await self.queue.enqueue_many(connection, new)
        job_ids = [job.job_id for job in new]
        self._notifier.changed(job_ids)
        return job_ids

    async def run_some(self, count: int) -> int:
        """Bring jobs through claim, progress and success; return how many there were."""
        jobs = await self.queue.claim(QUEUE, limit=count, worker_id="w", lease_s=60, timeout_s=60)
        if not jobs:
            return 0
        self._notifier.changed(job.lease.job_id for job in jobs)
        await self.queue.heartbeat([(job.lease, JobProgress("read", 1, 2, "rows")) for job in jobs], lease_s=60)
        self._notifier.changed(job.lease.job_id for job in jobs)
        await self.queue.succeed_many([job.lease for job in jobs])
        self._notifier.changed(job.lease.job_id for job in jobs)
        return len(jobs)


@contextlib.asynccontextmanager
async def driving(database_url: str) -> AsyncIterator[JobDriver]:
    async with make_pool(database_url, "test", max_size=4) as pool:
        notifier = Notifier(database_url, "test")
        sending = asyncio.create_task(notifier.run())
        driver = JobDriver(pool, notifier)
        await driver.queue.register(QUEUE)
        try:
            yield driver
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)


class Watchers:
    """One client a job, and some that watch everything; each asserts that versions rise."""

    def __init__(self, address: str, job_ids: Sequence[UUID], *, wide: int) -> None:
        self._address = address
        self._job_ids = [str(job_id) for job_id in job_ids]
        self._wide = wide
        self.synced = 0
        self.retries: dict[str, int] = {}

    async def run(self, *, all_jobs: int) -> None:
        """Return once each named watch has ended, and each wide one has seen the end of `all_jobs` jobs."""
        async with TablemillClient(self._address) as client, asyncio.TaskGroup() as group:
            for job_id in self._job_ids:
                group.create_task(self._follow(client.watch([job_id], on_retry=self._note), 1))
            for _ in range(self._wide):
                group.create_task(self._follow(client.watch_all(queues=[QUEUE], on_retry=self._note), all_jobs))

    async def _follow(self, watch: AsyncGenerator[Job], ends: int) -> None:
        versions: dict[str, int] = {}
        done: set[str] = set()
        async with aclosing(watch) as jobs:
            async for job in jobs:
                if not versions:
                    self.synced += 1
                assert job.version > versions.get(job.job_id, 0)
                versions[job.job_id] = job.version
                if job.done:
                    done.add(job.job_id)
                    if len(done) == ends:
                        return
        raise AssertionError(f"the watch ended after {len(done)} of {ends} jobs")

    def _note(self, error: Exception) -> None:
        reason = getattr(error, "reason", "") or "lost"
        self.retries[reason] = self.retries.get(reason, 0) + 1

    async def until_synced(self) -> None:
        """Wait until every watch has told something."""
        while self.synced < len(self._job_ids) + self._wide:
            await asyncio.sleep(0.01)
