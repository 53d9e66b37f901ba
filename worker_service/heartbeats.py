"""Keeps the leases of all running attempts alive with one statement, which also carries their newest progress."""

import asyncio
from uuid import UUID

from shared.jobs.model import JobProgress
from shared.jobs.notify import Notifier
from shared.jobs.queue import JobQueue
from worker_service.attempt import Attempt, Stop
from worker_service.outages import OUTAGE, pause_for_outage
from worker_service.settings import WorkerSettings

_LATE_CLAIM_S = 0.3


class Heartbeats:
    """Run `run()` beside the worker. An attempt is kept alive from `add` to `remove`.

    A lease is trusted only until `lease_s` after the last heartbeat that succeeded was sent, less a margin, by this
    process's monotonic clock: a worker that was frozen or cut off stops by itself before somebody else begins.
    """

    def __init__(self, queue: JobQueue, notifier: Notifier, settings: WorkerSettings) -> None:
        self._queue = queue
        self._notifier = notifier
        self._every_s = settings.heartbeat_s
        self._progress_every_s = settings.progress_every_s
        self._lease_s = settings.lease_s
        self._attempts: dict[UUID, Attempt] = {}
        self._distrust: asyncio.TimerHandle | None = None
        self._changed = asyncio.Event()
        self._urgent = asyncio.Event()

    def trusted_until_s(self, sent_s: float) -> float:
        """Return until when a lease may be trusted that was asked for at `sent_s`."""
        return sent_s + self._lease_s * 0.9

    def add(self, attempt: Attempt) -> None:
        """Keep the lease of `attempt` from now on."""
        self._attempts[attempt.job.lease.job_id] = attempt
        self._watch_trust()

    def remove(self, attempt: Attempt) -> None:
        """Let go: the attempt is about to end its lease itself, or has lost it. May be called again."""
        job_id = attempt.job.lease.job_id
        if self._attempts.get(job_id) is attempt:
            del self._attempts[job_id]

    def take_progress(self, attempt: Attempt, progress: JobProgress) -> None:
        """Take note of how far an attempt is."""
        attempt.progress = progress
        self._changed.set()

    def on_cancel(self, job_id: UUID) -> None:
        """Take note that a job has to stop: if it is one of ours, the next heartbeat goes out at once and sees it."""
        if job_id in self._attempts:
            self.beat_now()
        else:
            # Its claim may be on its way to us.
            asyncio.get_running_loop().call_later(_LATE_CLAIM_S, self._beat_for, job_id)

    def beat_now(self) -> None:
        """Send a heartbeat at once: wake-ups may have been missed."""
        self._changed.set()
        self._urgent.set()

    def _beat_for(self, job_id: UUID) -> None:
        if job_id in self._attempts:
            self.beat_now()

    async def run(self) -> None:
        """Beat until cancelled."""
        clock = asyncio.get_running_loop().time
        beaten_s, failures = clock(), 0
        while True:
            await self._wait_for_need(beaten_s)
            self._changed.clear()
            self._urgent.clear()
            if not self._attempts:
                beaten_s = clock()
                continue
            try:
                beaten_s = clock()
                await self._beat(beaten_s)
                failures = 0
            except OUTAGE as error:
                failures += 1
                await pause_for_outage("heartbeat", failures, error)
                beaten_s = clock() - self._every_s  # due at once

    async def _wait_for_need(self, beaten_s: float) -> None:
        """Return when a heartbeat is due or urgent, or when there is progress to tell and the last is not too new."""
        try:
            async with asyncio.timeout_at(beaten_s + self._every_s):
                await self._changed.wait()
                async with asyncio.timeout_at(beaten_s + self._progress_every_s):
                    await self._urgent.wait()
        except TimeoutError:
            pass

    async def _beat(self, sent_s: float) -> None:
        beats = [(attempt, attempt.progress) for attempt in self._attempts.values()]
        async with asyncio.timeout(self._every_s):
            held = await self._queue.heartbeat(
                [(attempt.job.lease, progress) for attempt, progress in beats], lease_s=self._lease_s
            )
        told = []
        for attempt, progress in beats:
            job_id = attempt.job.lease.job_id
            if self._attempts.get(job_id) is not attempt:
                continue  # it ended while the statement was on its way
            if job_id not in held:
                self._lose(attempt)
                continue
            attempt.trusted_until_s = self.trusted_until_s(sent_s)
            if held[job_id]:
                attempt.stop(Stop.CANCELLED)
            if progress != attempt.told_progress:
                attempt.told_progress = progress
                told.append(job_id)
        if told:
            self._notifier.changed(told)

    def _watch_trust(self) -> None:
        """Have one timer for the lease that is trusted the shortest; trust only ever grows, so it comes in time."""
        if self._distrust is None and self._attempts:
            first_s = min(attempt.trusted_until_s for attempt in self._attempts.values())
            self._distrust = asyncio.get_running_loop().call_at(first_s, self._distrust_expired)

    def _distrust_expired(self) -> None:
        now_s = asyncio.get_running_loop().time()
        for attempt in [attempt for attempt in self._attempts.values() if attempt.trusted_until_s <= now_s]:
            self._lose(attempt)
        self._distrust = None
        self._watch_trust()

    def _lose(self, attempt: Attempt) -> None:
        self.remove(attempt)
        attempt.stop(Stop.LEASE_LOST)
