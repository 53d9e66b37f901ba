"""Jobs on a real queue, and workers for them in this process."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from pydantic import BaseModel
from uuid_utils.compat import uuid7

from shared.database import Connection, Pool
from shared.jobs.changes import Changes
from shared.jobs.model import Job, JobState, NewJob
from shared.jobs.notify import READY_CHANNEL, Listener, Notifier
from shared.jobs.queue import JobQueue
from shared.storage import open_store
from worker_service.handlers import by_queue
from worker_service.job_type import JobContext, JobType, Resources, RetryPolicy
from worker_service.sandbox.pool import SandboxPool
from worker_service.scratch import Scratch
from worker_service.settings import WorkerSettings
from worker_service.worker import Worker

QUEUE = "toy"
DEADLINE_S = 60.0


class ToyArgs(BaseModel):
    """The arguments of a toy job."""

    text: str = ""


@dataclass
class ToyResult:
    """A result that writes a label on the queue's row, so that its commit can be seen."""

    text: str
    discarded: list[str] = field(default_factory=list)
    on_commit: Callable[[Connection], Awaitable[None]] | None = None

    async def commit(self, connection: Connection) -> None:
        await connection.execute(
            "UPDATE queues SET paused_at = now(), pause_reason = coalesce(pause_reason, '') || %s WHERE queue = 'sink'",
            [self.text],
        )
        if self.on_commit:
            await self.on_commit(connection)

    async def discard(self) -> None:
        self.discarded.append(self.text)


Handler = Callable[[JobContext, ToyArgs], Awaitable[Any]]


def toy(
    handler: Handler,
    *,
    concurrency: int = 2,
    timeout_s: float = 30,
    memory_bytes: int = 512 << 20,
    max_running: int | None = None,
) -> JobType:
    """Return a job type that runs `handler`."""
    resources = Resources(concurrency, timeout_s, memory_bytes, max_running)
    return JobType(QUEUE, ToyArgs, handler, lambda _: resources, RetryPolicy(base_s=0.1, cap_s=0.2))


@dataclass
class Jobs:
    """The queue as tests use it."""

    pool: Pool
    queue: JobQueue

    async def add(self, owner: str = "o", queue: str = QUEUE, max_attempts: int = 5, **args: Any) -> UUID:
        """Enqueue a job and send the wake-up, as the ingest service does."""
        job_id = uuid7()
        async with self.pool.connection() as connection, connection.transaction():
            await self.queue.enqueue(connection, NewJob(job_id, owner, queue, None, args, max_attempts))
        await self.rows("SELECT pg_notify(%s, %s)", READY_CHANNEL, queue)
        return job_id

    async def add_many(self, count: int, owners: Sequence[str] = ("a", "b", "c")) -> dict[UUID, str]:
        """Enqueue that many with one statement; return the owners by job, in order."""
        new = [NewJob(uuid7(), owners[number % len(owners)], QUEUE) for number in range(count)]
        async with self.pool.connection() as connection:
            await self.queue.enqueue_many(connection, new)
        return {job.job_id: job.owner for job in new}

    async def row(self, job_id: UUID) -> dict[str, Any]:
        (row,) = await self.rows("SELECT * FROM jobs WHERE job_id = %s", job_id)
        return row

    async def rows(self, query: str, *values: Any) -> list[dict[str, Any]]:
        async with self.pool.connection() as connection:
            cursor = await connection.execute(query.encode(), values)
            return await cursor.fetchall() if cursor.description else []

    async def until(self, job_id: UUID, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Wait until the job's row is as wanted."""
        async with asyncio.timeout(DEADLINE_S):
            while not holds(row := await self.row(job_id)):
                await asyncio.sleep(0.02)
        return row

    async def until_final(self, job_id: UUID) -> Job:
        await self.until(job_id, lambda row: JobState(row["state"]).final)
        (job,) = await Changes(self.pool, at_once=1).read([job_id])
        return job

    async def sink(self) -> str:
        """Return what committed toy results wrote."""
        rows = await self.rows("SELECT pause_reason FROM queues WHERE queue = 'sink'")
        return str(rows[0]["pause_reason"] or "")


@dataclass
class Running:
    """A worker that runs in this process."""

    worker: Worker
    notifier: Notifier
    tasks: list[asyncio.Task[None]]
    listener: Listener

    async def kill(self) -> None:
        """End it as a crash would: nothing is given back."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, self.worker.abandon(), return_exceptions=True)


@contextlib.asynccontextmanager
async def running_worker(
    pool: Pool,
    database_url: str,
    directory: Path,
    *job_types: JobType,
    sandbox_preload: tuple[str, ...] | None = None,
    **overrides: Any,
) -> AsyncIterator[Running]:
    """Run a worker for `job_types`; with `sandbox_preload` it has sandboxes."""
    values: Mapping[str, Any] = {
        "database_url": database_url,
        "store_url": f"file://{directory}/store",
        "lease_s": 3.0,
        "heartbeat_s": 1.0,
        "progress_every_s": 0.05,
        "drain_grace_s": 0.2,
        **overrides,
    }
    settings = WorkerSettings(**values)
    store = open_store(settings.store_url, emulator_url=settings.storage_emulator_host)
    scratch = Scratch(directory / "scratch")
    notifier = Notifier(database_url, "test")
    sandbox = SandboxPool(spares=1, preload=sandbox_preload or ())
    worker = Worker(pool, notifier, store, sandbox, scratch, by_queue(job_types), settings)
    background = [notifier.run(), *worker.background()]
    if sandbox_preload is not None:
        background.append(sandbox.run())
    running = Running(worker, notifier, [asyncio.create_task(duty) for duty in background], worker.listener)
    try:
        yield running
        assert [task for task in running.tasks if task.done() and not task.cancelled()] == [], "a duty ended"
    finally:
        await running.kill()
        scratch.close()
        await store.close()
