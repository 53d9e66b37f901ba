"""What reaches a caller when a handler breaks: fixed words and an error id, never a secret, never silence."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import psycopg
import pytest

from shared.errors import Aborted, NotFound
from shared.rpc.server import RpcServer, Service
from shared.storage import StoreError
from tablemill.v1 import ingest_service_pb2 as pb
from tablemill.v1 import ingest_service_pb2_grpc as pb_grpc
from tests.rpc import Calls, reason_of

SECRET = "postgresql://user:hunter2@db/x"


async def _cancelled_inside() -> None:
    task = asyncio.create_task(asyncio.Event().wait())
    await asyncio.sleep(0)
    task.cancel()
    await task


class Broken(pb_grpc.IngestServiceServicer):
    """Breaks in the way that the request names."""

    async def _break(self, how: str) -> None:
        match how:
            case "bug":
                raise KeyError(SECRET)
            case "database":
                raise psycopg.OperationalError(SECRET)
            case "store":
                raise StoreError(SECRET)
            case "leaked cancellation":
                await _cancelled_inside()
            case "known":
                raise NotFound("JOB_NOT_FOUND", "no such job")

    async def GetJob(self, request: pb.GetJobRequest, context: Any) -> pb.GetJobResponse:
        await self._break(request.job_id)
        return pb.GetJobResponse()

    async def WatchStatus(self, request: pb.WatchStatusRequest, context: Any) -> AsyncIterator[pb.WatchStatusResponse]:
        yield pb.WatchStatusResponse(synced=True)
        await self._break(request.targets[0].job_id)

    async def UploadFile(self, request_iterator: Any, context: Any) -> pb.UploadFileResponse:
        async for _ in request_iterator:
            raise Aborted("UPLOAD_SUPERSEDED", "x" * 5000)
        return pb.UploadFileResponse()

    GetUpload = GetRecord = ListRecords = None  # type: ignore[assignment]


@pytest.fixture
async def calls() -> AsyncIterator[Calls]:
    add = pb_grpc.add_IngestServiceServicer_to_server
    server = RpcServer("127.0.0.1:0", [Service("tablemill.v1.IngestService", Broken(), add)])
    await server.start()
    async with grpc.aio.insecure_channel(server.address) as channel:
        yield Calls(channel)
    await server.stop(0)


EXPECTED = {
    "bug": ("INTERNAL", "INTERNAL"),
    "database": ("UNAVAILABLE", "BACKEND_UNAVAILABLE"),
    "store": ("UNAVAILABLE", "BACKEND_UNAVAILABLE"),
    "leaked cancellation": ("UNAVAILABLE", "BACKEND_UNAVAILABLE"),
    "known": ("NOT_FOUND", "JOB_NOT_FOUND"),
}


@pytest.mark.parametrize("how", EXPECTED)
async def test_every_failure_is_told_and_no_secret_is(calls: Calls, how: str) -> None:
    watch = calls.ingest.WatchStatus(pb.WatchStatusRequest(targets=[pb.WatchTarget(job_id=how)]), timeout=5)
    await watch.read()
    for call in (calls.ingest.GetJob(pb.GetJobRequest(job_id=how), timeout=5), watch.read()):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        code, reason, metadata = reason_of(caught.value)
        assert (code, reason) == EXPECTED[how]
        assert "hunter2" not in str(caught.value) + str(metadata)
        assert ("error_id" in metadata) == (how == "bug")


async def test_a_long_message_is_cut_so_that_details_arrive(calls: Calls) -> None:
    async def one() -> AsyncIterator[pb.UploadFileRequest]:
        yield pb.UploadFileRequest()

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await calls.ingest.UploadFile(one(), timeout=5)
    assert reason_of(caught.value)[:2] == ("ABORTED", "UPLOAD_SUPERSEDED")
    assert len(caught.value.details() or "") < 1100


async def test_a_taken_address_is_refused_not_shared(calls: Calls) -> None:
    first = RpcServer("127.0.0.1:0", [])
    await first.start()
    second = RpcServer(first.address, [])
    with pytest.raises(RuntimeError):
        await second.start()
    await first.stop(0)
