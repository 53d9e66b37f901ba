"""A worker is killed, or frozen for longer than its lease, at every step of a job: the file is milled once.

A second worker stands by. It is frozen too while the first one goes to its step, so that it cannot be quicker.
"""

import asyncio
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest

from tablemill.client import TablemillClient
from tests.chaos.following import PATIENT, Followed, upload
from tests.chaos.history import check_history
from tests.chaos.mill import Mill, attempt_directories, until_killed, until_logged, until_stopped
from tests.chaos.steps import Step
from worker_service.scratch import Scratch

FLEETING = {"TABLEMILL_LEASE_S": "3", "TABLEMILL_HEARTBEAT_S": "1"}
STANDBY = {"TABLEMILL_POLL_S": "0.5", "TABLEMILL_CONCURRENCY": "1"}
LEFT_BY_THE_DEAD = {
    Step.CLAIMED: set[str](),
    Step.PARSING: set[str](),
    Step.STORED: {"clean"},
    Step.FINISHING: {"clean", "rejects"},
    Step.COMMITTING: {"clean", "rejects"},
    Step.COMMITTED: set[str](),
}


def _attempts(step: Step) -> int:
    return 1 if step is Step.COMMITTED else 2


def _folders_of_one_attempt(file: Followed, objects: set[str]) -> set[str]:
    """Return where an attempt of the job of `file` left `objects`."""
    names = [name.removesuffix(".parquet").split("/") for name in objects]
    attempts = {(record_id, attempt) for _, record_id, attempt in names}
    assert all(at[0] == file.record_id and at[1].startswith(f"{file.job_id}-") for at in attempts)
    assert len(attempts) <= 1
    return {folder for folder, *_ in names}


@pytest.mark.parametrize(
    "steps",
    [
        (Step.PARSING, Step.STORED, Step.COMMITTED),
        pytest.param((Step.CLAIMED, Step.FINISHING, Step.COMMITTING), marks=pytest.mark.slow),
    ],
    ids="-".join,
)
async def test_kill_of_the_worker_at_a_step(mill: Mill, tmp_path: Path, steps: Sequence[Step]) -> None:
    scratch = {"TABLEMILL_SCRATCH_DIR": str(tmp_path / "scratch")}
    standby = await mill.start_another_worker(STANDBY | scratch)
    async with TablemillClient(mill.address, retry=PATIENT) as client:
        for step in steps:
            standby.pause()
            doomed = await mill.start_stopping_worker(signal.SIGKILL, step, env=FLEETING | scratch)
            file = await upload(client, tmp_path)
            await until_killed(doomed)
            standby.resume()
            await file.to_the_end(client)
            await file.check(client, attempts=_attempts(step))
            left = await mill.stored_objects() - await mill.named_objects()
            assert _folders_of_one_attempt(file, left) == LEFT_BY_THE_DEAD[step], step
            await mill.sweep()
            assert await mill.stored_objects() == await mill.named_objects(), step
    standby.terminate()
    assert standby.wait() == 0
    Scratch(tmp_path / "scratch").close()
    assert list((tmp_path / "scratch").iterdir()) == [], "who starts next removes what the dead left"
    await check_history(mill)


@pytest.mark.parametrize(
    "steps",
    [
        (Step.CLAIMED, Step.FINISHING),
        # While it is frozen with its rows locked nobody can take the job: until Postgres ends the transaction after
        # 15 s.
        pytest.param((Step.PARSING, Step.STORED, Step.COMMITTING, Step.COMMITTED), marks=pytest.mark.slow),
    ],
    ids="-".join,
)
async def test_freeze_of_the_worker_past_its_lease_at_a_step(mill: Mill, tmp_path: Path, steps: Sequence[Step]) -> None:
    scratch = {"TABLEMILL_SCRATCH_DIR": str(tmp_path / "scratch")}
    standby = await mill.start_another_worker(STANDBY | scratch)
    standby.pause()
    zombie = await mill.start_stopping_worker(signal.SIGSTOP, *steps, env=FLEETING | scratch)
    async with TablemillClient(mill.address, retry=PATIENT) as client:
        for number, step in enumerate(steps, 1):
            file = await upload(client, tmp_path)
            following = asyncio.create_task(file.to_the_end(client))
            await until_stopped(zombie, processes=2 if step is Step.PARSING else 1)
            standby.resume()
            await following
            named = await mill.named_objects()
            standby.pause()
            zombie.resume()
            await until_logged(zombie, '"outcome": ', times=number)
            await file.check(client, attempts=_attempts(step))
            assert await mill.named_objects() == named, step
            assert await mill.stored_objects() == named, f"{step}: what the zombie made, it removed"
    zombie.terminate()
    assert zombie.wait() == 0
    log = zombie.log_text()
    assert log.count('"outcome": "lost"') == len(set(steps) - {Step.COMMITTED})
    assert '"level": "ERROR"' not in log, "to have been frozen is no error"
    assert attempt_directories(tmp_path / "scratch") == []
    await check_history(mill)
