"""Watches over real sockets while servers come and go, clients die, and all come at once."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc

from ingest_service.app import IngestApp, serving
from ingest_service.settings import IngestSettings
from shared.rpc.server import RpcServer, Service
from tablemill.v1 import ingest_service_pb2 as pb
from tablemill.v1 import ingest_service_pb2_grpc as pb_grpc
from tests.proxy import Proxy
from tests.watch_fleet import Watchers, driving, free_ports


@contextlib.asynccontextmanager
async def _replica(database_url: str, store_url: str, port: int = 0, **values: Any) -> AsyncIterator[IngestApp]:
    settings = IngestSettings(
        database_url=database_url, store_url=store_url, listen=f"127.0.0.1:{port}", drain_grace_s=5, **values
    )
    async with serving(settings) as app:
        background = [asyncio.create_task(coroutine) for coroutine in app.background]
        try:
            yield app
        finally:
            await app.drain()
            for task in background:
                task.cancel()
            await asyncio.gather(*background, return_exceptions=True)


async def test_a_rolling_restart_loses_nothing(database_url: str, file_store_url: str) -> None:
    ports = free_ports(2)
    address = "ipv4:" + ",".join(f"127.0.0.1:{port}" for port in ports)
    async with driving(database_url) as driver, contextlib.AsyncExitStack() as left:
        job_ids = await driver.add(60)
        watchers = Watchers(address, job_ids, wide=3)
        replicas = [contextlib.AsyncExitStack() for _ in ports]
        for replica, port in zip(replicas, ports, strict=True):
            left.push_async_callback(replica.aclose)
            await replica.enter_async_context(_replica(database_url, file_store_url, port))
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            group.create_task(watchers.run(all_jobs=80))
            await watchers.until_synced()
            for replica, port in zip(replicas, ports, strict=True):
                await driver.run_some(15)
                leaving = asyncio.create_task(replica.aclose())
                await driver.run_some(15)  # some of it while its watchers have no stream
                await driver.add(10)
                await leaving
                await replica.enter_async_context(_replica(database_url, file_store_url, port))
            while await driver.run_some(15):
                pass
        assert watchers.retries.get("SERVER_DRAINING", 0) >= 3


async def test_a_client_that_falls_silent_is_let_go_within_seconds(database_url: str, file_store_url: str) -> None:
    async with driving(database_url) as driver, _replica(database_url, file_store_url) as app:
        (job_id,) = await driver.add(1)
        async with Proxy(app.server.address) as proxy, grpc.aio.insecure_channel(proxy.address) as channel:
            targets = [pb.WatchTarget(job_id=str(job_id))]
            watch = pb_grpc.IngestServiceStub(channel).WatchStatus(pb.WatchStatusRequest(targets=targets))
            await watch.read()
            assert len(app.hub._watchers) == 1
            proxy.freeze()
            async with asyncio.timeout(30):  # it takes 15 at most, but for a busy machine
                while app.hub._watchers:
                    await asyncio.sleep(0.05)


class _Greeter(pb_grpc.IngestServiceServicer):
    """Greets, and stays."""

    async def WatchStatus(self, request: pb.WatchStatusRequest, context: Any) -> AsyncIterator[pb.WatchStatusResponse]:
        yield pb.WatchStatusResponse(synced=True)
        await asyncio.Event().wait()


async def test_all_calls_that_come_at_once_reach_their_handler() -> None:
    """gRPC drops some of more than 1,000 that wait, and all of more than 3,000, without any answer."""
    greeter = _Greeter()  # type: ignore[abstract]  # it has no other methods to offer
    service = Service("tablemill.v1.IngestService", greeter, pb_grpc.add_IngestServiceServicer_to_server)
    server = RpcServer("127.0.0.1:0", [service])
    await server.start()
    async with grpc.aio.insecure_channel(server.address) as channel:
        stub = pb_grpc.IngestServiceStub(channel)
        calls = [stub.WatchStatus(pb.WatchStatusRequest(), timeout=60) for _ in range(4000)]
        for call in calls:
            assert isinstance(await call.read(), pb.WatchStatusResponse)
    await server.stop(0)


async def test_an_old_connection_takes_no_more_calls_and_old_watches_go_on(
    database_url: str, file_store_url: str
) -> None:
    async with driving(database_url) as driver, contextlib.AsyncExitStack() as held:
        app = await held.enter_async_context(_replica(database_url, file_store_url, stream_max_age_s=1))
        proxy = await held.enter_async_context(Proxy(app.server.address))
        job_ids = await driver.add(3)
        watchers = Watchers(proxy.address, job_ids, wide=1)
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            group.create_task(watchers.run(all_jobs=3))
            while watchers.retries.get("STREAM_MAX_AGE", 0) < 4 or proxy.connections < 2:
                await asyncio.sleep(0.05)
            while await driver.run_some(3):
                pass
