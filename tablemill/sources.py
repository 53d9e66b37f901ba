"""What an upload reads from: a file, which can be read again, or a stream of bytes, which cannot."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable
from pathlib import Path
from typing import BinaryIO

import google_crc32c

# Larger ones cost the server less; this one comes within its idle limit of 30 s at 18 KiB a second.
CHUNK_BYTES = 512 * 1024
_READ_BYTES = 2 * CHUNK_BYTES


class FileSource:
    """A file: an upload of it can be resumed at any offset."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.size_bytes: int | None = path.stat().st_size
        self.resumable = True

    async def crc32c_until(self, offset: int) -> int:
        """Return the CRC32C of the first `offset` bytes."""
        return await asyncio.to_thread(self._crc32c_until, offset) if offset else 0

    async def chunks(self, offset: int) -> AsyncGenerator[bytes]:
        """Yield the bytes from `offset` on, in chunks of 512 KiB."""
        file = await asyncio.to_thread(self._open_at, offset)
        try:
            while data := await asyncio.to_thread(file.read, _READ_BYTES):
                for start in range(0, len(data), CHUNK_BYTES):
                    yield data[start : start + CHUNK_BYTES]
        finally:
            file.close()

    def _open_at(self, offset: int) -> BinaryIO:
        file = self._path.open("rb")
        file.seek(offset)
        return file

    def _crc32c_until(self, offset: int) -> int:
        crc32c = 0
        with self._path.open("rb") as file:
            while offset > 0 and (data := file.read(min(_READ_BYTES, offset))):
                crc32c = google_crc32c.extend(crc32c, data)
                offset -= len(data)
        return crc32c


class StreamSource:
    """Bytes that come once: an upload of them cannot be resumed."""

    def __init__(self, pieces: AsyncIterable[bytes]) -> None:
        self._pieces = pieces
        self.size_bytes: int | None = None
        self.resumable = False

    async def crc32c_until(self, offset: int) -> int:
        """Return the CRC32C of nothing: a stream is only ever read from its start, so `offset` must be 0."""
        if offset:
            raise ValueError("a stream of bytes cannot be read again from an offset")
        return 0

    async def chunks(self, offset: int) -> AsyncGenerator[bytes]:
        """Yield the bytes, with long pieces cut into chunks of 512 KiB; `offset` must be 0."""
        if offset:
            raise ValueError("a stream of bytes cannot be read again from an offset")
        async for piece in self._pieces:
            for start in range(0, len(piece), CHUNK_BYTES):
                yield piece[start : start + CHUNK_BYTES]


Source = FileSource | StreamSource
