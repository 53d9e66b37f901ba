"""The watch hub: one LISTEN session and one re-read serve every WatchStatus stream of this process.

A hint says which job changed, the row says what it is now. Per stream there is a map from job to newest state and
one wake-up flag, so memory is bounded, a slow reader skips intermediate states, and a final state is never lost.
"""

import asyncio
import contextlib
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from psycopg import OperationalError
from psycopg_pool import PoolTimeout

from shared import telemetry
from shared.errors import NotFound, ResourceExhausted, Unavailable
from shared.jobs.model import Job
from shared.jobs.notify import CHANGED_CHANNEL, job_ids_in
from shared.jobs.queue import JobQueue

_PACE_S = 0.2  # least time between two messages that carry no final state
_DEGRADED_POLL_S = 1.0
_RETRY_AFTER_S = 1.0


@dataclass(frozen=True)
class WatchUpdate:
    """What a stream says next: changed jobs (none: a heartbeat), and whether the starting states are all out."""

    jobs: Sequence[Job]
    synced: bool
    degraded: bool


class _Watcher:
    """One stream's side of the hub."""

    def __init__(self, after_versions: Mapping[UUID, int]) -> None:
        self.seen = dict(after_versions)
        self.open = set(after_versions)
        self.pending: dict[UUID, Job] = {}
        self.wake = asyncio.Event()
        self.urgent = asyncio.Event()

    def offer(self, job: Job, *, again: bool = False) -> None:
        """Take note of a job's state if it is newer than what was sent; `again` also if it is the same."""
        known = self.pending.get(job.job_id)
        newest = known.version if known else self.seen[job.job_id] - (1 if again else 0)
        if job.version <= newest:
            if job.state.final and known is None:
                self.open.discard(job.job_id)
            return
        self.pending[job.job_id] = job
        self.wake.set()
        if job.state.final:
            self.urgent.set()

    def take(self) -> list[Job]:
        """Return what is to be sent, and count it as sent."""
        jobs, self.pending = list(self.pending.values()), {}
        self.wake.clear()
        self.urgent.clear()
        for job in jobs:
            self.seen[job.job_id] = job.version
            if job.state.final:
                self.open.discard(job.job_id)
        return jobs


class WatchHub:
    """Feeds the watchers of this process. Run `run()` beside the server; give `on_hint` and `on_gap` to a Listener."""

    def __init__(self, jobs: JobQueue, *, poll_s: float, max_watches: int) -> None:
        self._jobs = jobs
        self._poll_s = poll_s
        self._max_watches = max_watches
        self._watchers: dict[UUID, set[_Watcher]] = defaultdict(set)
        self._count = 0
        self._dirty: set[UUID] = set()
        self._wake = asyncio.Event()
        self._draining = False
        self.degraded = True

    def on_hint(self, channel: str, payload: str) -> None:
        """Take note that the jobs named in `payload` changed."""
        if channel != CHANGED_CHANNEL:
            return
        self._dirty.update(job_id for job_id in job_ids_in(payload) if job_id in self._watchers)
        if self._dirty:
            self._wake.set()

    async def on_gap(self) -> None:
        """Re-read all that is watched: hints may have been missed."""
        self._dirty.update(self._watchers)
        self._wake.set()

    async def run(self, listener_up: asyncio.Event) -> None:
        """Re-read what changed, or everything now and then in case a hint was lost. Never returns."""
        while True:
            self.degraded = not listener_up.is_set()
            poll_s = _DEGRADED_POLL_S if self.degraded else self._poll_s
            try:
                async with asyncio.timeout(poll_s * random.uniform(0.8, 1.2)):  # noqa: S311  # spreads load
                    await self._wake.wait()
            except TimeoutError:
                self._dirty.update(self._watchers)
            # Critical section: taken and cleared without an await between, so that no hint falls through.
            self._wake.clear()
            dirty, self._dirty = self._dirty, set()
            if dirty:
                await self._refresh(dirty)

    async def drain(self) -> None:
        """End every stream as UNAVAILABLE, spread over a second so that not all come back at once."""
        self._draining = True
        for watcher in [watcher for group in self._watchers.values() for watcher in group]:
            watcher.wake.set()
            watcher.urgent.set()

    async def watch(
        self, owner: str, after_versions: Mapping[UUID, int], heartbeat_s: float
    ) -> AsyncIterator[WatchUpdate]:
        """Yield updates of `owner`'s jobs until all are in a final state.

        Raises NotFound for an id that is not the owner's, ResourceExhausted, and Unavailable on drain.
        """
        with self._registered(after_versions) as watcher:
            # Registered before the read: a change in between arrives as a hint and is re-read.
            jobs = await self._jobs.read(owner, list(after_versions))
            if len(jobs) < len(after_versions):
                raise NotFound("JOB_NOT_FOUND", "no such job")
            for job in jobs:
                watcher.offer(job, again=after_versions[job.job_id] == 0)
            yield WatchUpdate(watcher.take(), synced=True, degraded=self.degraded)
            while watcher.open:
                if not await _woken(watcher.wake, heartbeat_s):
                    yield WatchUpdate((), synced=True, degraded=self.degraded)
                    continue
                await self._raise_if_draining()
                yield WatchUpdate(watcher.take(), synced=True, degraded=self.degraded)
                await _woken(watcher.urgent, _PACE_S)

    @contextlib.contextmanager
    def _registered(self, after_versions: Mapping[UUID, int]) -> Iterator[_Watcher]:
        if self._draining:
            raise Unavailable("SERVER_DRAINING", "this server goes away; use another", retry_after_s=_RETRY_AFTER_S)
        if self._count >= self._max_watches:
            raise ResourceExhausted(
                "TOO_MANY_STREAMS", f"{self._max_watches} watches are open on this server", retry_after_s=_RETRY_AFTER_S
            )
        watcher = _Watcher(after_versions)
        self._count += 1
        telemetry.WATCH_STREAMS.set(self._count)
        for job_id in after_versions:
            self._watchers[job_id].add(watcher)
        try:
            yield watcher
        finally:
            self._count -= 1
            telemetry.WATCH_STREAMS.set(self._count)
            for job_id in after_versions:
                self._watchers[job_id].discard(watcher)
                if not self._watchers[job_id]:
                    del self._watchers[job_id]

    async def _refresh(self, job_ids: set[UUID]) -> None:
        try:
            jobs = await self._jobs.read_watched(list(job_ids))
        except (OperationalError, PoolTimeout):
            # Postgres is away: what is dirty stays dirty until the next poll.
            self._dirty |= job_ids
            return
        for job in jobs:
            for watcher in self._watchers.get(job.job_id, ()):
                watcher.offer(job)

    async def _raise_if_draining(self) -> None:
        if self._draining:
            await asyncio.sleep(random.random())  # noqa: S311  # spreads load
            raise Unavailable("SERVER_DRAINING", "this server goes away; resume", retry_after_s=_RETRY_AFTER_S)


async def _woken(event: asyncio.Event, within_s: float) -> bool:
    try:
        async with asyncio.timeout(within_s):
            await event.wait()
    except TimeoutError:
        return False
    return True
