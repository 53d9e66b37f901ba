"""Whatever happens inside a sandbox, its parent hears one typed outcome and nothing survives."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import psutil
import pytest

from shared.jobs.model import JobFailure, JobProgress
from tests.unit.worker import tasks
from worker_service.job_type import JobFailed
from worker_service.sandbox.pool import SandboxPool
from worker_service.sandbox.process import Limits, SandboxProcess, SpareDied

LIMITS = Limits(memory_bytes=512 << 20, cpu_s=60)


@pytest.fixture
async def process() -> AsyncIterator[SandboxProcess]:
    started = await SandboxProcess.start([tasks.NAME])
    yield started
    await started.close()
    assert not started.alive


async def _run(
    process: SandboxProcess, function: str, scratch: Path, limits: Limits = LIMITS
) -> tuple[dict[str, object], list[JobProgress]]:
    seen: list[JobProgress] = []
    result = await process.run(
        f"{tasks.NAME}:{function}", {"a": "数"}, scratch=scratch, limits=limits, on_progress=seen.append
    )
    return result, seen


async def _failure(process: SandboxProcess, function: str, scratch: Path, limits: Limits = LIMITS) -> JobFailure:
    with pytest.raises(JobFailed) as caught:
        await _run(process, function, scratch, limits)
    return caught.value.failure


async def _until_gone(pid: int, within_s: float) -> None:
    async with asyncio.timeout(within_s):
        while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
            await asyncio.sleep(0.01)


async def test_a_task_gets_its_arguments_reports_and_answers(process: SandboxProcess, tmp_path: Path) -> None:
    result, seen = await _run(process, "answer", tmp_path)
    assert result["args"] == {"a": "数"}
    assert result["cwd"] == str(tmp_path)
    assert seen[-1] == JobProgress("read", 2, 2, "rows")


async def test_a_task_sees_no_secrets_and_has_a_session_of_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TABLEMILL_DATABASE_URL", "postgresql://user:secret@host/db")
    process = await SandboxProcess.start([tasks.NAME])
    result, _ = await _run(process, "answer", tmp_path)
    assert "secret" not in json.dumps(result["environment"])
    assert result["session"] == process.pid


async def test_a_conversion_imports_what_it_needs_and_nothing_of_the_services(tmp_path: Path) -> None:
    process = await SandboxProcess.start(["worker_service.conversion"])
    result, _ = await _run(process, "imported", tmp_path)
    modules = set(cast(list[str], result["modules"]))
    assert "pyarrow" in modules
    assert not modules & {"grpc", "psycopg", "pydantic", "google.cloud.storage", "numpy", "pandas"}


@pytest.mark.parametrize(
    ("function", "reason", "retryable", "crash", "metadata"),
    [
        ("refuse", "FILE_CORRUPT", False, False, {"part": "zip"}),
        ("abort", "PROCESS_CRASHED", True, True, {"signal": "SIGABRT"}),
        ("segfault", "PROCESS_CRASHED", True, True, {"signal": "SIGSEGV"}),
        ("leave", "PROCESS_CRASHED", True, True, {"exit_code": "7"}),
        ("out_of_memory", "OUT_OF_MEMORY", True, True, {}),
        ("devour_memory", "OUT_OF_MEMORY", True, True, {}),
        ("abort_for_memory", "OUT_OF_MEMORY", True, True, {}),
        ("fail", "INTERNAL", True, False, {"error": "ValueError"}),
    ],
)
async def test_every_end_has_its_reason(
    process: SandboxProcess,
    tmp_path: Path,
    function: str,
    reason: str,
    retryable: bool,
    crash: bool,
    metadata: dict[str, str],
) -> None:
    failure = await _failure(process, function, tmp_path)
    assert (failure.reason, failure.retryable, failure.crash) == (reason, retryable, crash)
    assert failure.metadata == metadata


async def test_a_refusal_tells_the_place(process: SandboxProcess, tmp_path: Path) -> None:
    failure = await _failure(process, "refuse", tmp_path)
    assert (failure.sheet, failure.row, failure.column) == ("S", 3, "C")


async def test_a_bug_is_logged_with_its_place_and_without_values(
    process: SandboxProcess, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    failure = await _failure(process, "fail", tmp_path)
    (record,) = caplog.records
    told = str(vars(record)) + str(failure)
    assert "tasks.py" in told
    assert "数" not in told


async def test_a_kill_from_outside_counts_as_out_of_memory(process: SandboxProcess, tmp_path: Path) -> None:
    with pytest.raises(JobFailed) as caught:
        await process.run(
            f"{tasks.NAME}:hang",
            {},
            scratch=tmp_path,
            limits=LIMITS,
            on_progress=lambda _: psutil.Process(process.pid).kill(),
        )
    assert caught.value.failure.reason == "OUT_OF_MEMORY"


async def test_a_process_that_died_as_a_spare_costs_no_attempt(process: SandboxProcess, tmp_path: Path) -> None:
    psutil.Process(process.pid).kill()
    with pytest.raises(SpareDied):
        await _run(process, "answer", tmp_path)


async def test_processor_time_is_limited_even_if_the_parent_does_not_look(
    process: SandboxProcess, tmp_path: Path
) -> None:
    failure = await _failure(process, "spin", tmp_path, Limits(memory_bytes=512 << 20, cpu_s=1.5))
    assert (failure.reason, failure.crash) == ("TIME_LIMIT_EXCEEDED", True)


async def test_garbage_on_stdout_and_stderr_changes_nothing(process: SandboxProcess, tmp_path: Path) -> None:
    result, seen = await _run(process, "print_garbage", tmp_path)
    assert (result, seen) == ({"fake": False}, [])


async def test_a_large_result_arrives(process: SandboxProcess, tmp_path: Path) -> None:
    result, _ = await _run(process, "large", tmp_path)
    assert len(str(result["text"])) == 5_000_000


async def test_a_flood_of_reports_is_thinned_out(process: SandboxProcess, tmp_path: Path) -> None:
    _, seen = await _run(process, "flood", tmp_path)
    assert 1 <= len(seen) < 1000


async def test_cancelling_kills_the_process_and_its_children_at_once(process: SandboxProcess, tmp_path: Path) -> None:
    reported: asyncio.Queue[JobProgress] = asyncio.Queue()
    running = asyncio.create_task(
        process.run(
            f"{tasks.NAME}:hang_with_a_child", {}, scratch=tmp_path, limits=LIMITS, on_progress=reported.put_nowait
        )
    )
    grandchild = (await reported.get()).done
    async with asyncio.timeout(1):
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await _until_gone(process.pid, 1)
        await _until_gone(grandchild, 1)


_PARENT = """
import asyncio, sys
from pathlib import Path
from typing import cast
from worker_service.sandbox.process import Limits, SandboxProcess, SpareDied

async def main():
    idle = await SandboxProcess.start([])
    busy = await SandboxProcess.start([])
    print(idle.pid, busy.pid, flush=True)
    await busy.run("tests.unit.worker.tasks:" + sys.argv[1], {}, scratch=Path(sys.argv[2]),
                   limits=Limits(512 << 20, 600), on_progress=lambda _: print("running", flush=True))

asyncio.run(main())
"""


@pytest.mark.parametrize("function", ["hang", "spin"])
async def test_no_process_outlives_a_parent_killed_with_sigkill(tmp_path: Path, function: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _PARENT, function, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pids = [int(pid) for pid in (await asyncio.to_thread(parent.stdout.readline)).split()]
        assert len(pids) == 2
        parent.send_signal(signal.SIGKILL)
        for pid in pids:
            await _until_gone(pid, 2)


async def test_a_pool_keeps_spares_and_replaces_dead_ones(tmp_path: Path) -> None:
    pool = SandboxPool(spares=1, preload=[tasks.NAME])
    keeper = asyncio.create_task(pool.run())
    try:
        for _ in range(3):
            result = await pool.run_task(
                f"{tasks.NAME}:answer", {}, scratch=tmp_path, limits=LIMITS, on_progress=lambda _: None
            )
            assert result["args"] == {}
        spare = await _spare_of(pool)
        psutil.Process(spare.pid).kill()
        await _until_gone(spare.pid, 2)
        result = await pool.run_task(
            f"{tasks.NAME}:answer", {}, scratch=tmp_path, limits=LIMITS, on_progress=lambda _: None
        )
        assert result["session"] != spare.pid
    finally:
        keeper.cancel()
        await asyncio.gather(keeper, return_exceptions=True)
    assert [child for child in psutil.Process().children() if "worker_service.sandbox.child" in child.cmdline()] == []


async def _spare_of(pool: SandboxPool) -> SandboxProcess:
    async with asyncio.timeout(20):
        while pool._ready.empty():
            await asyncio.sleep(0.02)
    spare = pool._ready.get_nowait()
    pool._ready.put_nowait(spare)
    return spare
