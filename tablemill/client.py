"""A small typed client for asyncio."""

import asyncio
import uuid
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable, Mapping
from contextlib import aclosing
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

import grpc

from tablemill.actions import Actions
from tablemill.channel import open_channel
from tablemill.downloading import Download, DownloadCallback, DownloadResult
from tablemill.errors import RefusedError, TablemillError, answer_of
from tablemill.exporting import Export, export_request
from tablemill.operations import Operations
from tablemill.record_reads import RecordReads
from tablemill.retrying import RetryPolicy
from tablemill.sources import FileSource, StreamSource
from tablemill.uploading import ProgressCallback, Upload, UploadPlan, UploadResult
from tablemill.v1 import data_service_pb2, data_service_pb2_grpc, ingest_service_pb2, ingest_service_pb2_grpc
from tablemill.v1.ingest_service_pb2 import ReadOptions
from tablemill.v1.job_pb2 import JOB_STATE_SUCCEEDED, Job, JobState
from tablemill.v1.record_pb2 import Record
from tablemill.watching import MAX_OPENING, RetryCallback, TokenCallback, Watch, WatchPlan

DEFAULT_HEARTBEAT_S = 15.0


def _ignore(*_progress: object) -> None:
    """Take a report of progress that nobody asked for."""


class TablemillClient(RecordReads):
    """A connection to Tablemill. Use it as a context manager, in one event loop:

        async with TablemillClient("localhost:50051") as client:
            upload = await client.upload(Path("patients.xlsx"))
            async for job in client.watch([upload.job_id]):
                print(job.state, job.progress.stage)
            page = await client.preview(upload.record_id)

    Every method raises a `TablemillError` (see `tablemill.errors`) when the server refuses or cannot be
    reached. Reads are retried by the channel; uploads, watches and downloads resume by themselves within
    `retry`. `actions` changes clean data, `operations` is the operators' side.
    """

    def __init__(self, address: str, *, retry: RetryPolicy | None = None) -> None:
        self._address = address
        self._retry = retry or RetryPolicy()

    async def __aenter__(self) -> Self:
        self._channel = open_channel(self._address)
        self._opening = asyncio.Semaphore(MAX_OPENING)
        self._ingest = ingest_service_pb2_grpc.IngestServiceStub(self._channel)
        self._data = data_service_pb2_grpc.DataServiceStub(self._channel)
        self.actions = Actions(self._channel)
        self.operations = Operations(self._channel)
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        await self._channel.close()

    async def upload(
        self,
        file: Path | AsyncIterable[bytes],
        *,
        file_name: str | None = None,
        labels: Mapping[str, str] | None = None,
        options: ReadOptions | None = None,
        ttl_s: float | None = None,
        request_id: str | None = None,
        on_progress: ProgressCallback = _ignore,
    ) -> UploadResult:
        """Hand over one file; returns once it is stored and its job is committed.

        Args:
            file: A file, which is resumed where a stream broke, or bytes, which cannot be.
            file_name: The name to show; the file's own when left out, required for bytes.
            labels: At most 16, for your own use.
            options: How to read the file, where you know better than detection.
            ttl_s: How long to keep the record and its files, 1 second to 10 years; None keeps them.
            request_id: UUID that names the upload. Pass the same one again to go on with an upload that an
                earlier process began: what is stored already is not sent twice.
            on_progress: Called after each chunk, and with an error before each resumption.

        Raises:
            OSError: The file cannot be read.
            RefusedError: The server will not take this file.
            UnavailableError: It could not be sent within the retry policy.
        """
        if isinstance(file, Path):
            source: FileSource | StreamSource = FileSource(file)
            file_name = file_name or file.name
        elif file_name:
            source = StreamSource(file)
        else:
            raise ValueError("bytes have no name of their own: pass file_name")
        plan = UploadPlan(source, request_id or str(uuid.uuid4()), file_name, labels or {}, options, ttl_s)
        upload = Upload(self._ingest, plan, self._retry, on_progress)
        return await upload.run(begun=request_id is not None)

    async def watch(
        self,
        job_ids: Iterable[str],
        *,
        heartbeat_s: float = DEFAULT_HEARTBEAT_S,
        on_retry: RetryCallback = _ignore,
    ) -> AsyncGenerator[Job]:
        """Yield each of up to 100 jobs in its current state, then whenever it changed, until all are done.

        Each state comes once, and those of a job in order; states that follow each other fast may be skipped, a
        final one never is.

        Args:
            job_ids: The jobs to follow.
            heartbeat_s: The server sends a sign of life this often, 5 to 60 seconds; after three intervals of
                silence the watch resumes on a new connection.
            on_retry: Called with the error before each resumption.

        Raises:
            NotFoundError: One of the jobs does not exist.
            UnavailableError: The watch could not be resumed within the retry policy.
        """
        async with aclosing(self._follow(WatchPlan(job_ids=tuple(job_ids)), heartbeat_s, on_retry)) as jobs:
            async for job in jobs:
                yield job

    async def watch_records(
        self,
        record_ids: Iterable[str],
        *,
        heartbeat_s: float = DEFAULT_HEARTBEAT_S,
        on_retry: RetryCallback = _ignore,
    ) -> AsyncGenerator[Job]:
        """Yield all jobs of up to 100 records, now and whenever one changed or is new, until you leave.

        The rest is as with `watch`; NotFoundError also comes when one of the records is removed.
        """
        async with aclosing(self._follow(WatchPlan(record_ids=tuple(record_ids)), heartbeat_s, on_retry)) as jobs:
            async for job in jobs:
                yield job

    async def watch_all(
        self,
        *,
        queues: Iterable[str] = (),
        states: Iterable["JobState.ValueType"] = (),
        include_ended: bool = False,
        resume_token: str = "",
        on_resume_token: TokenCallback = _ignore,
        heartbeat_s: float = DEFAULT_HEARTBEAT_S,
        on_retry: RetryCallback = _ignore,
    ) -> AsyncGenerator[Job]:
        """Yield all of your jobs that have not ended, then each that changed or is new, until you leave.

        The rest is as with `watch`.

        Args:
            queues: Only jobs of these queues; none means all.
            states: Only jobs while they are in these states; none means all.
            include_ended: Begin with jobs that ended before, too. They may be many.
            resume_token: Where an earlier watch with the same filter stood: what ended since then is told as well.
            on_resume_token: Called with where this watch stands, after you took the jobs told until then. Keep it
                to miss nothing while your program does not run.
            heartbeat_s: As with `watch`.
            on_retry: As with `watch`.
        """
        wanted = ingest_service_pb2.WatchFilter(queues=queues, states=states, include_ended=include_ended)
        plan = WatchPlan(every=wanted, resume_token=resume_token, on_resume_token=on_resume_token)
        async with aclosing(self._follow(plan, heartbeat_s, on_retry)) as jobs:
            async for job in jobs:
                yield job

    def _follow(self, plan: WatchPlan, heartbeat_s: float, on_retry: RetryCallback) -> AsyncGenerator[Job]:
        if not 5 <= heartbeat_s <= 60:
            raise ValueError(f"heartbeat_s must be 5 to 60 seconds, not {heartbeat_s:g}")
        own_channel = partial(open_channel, self._address, own_connection=True)
        watch = Watch(self._channel, own_channel, self._retry, on_retry, self._opening)
        return watch.follow(plan, heartbeat_s)

    async def get_job(self, job_id: str) -> Job:
        """Return the current state of a job."""
        return (await self.get_job_details(job_id)).job

    async def get_job_details(self, job_id: str) -> ingest_service_pb2.GetJobResponse:
        """Return the current state of a job with its attempts that did not succeed."""
        return await answer_of(self._ingest.GetJob(ingest_service_pb2.GetJobRequest(job_id=job_id)))

    async def get_record(self, record_id: str, *, revision: int = 0) -> Record:
        """Return a record with the columns and warnings of one version, 0: the current one."""
        request = ingest_service_pb2.GetRecordRequest(record_id=record_id, revision=revision)
        return (await answer_of(self._ingest.GetRecord(request))).record

    async def list_records(self, *, page_size: int = 100) -> AsyncGenerator[Record]:
        """Yield all records, newest first, without columns and warnings; fetched page by page as needed."""
        request = ingest_service_pb2.ListRecordsRequest(page_size=page_size)
        while True:
            page = await answer_of(self._ingest.ListRecords(request))
            for record in page.records:
                yield record
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def export(  # noqa: PLR0913  # all but three may be left out
        self,
        record_id: str,
        file_format: str,
        path: Path,
        *,
        revision: int = 0,
        split_sheets: bool = False,
        byte_order_mark: bool = False,
        keep_formulas: bool = False,
        request_id: str | None = None,
        on_job: Callable[[Job], object] = _ignore,
        on_progress: DownloadCallback = _ignore,
    ) -> DownloadResult:
        """Save the clean data as a file to open elsewhere; for a large one, wait for the job that makes it.

        Args:
            record_id: The record.
            file_format: "xlsx", "csv" or "parquet".
            path: Where to put it, as with `download`.
            revision: Which version, 0: the current one; `DownloadResult.revision` tells which it was.
            split_sheets: xlsx: go on in another sheet after 1,048,575 rows instead of being refused.
            byte_order_mark: csv: begin with one, for Excel.
            keep_formulas: csv: put no apostrophe before text that a spreadsheet would take for a formula.
            request_id: UUID that names the export. Pass the same one again for the same export.
            on_job: Called with each state of the job, if there is one.
            on_progress: Called with the bytes received and the bytes in all.

        Raises:
            OSError: The file cannot be written, or exists already in the directory.
            RefusedError: The format cannot hold the data, or the job failed.
            DamagedFileError: The bytes received are not those the server holds.
            UnavailableError: It could not be fetched within the retry policy.
        """
        if file_format == "parquet":
            kind = data_service_pb2.FILE_KIND_CLEAN
            return await self.download(record_id, kind, path, revision=revision, on_progress=on_progress)
        request = export_request(record_id, file_format, request_id or str(uuid.uuid4()), revision)
        request.split_sheets, request.byte_order_mark = split_sheets, byte_order_mark
        request.keep_formulas = keep_formulas
        export = Export(self._data, request, self._retry, on_progress)
        job = await export.begin()
        if job is None:
            return await export.save(path)
        async with aclosing(self.watch([job.job_id])) as jobs:
            async for job in jobs:
                on_job(job)
        if job.state != JOB_STATE_SUCCEEDED:
            message = job.error.message or "the export was cancelled"
            raise RefusedError(job.error.reason, message, grpc.StatusCode.FAILED_PRECONDITION, dict(job.error.metadata))
        read = data_service_pb2.ReadFileRequest(export_job_id=job.job_id)
        return await Download(self._data, read, self._retry, on_progress).run(path)


__all__ = ["TablemillClient", "TablemillError"]
