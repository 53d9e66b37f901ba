"""Downloads that resume where they broke, are checked, and appear under their name only when complete."""

import asyncio
import os
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import google_crc32c
import grpc

from tablemill.errors import DamagedFileError, TablemillError, error_from_rpc, lost_stream
from tablemill.retrying import Backoff, RetryPolicy
from tablemill.v1 import data_service_pb2 as pb
from tablemill.v1 import data_service_pb2_grpc

_SILENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class DownloadResult:
    """A file that arrived whole; `media_type` says what it is, `revision` of which version (0: of none)."""

    path: Path
    size_bytes: int
    crc32c: int
    media_type: str
    revision: int


DownloadCallback = Callable[[int, int], None]


class PartFile:
    """The bytes received so far, in a hidden file beside the final one."""

    def __init__(self, directory: Path) -> None:
        descriptor, name = tempfile.mkstemp(prefix=".tablemill-", suffix=".part", dir=directory)
        self._file = os.fdopen(descriptor, "wb")
        self._path = Path(name)
        self.size_bytes = 0
        self.crc32c = 0

    def append(self, data: bytes) -> None:
        """Add bytes at the end."""
        self._file.write(data)
        self.crc32c = google_crc32c.extend(self.crc32c, data)
        self.size_bytes += len(data)

    def publish(self, path: Path) -> None:
        """Give the file its name; what had it before is replaced."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        # mkstemp makes files for the owner alone; a download has the usual permissions of a new file.
        umask = os.umask(0)
        os.umask(umask)
        self._path.chmod(0o666 & ~umask)
        self._path.replace(path)

    def discard(self) -> None:
        """Remove the file unless it was published."""
        self._file.close()
        with suppress(FileNotFoundError):
            self._path.unlink()


class Download:
    """One download on its way; `run` it once."""

    def __init__(
        self,
        stub: data_service_pb2_grpc.DataServiceStub,
        request: pb.ReadFileRequest,
        policy: RetryPolicy,
        on_progress: DownloadCallback,
    ) -> None:
        self._stub = stub
        self._request = request
        self._on_progress = on_progress
        self._backoff = Backoff(policy)
        self._info: pb.FileInfo | None = None

    async def run(self, path: Path) -> DownloadResult:
        """Fetch the file to `path`, or under the server's name for it when `path` is a directory.

        Raises:
            FileExistsError: `path` is a directory that holds a file of that name already.
            DamagedFileError: The bytes received are not those the server holds.
            TablemillError: The last failure, when resuming did not help.
        """
        return await save(path, self._fetch, self._request.record_id or self._request.export_job_id)

    async def _fetch(self, part: PartFile) -> pb.FileInfo:
        while True:
            try:
                return await self._read_stream(part)
            except TablemillError as error:
                if not error.transient:
                    raise
                await self._backoff.pause(error)

    async def _read_stream(self, part: PartFile) -> pb.FileInfo:
        # Once it has begun, a download goes on with the version it began with.
        if self._info and not self._request.export_job_id:
            self._request.revision = self._info.revision
        self._request.offset = part.size_bytes
        call = self._stub.ReadFile(self._request)
        try:
            while True:
                async with asyncio.timeout(_SILENCE_S):
                    message = await call.read()
                if not isinstance(message, pb.ReadFileResponse):
                    break
                await self._take(message, part)
        except grpc.aio.AioRpcError as error:
            raise error_from_rpc(error) from error
        except TimeoutError as error:
            raise lost_stream(f"nothing was received for {_SILENCE_S:g} s") from error
        finally:
            call.cancel()
        if self._info is None or part.size_bytes < self._info.size_bytes:
            raise lost_stream("the server ended the download before its end")
        return self._info

    async def _take(self, message: pb.ReadFileResponse, part: PartFile) -> None:
        if message.HasField("info"):
            if self._info is not None and self._info.crc32c != message.info.crc32c:
                raise DamagedFileError(
                    "FILE_CHANGED",
                    "the file changed while it was downloaded; download it again",
                    grpc.StatusCode.ABORTED,
                )
            self._info = message.info
        if message.offset != part.size_bytes:
            raise DamagedFileError(
                "OFFSET_MISMATCH",
                f"expected bytes from offset {part.size_bytes}, the server sent {message.offset}",
                grpc.StatusCode.DATA_LOSS,
            )
        if message.data:
            await asyncio.to_thread(part.append, message.data)
            self._backoff.note_progress()
        if self._info is not None:
            self._on_progress(part.size_bytes, self._info.size_bytes)


async def save(path: Path, fetch: Callable[[PartFile], Awaitable[pb.FileInfo]], fallback_name: str) -> DownloadResult:
    """Let `fetch` bring a file, check it, and only then give it its name; see `Download.run`."""
    into_directory = await asyncio.to_thread(path.is_dir)
    part = await asyncio.to_thread(PartFile, path if into_directory else path.parent)
    try:
        info = await fetch(part)
        if (part.size_bytes, part.crc32c) != (info.size_bytes, info.crc32c):
            raise DamagedFileError(
                "FILE_CRC_MISMATCH",
                f"received {part.size_bytes} bytes with CRC32C {part.crc32c:08x}, "
                f"expected {info.size_bytes} bytes with {info.crc32c:08x}; download it again",
                grpc.StatusCode.DATA_LOSS,
            )
        if into_directory:
            path = path / _safe_name(info.file_name, fallback_name)
            if await asyncio.to_thread(path.exists):
                raise FileExistsError(f"{path} exists already; name another path")
        await asyncio.to_thread(part.publish, path)
    finally:
        part.discard()
    return DownloadResult(path, info.size_bytes, info.crc32c, info.media_type, info.revision)


def _safe_name(name: str, fallback: str) -> str:
    """Return the last component of `name`: what a server calls a file never leaves the chosen directory."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1].lstrip(".")
    printable = "".join(letter for letter in last if letter.isprintable())
    return printable or fallback
