"""Operators at the real command line, with real services."""

import asyncio
import time
from pathlib import Path
from typing import Any

import grpc
import pytest

from tablemill.v1 import ingest_service_pb2 as pb
from tablemill.v1.job_pb2 import JOB_STATE_CANCELLED, JOB_STATE_RUNNING
from tablemill.v1.ops_service_pb2 import CancelJobRequest
from tests.conftest import Services
from tests.e2e.command_line import tablemill
from tests.rpc import Calls, upload

UNKNOWN = "00000000-0000-7000-8000-000000000000"
QUEUE = "ingest"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "visits.csv"
    path.write_text("患者编号,年龄\n00017,63\n00018,NA\n")
    return path


async def _queue(services: Services) -> dict[str, Any]:
    (queue,) = [queue for queue in (await tablemill(services, "queues", "--json")).objects if queue["queue"] == QUEUE]
    return queue


async def test_a_job_is_held_back_cancelled_retried_and_let_through(shared_services: Services, table: Path) -> None:
    (paused,) = (await tablemill(shared_services, "pause", QUEUE, "--reason", "disk full", "--json")).objects
    assert paused["pause_reason"] == "disk full"
    (uploaded,) = (await tablemill(shared_services, "upload", table, "--json")).objects
    job_id, record_id = uploaded["upload"]["job_id"], uploaded["upload"]["record_id"]
    queue = await _queue(shared_services)
    assert (queue["ready_count"], queue["pause_time"]) == ("1", paused["pause_time"])
    assert float(queue["oldest_ready_age"].removesuffix("s")) >= 0
    listed = await tablemill(shared_services, "jobs", "--state", "queued", "--queue", QUEUE, "--json")
    assert [job["job_id"] for job in listed.objects] == [job_id]

    (cancelled,) = (await tablemill(shared_services, "cancel", job_id, "--json")).objects
    assert (cancelled["state"], cancelled["done"]) == ("JOB_STATE_CANCELLED", True)
    (retried,) = (await tablemill(shared_services, "retry", job_id, "--json")).objects
    assert (retried["job_id"], retried["state"]) == (job_id, "JOB_STATE_QUEUED")

    resumed = (await tablemill(shared_services, "resume", QUEUE, "--json")).objects[0]
    assert "pause_time" not in resumed
    watched = await tablemill(shared_services, "watch", job_id, "--json")
    assert (watched.code, watched.objects[-1]["state"]) == (0, "JOB_STATE_SUCCEEDED")
    of_record = (await tablemill(shared_services, "jobs", "--record", record_id, "--json")).objects
    assert [(job["job_id"], job["attempt"]) for job in of_record] == [(job_id, 1)]

    refused = await tablemill(shared_services, "retry", job_id)
    assert (refused.code, refused.err.splitlines()) == (
        5,
        [
            "JOB_STATE: this job is succeeded: it can be retried only once it has failed or was cancelled",
            "  state: succeeded",
        ],
    )


async def test_people_get_tables(shared_services: Services, table: Path) -> None:
    assert "paused" in (await tablemill(shared_services, "pause", QUEUE, "--reason", "disk full")).out
    job_id = (await tablemill(shared_services, "upload", table)).out.split()[-1]
    header, *rows = (await tablemill(shared_services, "queues")).out.splitlines()
    (row,) = [row.split() for row in rows if row.startswith(QUEUE)]
    assert header.split()[:2] == ["QUEUE", "READY"]
    assert (row[1], row[-2:]) == ("1", ["disk", "full"])
    header, *rows = (await tablemill(shared_services, "jobs", "-n", "1")).out.splitlines()
    assert header.split()[:3] == ["JOB", "QUEUE", "STATE"]
    assert [row.split()[:4] for row in rows] == [[job_id, QUEUE, "queued", "0/5"]]
    assert (await tablemill(shared_services, "cancel", job_id)).out == f"Job {job_id}: cancelled\n"
    status = await tablemill(shared_services, "status", job_id)
    assert (status.code, status.err) == (1, f"Somebody cancelled it. To try again: tablemill retry {job_id}\n")
    assert "paused" not in (await tablemill(shared_services, "resume", QUEUE)).out


@pytest.mark.parametrize("command", ["cancel", "pause"])
async def test_unknown_names_are_exit_code_3(shared_services: Services, command: str) -> None:
    finished = await tablemill(shared_services, command, UNKNOWN)
    assert (finished.code, finished.out) == (3, "")
    assert "_NOT_FOUND: " in finished.err


async def test_a_worker_shows_itself_and_drains(shared_services: Services) -> None:
    service = await asyncio.to_thread(shared_services.start_worker, {"TABLEMILL_CONCURRENCY": "3"})
    (shown,) = (await tablemill(shared_services, "worker", "--json")).objects
    assert {"queue": QUEUE, "capacity": 3} in shown["queues"]
    assert "draining" not in shown
    assert f"queue {QUEUE}: 0 of 3 running" in (await tablemill(shared_services, "worker")).out

    (drained,) = (await tablemill(shared_services, "drain", "--server", service.address, "--json")).objects
    assert (drained["worker_id"], drained["draining"]) == (shown["worker_id"], True)
    assert await asyncio.to_thread(service.wait, 30) == 0


async def test_a_conversion_that_runs_is_stopped_at_once(shared_services: Services) -> None:
    rows = b"".join(b"%06d,%d,2024-03-05,some text that takes its time\n" % (row, row % 90) for row in range(400_000))
    async with grpc.aio.insecure_channel(shared_services.address) as channel:
        calls = Calls(channel)
        stored = await upload(calls, "编号,年龄,日期,备注\n".encode() + rows)
        watch = calls.ingest.WatchStatus(
            pb.WatchStatusRequest(targets=[pb.WatchTarget(job_id=stored.job_id)]), timeout=60
        )
        asked_s = 0.0
        async for update in watch:
            for job in update.jobs:
                if not asked_s and job.progress.stage not in {"", "download"}:
                    assert job.state == JOB_STATE_RUNNING
                    asked_s = time.monotonic()
                    await calls.ops.CancelJob(CancelJobRequest(job_id=stored.job_id))
        took_s = time.monotonic() - asked_s
    assert job.state == JOB_STATE_CANCELLED
    assert took_s < 2, "a second is promised; the next heartbeat would be up to 5 s away"
