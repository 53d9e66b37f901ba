"""Reads what changed, once for all watchers of this process, and offers it to those it concerns.

A hint says which job changed, the row says what it is now. What no hint told of is found by a poll that compares the
versions that are known with those in the table.
"""

import asyncio
import contextlib
import itertools
import random
from collections.abc import AsyncGenerator, Iterable, Iterator
from typing import TypeVar
from uuid import UUID

from psycopg import OperationalError
from psycopg_pool import PoolTimeout

from ingest_service.watch.starting import StartingStates
from ingest_service.watch.targets import Targets
from ingest_service.watch.topics import Topics
from ingest_service.watch.updates import Update
from ingest_service.watch.watcher import Watcher
from shared import telemetry
from shared.database import Pool
from shared.errors import NotFound, ResourceExhausted, Unavailable
from shared.jobs.changes import Changes
from shared.jobs.model import Job
from shared.jobs.notify import CHANGED_CHANNEL, job_ids_in

_COALESCE_S = 0.005  # least time between two reads
_DEGRADED_POLL_S = 1.0
_POLL_SHARE = 0.05  # of the time, at most, goes into polls
_RETRY_AFTER_S = 1.0
_Item = TypeVar("_Item")
_STARTS_AT_ONCE = 4  # of the pool's connections: other calls need some too
_MOST_IDS = 1000  # in one statement
_LAST_END_S = 2.0
_ENDS_PER_S = 2000  # streams told to go elsewhere


class WatchHub:
    """Feeds the watchers of this process. Run `run()` beside the server; give `on_hint` and `on_gap` to a Listener.

    `poll_s` is the time between polls, `max_age_s` that after which a stream is ended so that its client comes back.
    """

    def __init__(self, pool: Pool, *, poll_s: float, max_watches: int, max_age_s: float) -> None:
        self._changes = Changes(pool, at_once=1)
        self._poll_s = poll_s
        self._max_watches = max_watches
        self._max_age_s = max_age_s
        self._topics = Topics()
        self._watchers: set[Watcher] = set()
        self._starting = StartingStates(Changes(pool, at_once=_STARTS_AT_ONCE), self._topics, self.publish)
        self._dirty: set[UUID] = set()
        self._gap = False
        self._wake = asyncio.Event()
        self._draining = False
        self._empty = asyncio.Event()
        self._empty.set()
        self._horizon = 0
        self.degraded = True

    def on_hint(self, channel: str, payload: str) -> None:
        """Take note that the jobs named in `payload` changed."""
        if channel != CHANGED_CHANNEL or not self._watchers:
            return
        job_ids = job_ids_in(payload)
        self._dirty.update(job_ids if self._topics.wide else self._topics.jobs.keys() & job_ids)
        if self._dirty:
            self._wake.set()

    async def on_gap(self) -> None:
        """Look at all that is watched: hints may have been missed."""
        self._gap = True
        self._wake.set()

    async def run(self, listener_up: asyncio.Event) -> None:
        """Read what changed, and now and then look for what no hint told of. Never returns."""
        clock = asyncio.get_running_loop().time
        polled_s, pause_s = clock(), 0.0
        while True:
            self.degraded = not listener_up.is_set()
            poll_at_s = polled_s + max(pause_s, _DEGRADED_POLL_S if self.degraded else self._poll_s)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(min(poll_at_s, clock() + _DEGRADED_POLL_S)):
                    await self._wake.wait()
            self._wake.clear()
            try:
                await self._refresh()
                if self._gap or clock() >= poll_at_s:
                    self._gap = False
                    polled_s = clock()
                    await self._poll()
                    pause_s = (clock() - polled_s) / _POLL_SHARE * random.uniform(0.9, 1.1)  # noqa: S311  # spreads load
            except (OperationalError, PoolTimeout):
                self._gap = True  # Postgres is away: the poll after it finds all that was missed
                polled_s, pause_s = clock(), 0.0
            await asyncio.sleep(_COALESCE_S)

    async def watch(self, owner: str, targets: Targets, heartbeat_s: float) -> AsyncGenerator[bytes]:
        """Yield the messages of a watch of `owner`'s jobs, each as bytes of a WatchStatusResponse.

        Ends when all that is watched is done. Raises NotFound for what is not the owner's, ResourceExhausted, and
        Unavailable when the client has to come back.
        """
        age_s = self._max_age_s * random.uniform(0.9, 1.1)  # noqa: S311  # spreads load
        watcher = Watcher(owner, targets, heartbeat_s=heartbeat_s, age_s=age_s)
        # Registered before the first read: what changes in between is offered.
        with self._registered(watcher):
            async for page in self._starting.pages(watcher):
                yield watcher.page(page, degraded=self.degraded)
            yield watcher.message(degraded=self.degraded, horizon=self._horizon)
            while not watcher.done:
                await watcher.wait()
                yield watcher.message(degraded=self.degraded, horizon=self._horizon)

    def publish(self, jobs: Iterable[Job]) -> int:
        """Offer jobs as they were just read to all whom they are news to; return how many were news to somebody."""
        news = 0
        for job in jobs:
            risen = [topic for topic in self._topics.of(job) if topic.rises(job)]
            if risen:
                news += 1
                update = Update(job)
                for watcher in set().union(*(topic.watchers for topic in risen)):
                    if watcher.owner == job.owner:  # one that named another's job is about to be refused
                        watcher.offer(update)
        return news

    async def drain(self) -> None:
        """End every stream as UNAVAILABLE, one after the other so that not all come back at once.

        Waits for them, but not long for those whose client does not read.
        """
        self._draining = True
        loop = asyncio.get_running_loop()
        error = _going_away()
        for number, watcher in enumerate(self._watchers):
            loop.call_later(number / _ENDS_PER_S, watcher.end, error)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(len(self._watchers) / _ENDS_PER_S + _LAST_END_S):
                await self._empty.wait()

    @contextlib.contextmanager
    def _registered(self, watcher: Watcher) -> Iterator[None]:
        if self._draining:
            raise _going_away()
        if len(self._watchers) >= self._max_watches:
            raise ResourceExhausted(
                "TOO_MANY_STREAMS", f"{self._max_watches} watches are open on this server", retry_after_s=_RETRY_AFTER_S
            )
        self._watchers.add(watcher)
        self._topics.add(watcher)
        self._note_count()
        try:
            yield
        finally:
            self._watchers.discard(watcher)
            self._topics.remove(watcher)
            self._note_count()
            watcher.close()

    def _note_count(self) -> None:
        telemetry.WATCH_STREAMS.set(len(self._watchers))
        if self._watchers:
            self._empty.clear()
        else:
            self._empty.set()

    async def _refresh(self) -> None:
        """Read the jobs that hints named, with one statement, or two when there are watchers of all of an owner's."""
        # Critical section: taken and cleared without an await between, so that no hint falls through.
        dirty, self._dirty = self._dirty, set()
        named = dirty & self._topics.jobs.keys()
        for job_ids in _batches(named):
            self.publish(await self._changes.read(job_ids))
        for job_ids in _batches(dirty - named):
            if self._topics.wide:
                self.publish(await self._changes.read_of(job_ids, self._topics.owners, self._topics.records))

    async def _poll(self) -> None:
        """Find what no hint told of."""
        if not self._watchers:
            return
        horizon = await self._changes.horizon() if self._topics.wide else self._horizon
        owners = dict(self._topics.owners)
        known = self._topics.known()
        for part in _batches(known.items()):
            jobs, gone = await self._changes.risen(dict(part))
            telemetry.WATCH_LATE.inc(self.publish(jobs))
            self._tell_gone(gone)
        if self._topics.wide:
            horizons = {owner: horizon if topic.horizon is None else topic.horizon for owner, topic in owners.items()}
            self.publish(await self._changes.unknown(known, horizons, self._topics.records))
        for topic in owners.values():
            topic.move_horizon(horizon)
        self._horizon = horizon

    def _tell_gone(self, job_ids: Iterable[UUID]) -> None:
        for job_id in job_ids:
            for watcher, reason in self._topics.forget(job_id):
                watcher.end(NotFound(reason, "what this watch follows was removed"))


def _batches(items: Iterable[_Item]) -> Iterator[list[_Item]]:
    """Yield parts that are read in one go without holding up the streams."""
    left = iter(items)
    while batch := list(itertools.islice(left, _MOST_IDS)):
        yield batch


def _going_away() -> Unavailable:
    return Unavailable("SERVER_DRAINING", "this server goes away; resume on another", retry_after_s=_RETRY_AFTER_S)
