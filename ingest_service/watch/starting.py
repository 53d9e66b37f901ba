"""The starting states of a watch. Who comes with many others shares their statements."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from uuid import UUID

from ingest_service.watch.topics import Topics, ended_before
from ingest_service.watch.watcher import Watcher
from shared.errors import NotFound
from shared.jobs.changes import Changes
from shared.jobs.model import Job

_MOST_IDS = 500


class _Batch:
    def __init__(self) -> None:
        self.job_ids: set[UUID] = set()
        self.found: Mapping[UUID, Job] | None = None


class SharedReads:
    """Reads of named jobs: all who ask while a statement is on its way share the next one."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self._next = _Batch()
        self._turn = asyncio.Lock()

    async def read(self, job_ids: Iterable[UUID]) -> Mapping[UUID, Job]:
        """Return jobs by id, these and maybe others, whoever's they are; read after the call began."""
        batch = self._next
        batch.job_ids.update(job_ids)
        if len(batch.job_ids) >= _MOST_IDS:
            self._next = _Batch()
        async with self._turn:
            if batch.found is None:
                if self._next is batch:
                    self._next = _Batch()
                batch.found = {job.job_id: job for job in await self._changes.read(batch.job_ids)}
        return batch.found


class StartingStates:
    """Reads what watchers begin with. What is read is published: it may be news to others, too."""

    def __init__(self, changes: Changes, topics: Topics, publish: Callable[[Iterable[Job]], int]) -> None:
        self._changes = changes
        self._shared = SharedReads(changes)
        self._topics = topics
        self._publish = publish

    async def pages(self, watcher: Watcher) -> AsyncIterator[list[Job]]:
        """Settle the starting states of named jobs, and yield those of all others. Raises NotFound."""
        targets, owner = watcher.targets, watcher.owner
        if targets.after_versions:
            await self._settle_named(watcher)
        if targets.record_ids:
            jobs = await self._changes.read_of_records(owner, targets.record_ids)
            if len({job.record_id for job in jobs}) < len(targets.record_ids):
                raise NotFound("RECORD_NOT_FOUND", "no such record")
            self._publish(jobs)
            yield jobs
        if targets.every is None:
            return
        horizon = await self._changes.horizon()
        self._topics.owners[owner].begin_at(horizon)
        watcher.horizon = horizon
        async for page in self._changes.open_pages(owner, targets.every):
            self._publish(page)
            yield page
        since = horizon if targets.since is None else targets.since
        if since > horizon:
            since = 0  # it is one of another history of the database, as before a restore
        async for page in self._changes.ended_pages(owner, targets.every, since):
            self._publish(job for job in page if not ended_before(job, horizon))
            yield page

    async def _settle_named(self, watcher: Watcher) -> None:
        asked = watcher.targets.after_versions
        found = await self._shared.read(asked)
        jobs = [found[job_id] for job_id in asked if job_id in found and found[job_id].owner == watcher.owner]
        if len(jobs) < len(asked):
            raise NotFound("JOB_NOT_FOUND", "no such job")
        self._publish(jobs)
        for job in jobs:
            watcher.settle(job)
