"""The worker's loops with toy jobs: claim, run, finish, and everything that gets in the way."""

import asyncio
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from shared import telemetry
from shared.database import Connection, Pool
from shared.jobs.model import JobFailure, JobProgress, JobState
from shared.jobs.queue import JobQueue
from tests.integration.worker_harness import QUEUE, Jobs, ToyArgs, ToyResult, running_worker, toy
from worker_service.job_type import JobContext, JobFailed


@pytest.fixture
async def jobs(jobs: Jobs) -> Jobs:
    await jobs.queue.register("sink")
    return jobs


class Gate:
    """A handler that waits: tests see it begin, and let it end."""

    def __init__(self) -> None:
        self.begun: asyncio.Queue[JobContext] = asyncio.Queue()
        self.open = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.discarded: list[str] = []
        self.active = self.most = 0

    async def __call__(self, context: JobContext, args: ToyArgs) -> ToyResult:
        self.active += 1
        self.most = max(self.most, self.active)
        self.begun.put_nowait(context)
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        finally:
            self.active -= 1
        return ToyResult(args.text, self.discarded)


@pytest.fixture
def gate() -> Gate:
    return Gate()


async def _answer(context: JobContext, args: ToyArgs) -> ToyResult:
    return ToyResult(args.text)


async def test_a_job_is_run_and_its_result_committed(jobs: Jobs, pool: Pool, database_url: str, tmp_path: Path) -> None:
    async with running_worker(pool, database_url, tmp_path, toy(_answer)):
        job = await jobs.until_final(await jobs.add(text="x"))
    assert (job.state, job.attempt, job.error) == (JobState.SUCCEEDED, 1, None)
    assert await jobs.sink() == "x"


async def test_a_hint_beats_the_poll(jobs: Jobs, pool: Pool, database_url: str, tmp_path: Path) -> None:
    before = await jobs.add()
    async with running_worker(pool, database_url, tmp_path, toy(_answer), poll_s=300) as running:
        await jobs.until_final(before)  # what was there is found by looking
        await running.listener.up.wait()
        job_id = await jobs.add()
        running.notifier.ready([QUEUE])
        started_s = time.monotonic()
        await jobs.until_final(job_id)
        assert time.monotonic() - started_s < 5


async def test_no_more_is_claimed_than_runs_and_a_free_slot_is_filled(
    jobs: Jobs, pool: Pool, database_url: str, tmp_path: Path, gate: Gate
) -> None:
    added = [await jobs.add() for _ in range(6)]
    async with running_worker(pool, database_url, tmp_path, toy(gate, concurrency=2), poll_s=300):
        await gate.begun.get()
        await gate.begun.get()
        states = await jobs.rows("SELECT state, count(*) AS n FROM jobs GROUP BY state ORDER BY state")
        assert states == [{"state": "ready", "n": 4}, {"state": "running", "n": 2}]
        gate.open.set()
        for job_id in added:
            assert (await jobs.until_final(job_id)).state is JobState.SUCCEEDED
    assert gate.most == 2


async def test_two_workers_share_a_backlog_without_running_anything_twice(
    jobs: Jobs, pool: Pool, database_url: str, tmp_path: Path
) -> None:
    added = [await jobs.add(text=f"<{number}>", owner=f"o{number % 3}") for number in range(60)]
    async with (
        running_worker(pool, database_url, tmp_path / "a", toy(_answer, concurrency=3)),
        running_worker(pool, database_url, tmp_path / "b", toy(_answer, concurrency=3)),
    ):
        for job_id in added:
            await jobs.until_final(job_id)
    sink = await jobs.sink()
    assert sorted(sink.strip("<>").split("><"), key=int) == [str(number) for number in range(60)]


async def test_progress_reaches_the_row_and_then_watchers(
    jobs: Jobs, pool: Pool, database_url: str, tmp_path: Path, gate: Gate
) -> None:
    async with (
        running_worker(pool, database_url, tmp_path, toy(gate)),
        await psycopg.AsyncConnection.connect(database_url, autocommit=True) as listener,
    ):
        await listener.execute("LISTEN tablemill_changed")
        job_id = await jobs.add()
        context = await gate.begun.get()
        context.progress(JobProgress("read", 1, 9, "rows"))
        context.progress(JobProgress("read", 5, 9, "rows"))
        row = await jobs.until(job_id, lambda row: row["progress_done"] == 5)
        heard = [hint.payload async for hint in listener.notifies(timeout=1, stop_after=2)]
    assert (row["progress_stage"], row["progress_total"], row["progress_unit"]) == ("read", 9, "rows")
    assert str(job_id) in ",".join(heard)


async def test_leases_are_kept_for_as_long_as_the_work_takes(
    jobs: Jobs, pool: Pool, database_url: str, tmp_path: Path, gate: Gate
) -> None:
    async with running_worker(pool, database_url, tmp_path, toy(gate), lease_s=1.5, heartbeat_s=0.2, poll_s=0.2):
        job_id = await jobs.add()
        await gate.begun.get()
        first = (await jobs.row(job_id))["lease_expires_at"]
        await jobs.until(job_id, lambda row: bool(row["lease_expires_at"] >= first + timedelta(seconds=3)))
        gate.open.set()
        job = await jobs.until_final(job_id)
    assert (job.state, job.attempt) == (JobState.SUCCEEDED, 1)


@pytest.mark.parametrize(
    ("error", "reason", "attempts"),
    [
        (JobFailed(JobFailure("FILE_CORRUPT", "broken", retryable=False)), "FILE_CORRUPT", 1),
        (JobFailed(JobFailure("STORE_UNAVAILABLE", "away", retryable=True)), "STORE_UNAVAILABLE", 5),
        (JobFailed(JobFailure("PROCESS_CRASHED", "died", retryable=True, crash=True)), "PROCESS_CRASHED", 3),
        (RuntimeError("a bug"), "INTERNAL", 5),
    ],
)
async def test_failures_are_tried_again_as_the_rules_say(
    jobs: Jobs, pool: Pool, database_url: str, tmp_path: Path, error: Exception, reason: str, attempts: int
) -> None:
    async def broken(context: JobContext, args: ToyArgs) -> ToyResult:
        raise error

    async with running_worker(pool, database_url, tmp_path, toy(broken)):
        job = await jobs.until_final(await jobs.add())
    assert job.error is not None
    assert (job.state, job.error["reason"], job.attempt) == (JobState.FAILED, reason, attempts)


async def test_arguments_that_do_not_fit_are_final(jobs: Jobs, pool: Pool, database_url: str, tmp_path: Path) -> None:
    async with running_worker(pool, database_url, tmp_path, toy(_answer)):
        job = await jobs.until_final(await jobs.add(text={"not": "text"}))
    assert job.error is not None
    assert (job.error["reason"], job.attempt) == ("ARGS_INVALID", 1)


async def test_a_commit_that_raises_leaves_nothing_and_is_discarded(
    jobs: Jobs, pool: Pool, database_url: str, tmp_path: Path
) -> None:
    discarded: list[str] = []

    async def explode(connection: Connection) -> None:
        raise LookupError("the record is gone")

    async def handler(context: JobContext, args: ToyArgs) -> ToyResult:
        return ToyResult(args.text, discarded, explode)

    async with running_worker(pool, database_url, tmp_path, toy(handler)):
        job = await jobs.until_final(await jobs.add(text="x", max_attempts=1))
    assert job.error is not None
    assert job.error["reason"] == "INTERNAL"
    assert (discarded, await jobs.sink()) == (["x"], "")


async def test_the_time_limit_stops_the_work_and_counts_as_a_crash(
    jobs: Jobs, pool: Pool, database_url: str, tmp_path: Path, gate: Gate
) -> None:
    async with running_worker(pool, database_url, tmp_path, toy(gate, timeout_s=0.1)):
        job_id = await jobs.add()
        job = await jobs.until_final(job_id)
    assert gate.cancelled.is_set()
    assert job.error is not None
    assert (job.error["reason"], (await jobs.row(job_id))["crash_count"]) == ("TIME_LIMIT_EXCEEDED", 3)


async def test_a_cancelled_job_is_stopped_and_ends_cancelled(
    jobs: Jobs, pool: Pool, database_url: str, tmp_path: Path, gate: Gate
) -> None:
    async with running_worker(pool, database_url, tmp_path, toy(gate), heartbeat_s=0.2):
        job_id = await jobs.add()
        await gate.begun.get()
        await jobs.rows("UPDATE jobs SET cancel_requested = true WHERE job_id = %s", job_id)
        async with asyncio.timeout(1):
            await gate.cancelled.wait()
        job = await jobs.until_final(job_id)
    assert (job.state, job.error) == (JobState.CANCELLED, None)


async def test_a_lost_lease_stops_the_work_and_its_result_counts_for_nothing(
    jobs: Jobs, pool: Pool, database_url: str, tmp_path: Path, gate: Gate
) -> None:
    lost = telemetry.LEASES_LOST.labels(QUEUE)._value.get()
    async with running_worker(pool, database_url, tmp_path, toy(gate), heartbeat_s=0.2, poll_s=300):
        job_id = await jobs.add()
        await gate.begun.get()
        await jobs.rows("UPDATE jobs SET lease_token = lease_token + 1 WHERE job_id = %s", job_id)
        before = await jobs.row(job_id)
        async with asyncio.timeout(1):
            await gate.cancelled.wait()
        await _until_true(lambda: telemetry.LEASES_LOST.labels(QUEUE)._value.get() == lost + 1)
        assert await jobs.row(job_id) == before


async def test_a_result_that_comes_after_the_lease_is_discarded(
    jobs: Jobs, pool: Pool, database_url: str, tmp_path: Path, gate: Gate
) -> None:
    silent: dict[str, Any] = {"lease_s": 30, "heartbeat_s": 10, "poll_s": 300}
    async with running_worker(pool, database_url, tmp_path, toy(gate), **silent) as running:
        await running.listener.up.wait()  # which has a heartbeat sent at once
        job_id = await jobs.add(text="late")
        await gate.begun.get()
        await jobs.rows("UPDATE jobs SET lease_token = lease_token + 1 WHERE job_id = %s", job_id)
        gate.open.set()
        await _until_true(lambda: gate.discarded == ["late"])
    assert await jobs.sink() == ""


async def test_a_worker_that_cannot_reach_postgres_stops_trusting_its_leases(
    jobs: Jobs, pool: Pool, database_url: str, tmp_path: Path, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any, **__: Any) -> dict[Any, Any]:
        raise psycopg.OperationalError("away")

    async with running_worker(pool, database_url, tmp_path, toy(gate), lease_s=1, heartbeat_s=0.3):
        await jobs.add()
        await gate.begun.get()
        monkeypatch.setattr(JobQueue, "heartbeat", away)
        started_s = time.monotonic()
        async with asyncio.timeout(2):
            await gate.cancelled.wait()
        assert time.monotonic() - started_s < 1.0, "before anybody else may claim the job"
        monkeypatch.undo()
        await gate.begun.get()  # rescued, and begun anew


async def test_a_commit_whose_answer_got_lost_counts_once_and_is_not_discarded(
    jobs: Jobs, pool: Pool, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection dies after the server has committed and before the client hears of it."""
    discarded: list[str] = []
    commit, lies = psycopg.AsyncTransaction.__aexit__, 1

    async def lossy(self: Any, *args: Any) -> Any:
        nonlocal lies
        answer = await commit(self, *args)
        if lies and args[0] is None:
            lies -= 1
            await self.connection.close()
            raise psycopg.OperationalError("server closed the connection unexpectedly")
        return answer

    async def handler(context: JobContext, args: ToyArgs) -> ToyResult:
        monkeypatch.setattr(psycopg.AsyncTransaction, "__aexit__", lossy)
        return ToyResult(args.text, discarded)

    job_id = await jobs.add(text="once")
    running = telemetry.JOBS_RUNNING.labels(QUEUE)._value
    before = running.get()
    async with running_worker(pool, database_url, tmp_path, toy(handler)):
        job = await jobs.until_final(job_id)
        await _until_true(lambda: running.get() == before)
    assert (job.state, await jobs.sink(), discarded, lies) == (JobState.SUCCEEDED, "once", [], 0)


async def test_a_commit_cut_off_before_the_server_took_it_is_done_again(
    jobs: Jobs, pool: Pool, database_url: str, tmp_path: Path
) -> None:
    cuts = 2

    async def cut(connection: Connection) -> None:
        nonlocal cuts
        if cuts:
            cuts -= 1
            await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    async def handler(context: JobContext, args: ToyArgs) -> ToyResult:
        return ToyResult(args.text, on_commit=cut)

    async with running_worker(pool, database_url, tmp_path, toy(handler)):
        job = await jobs.until_final(await jobs.add(text="once"))
    assert (job.state, job.attempt, await jobs.sink()) == (JobState.SUCCEEDED, 1, "once")


async def test_every_connection_may_be_killed_at_any_time(
    jobs: Jobs, pool: Pool, database_url: str, tmp_path: Path, gate: Gate
) -> None:
    async with running_worker(pool, database_url, tmp_path, toy(gate), poll_s=1) as running:
        first = await jobs.add()
        await gate.begun.get()
        with psycopg.connect(database_url, autocommit=True) as connection:
            for _ in range(3):
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
                await asyncio.sleep(0.1)
        gate.open.set()
        assert (await _through(jobs, first)).attempt == 1
        async with asyncio.timeout(20):
            await running.listener.up.wait()
        second = await jobs.add()
        running.notifier.ready([QUEUE])
        assert (await jobs.until_final(second)).state is JobState.SUCCEEDED


async def test_a_dead_workers_job_is_rescued_by_another(
    jobs: Jobs, pool: Pool, database_url: str, tmp_path: Path, gate: Gate
) -> None:
    async with running_worker(pool, database_url, tmp_path / "a", toy(gate), lease_s=1, heartbeat_s=0.5) as doomed:
        job_id = await jobs.add()
        await gate.begun.get()
        await doomed.kill()
        doomed.tasks.clear()
    async with running_worker(pool, database_url, tmp_path / "b", toy(_answer), poll_s=300):
        started_s = time.monotonic()
        job = await jobs.until_final(job_id)
    assert (job.state, job.attempt) == (JobState.SUCCEEDED, 2)
    assert time.monotonic() - started_s < 3, "timed by the lease, not by the poll"


async def test_drain_lets_work_end_within_the_grace(
    jobs: Jobs, pool: Pool, database_url: str, tmp_path: Path, gate: Gate
) -> None:
    async with running_worker(pool, database_url, tmp_path, toy(gate), drain_grace_s=20) as running:
        job_id = await jobs.add(text="x")
        await gate.begun.get()
        draining = asyncio.create_task(running.worker.drain())
        await running.worker._claimer.stop()  # a claim may be on its way, for the wake-up of the first job
        late = await jobs.add()
        running.notifier.ready([QUEUE])
        gate.open.set()
        await draining
        assert (await jobs.row(job_id))["state"] == "succeeded"
        assert (await jobs.row(late))["state"] == "ready", "nothing is claimed any more"


async def test_drain_gives_back_what_does_not_end_without_using_up_an_attempt(
    jobs: Jobs, pool: Pool, database_url: str, tmp_path: Path, gate: Gate
) -> None:
    async with running_worker(pool, database_url, tmp_path, toy(gate), drain_grace_s=0.1) as running:
        job_id = await jobs.add(max_attempts=1)
        await gate.begun.get()
        started_s = time.monotonic()
        await running.worker.drain()
        assert time.monotonic() - started_s < 1.5
        assert gate.cancelled.is_set()
    row = await jobs.row(job_id)
    assert (row["state"], row["attempt"], row["crash_count"]) == ("ready", 0, 0)


async def test_scratch_directories_do_not_outlive_their_attempt(
    jobs: Jobs, pool: Pool, database_url: str, tmp_path: Path
) -> None:
    used: list[Path] = []

    async def handler(context: JobContext, args: ToyArgs) -> ToyResult:
        used.append(context.scratch)
        (context.scratch / "file").write_text("x")
        raise JobFailed(JobFailure("FILE_CORRUPT", "broken", retryable=False))

    async with running_worker(pool, database_url, tmp_path, toy(handler)):
        await jobs.until_final(await jobs.add())
        assert not used[0].exists()


async def _until_true(holds: Any) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.01)


async def _through(jobs: Jobs, job_id: Any) -> Any:
    """Read a final job through connections that were just killed."""
    async with asyncio.timeout(20):
        while True:
            try:
                return await jobs.until_final(job_id)
            except psycopg.OperationalError:
                continue
