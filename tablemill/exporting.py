"""Exports: a small one comes at once, for a large one there is a job to wait for."""

import asyncio
from pathlib import Path

import grpc

from tablemill.downloading import DownloadCallback, DownloadResult, PartFile, save
from tablemill.errors import TablemillError, error_from_rpc, lost_stream
from tablemill.retrying import Backoff, RetryPolicy
from tablemill.v1 import data_service_pb2 as pb
from tablemill.v1 import data_service_pb2_grpc
from tablemill.v1.job_pb2 import Job

_SILENCE_S = 60.0
_FORMATS = {
    "xlsx": pb.EXPORT_FORMAT_XLSX,
    "csv": pb.EXPORT_FORMAT_CSV,
    "parquet": pb.EXPORT_FORMAT_PARQUET,
}


def export_request(record_id: str, file_format: str, request_id: str, revision: int) -> pb.ExportRecordRequest:
    """Return a request. Raises ValueError for a format that is none."""
    if file_format not in _FORMATS:
        raise ValueError(f"there is no format {file_format!r}; there are {', '.join(_FORMATS)}")
    return pb.ExportRecordRequest(
        record_id=record_id, format=_FORMATS[file_format], request_id=request_id, revision=revision
    )


class Export:
    """One export on its way; `run` it once."""

    def __init__(
        self,
        stub: data_service_pb2_grpc.DataServiceStub,
        request: pb.ExportRecordRequest,
        policy: RetryPolicy,
        on_progress: DownloadCallback,
    ) -> None:
        self._stub = stub
        self._request = request
        self._on_progress = on_progress
        self._backoff = Backoff(policy)
        self._info = pb.FileInfo()
        self._data: list[bytes] = []

    async def begin(self) -> Job | None:
        """Ask for the file; return the job that makes it, or None when it has come with the answer.

        Raises:
            TablemillError: The last failure; asking again is safe, since the request has an id.
        """
        while True:
            try:
                return await self._ask()
            except TablemillError as error:
                if not error.transient:
                    raise
                await self._backoff.pause(error)

    async def save(self, path: Path) -> DownloadResult:
        """Write the file that came with the answer; raises as a download does."""
        return await save(path, self._fetch, self._request.record_id)

    async def _ask(self) -> Job | None:
        self._data = []
        call = self._stub.ExportRecord(self._request)
        try:
            while True:
                async with asyncio.timeout(_SILENCE_S):
                    message = await call.read()
                if not isinstance(message, pb.ExportRecordResponse):
                    break
                if message.HasField("job"):
                    return message.job
                if message.HasField("info"):
                    self._info = message.info
                self._data.append(message.data)
        except grpc.aio.AioRpcError as error:
            raise error_from_rpc(error) from error
        except TimeoutError as error:
            raise lost_stream(f"nothing was received for {_SILENCE_S:g} s") from error
        finally:
            call.cancel()
        return None

    async def _fetch(self, part: PartFile) -> pb.FileInfo:
        for data in self._data:
            await asyncio.to_thread(part.append, data)
            self._on_progress(part.size_bytes, self._info.size_bytes)
        return self._info
