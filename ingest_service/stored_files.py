"""Which object a request means, and how it is described: the files of a record, and exports."""

from pathlib import PurePath

from ingest_service import fields, messages
from ingest_service.found import found_version, not_ready
from shared.errors import FailedPrecondition, NotFound, invalid_field
from shared.exports import ExportFormat
from shared.jobs.queue import JobQueue
from shared.records.exports import Exports
from shared.records.model import Record
from shared.records.records import Records
from tablemill.v1 import data_service_pb2 as pb


class StoredFiles:
    """Finds the files that ReadFile and CreateDownloadUrl are asked for."""

    def __init__(self, records: Records, exports: Exports, jobs: JobQueue) -> None:
        self._records = records
        self._exports = exports
        self._jobs = jobs

    async def find(
        self, owner: str, request: pb.ReadFileRequest | pb.CreateDownloadUrlRequest
    ) -> tuple[str, pb.FileInfo]:
        """Return the object's name and its description.

        Raises InvalidArgument, NotFound, and FailedPrecondition while there is no such file yet.
        """
        if request.export_job_id:
            if request.record_id or request.kind or request.revision:
                raise invalid_field("export_job_id", "stands alone: leave out record_id, kind and revision")
            return await self._export(owner, request.export_job_id)
        revision = fields.not_negative("revision", request.revision)
        record_id = fields.uuid_field("record_id", request.record_id)
        record = found_version(await self._records.read(owner, record_id, revision), revision)
        return _file_of(record, request.kind)

    async def _export(self, owner: str, job_id_text: str) -> tuple[str, pb.FileInfo]:
        job_id = fields.uuid_field("export_job_id", job_id_text)
        export = await self._exports.read(owner, job_id)
        if export is None:
            raise NotFound("EXPORT_NOT_FOUND", "no such export, or its time is over")
        if export.object is None:
            jobs = await self._jobs.read(owner, [job_id])
            raise FailedPrecondition(
                "EXPORT_NOT_READY",
                "this export has no file; its job tells why",
                {"job_id": str(job_id), "job_state": messages.job_state_name(jobs[0].state)} if jobs else {},
            )
        return export.object, pb.FileInfo(
            size_bytes=export.size_bytes or 0,
            crc32c=export.crc32c or 0,
            media_type=export.media_type,
            file_name=export.file_name,
            revision=export.revision,
        )


def file_name_of(record: Record, ending: str) -> str:
    """Return the record's file name with another ending."""
    stem = PurePath(record.file_name.replace("\\", "/")).stem or "table"
    return f"{stem}.{ending}"


def clean_file_of(record: Record) -> tuple[str, pb.FileInfo]:
    """Return the object of the clean data and its description. Raises FailedPrecondition when there is none."""
    if record.clean_object is None:
        raise not_ready(record)
    return record.clean_object, pb.FileInfo(
        size_bytes=record.clean_size_bytes or 0,
        crc32c=record.clean_crc32c or 0,
        media_type=ExportFormat.PARQUET.media_type,
        file_name=file_name_of(record, ExportFormat.PARQUET),
        revision=record.revision,
    )


def _file_of(record: Record, kind: pb.FileKind.ValueType) -> tuple[str, pb.FileInfo]:
    if kind == pb.FILE_KIND_RAW:
        return record.raw_object, pb.FileInfo(
            size_bytes=record.raw_size_bytes,
            crc32c=record.raw_crc32c,
            media_type="application/octet-stream",
            file_name=record.file_name,
        )
    if kind == pb.FILE_KIND_CLEAN:
        return clean_file_of(record)
    if kind == pb.FILE_KIND_REJECTS:
        if record.rejects_object is None:
            raise FailedPrecondition("RECORD_NOT_READY", "this record has no rejects")
        return record.rejects_object, pb.FileInfo(
            size_bytes=record.rejects_size_bytes or 0,
            crc32c=record.rejects_crc32c or 0,
            media_type=ExportFormat.PARQUET.media_type,
            file_name=file_name_of(record, "rejects.parquet"),
            revision=record.revision,
        )
    raise invalid_field("kind", "must name a file: raw, clean or rejects")
