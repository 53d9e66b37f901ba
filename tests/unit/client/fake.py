"""A server that misbehaves on request, on a real socket: the client's tests script it."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import google_crc32c
import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from tablemill.v1 import data_service_pb2, data_service_pb2_grpc, ingest_service_pb2_grpc
from tablemill.v1 import ingest_service_pb2 as pb
from tablemill.v1.job_pb2 import Job
from tablemill.v1.record_pb2 import ColumnProfile, Record

Context = grpc.aio.ServicerContext[Any, Any]


async def refuse(
    context: Context,
    code: grpc.StatusCode,
    reason: str = "",
    *,
    metadata: Mapping[str, str] | None = None,
    retry_after_s: float | None = None,
) -> NoReturn:
    """End a call as the real server does, with details; without a reason, as a broken connection does."""
    if not reason:
        await context.abort(code, "the connection broke")
    details = [any_pb2.Any(), any_pb2.Any()]
    details[0].Pack(error_details_pb2.ErrorInfo(reason=reason, domain="tablemill", metadata=metadata))
    if retry_after_s is None:
        del details[1]
    else:
        delay = duration_pb2.Duration(nanos=round(retry_after_s * 1e9))
        details[1].Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    status = status_pb2.Status(code=code.value[0], message=f"{reason}: {reason} in words", details=details)
    await context.abort_with_status(rpc_status.to_status(status))
    raise AssertionError("abort returns never")


@dataclass
class StoredUpload:
    """What the server holds of one upload."""

    data: bytearray = field(default_factory=bytearray)
    state: pb.UploadState.ValueType = pb.UPLOAD_STATE_ACTIVE
    file_name: str = ""
    error: pb.UploadError | None = None
    record_id: str = ""
    job_id: str = ""


@dataclass
class Fault:
    """Once a stream has brought `at_bytes`, keep only `kept_bytes` and end it with `strike`.

    While a client still writes, grpc.aio may replace the status by INTERNAL; `at_finish` strikes when it has
    written all, so the status surely arrives. `after_commit` loses the answer of a stored upload.
    """

    strike: Callable[[Context, StoredUpload], Awaitable[None]]
    at_bytes: int = 0
    kept_bytes: int = 0
    at_finish: bool = False
    after_commit: bool = False


@dataclass
class UploadStream:
    """What one UploadFile call brought."""

    header: pb.UploadHeader
    offsets: list[int] = field(default_factory=list)
    chunk_sizes: list[int] = field(default_factory=list)
    finish: pb.UploadFinish | None = None


class FakeIngest(ingest_service_pb2_grpc.IngestServiceServicer):
    """Stores uploads in memory and plays watches from a script."""

    def __init__(self) -> None:
        self.uploads: dict[str, StoredUpload] = {}
        self.streams: list[UploadStream] = []
        self.faults: list[Fault] = []
        self.unavailable_answers = 0
        self.jobs: dict[str, Job] = {}
        self.records: dict[str, Record] = {}
        self.watches: list[Callable[[Context], AsyncIterator[pb.WatchStatusResponse]]] = []
        self.watch_requests: list[pb.WatchStatusRequest] = []
        self.watch_ended = asyncio.Event()

    async def UploadFile(self, request_iterator: Any, context: Context) -> pb.UploadFileResponse:
        header = (await anext(aiter(request_iterator))).header
        stream = UploadStream(header)
        self.streams.append(stream)
        fault = self.faults.pop(0) if self.faults else None
        upload = self.uploads.setdefault(header.request_id, StoredUpload(file_name=header.file_name))
        if upload.file_name != header.file_name:
            await refuse(context, grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")
        if upload.state != pb.UPLOAD_STATE_COMMITTED:
            await self._receive(request_iterator, context, stream, upload, fault)
        crc32c = google_crc32c.value(bytes(upload.data))
        if fault and fault.after_commit:
            await fault.strike(context, upload)
        return pb.UploadFileResponse(
            record_id=upload.record_id, job_id=upload.job_id, size_bytes=len(upload.data), crc32c=crc32c
        )

    async def _receive(
        self, messages: Any, context: Context, stream: UploadStream, upload: StoredUpload, fault: Fault | None
    ) -> None:
        early = None if fault and (fault.at_finish or fault.after_commit) else fault
        if early and not early.at_bytes:
            await early.strike(context, upload)
        async for message in messages:
            if message.HasField("finish"):
                stream.finish = message.finish
                break
            chunk = message.chunk
            stream.offsets.append(chunk.offset)
            stream.chunk_sizes.append(len(chunk.data))
            if chunk.offset != len(upload.data):
                await refuse(context, grpc.StatusCode.OUT_OF_RANGE, "OFFSET_MISMATCH")
            assert chunk.crc32c == google_crc32c.value(chunk.data)
            upload.data += chunk.data
            if early and len(upload.data) >= early.at_bytes:
                del upload.data[early.kept_bytes :]
                await early.strike(context, upload)
        if fault and fault.at_finish:
            del upload.data[fault.kept_bytes :]
            await fault.strike(context, upload)
        if stream.finish is None:
            await refuse(context, grpc.StatusCode.INVALID_ARGUMENT, "UPLOAD_PROTOCOL")
            return
        if (stream.finish.size_bytes, stream.finish.crc32c) != (
            len(upload.data),
            google_crc32c.value(bytes(upload.data)),
        ):
            await refuse(context, grpc.StatusCode.DATA_LOSS, "FILE_CRC_MISMATCH")
        upload.state = pb.UPLOAD_STATE_COMMITTED
        upload.record_id, upload.job_id = str(uuid.uuid4()), str(uuid.uuid4())

    async def GetUpload(self, request: pb.GetUploadRequest, context: Context) -> pb.GetUploadResponse:
        if self.unavailable_answers:
            self.unavailable_answers -= 1
            await refuse(context, grpc.StatusCode.UNAVAILABLE, "SERVER_DRAINING", retry_after_s=0.001)
        if request.request_id not in self.uploads:
            await refuse(context, grpc.StatusCode.NOT_FOUND, "UPLOAD_NOT_FOUND")
        upload = self.uploads[request.request_id]
        answer = pb.Upload(
            request_id=request.request_id,
            state=upload.state,
            committed_size_bytes=len(upload.data),
            record_id=upload.record_id,
            job_id=upload.job_id,
            error=upload.error,
        )
        return pb.GetUploadResponse(upload=answer)

    async def WatchStatus(
        self, request: pb.WatchStatusRequest, context: Context
    ) -> AsyncIterator[pb.WatchStatusResponse]:
        self.watch_requests.append(request)
        script = self.watches.pop(0)
        try:
            async for message in script(context):
                yield message
        finally:
            self.watch_ended.set()

    async def GetJob(self, request: pb.GetJobRequest, context: Context) -> pb.GetJobResponse:
        if request.job_id not in self.jobs:
            await refuse(context, grpc.StatusCode.NOT_FOUND, "JOB_NOT_FOUND")
        return pb.GetJobResponse(job=self.jobs[request.job_id])

    async def GetRecord(self, request: pb.GetRecordRequest, context: Context) -> pb.GetRecordResponse:
        if request.record_id not in self.records:
            await refuse(context, grpc.StatusCode.NOT_FOUND, "RECORD_NOT_FOUND")
        return pb.GetRecordResponse(record=self.records[request.record_id])

    async def ListRecords(self, request: pb.ListRecordsRequest, context: Context) -> pb.ListRecordsResponse:
        first = int(request.page_token or 0)
        records = list(self.records.values())
        page = records[first : first + request.page_size]
        more = first + len(page) < len(records)
        return pb.ListRecordsResponse(records=page, next_page_token=str(first + len(page)) if more else "")


class FakeData(data_service_pb2_grpc.DataServiceServicer):
    """Serves one file, one page and one profile."""

    def __init__(self) -> None:
        self.content = b""
        self.crc32c: int | None = None
        self.file_name = "clean.parquet"
        self.breaks_at: list[int] = []
        self.offsets: list[int] = []
        self.page = data_service_pb2.PreviewRecordResponse()
        self.columns: Sequence[ColumnProfile] = ()
        self.row_messages: Sequence[data_service_pb2.ReadRowsResponse] = ()
        self.export_job: Job | None = None
        self.export_requests: list[data_service_pb2.ExportRecordRequest] = []
        self.row_requests: list[data_service_pb2.ReadRowsRequest] = []

    async def ReadRows(
        self, request: data_service_pb2.ReadRowsRequest, context: Context
    ) -> AsyncIterator[data_service_pb2.ReadRowsResponse]:
        """Play the messages whose rows come after the offset; break after as many as `breaks_at` says."""
        self.row_requests.append(request)
        limit = self.breaks_at.pop(0) if self.breaks_at else None
        schema, *batches = self.row_messages
        later = [message for message in batches if message.next_row_offset > request.row_offset]
        for sent, message in enumerate([schema, *later]):
            if sent == limit:
                await refuse(context, grpc.StatusCode.UNAVAILABLE, "SERVER_DRAINING", retry_after_s=0.001)
            yield message

    async def ReadFile(
        self, request: data_service_pb2.ReadFileRequest, context: Context
    ) -> AsyncIterator[data_service_pb2.ReadFileResponse]:
        self.offsets.append(request.offset)
        limit = self.breaks_at.pop(0) if self.breaks_at else None
        crc32c = google_crc32c.value(self.content) if self.crc32c is None else self.crc32c
        info = data_service_pb2.FileInfo(
            size_bytes=len(self.content), crc32c=crc32c, media_type="test/x", file_name=self.file_name
        )
        yield data_service_pb2.ReadFileResponse(offset=request.offset, info=info)
        for offset in range(request.offset, len(self.content), 1000):
            if limit is not None and offset >= limit:
                await refuse(context, grpc.StatusCode.UNAVAILABLE, "SERVER_DRAINING", retry_after_s=0.001)
            data = self.content[offset : offset + 1000]
            yield data_service_pb2.ReadFileResponse(offset=offset, data=data)

    async def ExportRecord(
        self, request: data_service_pb2.ExportRecordRequest, context: Context
    ) -> AsyncIterator[data_service_pb2.ExportRecordResponse]:
        self.export_requests.append(request)
        if self.export_job is not None:
            yield data_service_pb2.ExportRecordResponse(job=self.export_job)
            return
        async for part in self.ReadFile(data_service_pb2.ReadFileRequest(), context):
            info = part.info if part.HasField("info") else None
            yield data_service_pb2.ExportRecordResponse(data=part.data, offset=part.offset, info=info)

    async def CreateDownloadUrl(
        self, request: data_service_pb2.CreateDownloadUrlRequest, context: Context
    ) -> data_service_pb2.CreateDownloadUrlResponse:
        return data_service_pb2.CreateDownloadUrlResponse(url=f"https://test/{request.record_id}")

    async def PreviewRecord(
        self, request: data_service_pb2.PreviewRecordRequest, context: Context
    ) -> data_service_pb2.PreviewRecordResponse:
        if request.row_offset > self.page.row_count:
            await refuse(context, grpc.StatusCode.OUT_OF_RANGE, "ROW_OUT_OF_RANGE", metadata={"rows": "2"})
        return self.page

    async def GetProfile(
        self, request: data_service_pb2.GetProfileRequest, context: Context
    ) -> data_service_pb2.GetProfileResponse:
        first = int(request.page_token or 0)
        page = self.columns[first : first + request.page_size]
        more = first + len(page) < len(self.columns)
        return data_service_pb2.GetProfileResponse(columns=page, next_page_token=str(first + len(page)) if more else "")


@dataclass
class FakeServer:
    """Both services on one port."""

    ingest: FakeIngest
    data: FakeData
    address: str
