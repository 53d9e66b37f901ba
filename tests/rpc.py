"""Calls that tests make by hand, below the client library."""

from collections.abc import AsyncIterator
from uuid import uuid4

import google_crc32c
import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from tablemill.v1 import (
    action_service_pb2_grpc,
    data_service_pb2_grpc,
    ingest_service_pb2_grpc,
    job_pb2,
    ops_service_pb2_grpc,
)
from tablemill.v1 import ingest_service_pb2 as pb

CHUNK_BYTES = 256 << 10


class Calls:
    """The stubs of one channel."""

    def __init__(self, channel: grpc.aio.Channel, address: str = "") -> None:
        self.channel = channel
        self.address = address
        self.ingest = ingest_service_pb2_grpc.IngestServiceStub(channel)
        self.data = data_service_pb2_grpc.DataServiceStub(channel)
        self.actions = action_service_pb2_grpc.ActionServiceStub(channel)
        self.ops = ops_service_pb2_grpc.OpsServiceStub(channel)


def header(file_name: str = "数据.csv", request_id: str = "", size_bytes: int | None = None) -> pb.UploadFileRequest:
    return pb.UploadFileRequest(
        header=pb.UploadHeader(request_id=request_id or str(uuid4()), file_name=file_name, size_bytes=size_bytes)
    )


def chunk(offset: int, data: bytes, crc32c: int | None = None) -> pb.UploadFileRequest:
    return pb.UploadFileRequest(chunk=pb.UploadChunk(offset=offset, data=data, crc32c=crc32c))


def finish(size_bytes: int, crc32c: int | None = None) -> pb.UploadFileRequest:
    return pb.UploadFileRequest(finish=pb.UploadFinish(size_bytes=size_bytes, crc32c=crc32c))


def messages(
    data: bytes, file_name: str = "数据.csv", request_id: str = "", start: int = 0
) -> list[pb.UploadFileRequest]:
    """Return the whole conversation of an upload of `data`, from offset `start` on."""
    parts = [header(file_name, request_id)]
    for offset in range(start, len(data), CHUNK_BYTES):
        parts.append(chunk(offset, data[offset : offset + CHUNK_BYTES]))
    return [*parts, finish(len(data), google_crc32c.value(data))]


async def send(parts: list[pb.UploadFileRequest]) -> AsyncIterator[pb.UploadFileRequest]:
    for part in parts:
        yield part


async def upload(calls: Calls, data: bytes, file_name: str = "数据.csv") -> pb.UploadFileResponse:
    return await calls.ingest.UploadFile(send(messages(data, file_name)))


async def until_done(calls: Calls, job_id: str, timeout_s: float = 60) -> list[job_pb2.Job]:
    """Return every state that a watch of the job tells, the last one final."""
    request = pb.WatchStatusRequest(targets=[pb.WatchTarget(job_id=job_id)], heartbeat_interval=Duration(seconds=5))
    return [job async for update in calls.ingest.WatchStatus(request, timeout=timeout_s) for job in update.jobs]


def reason_of(error: grpc.aio.AioRpcError) -> tuple[str, str, dict[str, str]]:
    """Return (code name, reason, metadata) of an error."""
    status = rpc_status.from_call(error)
    assert status is not None, f"{error.code()} without details: {error.details()}"
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert info.domain == "tablemill"
    return error.code().name, info.reason, dict(info.metadata)


async def next_update(
    call: grpc.aio.UnaryStreamCall[pb.WatchStatusRequest, pb.WatchStatusResponse],
) -> pb.WatchStatusResponse | None:
    """Return the next message of a watch, or None at its end."""
    message = await call.read()
    return message if isinstance(message, pb.WatchStatusResponse) else None
