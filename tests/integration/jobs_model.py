"""The rules of the job engine in a few lines of memory, for comparing the real engine with, step by step.

Every method takes what the engine was asked and what it answered; it raises AssertionError when the answer breaks a
rule, and changes the model otherwise. Time is a fact of the model, not a clock: a lease is `expired`, a job is `due`.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from uuid import UUID

from shared.jobs.model import ClaimedJob, JobFailure, JobProgress, JobState, Lease, NewJob
from shared.jobs.queue import MAX_CRASHES

LOST = "lost"  # what a worker is told whose lease is somebody else's or nobody's
REFUSED = "refused"  # what an operator is told who asks for the impossible
_HISTORY = 20


@dataclass
class ModelJob:
    """A job; every field but the last two shows in its row."""

    owner: str
    queue: str
    max_attempts: int
    state: JobState = JobState.READY
    attempt: int = 0
    crash_count: int = 0
    token: int = 0
    worker_id: str | None = None
    expired: bool = False
    due: bool = False
    cancel_requested: bool = False
    progress: JobProgress | None = None
    error: str | None = None
    history: list[tuple[int, str]] = field(default_factory=list)
    version: int = 1
    effects: list[int] = field(default_factory=list)  # tokens of the leases whose effect counts
    succeeded_by: int | None = None
    retries: int = 0

    def end_lease(self, state: JobState, outcome: str = "") -> None:
        """End the lease, and the attempt with `outcome` if it did not succeed and counts."""
        if outcome:
            self.history = [*self.history, (self.attempt, outcome)][-_HISTORY:]
        self.state, self.expired, self.due = state, False, False
        self.cancel_requested &= state is JobState.CANCELLED
        self.token += 1
        self.version += 1


@dataclass
class Model:
    """The jobs and queues. `caps` are (max_running, max_running_per_owner) by queue; 10**9 stands for none."""

    caps: Mapping[str, tuple[int, int]]
    jobs: dict[UUID, ModelJob] = field(default_factory=dict)
    paused: set[str] = field(default_factory=set)

    def running(self, queue: str) -> Counter[str]:
        """Count what runs of a queue, by owner."""
        return Counter(job.owner for job in self.jobs.values() if (job.queue, job.state) == (queue, JobState.RUNNING))

    def holder(self, lease: Lease) -> ModelJob | None:
        """Return the job when the lease still is the right to write."""
        job = self.jobs[lease.job_id]
        return job if (job.state, job.token) == (JobState.RUNNING, lease.token) else None

    def enqueue(self, jobs: Sequence[NewJob]) -> None:
        for job in jobs:
            self.jobs[job.job_id] = ModelJob(job.owner, job.queue, job.max_attempts)

    def _claimable(self, queue: str, limit: int, positions: Mapping[UUID, int]) -> list[int]:
        """Return the positions that a claim has to take when nobody else is at work."""
        most, most_per_owner = self.caps[queue]
        running, found = self.running(queue), list[int]()
        for job_id, position in sorted(positions.items(), key=itemgetter(1)):
            owner = self.jobs[job_id].owner
            full = len(found) == limit or running.total() >= most or queue in self.paused
            if not full and running[owner] < most_per_owner:
                running[owner] += 1
                found.append(position)
        return found

    def claim(
        self,
        queue: str,
        limit: int,
        worker_id: str,
        positions: Mapping[UUID, int] | None,
        claimed: Sequence[ClaimedJob],
    ) -> None:
        """`positions` are those of all ready jobs; None when others are at work: jobs may be passed over."""
        assert len(claimed) <= limit
        if positions is not None:
            taken = [positions[job.lease.job_id] for job in claimed]
            assert taken == self._claimable(queue, limit, positions)
        for answer in claimed:
            job = self.jobs[answer.lease.job_id]
            assert (job.state, job.queue, job.owner) == (JobState.READY, queue, answer.owner)
            job.state, job.worker_id, job.progress = JobState.RUNNING, worker_id, None
            job.attempt += 1
            job.version += 1
            assert (answer.attempt, answer.max_attempts) == (job.attempt, job.max_attempts)
            assert answer.lease.token > job.token
            job.token = answer.lease.token
        running = self.running(queue)
        most, most_per_owner = self.caps[queue]
        assert not (claimed and queue in self.paused)
        assert running.total() <= most
        assert max(running.values(), default=0) <= most_per_owner

    def heartbeat(self, beats: Sequence[tuple[Lease, JobProgress | None]], answer: Mapping[UUID, bool]) -> None:
        held = {lease.job_id: (job, progress) for lease, progress in beats if (job := self.holder(lease))}
        assert answer == {job_id: job.cancel_requested for job_id, (job, _) in held.items()}
        for job, progress in held.values():
            job.expired = False
            job.version += job.progress != progress
            job.progress = progress

    def succeed(self, leases: Sequence[Lease], answer: Collection[UUID], *, effect: bool) -> None:
        held = {lease.job_id: job for lease in leases if (job := self.holder(lease))}
        assert set(answer) == set(held)
        for job in held.values():
            job.effects += [job.token] * effect
            job.succeeded_by, job.error = job.token, None
            job.end_lease(JobState.SUCCEEDED)

    def succeeded_with(self, leases: Sequence[Lease], answer: Collection[UUID]) -> None:
        assert set(answer) == {lease.job_id for lease in leases if self.jobs[lease.job_id].succeeded_by == lease.token}

    def fail(self, lease: Lease, failure: JobFailure, answer: str) -> None:
        job = self.holder(lease)
        if job is None:
            assert answer == LOST
            return
        job.crash_count += failure.crash
        again = failure.retryable and job.attempt < job.max_attempts and job.crash_count < MAX_CRASHES
        if job.cancel_requested:
            job.end_lease(JobState.CANCELLED, "cancelled")
        else:
            job.error = failure.reason
            state = JobState.SCHEDULED if again else JobState.FAILED
            job.end_lease(state, "crashed" if failure.crash else "failed")
        assert answer == job.state

    def release(self, leases: Sequence[Lease], answer: Collection[UUID]) -> None:
        held = {lease.job_id: job for lease in leases if (job := self.holder(lease))}
        assert set(answer) == set(held)
        for job in held.values():
            if job.cancel_requested:
                job.end_lease(JobState.CANCELLED, "cancelled")
            else:
                job.attempt -= 1
                job.end_lease(JobState.READY)

    def rescue(self, answer: Collection[tuple[UUID, str]], *, alone: bool) -> None:
        """Take back what expired; unless `alone`, jobs may be passed over."""
        expired = {(job_id, job.queue) for job_id, job in self.jobs.items() if job.expired}
        assert set(answer) == expired if alone else set(answer) <= expired
        for job_id, _ in answer:
            job = self.jobs[job_id]
            job.crash_count += 1
            if job.cancel_requested:
                job.end_lease(JobState.CANCELLED, "lost")
                continue
            job.error = "WORKER_LOST"
            again = job.attempt < job.max_attempts and job.crash_count < MAX_CRASHES
            job.end_lease(JobState.READY if again else JobState.FAILED, "lost")

    def promote(self, answer: Collection[tuple[UUID, str]], *, alone: bool) -> None:
        """Make ready what is due; unless `alone`, jobs may be passed over."""
        due = {(job_id, job.queue) for job_id, job in self.jobs.items() if job.due}
        assert set(answer) == due if alone else set(answer) <= due
        for job_id, _ in answer:
            job = self.jobs[job_id]
            job.state, job.due = JobState.READY, False
            job.version += 1

    def cancel(self, job_id: UUID, answer: str) -> None:
        job = self.jobs[job_id]
        if job.state in {JobState.SUCCEEDED, JobState.FAILED}:
            assert answer == REFUSED
            return
        if not job.cancel_requested:
            job.cancel_requested = True
            job.version += 1 + (job.state is JobState.READY)
            if job.state is not JobState.RUNNING:
                job.state, job.due = JobState.CANCELLED, False
        assert answer == job.state

    def retry(self, job_id: UUID, attempts: int, answer: str) -> None:
        job = self.jobs[job_id]
        if job.state not in {JobState.FAILED, JobState.CANCELLED}:
            assert answer == REFUSED
            return
        job.state, job.crash_count, job.cancel_requested = JobState.READY, 0, False
        job.max_attempts = job.attempt + attempts
        job.version += 1
        job.retries += 1
        assert answer == job.state
