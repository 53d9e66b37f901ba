"""A TCP proxy that cuts or freezes connections, as networks do."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

# Is given what is about to pass on one connection, and whether it goes to the server. Returns how many of the bytes
# may pass: when that is not all of them, the connection is reset after those.
Gate = Callable[[bool, bytes], int]


def open_gate() -> Gate:
    """Return a gate that lets everything pass."""
    return lambda _to_server, data: len(data)


def cut_after(size_bytes: int) -> Gate:
    """Return a gate that lets so many bytes pass, both directions counted together."""
    left_bytes = size_bytes

    def passing(_to_server: bool, data: bytes) -> int:
        nonlocal left_bytes
        allowed = min(left_bytes, len(data))
        left_bytes -= allowed
        return allowed

    return passing


class Proxy:
    """Forwards connections to `target`: "host:port", or the path of a Unix socket.

    `cut` resets the connections that are open; `freeze` makes them fall silent without closing them. Later
    connections work. Each gets a gate of its own from `make_gate`.
    """

    def __init__(self, target: str | Path, make_gate: Callable[[], Gate] = open_gate) -> None:
        self._target = target
        self._make_gate = make_gate
        self._tasks: set[asyncio.Task[None]] = set()
        self._open: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._generation = 0
        self.connections = 0
        self.cuts = 0
        self.address = ""

    async def __aenter__(self) -> "Proxy":
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.cut()

    def cut(self) -> None:
        """Reset the connections that are open now."""
        for ends in list(self._open):
            self._reset(ends)

    def freeze(self) -> None:
        """Forward nothing more on the connections that are open now."""
        self._generation += 1

    def _reset(self, ends: tuple[asyncio.StreamWriter, asyncio.StreamWriter]) -> None:
        if ends in self._open:
            self._open.remove(ends)
            self.cuts += 1
            for writer in ends:
                writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            up_reader, up_writer = await self._connect()
        except OSError:
            writer.transport.abort()  # nobody serves there now
            return
        ends, gate = (writer, up_writer), self._make_gate()
        self._open.add(ends)
        for source, to_server in ((reader, True), (up_reader, False)):
            task = asyncio.create_task(self._forward(source, ends, gate, to_server=to_server))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self._target, Path):
            return await asyncio.open_unix_connection(self._target)
        host, port = self._target.rsplit(":", 1)
        return await asyncio.open_connection(host, int(port))

    async def _forward(
        self,
        source: asyncio.StreamReader,
        ends: tuple[asyncio.StreamWriter, asyncio.StreamWriter],
        gate: Gate,
        *,
        to_server: bool,
    ) -> None:
        sink, generation = ends[to_server], self._generation
        with suppress(ConnectionError):
            while data := await source.read(65536):
                if generation != self._generation:
                    continue
                allowed = gate(to_server, data)
                sink.write(data[:allowed])
                await sink.drain()
                if allowed < len(data):
                    self._reset(ends)
                    return
        sink.close()
        if all(writer.is_closing() for writer in ends):
            self._open.discard(ends)
