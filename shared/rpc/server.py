"""Build and stop the gRPC server of a service."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from shared import telemetry
from shared.rpc.guard import Guard

_MAX_REQUEST_BYTES = (2 << 20) + (64 << 10)  # a chunk of 2 MiB and what surrounds it
_WINDOW_BYTES = 4 << 20  # bytes of a stream on their way to us: 80 MiB/s at 50 ms
_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.so_reuseport", 0),  # else a second server takes half of the calls in silence
    ("grpc.max_receive_message_length", _MAX_REQUEST_BYTES),
    # A fixed window: the one that grows by probing lets more arrive than a slow store takes.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", _WINDOW_BYTES),
    # A client that is dead or frozen is noticed within 15 s.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.ping_timeout_ms", 5_000),  # without it a frozen client is noticed after a minute
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.http2.max_ping_strikes", 0),
    # Calls that arrive faster than handlers start. Above the first limit (1,000 by default) some, above the second
    # (3,000) all further ones are dropped without any answer, and their clients wait for ever; who may come in is
    # decided by handlers, which answer.
    ("grpc.server.max_pending_requests", 100_000),
    ("grpc.server.max_pending_requests_hard_limit", 200_000),
)
_CHECK_EVERY_S = 1.0
_RECHECK_EVERY_S = 0.1

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Service:
    """A gRPC service to serve: its full name, its servicer, and the generated function that adds it."""

    name: str
    servicer: Any
    add: Callable[[Any, Any], None]


class RpcServer:
    """A gRPC server with health, reflection and the guard. `address` is known once `start()` has returned.

    A connection older than `connection_age_s` (0: whatever its age) takes no more calls: its client opens another,
    on which a balancer may choose another server. Calls that are open go on.
    """

    def __init__(self, listen: str, services: Sequence[Service], *, connection_age_s: float = 0) -> None:
        self._listen = listen
        self._names = [service.name for service in services]
        age = [("grpc.max_connection_age_ms", round(connection_age_s * 1000))] if connection_age_s else []
        self._server = grpc.aio.server(interceptors=(Guard(),), options=[*_OPTIONS, *age])
        self._health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        for service in services:
            service.add(service.servicer, self._server)
        reflection.enable_server_reflection((*self._names, health.SERVICE_NAME, reflection.SERVICE_NAME), self._server)
        self.address = listen

    async def start(self) -> None:
        """Bind and serve. Raises RuntimeError when the address is taken."""
        port = self._server.add_insecure_port(self._listen)
        self.address = f"{self._listen.rpartition(':')[0]}:{port}"
        await self._server.start()

    async def follow_health(self, healthy: Callable[[], Awaitable[bool]]) -> None:
        """Keep the health of all services at what `healthy()` says, asked about every second. Never returns."""
        before: bool | None = None
        while True:
            now = await healthy()
            if now != before:
                logger.log(logging.INFO if now else logging.WARNING, "health", extra=telemetry.facts(serving=now))
                status = health_pb2.HealthCheckResponse.SERVING if now else health_pb2.HealthCheckResponse.NOT_SERVING
                for name in ("", *self._names):
                    await self._health.set(name, status)
                before = now
            await asyncio.sleep(_CHECK_EVERY_S if now else _RECHECK_EVERY_S)

    async def say_not_serving(self) -> None:
        """Tell health checks, for good, that this server goes away; calls are still served."""
        await self._health.enter_graceful_shutdown()

    async def stop(self, grace_s: float) -> None:
        """Refuse new calls, give open ones `grace_s` seconds, then cut them off."""
        await self._server.stop(grace_s)
