"""IngestService: checks what is asked, asks the room that knows, and says it in messages."""

from collections.abc import AsyncIterator
from typing import Any

from ingest_service import fields, messages
from ingest_service.auth import owner_of
from ingest_service.found import found_version
from ingest_service.paging import decode_token, encode_token
from ingest_service.upload.receiver import UploadReceiver
from ingest_service.watch.hub import WatchHub
from ingest_service.watch.targets import targets_of
from shared.errors import NotFound
from shared.jobs.queue import JobQueue
from shared.records.records import Records
from shared.records.uploads import Uploads
from tablemill.v1 import ingest_service_pb2 as pb
from tablemill.v1 import ingest_service_pb2_grpc as pb_grpc

_HEARTBEAT_S, _MIN_HEARTBEAT_S, _MAX_HEARTBEAT_S = 15.0, 5.0, 60.0
_PAGE, _MAX_PAGE = 50, 500


class IngestServicer(pb_grpc.IngestServiceServicer):
    """Answers tablemill.v1.IngestService; the protos say what each method promises."""

    def __init__(
        self, receiver: UploadReceiver, hub: WatchHub, uploads: Uploads, jobs: JobQueue, records: Records
    ) -> None:
        self._receiver = receiver
        self._hub = hub
        self._uploads = uploads
        self._jobs = jobs
        self._records = records

    async def UploadFile(  # noqa: D102, N802
        self, request_iterator: AsyncIterator[pb.UploadFileRequest], context: Any
    ) -> pb.UploadFileResponse:
        return await self._receiver.receive(owner_of(context), request_iterator)

    async def GetUpload(self, request: pb.GetUploadRequest, context: Any) -> pb.GetUploadResponse:  # noqa: D102, N802
        upload = await self._uploads.read(owner_of(context), fields.uuid_field("request_id", request.request_id))
        if upload is None:
            raise NotFound("UPLOAD_NOT_FOUND", "no such upload")
        return pb.GetUploadResponse(upload=messages.upload_message(upload))

    def WatchStatus(  # type: ignore[override]  # noqa: D102, N802  # bytes: see the guard
        self, request: pb.WatchStatusRequest, context: Any
    ) -> AsyncIterator[bytes]:
        heartbeat_s = _HEARTBEAT_S
        if request.HasField("heartbeat_interval"):
            asked_s = request.heartbeat_interval.ToMilliseconds() / 1000
            heartbeat_s = min(max(asked_s, _MIN_HEARTBEAT_S), _MAX_HEARTBEAT_S)
        return self._hub.watch(owner_of(context), targets_of(request), heartbeat_s)

    async def GetJob(self, request: pb.GetJobRequest, context: Any) -> pb.GetJobResponse:  # noqa: D102, N802
        jobs = await self._jobs.read(owner_of(context), [fields.uuid_field("job_id", request.job_id)])
        if not jobs:
            raise NotFound("JOB_NOT_FOUND", "no such job")
        attempts = [messages.attempt_message(attempt) for attempt in jobs[0].history]
        return pb.GetJobResponse(job=messages.job_message(jobs[0]), failed_attempts=attempts)

    async def GetRecord(self, request: pb.GetRecordRequest, context: Any) -> pb.GetRecordResponse:  # noqa: D102, N802
        revision = fields.not_negative("revision", request.revision)
        record_id = fields.uuid_field("record_id", request.record_id)
        record = found_version(await self._records.read(owner_of(context), record_id, revision), revision)
        return pb.GetRecordResponse(record=messages.record_message(record))

    async def ListRecords(  # noqa: D102, N802
        self, request: pb.ListRecordsRequest, context: Any
    ) -> pb.ListRecordsResponse:
        limit = fields.page_limit("page_size", request.page_size, default=_PAGE, most=_MAX_PAGE)
        before = None
        if request.page_token:
            before = fields.uuid_field("page_token", decode_token("records", request.page_token))
        # One more than asked for tells whether a next page exists.
        found = await self._records.list(owner_of(context), before=before, limit=limit + 1)
        page = found[:limit]
        more = len(found) > limit
        return pb.ListRecordsResponse(
            records=[messages.record_message(record) for record in page],
            next_page_token=encode_token("records", str(page[-1].record_id)) if more else "",
        )
