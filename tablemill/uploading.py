"""Uploads that survive broken streams.

One upload is one `request_id`, however many streams it takes. After any failure GetUpload has the last word: the
answer may have been lost although the file was stored, and the status that a client sees of a refused stream
is not always the server's.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import timedelta

import google_crc32c
import grpc

from tablemill.errors import NotFoundError, RefusedError, TablemillError, error_from_rpc, lost_stream
from tablemill.retrying import Backoff, RetryPolicy
from tablemill.sources import Source
from tablemill.v1 import ingest_service_pb2 as pb
from tablemill.v1 import ingest_service_pb2_grpc

_STALL_S = 60.0
_ANSWER_S = 300.0
_REFUSAL_S = 0.2
# Refusals of a stream, not of the upload: the next stream, from the committed offset, mends them.
# OFFSET_MISMATCH happens when the stream that broke still committed something after GetUpload was asked.
_MENDED_BY_RESUME = frozenset({"CHUNK_CRC_MISMATCH", "OFFSET_MISMATCH"})


@dataclass(frozen=True, slots=True)
class UploadResult:
    """A stored upload: the record made for it and the job that will mill it."""

    record_id: str
    job_id: str
    size_bytes: int
    crc32c: int


@dataclass(frozen=True, slots=True)
class UploadProgress:
    """How far an upload is; `error` is set when the stream broke and the upload is about to be resumed."""

    sent_bytes: int
    total_bytes: int | None
    failures: int = 0
    error: TablemillError | None = None


ProgressCallback = Callable[[UploadProgress], None]


@dataclass(frozen=True, slots=True)
class UploadPlan:
    """What to upload, under which name."""

    source: Source
    request_id: str
    file_name: str
    labels: Mapping[str, str]
    options: pb.ReadOptions | None
    ttl_s: float | None

    def header(self) -> pb.UploadFileRequest:
        """Return the first message of every stream of this upload."""
        header = pb.UploadHeader(
            request_id=self.request_id,
            file_name=self.file_name,
            size_bytes=self.source.size_bytes,
            labels=self.labels,
            options=self.options,
        )
        if self.ttl_s is not None:
            header.ttl.FromTimedelta(timedelta(seconds=self.ttl_s))
        return pb.UploadFileRequest(header=header)


class Upload:
    """One upload on its way; `run` it once."""

    def __init__(
        self,
        stub: ingest_service_pb2_grpc.IngestServiceStub,
        plan: UploadPlan,
        policy: RetryPolicy,
        on_progress: ProgressCallback,
    ) -> None:
        self._stub = stub
        self._plan = plan
        self._on_progress = on_progress
        self._backoff = Backoff(policy)
        self._committed_bytes = 0
        self._has_failed = False

    async def run(self, *, begun: bool) -> UploadResult:
        """Send the file, resuming as often as the policy allows.

        Args:
            begun: True when an earlier process may have begun this upload.

        Raises:
            RefusedError: The server will not take this file.
            TablemillError: The last failure, when resuming did not help or the source cannot be read again.
        """
        messages = self._messages
        if begun and self._plan.source.resumable:
            self._committed_bytes = (await self._ask()).committed_size_bytes
        while True:
            try:
                return await self._exchange(messages())
            except grpc.aio.AioRpcError as error:
                failure = error_from_rpc(error)
            except TimeoutError:
                failure = lost_stream("the server took no more bytes of the upload")
            is_stored = await self._recover(failure)
            messages = self._header_only if is_stored else self._messages

    async def _exchange(self, messages: AsyncGenerator[pb.UploadFileRequest]) -> UploadResult:
        """Send one stream and return its answer."""
        call = self._stub.UploadFile()
        try:
            async with aclosing(messages):
                async for message in messages:
                    async with asyncio.timeout(_STALL_S):
                        await call.write(message)
                    if message.HasField("header") and self._has_failed:
                        await _hear_refusal(call)
            await call.done_writing()
        except (asyncio.InvalidStateError, grpc.aio.InternalError):
            pass  # the server has ended the stream already: its status or its answer comes below
        except BaseException:
            call.cancel()
            raise
        async with asyncio.timeout(_ANSWER_S):
            answer = await call
        return UploadResult(answer.record_id, answer.job_id, answer.size_bytes, answer.crc32c)

    async def _header_only(self) -> AsyncGenerator[pb.UploadFileRequest]:
        """Yield what makes the server repeat the answer of a stored upload, if it is this very file."""
        yield self._plan.header()

    async def _messages(self) -> AsyncGenerator[pb.UploadFileRequest]:
        offset = self._committed_bytes
        crc32c = await self._plan.source.crc32c_until(offset)
        yield self._plan.header()
        self._on_progress(UploadProgress(offset, self._plan.source.size_bytes))
        async with aclosing(self._plan.source.chunks(offset)) as chunks:
            async for data in chunks:
                chunk = pb.UploadChunk(offset=offset, data=data, crc32c=google_crc32c.value(data))
                yield pb.UploadFileRequest(chunk=chunk)
                crc32c = google_crc32c.extend(crc32c, data)
                offset += len(data)
                self._on_progress(UploadProgress(offset, self._plan.source.size_bytes))
        yield pb.UploadFileRequest(finish=pb.UploadFinish(size_bytes=offset, crc32c=crc32c))

    async def _recover(self, failure: TablemillError) -> bool:
        """Prepare for another stream, or raise what is final; True when the file turns out to be stored."""
        if not failure.transient and failure.reason not in _MENDED_BY_RESUME:
            raise failure
        # The pause comes first: the server may still be storing what it received of the stream that broke.
        await self._pause(failure)
        upload = await self._ask()
        if upload.state == pb.UPLOAD_STATE_REFUSED:
            error = upload.error
            raise RefusedError(
                error.reason, error.message, grpc.StatusCode.FAILED_PRECONDITION, error.metadata
            ) from failure
        is_stored = upload.state == pb.UPLOAD_STATE_COMMITTED
        if not is_stored and not self._plan.source.resumable:
            raise failure
        if upload.committed_size_bytes > self._committed_bytes:
            self._backoff.note_progress()
        self._committed_bytes = upload.committed_size_bytes
        return is_stored

    async def _ask(self) -> pb.Upload:
        """Return what the server knows of the upload: nothing, when its header never arrived."""
        while True:
            try:
                request = pb.GetUploadRequest(request_id=self._plan.request_id)
                return (await self._stub.GetUpload(request)).upload
            except grpc.aio.AioRpcError as error:
                failure = error_from_rpc(error)
            if isinstance(failure, NotFoundError):
                return pb.Upload()
            if not failure.transient:
                raise failure
            await self._pause(failure)

    async def _pause(self, error: TablemillError) -> None:
        self._has_failed = True
        progress = UploadProgress(
            self._committed_bytes, self._plan.source.size_bytes, self._backoff.failures + 1, error
        )
        self._on_progress(progress)
        await self._backoff.pause(error)


async def _hear_refusal(call: grpc.aio.StreamUnaryCall[pb.UploadFileRequest, pb.UploadFileResponse]) -> None:
    """Give the server a moment to refuse the header of a resumed stream.

    grpc.aio replaces the server's status by INTERNAL when a write fails because of it (grpc/grpc#36066). The
    first stream runs that risk for the sake of speed; the next one stays quiet until the status would be here.
    """
    status = asyncio.create_task(call.code())
    await asyncio.wait({status}, timeout=_REFUSAL_S)
    status.cancel()
