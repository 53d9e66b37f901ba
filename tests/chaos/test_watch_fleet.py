"""Thousands of watchers while their servers are restarted, or killed so that all come back at once."""

import asyncio
import time

import grpc
import pytest

from tablemill.v1 import ingest_service_pb2 as pb
from tablemill.v1 import ingest_service_pb2_grpc as pb_grpc
from tests.conftest import Services
from tests.rpc import reason_of
from tests.watch_fleet import Watchers, driving, free_ports

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
_WATCHERS = 1000
_STORM = 5000
_SNAPSHOT_S = 30.0


async def test_a_rolling_restart_under_a_thousand_watchers(services: Services) -> None:
    ports = free_ports(2)
    address = "ipv4:" + ",".join(f"127.0.0.1:{port}" for port in ports)
    replicas = [services.start_ingest({"TABLEMILL_LISTEN": f"127.0.0.1:{port}"}) for port in ports]
    async with driving(services.database_url) as driver:
        watchers = Watchers(address, await driver.add(_WATCHERS), wide=5)
        async with asyncio.timeout(600), asyncio.TaskGroup() as group:
            group.create_task(watchers.run(all_jobs=_WATCHERS + 200))
            await watchers.until_synced()
            for replica, port in zip(replicas, ports, strict=True):
                await driver.run_some(150)
                replica.terminate()
                for _ in range(5):
                    await driver.run_some(50)  # some of it while watchers have no stream
                    await driver.add(20)
                    await asyncio.sleep(0.2)
                assert await asyncio.to_thread(replica.wait, 60) == 0
                listen = {"TABLEMILL_LISTEN": f"127.0.0.1:{port}"}
                await asyncio.to_thread(services.start_ingest, listen)
            while await driver.run_some(100):
                pass
    print(f"resumed: {watchers.retries}")
    assert watchers.retries.get("SERVER_DRAINING", 0) >= _WATCHERS


async def test_a_storm_of_plain_clients(services: Services) -> None:
    """Five thousand streams opened at once: each gets its snapshot in time, or a clear error and then gets it."""
    async with driving(services.database_url) as driver:
        job_ids = await driver.add(_STORM)
        channels = [
            grpc.aio.insecure_channel(services.address, options=[("grpc.use_local_subchannel_pool", 1)])
            for _ in range(50)
        ]
        stubs = [pb_grpc.IngestServiceStub(channel) for channel in channels]
        took_s: list[float] = []
        refused: dict[str, int] = {}

        async def open_one(number: int) -> None:
            request = pb.WatchStatusRequest(targets=[pb.WatchTarget(job_id=str(job_ids[number]))])
            while True:
                began_s = time.monotonic()
                call = stubs[number % len(stubs)].WatchStatus(request, timeout=600)
                try:
                    message = await asyncio.wait_for(call.read(), _SNAPSHOT_S)
                except grpc.aio.AioRpcError as error:
                    reason = reason_of(error)[1]
                    refused[reason] = refused.get(reason, 0) + 1
                    continue
                assert isinstance(message, pb.WatchStatusResponse)
                assert message.jobs
                took_s.append(time.monotonic() - began_s)
                return

        await asyncio.gather(*map(open_one, range(_STORM)))
        print(f"{len(took_s)} snapshots, the last after {max(took_s):.1f} s; refused before: {refused}")
        for channel in channels:
            await channel.close()


async def test_five_thousand_clients_lose_their_server_and_come_back(services: Services) -> None:
    (port,) = free_ports(1)
    replica = services.start_ingest({"TABLEMILL_LISTEN": f"127.0.0.1:{port}"})
    async with driving(services.database_url) as driver:
        job_ids = await driver.add(_STORM)
        fleets = [Watchers(f"127.0.0.1:{port}", job_ids[start::10], wide=0) for start in range(10)]
        async with asyncio.timeout(600), asyncio.TaskGroup() as group:
            for fleet in fleets:
                group.create_task(fleet.run(all_jobs=0))
            for fleet in fleets:
                await fleet.until_synced()
            replica.close()
            while await driver.run_some(500):
                pass
            began_s = time.monotonic()
            await asyncio.to_thread(services.start_ingest, {"TABLEMILL_LISTEN": f"127.0.0.1:{port}"})
        print(f"all {_STORM} learned of the end {time.monotonic() - began_s:.1f} s after their server's start began")
