"""Postgres, the network to it and the object store go away while a worker is busy: the file is milled once."""

import asyncio
import random
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from psycopg import OperationalError

from shared import database
from tablemill.client import TablemillClient
from tests.chaos.conftest import OwnServers
from tests.chaos.following import PATIENT, upload
from tests.chaos.history import check_history
from tests.chaos.mill import Mill, until_logged, until_stopped
from tests.chaos.steps import Step
from tests.conftest import Servers
from tests.proxy import Gate, Proxy, cut_after, open_gate
from tests.stack import FakeGcs

POSTGRES_SOCKET = ".s.PGSQL.5432"
BRIEF = {"TABLEMILL_CONCURRENCY": "1", "TABLEMILL_LEASE_S": "4", "TABLEMILL_HEARTBEAT_S": "1", "TABLEMILL_POLL_S": "1"}


async def test_postgres_is_restarted_mid_file_and_mid_transaction(
    own_servers: OwnServers, mill_on_own_servers: Mill, tmp_path: Path
) -> None:
    postgres, mill = own_servers.postgres, mill_on_own_servers
    worker = await mill.start_stopping_worker(signal.SIGSTOP, Step.PARSING, Step.COMMITTING)
    async with TablemillClient(mill.address, retry=PATIENT) as client:
        file = await upload(client, tmp_path)
        following = asyncio.create_task(file.to_the_end(client))
        for processes in (2, 1):
            await until_stopped(worker, processes)
            await asyncio.to_thread(postgres.restart)
            worker.resume()
        await following
        await file.check(client, attempts=1)

        await asyncio.to_thread(postgres.stop)
        uploading = asyncio.create_task(upload(client, tmp_path))
        await asyncio.to_thread(postgres.start)
        file = await uploading
        await file.to_the_end(client)
        await file.check(client, attempts=1)
    assert await mill.stored_objects() == await mill.named_objects()
    await check_history(mill)


def _url_through(proxy: Proxy, mill: Mill) -> str:
    return f"postgresql://postgres@{proxy.address}{urlsplit(mill.database_url).path}"


@asynccontextmanager
async def _worker_behind_proxy(mill: Mill, servers: Servers, make_gate: Callable[[], Gate]) -> AsyncIterator[Proxy]:
    async with Proxy(servers.databases.socket_directory / POSTGRES_SOCKET, make_gate) as proxy:
        await mill.start_another_worker({"TABLEMILL_DATABASE_URL": _url_through(proxy, mill), **BRIEF})
        yield proxy
        mill.close_workers()


class LostAnswer:
    """A gate that resets the connection in place of the answer to the COMMIT that publishes clean data, once."""

    def __init__(self) -> None:
        self.struck = False

    def gate(self) -> Gate:
        """Return the gate of one connection."""
        publishes = False

        def passing(to_server: bool, data: bytes) -> int:
            nonlocal publishes
            publishes |= to_server and b"UPDATE records" in data
            if self.struck or to_server or not publishes or b"COMMIT\0" not in data:
                return len(data)
            self.struck = True
            return 0

        return passing


async def test_the_answer_to_the_commit_gets_lost(mill: Mill, servers: Servers, tmp_path: Path) -> None:
    lost = LostAnswer()
    async with (
        _worker_behind_proxy(mill, servers, lost.gate),
        TablemillClient(mill.address, retry=PATIENT) as client,
    ):
        file = await upload(client, tmp_path)
        await file.to_the_end(client)
        await file.check(client, attempts=1)
    assert lost.struck
    assert await mill.stored_objects() == await mill.named_objects()
    await check_history(mill)


@pytest.mark.slow
async def test_the_network_to_postgres_is_cut_at_random_bytes(mill: Mill, servers: Servers, tmp_path: Path) -> None:
    chance = random.Random(7)
    budgets = [int(100 * 1.3**number) for number in range(20)]  # 100 bytes to 15 KB: a whole job takes about 10
    chance.shuffle(budgets)

    def gate() -> Gate:
        return cut_after(budgets.pop()) if budgets else open_gate()

    async with (
        _worker_behind_proxy(mill, servers, gate) as proxy,
        TablemillClient(mill.address, retry=PATIENT) as client,
    ):
        for _ in range(3):
            file = await upload(client, tmp_path)
            await file.to_the_end(client)
            # When the answer to a claim gets lost, nobody works on the job until that lease is over.
            await file.check(client, attempts=file.states[-1].attempt)
    assert proxy.cuts > 5
    await mill.sweep()
    assert await mill.stored_objects() == await mill.named_objects()
    await check_history(mill)


@pytest.mark.slow
async def test_the_network_to_postgres_falls_silent(mill: Mill, servers: Servers, tmp_path: Path) -> None:
    """Nothing tells the worker that its connections are dead: packets are dropped, or kept by something on the way."""
    async with (
        _worker_behind_proxy(mill, servers, open_gate) as proxy,
        TablemillClient(mill.address, retry=PATIENT) as client,
    ):
        for _ in range(2):
            file = await upload(client, tmp_path)
            await file.to_the_end(client)
            await file.check_data(client)
            proxy.freeze()  # each connection of the worker's pool has to be given up in turn
    await check_history(mill)


async def test_a_server_that_falls_silent_counts_as_lost(
    mill: Mill, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_SILENCE_S", 0.5)
    async with (
        Proxy(servers.databases.socket_directory / POSTGRES_SOCKET) as proxy,
        database.make_pool(_url_through(proxy, mill), "test", max_size=1) as pool,
    ):
        async with pool.connection() as connection:
            await connection.execute("SELECT 1")
        proxy.freeze()
        with pytest.raises(OperationalError, match="silent"):
            async with pool.connection() as connection:
                await connection.execute("SELECT 1")
        async with pool.connection() as connection:
            await connection.execute("SELECT 1")


async def test_the_object_store_goes_away_before_the_clean_data_is_stored(
    own_gcs: FakeGcs, mill_on_own_gcs: Mill, tmp_path: Path
) -> None:
    gcs, mill = own_gcs, mill_on_own_gcs
    worker = await mill.start_stopping_worker(signal.SIGSTOP, Step.PARSING, Step.PARSING)
    async with TablemillClient(mill.address, retry=PATIENT) as client:
        for away, back in ((gcs.stop, gcs.start), (gcs.pause, gcs.resume)):
            file = await upload(client, tmp_path)
            following = asyncio.create_task(file.to_the_end(client))
            await until_stopped(worker, processes=2)
            await asyncio.to_thread(away)
            worker.resume()
            await file.until_stage("upload")
            await asyncio.to_thread(back)
            await following
            await file.check(client, attempts=1)
    assert await mill.stored_objects() == await mill.named_objects()
    await check_history(mill)


@pytest.mark.slow
async def test_the_object_store_is_away_for_longer_than_an_attempt_is_patient(
    own_gcs: FakeGcs, mill_on_own_gcs: Mill, tmp_path: Path
) -> None:
    mill = mill_on_own_gcs
    worker = await mill.start_stopping_worker(signal.SIGSTOP, Step.PARSING)
    async with TablemillClient(mill.address, retry=PATIENT) as client:
        file = await upload(client, tmp_path)
        following = asyncio.create_task(file.to_the_end(client))
        await until_stopped(worker, processes=2)
        await asyncio.to_thread(own_gcs.stop)
        worker.resume()
        await until_logged(worker, '"outcome": "retry"')
        await asyncio.to_thread(own_gcs.start)
        await following
        details = await client.get_job_details(file.job_id)
        assert {attempt.error.reason for attempt in details.failed_attempts} == {"STORE_UNAVAILABLE"}
        await file.check_data(client)
    assert await mill.stored_objects() == await mill.named_objects()
    await check_history(mill)
