"""Claims jobs for the free slots of a worker: as many at once as there are slots, and no more than it can run now."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping

from shared import telemetry
from shared.jobs.model import ClaimedJob, Lease
from shared.jobs.queue import JobQueue
from worker_service.job_type import Resources
from worker_service.outages import OUTAGE, pause_for_outage, through_outages

logger = logging.getLogger(__name__)


class Claimer:
    """Run `run()` beside the worker.

    A queue is asked after a wake-up, and as long as it gives all that it is asked for; then it counts as empty until
    somebody wants it again. The end of a handler frees its slot, though its job's end is still on its way to the
    database, so that claims and ends overlap; the unended are twice as many as the slots at most.
    `begin(jobs, sent_s)` is called with what was claimed, and when the statement was sent, by the loop's clock;
    `known()` returns the leases that came so. What else this worker is seen to hold after an outage was claimed by a
    statement whose answer was lost, and is given back.
    """

    def __init__(
        self,
        queue: JobQueue,
        resources: Mapping[str, Resources],
        *,
        worker_id: str,
        lease_s: float,
        begin: Callable[[list[ClaimedJob], float], None],
        known: Callable[[], Collection[Lease]],
    ) -> None:
        self._queue = queue
        self._resources = resources
        self._worker_id = worker_id
        self._lease_s = lease_s
        self._begin = begin
        self._known = known
        self._wanted: set[str] = set()
        self._wake = asyncio.Event()
        self._working: Counter[str] = Counter()
        self._unended: Counter[str] = Counter()
        self._claiming = asyncio.Lock()
        self._stopped = False

    def want(self, queues: Iterable[str]) -> None:
        """Take note that `queues` may have work."""
        self._wanted.update(self._resources.keys() & queues)
        self._wake.set()

    def work_done(self, queue: str) -> None:
        """Take note that a handler of `queue` is through."""
        self._working[queue] -= 1
        self._wake.set()

    def ended(self, queue: str, jobs: int) -> None:
        """Take note that so many jobs of `queue` are ended."""
        self._unended[queue] -= jobs
        self._wake.set()

    async def stop(self) -> None:
        """Claim no more; return when what was being claimed has begun."""
        self._stopped = True
        async with self._claiming:
            return

    async def run(self) -> None:
        """Register the queues, then claim until cancelled."""
        for queue in self._resources:
            await through_outages("register", lambda queue=queue: self._register(queue))  # type: ignore[misc]
        self.want(self._resources)  # a look at the queues sees only those that are registered
        failures = 0
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                if failures:
                    await self._give_back_strays()
                for queue in self._resources.keys() & self._wanted:
                    async with self._claiming:
                        await self._claim(queue)
                failures = 0
            except OUTAGE as error:
                failures += 1
                await pause_for_outage("claim", failures, error)
                self.want(self._resources)

    async def _give_back_strays(self) -> None:
        held = await self._queue.held_by(self._worker_id)
        if strays := held.difference(self._known()):
            released = await self._queue.release(list(strays))
            logger.warning("claims whose answer was lost are given back", extra=telemetry.facts(jobs=len(released)))

    async def _register(self, queue: str) -> None:
        caps = self._resources[queue]
        await self._queue.register(
            queue, max_running=caps.max_running, max_running_per_owner=caps.max_running_per_owner
        )

    async def _claim(self, queue: str) -> None:
        resources = self._resources[queue]
        free = resources.concurrency - max(self._working[queue], self._unended[queue] - resources.concurrency)
        if free <= 0 or self._stopped:
            return
        self._wanted.discard(queue)  # before the statement: a wake-up during it leads to another one
        sent_s = asyncio.get_running_loop().time()
        claimed = await self._queue.claim(
            queue, limit=free, worker_id=self._worker_id, lease_s=self._lease_s, timeout_s=resources.timeout_s
        )
        self._working[queue] += len(claimed)
        self._unended[queue] += len(claimed)
        if len(claimed) == free:
            self.want([queue])
        elif (again_s := self._queue.passed_over_s(queue)) is not None:
            asyncio.get_running_loop().call_later(again_s, self.want, [queue])
        if claimed:
            self._begin(claimed, sent_s)
