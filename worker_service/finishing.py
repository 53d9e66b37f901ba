"""How attempts end: fenced, exactly once in effect, and certain about it even when the connection dies at COMMIT."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from uuid import UUID

from shared import telemetry
from shared.database import Pool
from shared.jobs.backoff import full_jitter_s
from shared.jobs.model import JobFailure, JobState, Lease
from shared.jobs.notify import Notifier
from shared.jobs.queue import CANCELLED, JobQueue, LeaseLost
from worker_service.attempt import Attempt, Stop
from worker_service.job_type import JobResult
from worker_service.maintenance import Maintenance
from worker_service.outages import OUTAGE, pause_for_outage, through_outages

SUCCEEDED = "succeeded"
LOST = "lost"
_TIME_LIMIT = JobFailure("TIME_LIMIT_EXCEEDED", "The job took more time than it may use.", retryable=True, crash=True)

logger = logging.getLogger(__name__)


class Finisher:
    """Ends attempts; the outcome is one word. All ways to end sit out outages: the token guards, not time.

    Run `run()` beside the worker: attempts that have nothing to commit are ended together, as many as came up while
    the statement before was on its way, and `on_end(attempts, outcome)` is called.
    """

    def __init__(
        self,
        pool: Pool,
        queue: JobQueue,
        notifier: Notifier,
        maintenance: Maintenance,
        on_end: Callable[[Sequence[Attempt], str], None],
    ) -> None:
        self._pool = pool
        self._queue = queue
        self._notifier = notifier
        self._maintenance = maintenance
        self._on_end = on_end
        self._succeeded: list[Attempt] = []
        self._pending = asyncio.Event()

    async def run(self) -> None:
        """End attempts together until cancelled."""
        while True:
            await self._pending.wait()
            self._pending.clear()
            attempts, self._succeeded = self._succeeded, []
            held = await self._succeed_all([attempt.job.lease for attempt in attempts])
            self._notifier.changed(held)
            # One line for all: they may come in thousands a second.
            logger.info("attempts ended", extra=telemetry.facts(succeeded=len(held), lost=len(attempts) - len(held)))
            self._on_end([attempt for attempt in attempts if attempt.job.lease.job_id in held], SUCCEEDED)
            self._on_end([attempt for attempt in attempts if attempt.job.lease.job_id not in held], LOST)

    async def done(self, attempt: Attempt, result: JobResult | None) -> str | None:
        """Commit `result` and the job's end in one transaction. Raises what the result's commit raises.

        With nothing to commit it returns None: `on_end` will tell the outcome.
        """
        if result is None and attempt.stopped is not Stop.LEASE_LOST:
            self._succeeded.append(attempt)
            self._pending.set()
            return None
        if result is None:
            return LOST
        try:
            committed = attempt.stopped is not Stop.LEASE_LOST and await self._commit(attempt, result)
        except Exception:
            await result.discard()
            raise
        if not committed:
            await result.discard()
            return LOST
        self._notifier.changed([attempt.job.lease.job_id])
        return SUCCEEDED

    async def stopped(self, attempt: Attempt) -> str:
        """End an attempt whose handler was stopped as the reason asks for."""
        match attempt.stopped:
            case Stop.CANCELLED:
                return await self.fail(attempt, CANCELLED)
            case Stop.TIME_LIMIT:
                return await self.fail(attempt, _TIME_LIMIT)
            case Stop.DRAIN:
                return await self._release(attempt)
        return LOST

    async def fail(self, attempt: Attempt, failure: JobFailure) -> str:
        """End the attempt as failed; the row tells whether it is tried again, failed or cancelled."""
        job, retry = attempt.job, attempt.job_type.retry
        backoff_s = full_jitter_s(job.attempt, base_s=retry.base_s, cap_s=retry.cap_s)
        try:
            state = await through_outages("fail", lambda: self._queue.fail(job.lease, failure, backoff_s=backoff_s))
        except LeaseLost:
            return LOST
        self._notifier.changed([job.lease.job_id])
        if state is JobState.SCHEDULED:
            self._maintenance.expect_due_in(backoff_s)
            return "retry"
        return str(state)

    async def _release(self, attempt: Attempt) -> str:
        job = attempt.job
        if not await through_outages("release", lambda: self._queue.release([job.lease])):
            return LOST
        self._notifier.changed([job.lease.job_id])
        self._notifier.ready([job.queue])
        return "released"

    async def _commit(self, attempt: Attempt, result: JobResult) -> bool:
        """Return whether the commit took place, for certain.

        When the connection dies at COMMIT nobody knows. The next try settles it: its guarded update waits for the
        row until the first transaction has ended either way, and then either succeeds or finds the token risen.
        """
        lease, failures = attempt.job.lease, 0
        while True:
            try:
                async with self._pool.connection() as connection, connection.transaction():
                    await self._queue.succeed(connection, lease)
                    await result.commit(connection)
            except LeaseLost:
                if not failures:
                    return False
                return bool(await through_outages("re-read", lambda: self._queue.succeeded_with([lease])))
            except OUTAGE as error:
                failures += 1
                await pause_for_outage("commit", failures, error)
            except asyncio.CancelledError:
                logger.warning("a commit was cut off", extra=telemetry.facts(job_id=lease.job_id))
                raise
            else:
                return True

    async def _succeed_all(self, leases: list[Lease]) -> set[UUID]:
        """Return the jobs that ended as succeeded, for certain: a second try asks what became of the first."""
        failures = 0
        while True:
            try:
                held = await self._queue.succeed_many(leases)
                return await self._queue.succeeded_with(leases) if failures else held
            except OUTAGE as error:
                failures += 1
                await pause_for_outage("finish", failures, error)
