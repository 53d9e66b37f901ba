"""Exports: small ones are made while the caller waits, others by a job whose file is fetched later."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import google_crc32c
import pyarrow as pa
from psycopg.errors import ForeignKeyViolation
from uuid_utils.compat import uuid7

from ingest_service import messages
from ingest_service.export_request import ExportRequest
from ingest_service.reads.batches import read_batches
from ingest_service.reads.clean_file import CleanFile, CleanFiles
from ingest_service.stored_files import file_name_of
from shared.database import Pool
from shared.errors import AlreadyExists, FailedPrecondition, NotFound
from shared.exports import ExportOptions, ExportRefused, check_shape, write_export
from shared.jobs.model import NewJob
from shared.jobs.notify import Notifier
from shared.jobs.queue import JobQueue
from shared.records.exports import Export, Exports, NewExport, insert_export
from shared.records.model import Record
from tablemill.v1 import data_service_pb2 as pb

EXPORT_QUEUE = "export"
_MAX_DIRECT_BYTES = 16 << 20
_PIECE_BYTES = 1 << 20


@dataclass(frozen=True)
class ExportLimits:
    """Tables of at most `direct_cells` are exported at once. A job gets `max_attempts`, its file lives `ttl_s`."""

    direct_cells: int
    max_attempts: int
    ttl_s: float


class Exporter:
    """Makes exports of clean data."""

    def __init__(
        self, pool: Pool, jobs: JobQueue, exports: Exports, notifier: Notifier, files: CleanFiles, limits: ExportLimits
    ) -> None:
        self._pool = pool
        self._jobs = jobs
        self._exports = exports
        self._notifier = notifier
        self._files = files
        self._limits = limits

    async def begun(self, owner: str, asked: ExportRequest) -> pb.ExportRecordResponse | None:
        """Return the job of an export that was asked for before, if a job makes it. Raises AlreadyExists."""
        export = await self._exports.read_request(owner, asked.request_id)
        return await self._answer(owner, export, asked) if export else None

    async def export(
        self, record: Record, file: CleanFile, asked: ExportRequest
    ) -> AsyncGenerator[pb.ExportRecordResponse]:
        """Yield the file, or the job that makes it. Raises FailedPrecondition when the format cannot hold the data."""
        options = asked.options
        try:
            check_shape(options, file.row_count, len(file.schema))
            batches = await self._small(file)
            data = None if batches is None else await self._files.decode(_written, batches, file.schema, options)
        except ExportRefused as refused:
            raise FailedPrecondition(refused.reason, refused.message, refused.metadata) from None
        if data is None:
            yield await self._enqueue(record, asked)
            return
        yield pb.ExportRecordResponse(
            info=pb.FileInfo(
                size_bytes=len(data),
                crc32c=google_crc32c.value(data),
                media_type=options.format.media_type,
                file_name=file_name_of(record, options.format),
                revision=record.revision,
            )
        )
        for offset in range(0, len(data), _PIECE_BYTES):
            yield pb.ExportRecordResponse(data=data[offset : offset + _PIECE_BYTES], offset=offset)

    async def _small(self, file: CleanFile) -> Sequence[pa.RecordBatch] | None:
        """Return all rows, or None when they are not small."""
        if file.row_count * len(file.schema) > self._limits.direct_cells:
            return None
        found, size_bytes = [], 0
        names = list(file.schema.names)
        async with aclosing(
            read_batches(self._files, file, names, range(file.row_count), lambda _, batch: batch)
        ) as batches:
            async for batch in batches:
                found.append(batch)
                size_bytes += batch.nbytes
                if size_bytes > _MAX_DIRECT_BYTES:
                    return None
        return found

    async def _enqueue(self, record: Record, asked: ExportRequest) -> pb.ExportRecordResponse:
        options = asked.options
        export = NewExport(
            job_id=uuid7(),
            owner=record.owner,
            record_id=record.record_id,
            revision=record.revision,
            request_id=asked.request_id,
            request=asked.to_json(),
            media_type=options.format.media_type,
            file_name=file_name_of(record, options.format),
            ttl_s=self._limits.ttl_s,
        )
        args = {
            "clean_object": record.clean_object,
            "clean_size_bytes": record.clean_size_bytes,
            "options": options.to_json(),
        }
        job = NewJob(export.job_id, record.owner, EXPORT_QUEUE, record.record_id, args, self._limits.max_attempts)
        try:
            async with self._pool.connection() as connection, connection.transaction():
                if await insert_export(connection, export):
                    await self._jobs.enqueue(connection, job)
        except ForeignKeyViolation:
            raise NotFound("RECORD_NOT_FOUND", "no such record") from None
        self._notifier.ready([EXPORT_QUEUE])
        self._notifier.changed([export.job_id])
        # Another call with the same request id may have been first.
        made = await self._exports.read_request(record.owner, asked.request_id)
        if made is None:
            raise NotFound("RECORD_NOT_FOUND", "no such record")
        return await self._answer(record.owner, made, asked)

    async def _answer(self, owner: str, export: Export, asked: ExportRequest) -> pb.ExportRecordResponse:
        if export.request != asked.to_json():
            raise AlreadyExists("REQUEST_ID_REUSED", "this request_id names another export")
        jobs = await self._jobs.read(owner, [export.job_id])
        if not jobs:
            raise NotFound("EXPORT_NOT_FOUND", "the job of this export is forgotten; use a new request_id")
        return pb.ExportRecordResponse(job=messages.job_message(jobs[0]))


def _written(batches: Sequence[pa.RecordBatch], schema: pa.Schema, options: ExportOptions) -> bytes:
    with TemporaryDirectory(prefix="tablemill-export-") as directory:
        target = Path(directory) / "export"
        write_export(batches, schema, target, options)
        return target.read_bytes()
