"""One stream's side of the hub: the newest state of each job that it has to tell, and when to tell it.

Memory is bounded by the number of jobs watched: a slow reader skips intermediate states, and never a final one.
"""

import asyncio
from collections.abc import Iterable, Sequence
from uuid import UUID

from ingest_service.watch.targets import Targets
from ingest_service.watch.updates import Update, encode
from shared.errors import TablemillError, Unavailable
from shared.jobs.model import Job

_PACE_S = 0.2  # least time between two messages that carry no final state
_MAX_JOBS = 500  # in one message
_NEVER = float("inf")


class Watcher:
    """A stream that watches. Its task waits for `wait` and then sends what `message` returns, again and again."""

    def __init__(self, owner: str, targets: Targets, *, heartbeat_s: float, age_s: float) -> None:
        self.owner = owner
        self.targets = targets
        self.pending: dict[UUID, Update] = {}
        self.horizon: int | None = None
        self._synced = False
        self._open = set(targets.after_versions)
        self._heartbeat_s = heartbeat_s
        self._loop = asyncio.get_running_loop()
        self._urgent = False
        self._sent_s = self._loop.time() - _PACE_S
        self._ends_s = self._loop.time() + age_s
        self._end: TablemillError | None = None
        # One timer at most: it may fire too early, and then sets itself anew.
        self._timer: asyncio.TimerHandle | None = None
        self._timer_s = _NEVER
        self._parked: asyncio.Future[None] | None = None

    def offer(self, update: Update) -> None:
        """Take note of the newest state of a job, which is newer than all offered before."""
        # Under a job or a record only what is wanted is offered.
        if self.targets.every is not None and not self.targets.want(update.job):
            self.pending.pop(update.job_id, None)  # what it was before is not news any more
            return
        self.pending[update.job_id] = update
        if update.final:
            self._urgent = True
        if self._parked is not None:
            self._wake_when_due()

    def settle(self, job: Job) -> None:
        """Take note of the starting state of a named job: it is told only when the client has not seen it."""
        after = self.targets.after_versions.get(job.job_id, 0)
        if after and job.version <= after:
            self.pending.pop(job.job_id, None)
            if job.state.final:
                self._open.discard(job.job_id)
        elif job.job_id not in self.pending:
            self.pending[job.job_id] = Update(job)

    def end(self, error: TablemillError) -> None:
        """Have the stream end with `error`, after what is pending."""
        self._end = error
        if self._parked is not None:
            self._wake_when_due()

    @property
    def done(self) -> bool:
        """Whether everything is told and nothing can come any more."""
        return not (self.pending or self._open or self.targets.endless)

    def message(self, *, degraded: bool, horizon: int) -> bytes:
        """Return the next message: what is pending, or a heartbeat. Raises the error that ends the stream."""
        if not self.pending:
            self._raise_if_over()
        if len(self.pending) <= _MAX_JOBS:
            updates, self.pending = list(self.pending.values()), {}
        else:
            updates = [self.pending.pop(job_id) for job_id in list(self.pending)[:_MAX_JOBS]]
        self._sent_s = self._loop.time()
        self._urgent = bool(self.pending)
        told = None
        if not self.pending:
            self._synced = True
            if self.horizon is not None:
                told = self.horizon = max(self.horizon, horizon)
        return self._told(updates, degraded=degraded, horizon=told)

    def page(self, jobs: Iterable[Job], *, degraded: bool) -> bytes:
        """Return a message with starting states, or what is newer."""
        updates = [self.pending.pop(job.job_id, Update(job)) for job in jobs]
        # What ended before the watch began is still to come when it was asked for: until then no token.
        told = self.horizon if self.targets.since is None else None
        return self._told(updates, degraded=degraded, horizon=told)

    def _told(self, updates: Sequence[Update], *, degraded: bool, horizon: int | None) -> bytes:
        named = self.targets.after_versions
        for update in updates:
            if update.final:
                self._open.discard(update.job_id)
            elif len(self._open) < len(named) and update.job_id in named:
                self._open.add(update.job_id)  # somebody retried it
        return encode(updates, synced=self._synced, degraded=degraded, horizon=horizon)

    def _raise_if_over(self) -> None:
        if self._end is not None:
            raise self._end
        if self._loop.time() >= self._ends_s:
            raise Unavailable("STREAM_MAX_AGE", "this watch has lasted long enough; resume", retry_after_s=0.0)

    async def wait(self) -> None:
        """Return when there is something to tell, not too soon after the last; when a heartbeat is due; at the end."""
        due_s = self._due_s()
        if due_s <= self._loop.time():
            return
        self._parked = self._loop.create_future()
        self._set_timer(due_s)
        try:
            await self._parked
        finally:
            self._parked = None

    def close(self) -> None:
        """Let go of the timer."""
        if self._timer is not None:
            self._timer.cancel()

    def _due_s(self) -> float:
        if self._urgent or self._end is not None:
            return 0.0
        return min(self._ends_s, self._sent_s + (_PACE_S if self.pending else self._heartbeat_s))

    def _wake_when_due(self) -> None:
        parked = self._parked
        if parked is None or parked.done():
            return
        due_s = self._due_s()
        if due_s <= self._loop.time():
            parked.set_result(None)
        else:
            self._set_timer(due_s)

    def _set_timer(self, due_s: float) -> None:
        if due_s < self._timer_s:
            self.close()
            self._timer_s = due_s
            self._timer = self._loop.call_at(due_s, self._on_timer)

    def _on_timer(self) -> None:
        self._timer, self._timer_s = None, _NEVER
        self._wake_when_due()
