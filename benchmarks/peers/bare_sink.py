"""The least that a grpc.aio server can do with an upload: take every message and throw it away."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import uvloop

from tablemill.v1 import ingest_service_pb2 as pb

_MAX_REQUEST_BYTES = (2 << 20) + (64 << 10)


async def _upload_file(requests: AsyncIterator[pb.UploadFileRequest], context: Any) -> pb.UploadFileResponse:
    del context
    count = 0
    async for _ in requests:
        count += 1
    return pb.UploadFileResponse(size_bytes=count)


async def _serve() -> None:
    server = grpc.aio.server(
        options=[("grpc.max_receive_message_length", _MAX_REQUEST_BYTES), ("grpc.so_reuseport", 0)]
    )
    method = grpc.stream_unary_rpc_method_handler(
        _upload_file, pb.UploadFileRequest.FromString, pb.UploadFileResponse.SerializeToString
    )
    handler = grpc.method_handlers_generic_handler("tablemill.v1.IngestService", {"UploadFile": method})
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"127.0.0.1:{port}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(_serve())
