"""The least a grpc.aio server can do for watchers: every stream gets the same bytes whenever somebody calls Fire."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import uvloop

from ingest_service.allocator import collect_rarely


class _FanOut:
    def __init__(self) -> None:
        self._parked: list[asyncio.Future[bytes]] = []

    async def watch(self, _request: bytes, _context: Any) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        yield b""
        while True:
            parked = loop.create_future()
            self._parked.append(parked)
            yield await parked

    async def fire(self, request: bytes, _context: Any) -> bytes:
        parked, self._parked = self._parked, []
        for future in parked:
            if not future.done():
                future.set_result(request)
        return b""


async def _serve() -> None:
    options = [
        ("grpc.so_reuseport", 0),
        ("grpc.server.max_pending_requests", 100_000),
        ("grpc.server.max_pending_requests_hard_limit", 200_000),
    ]
    server = grpc.aio.server(options=options)
    fan_out = _FanOut()
    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
        "Watch": grpc.unary_stream_rpc_method_handler(fan_out.watch),
        "Fire": grpc.unary_unary_rpc_method_handler(fan_out.fire),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bare.FanOut", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"127.0.0.1:{port}", flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    collect_rarely()
    uvloop.run(_serve())
