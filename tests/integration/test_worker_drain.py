"""SIGTERM to a worker process under load: what runs ends or is given back, what waits is left alone."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import grpc
import psycopg
import pytest
from psycopg.rows import dict_row

from examples.sample import write_sample_csv
from tests.conftest import Services
from tests.rpc import Calls, until_done, upload

SMALL_CSV = "编号,值\n001,1\n002,2\n003,NA\n".encode()
SMALL_FILES = 3
LATE_FILES = 1
BIG_FILES = 2
BIG_BYTES = 6 << 20  # long enough to be in the middle of it
CONCURRENCY = 2
EXIT_MARGIN_S = 15.0  # to stop the work, say so and leave, on a busy machine

Rows = dict[UUID, dict[str, Any]]


def _rows(services: Services) -> Rows:
    with psycopg.connect(services.database_url, row_factory=dict_row) as connection:
        query = "SELECT jobs.*, coalesce(records.revision, 0) AS revision FROM jobs JOIN records USING (record_id)"
        return {row["job_id"]: row for row in connection.execute(query)}


async def _until(services: Services, holds: Any) -> Rows:
    """Wait until the rows are as wanted."""
    async with asyncio.timeout(60):
        while not holds(rows := await asyncio.to_thread(_rows, services)):
            await asyncio.sleep(0.02)
    return rows


def _read_by_now(rows: Rows, job_ids: Sequence[UUID]) -> int:
    """Count those that are in the middle of their conversion."""
    stages = [rows[job_id]["progress_stage"] for job_id in job_ids if rows[job_id]["state"] == "running"]
    return sum(stage not in {None, "download"} for stage in stages)


async def _upload(calls: Calls, file: bytes, count: int) -> list[UUID]:
    stored = await asyncio.gather(*(upload(calls, file, "x.csv") for _ in range(count)))
    return [UUID(response.job_id) for response in stored]


@pytest.mark.parametrize(
    "grace_s", [pytest.param(60.0, id="time to end", marks=pytest.mark.slow), pytest.param(0.1, id="no time to end")]
)
async def test_sigterm_under_load(services: Services, tmp_path: Path, grace_s: float) -> None:
    services.worker.terminate()
    assert services.worker.wait() == 0, "an idle worker leaves at once"
    big = tmp_path / "big.csv"
    write_sample_csv(big, BIG_BYTES)
    env = {"TABLEMILL_CONCURRENCY": str(CONCURRENCY), "TABLEMILL_DRAIN_GRACE_S": str(grace_s)}
    async with grpc.aio.insecure_channel(services.address) as channel:
        calls = Calls(channel)
        big_ids = await _upload(calls, big.read_bytes(), BIG_FILES)
        small_ids = await _upload(calls, SMALL_CSV, SMALL_FILES)
        doomed = await asyncio.to_thread(services.start_worker, env)
        await _until(services, lambda rows: _read_by_now(rows, big_ids) > 0)

        doomed.terminate()
        asked_s = time.monotonic()
        late_ids = await _upload(calls, SMALL_CSV, LATE_FILES)
        assert await asyncio.to_thread(doomed.wait, grace_s + EXIT_MARGIN_S) == 0
        assert time.monotonic() - asked_s < grace_s + EXIT_MARGIN_S
        _check_what_is_left(left := _rows(services), late_ids, has_time=grace_s > 1)

        services.start_worker(env)
        for job_id in [*big_ids, *small_ids, *late_ids]:
            await until_done(calls, str(job_id), timeout_s=100)
    ended = _rows(services)
    assert {(row["state"], row["attempt"], row["crash_count"]) for row in ended.values()} == {("succeeded", 1, 0)}
    assert {row["revision"] for row in ended.values()} == {1}, "every file's clean data was published once"
    for job_id, row in left.items():
        assert (ended[job_id]["lease_token"] == row["lease_token"]) == (row["state"] == "succeeded")


def _check_what_is_left(rows: Rows, late_ids: Sequence[UUID], *, has_time: bool) -> None:
    assert {row["state"] for row in rows.values()} <= {"ready", "succeeded"}, "nothing runs without a worker"
    for row in rows.values():
        ended = row["state"] == "succeeded"
        assert (row["attempt"], row["crash_count"], row["history"], row["revision"]) == (ended, 0, [], ended)
    ends = Counter((row["state"], row["lease_token"] > 0) for row in rows.values())
    assert ends["succeeded", False] == 0
    assert ends["ready", False] > 0, "some had not begun"
    given_back = ends["ready", True]
    assert given_back == 0 if has_time else 0 < given_back <= CONCURRENCY
    assert all(rows[job_id]["lease_token"] == 0 for job_id in late_ids), "nothing was claimed after the signal"
