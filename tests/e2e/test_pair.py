"""The pair as its users meet it: real processes, real sockets, real stores, and things that go wrong."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import LiteralString

import grpc
import psycopg
import pytest

from examples.sample import write_sample_csv
from shared.rpc.status import DOMAIN
from tablemill.v1 import ingest_service_pb2 as pb
from tablemill.v1 import job_pb2
from tests.conftest import Services
from tests.rpc import Calls, chunk, header, reason_of, until_done, upload

SMALL_CSV = "编号,值\n001,1\n002,2\n003,NA\n".encode()


@pytest.fixture
async def calls(services: Services) -> AsyncIterator[Calls]:
    async with grpc.aio.insecure_channel(services.address) as channel:
        yield Calls(channel)


async def _running(calls: Calls, job_id: str) -> job_pb2.Job:
    request = pb.WatchStatusRequest(targets=[pb.WatchTarget(job_id=job_id)])
    async for update in calls.ingest.WatchStatus(request, timeout=30):
        for job in update.jobs:
            if job.state == job_pb2.JOB_STATE_RUNNING:
                return job
    raise AssertionError("the job ended before it was seen running")


async def test_kill_of_the_worker_mid_job_costs_one_attempt(services: Services, calls: Calls, tmp_path: Path) -> None:
    services.worker.terminate()
    services.worker.wait()
    doomed = services.start_worker({"TABLEMILL_LEASE_S": "3", "TABLEMILL_HEARTBEAT_S": "1"})
    source = tmp_path / "big.csv"
    write_sample_csv(source, 8 << 20)
    stored = await upload(calls, source.read_bytes(), "big.csv")
    await _running(calls, stored.job_id)
    doomed.kill()
    services.start_worker({"TABLEMILL_LEASE_S": "3", "TABLEMILL_HEARTBEAT_S": "1"})
    last = (await until_done(calls, stored.job_id))[-1]
    assert last.state == job_pb2.JOB_STATE_SUCCEEDED, last.error
    assert last.attempt == 2


async def test_sigterm_mid_upload_lets_the_upload_finish(services: Services, calls: Calls) -> None:
    data = SMALL_CSV * 1000
    first_out, go_on = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[pb.UploadFileRequest]:
        yield header()
        yield chunk(0, data[:1000])
        first_out.set()
        await go_on.wait()
        yield chunk(1000, data[1000:])
        yield pb.UploadFileRequest(finish=pb.UploadFinish(size_bytes=len(data)))

    call = calls.ingest.UploadFile(slow())
    await first_out.wait()
    await _until_upload_row(services)
    services.ingest.terminate()
    await _until_not_serving(services)
    go_on.set()
    stored = await call
    assert services.ingest.wait() == 0
    fresh = services.start_ingest()
    async with grpc.aio.insecure_channel(fresh.address) as channel:
        assert (await until_done(Calls(channel), stored.job_id))[-1].state == job_pb2.JOB_STATE_SUCCEEDED


async def test_sigterm_ends_an_upload_that_does_not_move_as_resumable(services: Services, calls: Calls) -> None:
    brief = services.start_ingest({"TABLEMILL_DRAIN_GRACE_S": "0.5"})

    async def stuck() -> AsyncIterator[pb.UploadFileRequest]:
        yield header()
        await asyncio.Event().wait()

    async with grpc.aio.insecure_channel(brief.address) as channel:
        call = Calls(channel).ingest.UploadFile(stuck())
        await _until_upload_row(services)
        brief.terminate()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
    assert reason_of(caught.value)[:2] == ("UNAVAILABLE", "SERVER_DRAINING")
    assert DOMAIN == "tablemill"
    assert brief.wait() == 0


async def test_watch_survives_duplicate_hints_and_a_killed_listener(services: Services, calls: Calls) -> None:
    await _until_listening(services, 2)
    services.worker.pause()
    stored = await upload(calls, SMALL_CSV)
    seen: list[job_pb2.Job] = []
    synced = asyncio.Event()

    async def watch() -> None:
        request = pb.WatchStatusRequest(targets=[pb.WatchTarget(job_id=stored.job_id)])
        async for update in calls.ingest.WatchStatus(request, timeout=60):
            seen.extend(update.jobs)
            synced.set()

    watching = asyncio.create_task(watch())
    await synced.wait()
    with psycopg.connect(services.database_url, autocommit=True) as connection:
        for _ in range(50):
            connection.execute("SELECT pg_notify('tablemill_changed', %s)", [stored.job_id])
        killed = connection.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name LIKE '%-listen'"
        ).fetchone()
    assert killed == (2,)
    services.worker.resume()
    await watching
    assert seen[-1].state == job_pb2.JOB_STATE_SUCCEEDED
    versions = [job.version for job in seen]
    assert versions == sorted(set(versions)), "nothing is told twice"


async def _until_upload_row(services: Services) -> None:
    await _until_count(services, "SELECT count(*) FROM uploads", 1)


async def _until_listening(services: Services, sessions: int) -> None:
    await _until_count(
        services,
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name LIKE '%-listen' AND query LIKE 'LISTEN%'",
        sessions,
    )


async def _until_count(services: Services, query: LiteralString, wanted: int) -> None:
    async with asyncio.timeout(20):
        async with await psycopg.AsyncConnection.connect(services.database_url, autocommit=True) as connection:
            while (await (await connection.execute(query)).fetchone()) != (wanted,):
                await asyncio.sleep(0.02)


async def _until_not_serving(services: Services) -> None:
    async with asyncio.timeout(10):
        while "draining" not in services.ingest.log_text():
            await asyncio.sleep(0.02)
