"""The job engine on a fresh database; and an ingest service of its own for tests of its API, in this process but on a
real socket, with limits in reach.
"""

import asyncio
import os
from collections.abc import AsyncIterator

import grpc
import pytest

from ingest_service.app import serving
from ingest_service.settings import IngestSettings
from shared.database import Pool, make_pool
from shared.jobs.operations import Operations
from shared.jobs.queue import JobQueue
from tests.integration.worker_harness import QUEUE, Jobs
from tests.rpc import Calls


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    """Connections to a fresh database, as many as the busiest test needs."""
    async with make_pool(database_url, "test", max_size=16) as pool:
        yield pool


@pytest.fixture
async def jobs(pool: Pool) -> Jobs:
    """The queue of toy jobs on it."""
    queue = JobQueue(pool)
    await queue.register(QUEUE)
    return Jobs(pool, queue)


@pytest.fixture
def operations(pool: Pool) -> Operations:
    """What operators may do on it."""
    return Operations(pool)


@pytest.fixture
def address(calls_on_each_store: Calls) -> str:
    """Where the service behind `calls_on_each_store` serves."""
    return calls_on_each_store.address


@pytest.fixture
async def calls(database_url: str, file_store_url: str) -> AsyncIterator[Calls]:
    """Stubs of an ingest service on a fresh database; nothing works on its jobs."""
    async for calls in _serve(database_url, file_store_url):
        yield calls


@pytest.fixture
async def calls_on_each_store(database_url: str, store_url: str) -> AsyncIterator[Calls]:
    """The same, once per kind of store."""
    async for calls in _serve(database_url, store_url):
        yield calls


async def _serve(database_url: str, store_url: str) -> AsyncIterator[Calls]:
    settings = IngestSettings(
        database_url=database_url,
        store_url=store_url,
        STORAGE_EMULATOR_HOST=os.environ.get("STORAGE_EMULATOR_HOST", ""),
        listen="127.0.0.1:0",
        metrics_listen="",
        max_file_bytes=30 << 20,
        max_uploads=4,
        max_watches=20,
        upload_idle_s=3,
        watch_poll_s=1,
    )
    async with serving(settings) as app:
        background = [asyncio.create_task(coroutine) for coroutine in app.background]
        async with grpc.aio.insecure_channel(app.server.address) as channel:
            yield Calls(channel, app.server.address)
        await app.server.stop(0)
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)
