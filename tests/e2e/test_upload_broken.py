"""Uploads that are cut, by whatever: the client library finishes them, and the file is the one that was sent."""

import asyncio
import hashlib
import random
import sys
import time
import urllib.request
from pathlib import Path

import grpc
import psycopg
import pytest

from tablemill.client import TablemillClient
from tablemill.retrying import RetryPolicy
from tablemill.uploading import UploadProgress
from tablemill.v1 import data_service_pb2 as dpb
from tests.conftest import Services
from tests.proxy import Proxy
from tests.rpc import Calls
from tests.stack import CHECKOUT

MIB = 1 << 20
FILE_BYTES = 24 * MIB
QUICK = RetryPolicy(attempts=30, first_delay_s=0.05, longest_delay_s=0.5)
DOOMED_CLIENT = """
import asyncio, sys, grpc
from tablemill.v1 import ingest_service_pb2_grpc
from tests.rpc import chunk, header

async def stream():
    yield header()
    for number in range(24):
        yield chunk(number << 18, bytes(1 << 18))
    print("sent", flush=True)
    await asyncio.Event().wait()

async def main():
    async with grpc.aio.insecure_channel(sys.argv[1]) as channel:
        await ingest_service_pb2_grpc.IngestServiceStub(channel).UploadFile(stream())

asyncio.run(main())
"""


@pytest.fixture
def big_file(tmp_path: Path) -> Path:
    path = tmp_path / "big.csv"
    path.write_bytes(random.Random(5).randbytes(FILE_BYTES))
    return path


async def _sha256(address: str, record_id: str) -> str:
    digest = hashlib.sha256()
    async with grpc.aio.insecure_channel(address) as channel:
        request = dpb.ReadFileRequest(record_id=record_id, kind=dpb.FILE_KIND_RAW)
        async for part in Calls(channel).data.ReadFile(request):
            digest.update(part.data)
    return digest.hexdigest()


async def test_kill_of_the_service_mid_upload_costs_only_a_resume(services: Services, big_file: Path) -> None:
    doomed, address = services.ingest, services.address
    progress: list[UploadProgress] = []

    def slow(seen: UploadProgress) -> None:
        progress.append(seen)
        time.sleep(0.01)

    async with TablemillClient(address, retry=QUICK) as client:
        uploading = asyncio.create_task(client.upload(big_file, on_progress=slow))
        await _until_something_is_stored(services)
        doomed.kill()
        services.start_ingest({"TABLEMILL_LISTEN": address})
        stored = await uploading
    last_failure = max(index for index, seen in enumerate(progress) if seen.error)
    assert progress[last_failure + 1].sent_bytes > 0, "it did not begin anew"
    assert await _sha256(address, stored.record_id) == hashlib.sha256(big_file.read_bytes()).hexdigest()


async def _until_something_is_stored(services: Services) -> None:
    async with asyncio.timeout(20):
        async with await psycopg.AsyncConnection.connect(services.database_url, autocommit=True) as connection:
            while not (await connection.execute("SELECT 1 FROM uploads WHERE committed_bytes > 0")).rowcount:
                await asyncio.sleep(0.02)


async def _upload_through_cuts(services: Services, path: Path, seed: int) -> None:
    chance = random.Random(seed)
    async with Proxy(services.address) as proxy:
        cuts = sorted(chance.randrange(FILE_BYTES) for _ in range(3))

        def cut(seen: UploadProgress) -> None:
            if cuts and seen.sent_bytes >= cuts[0]:
                cuts.pop(0)
                proxy.cut()

        async with TablemillClient(proxy.address, retry=QUICK) as client:
            stored = await client.upload(path, on_progress=cut)
        assert proxy.connections > 1, f"seed {seed}: nothing was cut"
    digest = await _sha256(services.address, stored.record_id)
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest(), f"seed {seed}"


async def test_connections_that_drop_at_random_places(services: Services, big_file: Path) -> None:
    await _upload_through_cuts(services, big_file, seed=1)


@pytest.mark.slow
async def test_connections_that_drop_at_many_random_places(services: Services, big_file: Path) -> None:
    for seed in range(2, 32):
        await _upload_through_cuts(services, big_file, seed)


def _metrics(services: Services) -> bytes:
    local = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with local.open(f"http://{services.ingest.metrics_address}/metrics") as answer:
        return bytes(answer.read())


async def _kill_clients(services: Services, times: int) -> None:
    for _ in range(times):
        client = await asyncio.create_subprocess_exec(
            sys.executable, "-c", DOOMED_CLIENT, services.address, cwd=CHECKOUT, stdout=asyncio.subprocess.PIPE
        )
        assert client.stdout is not None
        assert await client.stdout.readline() == b"sent\n"
        client.kill()
        await client.wait()
    with psycopg.connect(services.database_url) as connection:
        async with asyncio.timeout(10):
            while b"tablemill_uploads_active 0.0" not in await asyncio.to_thread(_metrics, services):
                await asyncio.sleep(0.02)
        states = connection.execute("SELECT state, count(*) FROM uploads GROUP BY state").fetchall()
        assert states == [("active", times)]
        assert connection.execute("SELECT count(*) FROM records").fetchone() == (0,)


async def test_a_killed_client_leaves_no_record(services: Services) -> None:
    await _kill_clients(services, 1)


@pytest.mark.slow
async def test_a_hundred_killed_clients_leave_no_record(services: Services) -> None:
    await _kill_clients(services, 100)
