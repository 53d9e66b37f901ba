"""One look at the queue now and then repairs whatever wake-ups and workers got lost.

A look is one statement. Only when it finds something due are jobs promoted or rescued, or the claimer woken.
"""

import asyncio
import contextlib
import logging
import math
import random
from collections.abc import Callable, Iterable, Sequence
from uuid import UUID

from shared import telemetry
from shared.jobs.notify import Notifier
from shared.jobs.queue import JobQueue
from worker_service.outages import OUTAGE, pause_for_outage

_DEAF_POLL_S = 2.0
_REST = 9  # times as long as a look took, at least: beside a long transaction it may take seconds
_HERD_S = 0.05  # workers that wait for the same moment come this much apart

logger = logging.getLogger(__name__)


class Maintenance:
    """Run `run()` beside the worker. `on_ready` is called with the queues that are seen to have work.

    It looks every `poll_s` while `listening` is set, every 2 seconds while it is not; and it looks no more often than a
    tenth of the time goes into it, unless somebody asks.
    """

    def __init__(
        self,
        queue: JobQueue,
        notifier: Notifier,
        *,
        poll_s: float,
        listening: asyncio.Event,
        on_ready: Callable[[Iterable[str]], None],
    ) -> None:
        self._queue = queue
        self._notifier = notifier
        self._poll_s = poll_s
        self._listening = listening
        self._on_ready = on_ready
        self._wanted_s = math.inf  # when somebody asked for a look
        self._sooner = asyncio.Event()

    def expect_due_in(self, seconds: float) -> None:
        """Look at the queue in `seconds`, if not before."""
        self._wanted_s = min(self._wanted_s, asyncio.get_running_loop().time() + seconds)
        self._sooner.set()

    def look_now(self) -> None:
        """Look at the queue at once: wake-ups may have been missed."""
        self.expect_due_in(0)

    async def run(self) -> None:
        """Look until cancelled."""
        clock, failures = asyncio.get_running_loop().time, 0
        while True:
            self._wanted_s = math.inf  # before the look: what is asked for during it leads to another one
            began_s = clock()
            try:
                due_s = await self._look()
                failures = 0
            except OUTAGE as error:
                failures += 1
                await pause_for_outage("maintenance", failures, error)
                continue
            wait_s = random.uniform(1.0, 1.2) * self._poll_s  # noqa: S311  # spreads load, guards no secret
            if due_s is not None:
                wait_s = min(wait_s, max(due_s, 0) + random.uniform(0, _HERD_S))  # noqa: S311  # as above
            await self._wait(max(wait_s, _REST * (clock() - began_s)))

    async def _look(self) -> float | None:
        outlook = await self._queue.outlook()
        if outlook.ready:
            self._on_ready(outlook.ready)
        if outlook.due_s is None or outlook.due_s > 0:
            return outlook.due_s
        promoted, rescued = await self._queue.promote(), await self._queue.rescue()
        self._tell(promoted)
        self._tell(rescued)
        if rescued:
            telemetry.JOBS_RESCUED.inc(len(rescued))
            logger.warning("jobs of dead workers rescued", extra=telemetry.facts(jobs=len(rescued)))
        self._on_ready({queue for _, queue in [*promoted, *rescued]})
        return None

    def _tell(self, jobs: Sequence[tuple[UUID, str]]) -> None:
        if jobs:
            self._notifier.changed(job_id for job_id, _ in jobs)
            self._notifier.ready({queue for _, queue in jobs})

    async def _wait(self, seconds: float) -> None:
        clock = asyncio.get_running_loop().time
        began_s = clock()
        while True:
            # Asked anew at least every 2 seconds: the listener may have died meanwhile.
            most_s = seconds if self._listening.is_set() else min(seconds, _DEAF_POLL_S)
            left_s = min(began_s + most_s, self._wanted_s) - clock()
            if left_s <= 0:
                return
            self._sooner.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(left_s, _DEAF_POLL_S)):
                    await self._sooner.wait()
