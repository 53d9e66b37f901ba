"""The worker: claim → run → finish, every attempt in a task of its own."""

import asyncio
import contextlib
import logging
import os
import socket
from collections import Counter
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any
from uuid import uuid4

from shared import telemetry
from shared.database import Pool
from shared.jobs.model import ClaimedJob
from shared.jobs.notify import CANCEL_CHANNEL, READY_CHANNEL, Listener, Notifier, job_ids_in
from shared.jobs.queue import JobQueue
from shared.storage import ObjectStore
from worker_service.attempt import Attempt, Stop, Stopped
from worker_service.claiming import Claimer
from worker_service.finishing import LOST, Finisher
from worker_service.heartbeats import Heartbeats
from worker_service.job_type import JobType
from worker_service.maintenance import Maintenance
from worker_service.running import Runner, failure_of
from worker_service.sandbox.pool import SandboxPool
from worker_service.scratch import Scratch
from worker_service.settings import WorkerSettings

_NAME = "tablemill-worker"
_STOP_GRACE_S = 10.0  # to give jobs back, should Postgres be slow or away

logger = logging.getLogger(__name__)


class Worker:
    """Works on the queues of `job_types`. Run `background()` beside each other; await `drain()` before the end."""

    def __init__(
        self,
        pool: Pool,
        notifier: Notifier,
        store: ObjectStore,
        sandbox: SandboxPool,
        scratch: Scratch,
        job_types: Mapping[str, JobType],
        settings: WorkerSettings,
    ) -> None:
        self._notifier = notifier
        self._drain_grace_s = settings.drain_grace_s
        self._types = job_types
        self._resources = {queue: job_type.resources(settings) for queue, job_type in job_types.items()}
        self.worker_id = f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:8]}"
        self._queue = JobQueue(pool)
        self._heartbeats = Heartbeats(self._queue, notifier, settings)
        self._runner = Runner(settings, store, sandbox, scratch, self._heartbeats)
        self.listener = Listener(
            settings.database_url,
            _NAME,
            [READY_CHANNEL, CANCEL_CHANNEL],
            on_hint=self._on_hint,
            on_gap=self._on_gap,
        )
        self._durations = {queue: telemetry.JOB_SECONDS.labels(queue) for queue in job_types}
        self._claimer = Claimer(
            self._queue,
            self._resources,
            worker_id=self.worker_id,
            lease_s=settings.lease_s,
            begin=self._begin,
            known=lambda: {attempt.job.lease for attempt in self._attempts},
        )
        self._maintenance = Maintenance(
            self._queue,
            notifier,
            poll_s=settings.poll_s,
            listening=self.listener.up,
            on_ready=self._claimer.want,
        )
        self._finisher = Finisher(pool, self._queue, notifier, self._maintenance, self._ended)
        self._attempts: dict[Attempt, asyncio.Task[None]] = {}
        self._idle = asyncio.Event()
        self._idle.set()

    def background(self) -> list[Coroutine[Any, Any, None]]:
        """Return what has to run beside each other."""
        return [
            self.listener.run(),
            self._claimer.run(),
            self._heartbeats.run(),
            self._maintenance.run(),
            self._finisher.run(),
        ]

    @property
    def capacity(self) -> dict[str, int]:
        """How many jobs of each queue it runs at once, at most."""
        return {queue: resources.concurrency for queue, resources in self._resources.items()}

    @property
    def running(self) -> list[Attempt]:
        """What it runs now, oldest first."""
        return list(self._attempts)

    def _on_hint(self, channel: str, payload: str) -> None:
        if channel == READY_CHANNEL:
            self._claimer.want([payload])
        elif channel == CANCEL_CHANNEL:
            for job_id in job_ids_in(payload):
                self._heartbeats.on_cancel(job_id)

    async def _on_gap(self) -> None:
        self._maintenance.look_now()
        self._heartbeats.beat_now()

    async def drain(self) -> None:
        """Claim no more; let running work go on for the drain grace, then stop it and give its jobs back."""
        await self._claimer.stop()
        await self._until_idle(self._drain_grace_s)
        for attempt in self._attempts:
            attempt.stop(Stop.DRAIN)
        await self._until_idle(_STOP_GRACE_S)
        await self.abandon()

    async def abandon(self) -> None:
        """Drop everything at once: nothing is ended or given back, other workers will find it."""
        tasks = list(self._attempts.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _until_idle(self, timeout_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()

    def _begin(self, jobs: list[ClaimedJob], sent_s: float) -> None:
        trusted_until_s = self._heartbeats.trusted_until_s(sent_s)
        self._idle.clear()
        for job in jobs:
            attempt = Attempt(job, self._types[job.queue], self._resources[job.queue], trusted_until_s)
            self._heartbeats.add(attempt)
            self._attempts[attempt] = asyncio.create_task(self._attempt(attempt))
        telemetry.JOBS_CLAIMED.labels(jobs[0].queue).inc(len(jobs))
        telemetry.JOBS_RUNNING.labels(jobs[0].queue).inc(len(jobs))
        self._notifier.changed(job.lease.job_id for job in jobs)

    async def _attempt(self, attempt: Attempt) -> None:
        outcome: str | None = "abandoned"
        try:
            outcome = await self._run_and_end(attempt)
        except Exception:
            # The job comes back when its lease expires, here or elsewhere.
            logger.exception("an attempt could not be ended", extra=telemetry.facts(job_id=attempt.job.lease.job_id))
        finally:
            if outcome:
                self._ended([attempt], outcome)
                _log_end(attempt, outcome)

    async def _run_and_end(self, attempt: Attempt) -> str | None:
        """Return the outcome, or None when the finisher will tell it."""
        try:
            try:
                result = await self._runner.run(attempt)
            finally:
                self._claimer.work_done(attempt.job.queue)
                self._heartbeats.remove(attempt)
            return await self._finisher.done(attempt, result)
        except Stopped:
            return await self._finisher.stopped(attempt)
        except Exception as error:  # noqa: BLE001  # whatever a handler raises ends its attempt, not the worker
            return await self._finisher.fail(attempt, failure_of(error, attempt.job))

    def _ended(self, attempts: Sequence[Attempt], outcome: str) -> None:
        now_s = asyncio.get_running_loop().time()
        for attempt in attempts:
            del self._attempts[attempt]
            self._durations[attempt.job.queue].observe(now_s - attempt.started_s)
        for queue, jobs in Counter(attempt.job.queue for attempt in attempts).items():
            self._claimer.ended(queue, jobs)
            if self._queue.capped(queue):
                self._notifier.ready([queue])  # there is room again, perhaps on another worker
            telemetry.JOBS_RUNNING.labels(queue).dec(jobs)
            telemetry.JOBS_ENDED.labels(queue, outcome).inc(jobs)
            if outcome == LOST:
                telemetry.LEASES_LOST.labels(queue).inc(jobs)
        if not self._attempts:
            self._idle.set()


def _log_end(attempt: Attempt, outcome: str) -> None:
    job, seconds = attempt.job, asyncio.get_running_loop().time() - attempt.started_s
    told = telemetry.facts(
        job_id=job.lease.job_id, queue=job.queue, attempt=job.attempt, outcome=outcome, seconds=round(seconds, 3)
    )
    logger.info("attempt ended", extra=told)
