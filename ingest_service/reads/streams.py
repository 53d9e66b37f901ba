"""How many streams of reads are open, and what becomes of them when the server goes away."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TypeVar

from shared import telemetry
from shared.errors import ResourceExhausted, Unavailable

_RETRY_AFTER_S = 1.0
T = TypeVar("T")


class ReadStreams:
    """Admits at most `max_streams`, since each holds up to two row groups and some messages."""

    def __init__(self, *, max_streams: int) -> None:
        self._max_streams = max_streams
        self._open = 0
        self._all_closed = asyncio.Event()
        self._all_closed.set()
        self._draining = False
        self._over = False

    async def admit(self, parts: AsyncGenerator[T]) -> AsyncGenerator[T]:
        """Yield `parts`. Raises ResourceExhausted, and Unavailable when the server drains: the stream can resume."""
        async with aclosing(parts):
            if self._draining:
                raise _away()
            if self._open >= self._max_streams:
                raise ResourceExhausted(
                    "TOO_MANY_STREAMS",
                    f"{self._max_streams} reads are open on this server",
                    {"limit": str(self._max_streams)},
                    retry_after_s=_RETRY_AFTER_S,
                )
            self._count(1)
            try:
                async for part in parts:
                    if self._over:
                        raise _away()
                    yield part
            finally:
                self._count(-1)

    async def drain(self, grace_s: float) -> None:
        """Take no more streams, give open ones `grace_s` seconds to end, then end them at their next message."""
        self._draining = True
        try:
            async with asyncio.timeout(grace_s):
                await self._all_closed.wait()
        except TimeoutError:
            self._over = True

    def _count(self, change: int) -> None:
        self._open += change
        telemetry.READ_STREAMS.set(self._open)
        if self._open:
            self._all_closed.clear()
        else:
            self._all_closed.set()


def _away() -> Unavailable:
    return Unavailable("SERVER_DRAINING", "this server goes away; resume on another", retry_after_s=_RETRY_AFTER_S)
