"""Receive a file: bytes first into the object store, then record and job in one transaction, then the answer."""

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass

import google_crc32c

from ingest_service import fields
from ingest_service.upload.admission import Admission
from ingest_service.upload.commit import Committer
from ingest_service.upload.content import SNIFF_BYTES, check_content
from ingest_service.upload.segments import SegmentWriter
from ingest_service.upload.stream import UploadStream
from shared import telemetry
from shared.errors import (
    Aborted,
    AlreadyExists,
    DataLoss,
    FailedPrecondition,
    InvalidArgument,
    OutOfRange,
    TablemillError,
    invalid_field,
)
from shared.records.uploads import EpochLost, Upload, UploadHeader, Uploads, UploadState
from shared.storage import ObjectStore, StoreError
from tablemill.v1 import ingest_service_pb2 as pb

_MAX_CHUNK_BYTES = 2 << 20
# What another stream of the same upload cannot mend.
_FINAL_REASONS = frozenset({"FILE_TOO_LARGE", "FILE_FORMAT_UNSUPPORTED", "FILE_CRC_MISMATCH"})

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class UploadLimits:
    """What an upload may take: bytes of a file, seconds without a message, bytes a second while the client sends."""

    max_file_bytes: int
    idle_s: float
    min_bytes_per_s: float


class UploadReceiver:
    """Receives uploads on this process."""

    def __init__(
        self, store: ObjectStore, uploads: Uploads, committer: Committer, admission: Admission, limits: UploadLimits
    ) -> None:
        self._store = store
        self._uploads = uploads
        self._committer = committer
        self._admission = admission
        self._limits = limits
        self._clean_ups: set[asyncio.Task[None]] = set()

    async def receive(self, owner: str, requests: AsyncIterator[pb.UploadFileRequest]) -> pb.UploadFileResponse:
        """Take one upload stream from header to finish; return once record and job are committed."""
        limits = self._limits
        stream = UploadStream(requests, idle_s=limits.idle_s, min_bytes_per_s=limits.min_bytes_per_s)
        with self._admission.admit(owner, stream):
            header = fields.upload_header(await stream.header())
            upload = await self._begin(owner, header)
            if upload.state is UploadState.COMMITTED:
                return _response(upload)
            return await self._receive_file(upload, stream)

    async def drain(self, grace_s: float) -> None:
        """Refuse new uploads; give open ones `grace_s` seconds, then end them as resumable."""
        await self._admission.drain(grace_s)
        await asyncio.gather(*self._clean_ups, return_exceptions=True)

    async def _begin(self, owner: str, header: UploadHeader) -> Upload:
        upload = await self._uploads.begin(owner, header)
        if not upload.describes(header):
            raise AlreadyExists(
                "REQUEST_ID_REUSED",
                "this request_id names another upload; use a new one for a new file",
                {"request_id": str(header.request_id)},
            )
        if upload.state is UploadState.REFUSED and upload.error is not None:
            raise FailedPrecondition(
                "UPLOAD_CLOSED",
                f"this upload was refused before: {upload.error['message']}; start anew with another request_id",
                {"refused_reason": upload.error["reason"]},
            )
        return upload

    async def _receive_file(self, upload: Upload, stream: UploadStream) -> pb.UploadFileResponse:
        writer = SegmentWriter(self._store, self._uploads, upload)
        try:
            await self._receive_bytes(stream, upload, writer)
            raw = await writer.seal(f"raw/{upload.record_id}-{upload.epoch}")
            await self._committer.commit(upload, raw)
        except EpochLost:
            return await self._answer_of_newer(upload, writer)
        except TablemillError as error:
            if error.reason in _FINAL_REASONS:
                await self._refuse(upload, writer, error)
            raise
        finally:
            await writer.close()
        self._clean_up(writer)
        return pb.UploadFileResponse(
            record_id=str(upload.record_id), job_id=str(upload.job_id), size_bytes=raw.size_bytes, crc32c=raw.crc32c
        )

    async def _receive_bytes(self, stream: UploadStream, upload: Upload, writer: SegmentWriter) -> None:
        self._check_size(upload, upload.declared_size_bytes or 0)
        start = b""
        while isinstance(part := await stream.chunk_or_finish(), pb.UploadChunk):
            data = part.data  # each access makes a copy
            stream.check_pace(len(data))
            crc32c = google_crc32c.value(data)
            self._check_chunk(part, data, crc32c, upload, writer)
            if writer.received_bytes < SNIFF_BYTES:
                start += data[:SNIFF_BYTES]
                check_content(start)
            await writer.write(data, crc32c)
            telemetry.UPLOAD_BYTES.inc(len(data))
        if part.size_bytes != writer.received_bytes:
            raise _size_mismatch(f"finish says {part.size_bytes} bytes", writer)
        if upload.declared_size_bytes not in {None, writer.received_bytes}:
            raise _size_mismatch(f"the header says {upload.declared_size_bytes} bytes", writer)
        if part.HasField("crc32c") and part.crc32c != writer.crc32c:
            raise DataLoss("FILE_CRC_MISMATCH", "the file's CRC32C differs from that of the bytes received")
        await stream.end()

    def _check_chunk(
        self, chunk: pb.UploadChunk, data: bytes, crc32c: int, upload: Upload, writer: SegmentWriter
    ) -> None:
        if not 1 <= len(data) <= _MAX_CHUNK_BYTES:
            raise invalid_field("chunk.data", "must be 1 byte to 2 MiB")
        if chunk.offset != writer.received_bytes:
            raise OutOfRange(
                "OFFSET_MISMATCH",
                f"chunk.offset is {chunk.offset}, expected {writer.received_bytes}",
                {"expected_offset": str(writer.received_bytes)},
            )
        if chunk.HasField("crc32c") and chunk.crc32c != crc32c:
            raise Aborted("CHUNK_CRC_MISMATCH", f"the chunk at {chunk.offset} arrived changed; resume the upload")
        self._check_size(upload, writer.received_bytes + len(data))

    def _check_size(self, upload: Upload, size_bytes: int) -> None:
        if size_bytes > self._limits.max_file_bytes:
            raise InvalidArgument(
                "FILE_TOO_LARGE",
                f"the file is larger than the limit of {self._limits.max_file_bytes} bytes",
                {"max_size_bytes": str(self._limits.max_file_bytes)},
            )
        if upload.declared_size_bytes is not None and size_bytes > upload.declared_size_bytes:
            raise OutOfRange(
                "SIZE_MISMATCH",
                f"more than the {upload.declared_size_bytes} bytes that the header says were sent",
                {"declared_size_bytes": str(upload.declared_size_bytes)},
            )

    async def _answer_of_newer(self, upload: Upload, writer: SegmentWriter) -> pb.UploadFileResponse:
        """A newer stream took the upload over. When it has stored the same file, its answer is ours too."""
        after = await self._uploads.read(upload.owner, upload.request_id)
        mine = (UploadState.COMMITTED, writer.received_bytes, writer.crc32c)
        if after is not None and (after.state, after.committed_bytes, after.committed_crc32c) == mine:
            return _response(after)
        raise Aborted("UPLOAD_SUPERSEDED", "a newer stream took this upload over, or it is closed; ask GetUpload")

    async def _refuse(self, upload: Upload, writer: SegmentWriter, error: TablemillError) -> None:
        verdict = {"reason": error.reason, "message": error.message, "metadata": error.metadata}
        await self._uploads.refuse(upload, verdict)
        await writer.close()
        self._clean_up(writer)

    def _clean_up(self, writer: SegmentWriter) -> None:
        task = asyncio.create_task(_discard(writer))
        self._clean_ups.add(task)
        task.add_done_callback(self._clean_ups.discard)


async def _discard(writer: SegmentWriter) -> None:
    try:
        await writer.discard()
    except StoreError:
        logger.warning("segments left behind for the sweeper")


def _size_mismatch(claim: str, writer: SegmentWriter) -> OutOfRange:
    return OutOfRange(
        "SIZE_MISMATCH",
        f"{claim}, {writer.received_bytes} were received",
        {"received_bytes": str(writer.received_bytes)},
    )


def _response(upload: Upload) -> pb.UploadFileResponse:
    return pb.UploadFileResponse(
        record_id=str(upload.record_id),
        job_id=str(upload.job_id),
        size_bytes=upload.committed_bytes,
        crc32c=upload.committed_crc32c,
    )
