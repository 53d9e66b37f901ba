"""The protocol of an upload stream: header, chunks, finish; every message in time and in order."""

import asyncio
from collections.abc import AsyncIterator

from shared.errors import InvalidArgument, Unavailable
from tablemill.v1 import ingest_service_pb2 as pb

_FIRST_MESSAGE_S = 10.0
_RETRY_AFTER_S = 1.0


class UploadStream:
    """Reads one upload's messages. `interrupt()` ends it early, when the server goes away."""

    def __init__(self, requests: AsyncIterator[pb.UploadFileRequest], *, idle_s: float, min_bytes_per_s: float) -> None:
        self._requests = aiter(requests)
        self._idle_s = idle_s
        self._min_bytes = min_bytes_per_s * idle_s
        self._window_s = 0.0
        self._window_bytes = 0
        self._waiting: asyncio.Task[object] | None = None
        self._due_s = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._too_long = self._interrupted = False

    async def header(self) -> pb.UploadHeader:
        """Return the header. Raises InvalidArgument when something else comes first."""
        message = await self._next(min(_FIRST_MESSAGE_S, self._idle_s))
        if message is None or message.WhichOneof("part") != "header":
            raise _protocol_error("the first message of an upload must be its header")
        return message.header

    async def chunk_or_finish(self) -> pb.UploadChunk | pb.UploadFinish:
        """Return what comes next. Raises InvalidArgument for a second header, or when the stream just ends."""
        message = await self._next(self._idle_s)
        match message and message.WhichOneof("part"):
            case "chunk":
                return message.chunk  # type: ignore[union-attr]
            case "finish":
                return message.finish  # type: ignore[union-attr]
            case "header":
                raise _protocol_error("the header was sent twice")
        raise _protocol_error("the stream ended without finish; resume it with the same request_id")

    async def end(self) -> None:
        """Wait for the end of the stream. Raises InvalidArgument when something follows finish."""
        if await self._next(self._idle_s) is not None:
            raise _protocol_error("nothing may follow finish")

    def check_pace(self, size_bytes: int) -> None:
        """Count bytes that came. Raises Unavailable below the least rate, over windows of time spent waiting for the
        client: what it waited for us does not count.
        """
        self._window_bytes += size_bytes
        if self._window_s < self._idle_s:
            return
        if self._window_bytes < self._min_bytes:
            raise Unavailable(
                "UPLOAD_IDLE",
                f"only {self._window_bytes} bytes arrived in {self._window_s:.0f} s; resume the upload",
                retry_after_s=_RETRY_AFTER_S,
            )
        self._window_s, self._window_bytes = 0.0, 0

    def interrupt(self) -> None:
        """Make the next wait for a message end as UNAVAILABLE, also one that has begun."""
        self._interrupted = True
        self._due_s = 0.0
        if self._timer is not None:
            self._timer.cancel()
        self._look()

    async def _next(self, within_s: float) -> pb.UploadFileRequest | None:
        clock = asyncio.get_running_loop().time
        since_s = clock()
        self._waiting = task = asyncio.current_task()
        self._due_s = since_s + (0 if self._interrupted else within_s)
        if self._timer is None:
            self._look()
        try:
            return await anext(self._requests, None)
        except asyncio.CancelledError:
            if task is None or not self._too_long or task.uncancel():
                raise
            raise self._too_late(within_s) from None
        finally:
            self._waiting = None
            self._window_s += clock() - since_s

    def _look(self) -> None:
        """Cancel the wait if it is too long, else look again when it would be.

        One timer a stream: asyncio.timeout around each message would cost more than its checksum.
        """
        self._timer = None
        if self._waiting is None:
            return
        loop = asyncio.get_running_loop()
        if self._due_s > loop.time():
            self._timer = loop.call_at(self._due_s, self._look)
        else:
            self._too_long = True
            self._waiting.cancel()

    def _too_late(self, within_s: float) -> Unavailable:
        if self._interrupted:
            return Unavailable(
                "SERVER_DRAINING", "this server goes away; resume on another", retry_after_s=_RETRY_AFTER_S
            )
        return Unavailable(
            "UPLOAD_IDLE", f"nothing arrived for {within_s:g} s; resume the upload", retry_after_s=_RETRY_AFTER_S
        )


def _protocol_error(message: str) -> InvalidArgument:
    return InvalidArgument("UPLOAD_PROTOCOL", message)
