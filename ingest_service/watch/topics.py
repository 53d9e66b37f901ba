"""Who watches what, and how far each topic is told: a job, a record, or an owner."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from ingest_service.watch.watcher import Watcher
from shared.jobs.model import Job


class Topic:
    """What some watchers have in common: `versions` are the newest of each of its jobs that any of them was offered.

    A job that ended before `horizon` and is in no `versions` is old: it was told before, or was over when the
    first watcher came. None until that is known.
    """

    def __init__(self) -> None:
        self.watchers: set[Watcher] = set()
        self.versions: dict[UUID, int] = {}
        self.horizon: int | None = None
        self._ended: dict[UUID, int] = {}

    def rises(self, job: Job) -> bool:
        """Take note of a job that was read; return whether its state is news."""
        known = self.versions.get(job.job_id)
        if known is None:
            if ended_before(job, self.horizon):
                return False
        elif job.version <= known:
            return False
        self.versions[job.job_id] = job.version
        if job.ended_xid is not None:
            self._ended[job.job_id] = job.ended_xid
        else:
            self._ended.pop(job.job_id, None)
        return True

    def begin_at(self, horizon: int) -> None:
        """Take note that a watcher's starting states are read at `horizon`."""
        self.horizon = horizon if self.horizon is None else min(horizon, self.horizon)

    def move_horizon(self, horizon: int) -> None:
        """Forget jobs that ended before `horizon`: all of them are told."""
        self.horizon = horizon
        for job_id in [job_id for job_id, ended_xid in self._ended.items() if ended_xid < horizon]:
            self.forget(job_id)

    def forget(self, job_id: UUID) -> None:
        """Forget a job."""
        self.versions.pop(job_id, None)
        self._ended.pop(job_id, None)

    def ended(self, job_id: UUID) -> bool:
        """Return whether a job is known to have ended."""
        return job_id in self._ended


def ended_before(job: Job, horizon: int | None) -> bool:
    """Return whether a job ended before a horizon."""
    return horizon is not None and job.ended_xid is not None and job.ended_xid < horizon


class Topics:
    """All topics of a process that have watchers."""

    def __init__(self) -> None:
        self.jobs: dict[UUID, Topic] = {}
        self.records: dict[UUID, Topic] = {}
        self.owners: dict[str, Topic] = {}

    @property
    def wide(self) -> bool:
        """Whether jobs are watched that nobody named."""
        return bool(self.records or self.owners)

    def add(self, watcher: Watcher) -> None:
        """Enter a watcher under all its topics."""
        for group, key in self._keys(watcher):
            group.setdefault(key, Topic()).watchers.add(watcher)

    def remove(self, watcher: Watcher) -> None:
        """Strike a watcher, and topics that were his alone."""
        for group, key in self._keys(watcher):
            group[key].watchers.discard(watcher)
            if not group[key].watchers:
                del group[key]

    def of(self, job: Job) -> list[Topic]:
        """Return the topics that a job belongs to."""
        found = [self.jobs.get(job.job_id), self.owners.get(job.owner)]
        if job.record_id is not None:
            found.append(self.records.get(job.record_id))
        return [topic for topic in found if topic is not None]

    def known(self) -> dict[UUID, int]:
        """Return the versions told of all jobs; the lowest, where topics differ."""
        known: dict[UUID, int] = {}
        for topic in self:
            for job_id, version in topic.versions.items():
                known[job_id] = min(version, known.get(job_id, version))
        return known

    def forget(self, job_id: UUID) -> list[tuple[Watcher, str]]:
        """Forget a job that is gone; return the watchers of what is gone with it, each with the reason."""
        bereft: list[tuple[Watcher, str]] = []
        for group, reason in ((self.jobs, "JOB_NOT_FOUND"), (self.records, "RECORD_NOT_FOUND"), (self.owners, "")):
            for topic in group.values():
                if job_id not in topic.versions:
                    continue
                told = group is self.jobs and topic.ended(job_id)  # its end was; no more is to come
                topic.forget(job_id)
                if reason and not told and not topic.versions:
                    bereft += [(watcher, reason) for watcher in topic.watchers]
        return bereft

    def __iter__(self) -> Iterator[Topic]:
        """Go through all topics."""
        for group in (self.jobs, self.records, self.owners):
            yield from group.values()

    def _keys(self, watcher: Watcher) -> Iterator[tuple[dict[Any, Topic], UUID | str]]:
        targets = watcher.targets
        yield from ((self.jobs, job_id) for job_id in targets.after_versions)
        yield from ((self.records, record_id) for record_id in targets.record_ids)
        if targets.every is not None:
            yield self.owners, watcher.owner
