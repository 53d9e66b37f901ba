"""One attempt at one job on this worker: its lease, its newest progress, and the one reason why it has to stop."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum

from shared.jobs.model import ClaimedJob, JobProgress
from worker_service.job_type import JobResult, JobType, Resources


class Stop(StrEnum):
    """Why an attempt was stopped before its handler was through."""

    LEASE_LOST = "lease_lost"  # somebody else's by now: write nothing
    CANCELLED = "cancelled"  # somebody asked for it
    TIME_LIMIT = "time_limit"  # its time is up
    DRAIN = "drain"  # this worker goes away


class Stopped(Exception):
    """The handler did not come to an end: see the attempt's `stopped`."""


@dataclass(eq=False, slots=True)
class Attempt:
    """An attempt from its claim to its end. `trusted_until_s` is on the event loop's monotonic clock."""

    job: ClaimedJob
    job_type: JobType
    resources: Resources
    trusted_until_s: float
    progress: JobProgress | None = None
    told_progress: JobProgress | None = None  # what the row holds
    stopped: Stop | None = None
    started_s: float = field(default_factory=lambda: asyncio.get_running_loop().time())
    _working: asyncio.Task[None] | None = None

    async def run(self, work: Callable[[], Awaitable[JobResult | None]]) -> JobResult | None:
        """Await `work()`, in time, in the task that is the attempt's own; return its result.

        Raises Stopped when it was stopped, and what the work raises. Until this returns, `stop` cancels the task;
        afterwards the task is left alone to end the attempt.
        """
        if self.stopped:
            raise Stopped
        task = self._working = asyncio.current_task()
        limit = asyncio.get_running_loop().call_later(self.resources.timeout_s, self.stop, Stop.TIME_LIMIT)
        try:
            return await work()
        except (Exception, asyncio.CancelledError):
            if self.stopped:
                raise Stopped from None  # also what broke while it was torn down
            raise
        finally:
            limit.cancel()
            self._working = None
            while self.stopped and task and task.cancelling():
                task.uncancel()

    def stop(self, why: Stop) -> None:
        """Stop the work now. The first reason counts, but a lost lease outweighs the others."""
        if self.stopped is None or why is Stop.LEASE_LOST:
            self.stopped = why
        if self._working is not None:
            self._working.cancel()
