"""A state machine of everything that workers and operators do to the job engine, in any order, as hypothesis asks.

Nothing sleeps: time passes by rewriting `lease_expires_at` and `run_at`, the only two times that the engine ever
compares with the database's clock. So leases of an hour run out, and backoffs of an hour pass, exactly when a history
wants it, however slow the machine is.
"""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from shared.errors import NotFound
from shared.jobs import low_water
from shared.jobs.model import JobFailure, JobProgress, JobState, Lease, NewJob
from tests.integration import jobs_rows
from tests.integration import jobs_steps as steps
from tests.integration.jobs_engine import Engine, Process, Step, agree_in_some_order, race
from tests.integration.jobs_model import Model
from tests.integration.operating import BAD_FILE, PASSING, POISON

NO_CAP = 10**9
CAPS = {"free": (NO_CAP, NO_CAP), "narrow": (2, NO_CAP), "shared_out": (3, 1)}
WORKERS = 3

_OWNERS = st.sampled_from(["ann", "bob", "cid"])
_QUEUES = st.sampled_from(list(CAPS))
_WORKERS = st.integers(0, WORKERS - 1)
_RESCUERS = st.none() | _WORKERS
_PICKS = st.integers(0, 20)  # the how manieth of what there is
_ZOMBIE = st.sampled_from([False, False, False, True])
_FAILURES = st.sampled_from([PASSING, BAD_FILE, POISON])
_PROGRESS = st.none() | st.builds(
    JobProgress, st.sampled_from(["read", "clean"]), st.integers(0, 1), st.integers(0, 1), st.sampled_from(["rows", ""])
)
_ALL_AT_ONCE = st.lists(st.sampled_from([*steps.WRITES, *steps.OTHERS]), min_size=2, max_size=3) | st.sampled_from(
    [["claim", "claim"], ["claim", "cancel"], ["cancel", "fail"], ["rescue", "beat"], ["finish", "fail", "release"]]
)
_RACED = st.sampled_from([JobState.RUNNING, JobState.RUNNING, JobState.READY, JobState.SCHEDULED, JobState.FAILED])


class JobsMachine(RuleBasedStateMachine):
    """Workers and operators who do anything in any order, also what they no longer may."""

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self.engine = engine
        self.run = engine.run
        self.model = Model(CAPS)
        self.given: list[Lease] = []  # whoever holds one that ended is a zombie
        self.seen: jobs_rows.Rows = {}
        self.retries: dict[UUID, int] = {}
        self.clock_s = 1e9
        low_water.time = SimpleNamespace(monotonic=lambda: self.clock_s)  # type: ignore[attr-defined,assignment]
        engine.rows("TRUNCATE jobs, queues, effects CASCADE")
        self.workers = [Process(engine.pool) for _ in range(WORKERS)]
        for worker in self.workers:
            for queue, caps in CAPS.items():
                most, per_owner = (None if cap == NO_CAP else cap for cap in caps)
                self.run(worker.queue.register(queue, max_running=most, max_running_per_owner=per_owner))

    def do(self, step: Step, worker: int = 0) -> Any:
        answer = self.run(step.run(self.workers[worker]))
        step.agree(self.model, answer, True)
        return answer

    def held(self) -> list[Lease]:
        jobs = self.model.jobs.items()
        return [Lease(job_id, job.token) for job_id, job in jobs if job.state is JobState.RUNNING]

    def leases(self, picks: Sequence[int], *, zombie: bool) -> list[Lease]:
        """Return leases that hold, claimed if there are none, or in place of the last one that has ended."""
        if not self.held():
            self.claim_from_all_queues(0, 2)
        held = self.held()
        picked = [held[pick % len(held)] for pick in picks if held]
        old = [lease for lease in self.given if lease not in held]
        if zombie and old:
            picked[-1:] = [old[picks[-1] % len(old)]]
        return list({lease.job_id: lease for lease in picked}.values())

    # --- what workers do ---

    @initialize()
    def begin_with_some_jobs(self) -> None:
        for queue in CAPS:
            for owner in ("ann", "bob"):
                self.enqueue(owner, queue, 4, 2)

    @rule(owner=_OWNERS, queue=_QUEUES, attempts=st.integers(1, 4), count=st.integers(1, 3))
    def enqueue(self, owner: str, queue: str, attempts: int, count: int) -> None:
        """Ids are counted, so that a history is the same whenever it is repeated."""
        first = len(self.model.jobs)
        ids = [UUID(int=(7 << 76) | (2 << 62) | number) for number in range(first, first + count)]
        self.do(steps.enqueue([NewJob(job_id, owner, queue, max_attempts=attempts) for job_id in ids]))

    @rule(worker=_WORKERS, limit=st.integers(1, 4))
    def claim_from_all_queues(self, worker: int, limit: int) -> None:
        for queue in CAPS:
            self.take_note(self.do(steps.claim(queue, limit, str(worker)), worker))

    def take_note(self, claim: Any) -> None:
        leases = [job.lease for job in claim[1]]
        assert not {*self.given} & {*leases}, "a lease is given once"
        self.given += leases

    @rule(worker=_WORKERS, picks=st.lists(_PICKS, min_size=1, max_size=4), zombie=_ZOMBIE, progress=_PROGRESS)
    def heartbeat(self, worker: int, picks: list[int], zombie: bool, progress: JobProgress | None) -> None:
        if leases := self.leases(picks, zombie=zombie):
            self.do(steps.heartbeat([(lease, progress) for lease in leases]), worker)

    @rule(worker=_WORKERS, pick=_PICKS, zombie=_ZOMBIE, effect_first=st.booleans(), cut_off=_ZOMBIE)
    def finish(self, worker: int, pick: int, zombie: bool, effect_first: bool, cut_off: bool) -> None:
        for lease in self.leases([pick], zombie=zombie):
            self.do(steps.finish(lease, effect_first=effect_first, cut_off=cut_off), worker)
            self.do(steps.ask_who_succeeded([lease]), worker)

    @rule(worker=_WORKERS, picks=st.lists(_PICKS, min_size=1, max_size=4), zombie=_ZOMBIE)
    def finish_many(self, worker: int, picks: list[int], zombie: bool) -> None:
        if leases := self.leases(picks, zombie=zombie):
            self.do(steps.finish_many(leases), worker)
            self.do(steps.ask_who_succeeded(leases), worker)

    @rule(worker=_WORKERS, pick=_PICKS, zombie=_ZOMBIE, failure=_FAILURES)
    def fail(self, worker: int, pick: int, zombie: bool, failure: JobFailure) -> None:
        for lease in self.leases([pick], zombie=zombie):
            self.do(steps.fail(lease, failure), worker)

    @rule(worker=_WORKERS, picks=st.lists(_PICKS, min_size=1, max_size=4), zombie=_ZOMBIE)
    def release(self, worker: int, picks: list[int], zombie: bool) -> None:
        if leases := self.leases(picks, zombie=zombie):
            self.do(steps.release(leases), worker)

    # --- time ---

    @rule(pick=_PICKS, rescuer=_RESCUERS)
    def pause_for_longer_than_the_lease(self, pick: int, rescuer: int | None) -> None:
        """Once rescued, what the worker does next when it is back is what a zombie does: it tries every write."""
        for lease in self.leases([pick], zombie=False):
            self.expire([lease.job_id])
            if rescuer is not None:
                self.do(steps.rescue(), rescuer)
                self.try_every_write(lease)

    def try_every_write(self, lease: Lease) -> None:
        before = self.engine.rows_of_jobs()[lease.job_id]
        for kind in steps.WRITES:
            self.do(self.step(kind, lease))
        assert self.engine.rows_of_jobs()[lease.job_id] == before

    @rule(worker=_WORKERS, rescuer=_RESCUERS)
    def die(self, worker: int, rescuer: int | None) -> None:
        jobs = self.model.jobs.items()
        running = [(job_id, job) for job_id, job in jobs if job.state is JobState.RUNNING]
        self.expire([job_id for job_id, job in running if job.worker_id == str(worker)])
        self.workers[worker] = Process(self.engine.pool)
        self.run(self.workers[worker].queue.outlook())  # from which it learns of the caps
        if rescuer is not None:
            self.do(steps.rescue(), rescuer)

    def expire(self, job_ids: Sequence[UUID]) -> None:
        for job_id in job_ids:
            self.model.jobs[job_id].expired = True
        past = "UPDATE jobs SET lease_expires_at = clock_timestamp() - interval '1 s' WHERE job_id = ANY(%s)"
        self.engine.rows(past, list(job_ids))

    @rule(promoter=_WORKERS, backoffs_passed=st.sampled_from([True, True, False]))
    def promote(self, promoter: int, backoffs_passed: bool) -> None:
        if backoffs_passed:
            self.let_backoffs_pass()
        self.do(steps.promote(), promoter)

    def let_backoffs_pass(self) -> None:
        for job in self.model.jobs.values():
            job.due = job.state is JobState.SCHEDULED
        self.engine.rows("UPDATE jobs SET run_at = clock_timestamp() WHERE state = 'scheduled'")
        self.seen = {}  # the test's doing, not a change that raises versions

    @rule(jump_s=st.sampled_from([-1e6, -2.0, 0.5, 2.0, 1e6]))
    def skew_the_clock_of_all_workers(self, jump_s: float) -> None:
        """It is the only clock besides the database's that the engine reads; between jumps it stands still."""
        self.clock_s += jump_s

    # --- what operators do ---

    def job_in(self, states: Sequence[JobState], pick: int) -> UUID:
        """Return a job in one of `states`, else any."""
        jobs = self.model.jobs
        found = [job_id for job_id, job in jobs.items() if job.state in states] or list(jobs)
        return found[pick % len(found)]

    @rule(pick=_PICKS, states=st.sampled_from([[JobState.RUNNING], [JobState.SCHEDULED], []]))
    def cancel(self, pick: int, states: list[JobState]) -> None:
        self.do(self.step("cancel", Lease(self.job_in(states, pick), 0)))

    @rule(pick=_PICKS, states=st.sampled_from([[JobState.FAILED], [JobState.FAILED, JobState.CANCELLED], []]))
    def retry(self, pick: int, states: list[JobState]) -> None:
        self.do(self.step("retry", Lease(self.job_in(states, pick), 0)))

    @rule(queue=_QUEUES)
    def pause_or_resume(self, queue: str) -> None:
        operations = self.workers[0].operations
        paused = queue not in self.model.paused
        status = self.run(operations.pause(queue, "why not") if paused else operations.resume(queue))
        self.model.paused ^= {queue}
        assert (status.paused_at is not None) == paused

    @rule(worker=_WORKERS, pick=_PICKS)
    def look_and_meddle(self, worker: int, pick: int) -> None:
        operations = self.workers[worker].operations
        jobs_rows.check_outlook(self.model, self.run(self.workers[worker].queue.outlook()))
        jobs_rows.check_queues(self.model, self.run(operations.list_queues()))
        job_id = self.job_in([], pick)
        for act in (operations.cancel("dan", job_id), operations.retry("dan", job_id, attempts=1)):
            with pytest.raises(NotFound):
                self.run(act)

    # --- all at once ---

    @rule(
        state=_RACED,
        pick=_PICKS,
        late=st.booleans(),
        kinds=_ALL_AT_ONCE,
        commits=st.sampled_from([True, True, False]),
    )
    def race(self, state: JobState, pick: int, late: bool, kinds: list[str], commits: bool) -> None:
        """Several things meet at one job, each seeing it as it was before the first was done, or undone."""
        job_id = self.job_in([state], pick)
        job = self.model.jobs[job_id]
        if job.state is JobState.RUNNING and late:
            self.expire([job_id])
        if job.state is JobState.SCHEDULED:
            self.let_backoffs_pass()
        lease = Lease(job_id, job.token if job.state is JobState.RUNNING else job.token - 1)
        first, *others = (self.step(kind, lease) for kind in kinds)
        done = self.run(race(self.engine.pool, first, others, commits=commits))
        facts = jobs_rows.facts(self.engine.rows_of_jobs())
        explained = agree_in_some_order(self.model, done)
        self.model = next((model for model in explained if jobs_rows.expected(model) == facts), explained[0])
        for step, answer in done:
            if step.name == "claim":
                self.take_note(answer)

    def step(self, kind: str, lease: Lease) -> Step:
        job = self.model.jobs[lease.job_id]
        return steps.of_kind(kind, lease, job.owner, job.queue)

    # --- what always holds ---

    @invariant()
    def rows_are_as_the_rules_say(self) -> None:
        rows = self.engine.rows_of_jobs()
        jobs_rows.check_facts(self.model, rows)
        retries = {job_id: job.retries for job_id, job in self.model.jobs.items()}
        retried = frozenset(job_id for job_id, count in retries.items() if count != self.retries.get(job_id))
        jobs_rows.check_changes(self.seen, rows, retried)
        self.seen, self.retries = rows, retries
