"""DataService: reads of clean data."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from ingest_service import fields, messages
from ingest_service.auth import owner_of
from ingest_service.export_request import checked_export
from ingest_service.exporting import Exporter
from ingest_service.found import found_version, not_ready
from ingest_service.paging import decode_token, encode_token
from ingest_service.reads.arrow_stream import batch_messages, filtered_messages, schema_message
from ingest_service.reads.batches import read_batches
from ingest_service.reads.clean_file import CleanFile, CleanFiles
from ingest_service.reads.preview import Previews
from ingest_service.reads.row_filter import RowFilter
from ingest_service.reads.streams import ReadStreams
from ingest_service.stored_files import StoredFiles, clean_file_of
from shared.errors import FailedPrecondition, OutOfRange, invalid_field
from shared.exports import ExportFormat
from shared.records.model import Record
from shared.records.records import Records
from shared.storage import CannotSign, ObjectStore
from tablemill.v1 import data_service_pb2 as pb
from tablemill.v1 import data_service_pb2_grpc as pb_grpc

_ROWS, _MAX_ROWS = 50, 1000
_COLUMNS, _MAX_COLUMNS = 200, 500
_MAX_PROFILE_PAGE_BYTES = 1 << 20


class DataServicer(pb_grpc.DataServiceServicer):
    """Answers tablemill.v1.DataService; the protos say what each method promises."""

    def __init__(
        self,
        records: Records,
        store: ObjectStore,
        stored: StoredFiles,
        files: CleanFiles,
        previews: Previews,
        exporter: Exporter,
        streams: ReadStreams,
    ) -> None:
        self._records = records
        self._store = store
        self._stored = stored
        self._files = files
        self._previews = previews
        self._exporter = exporter
        self._streams = streams

    async def PreviewRecord(self, request: pb.PreviewRecordRequest, context: Any) -> bytes:  # type: ignore[override]  # noqa: D102, N802
        offset = fields.not_negative("row_offset", request.row_offset)
        limit = fields.page_limit("row_limit", request.row_limit, default=_ROWS, most=_MAX_ROWS)
        record, file = await self._clean(context, request)
        page = await self._previews.page(file, request.columns, offset, limit)
        by_name = {column["name"]: column for column in record.columns or ()}
        rest = pb.PreviewRecordResponse(
            columns=[messages.column_message(by_name[name]) for name in page.columns],
            row_count=file.row_count,
            truncated=page.truncated,
            revision=record.revision,
        )
        return b"".join((rest.SerializeToString(), *page.rows))

    async def GetProfile(self, request: pb.GetProfileRequest, context: Any) -> pb.GetProfileResponse:  # noqa: D102, N802
        limit = fields.page_limit("page_size", request.page_size, default=_COLUMNS, most=_MAX_COLUMNS)
        wanted, offset = fields.not_negative("revision", request.revision), 0
        if request.page_token:
            wanted, offset = _profile_position(request.page_token)
        record_id = fields.uuid_field("record_id", request.record_id)
        found = await self._records.read_profile(
            owner_of(context), record_id, revision=wanted, offset=offset, limit=limit + 1
        )
        if found is None or not found[0]:
            raise not_ready(await self._record(context, request))
        revision, columns, profiles = found
        response = pb.GetProfileResponse(revision=revision)
        size_bytes = 0
        for index, (column, profile) in enumerate(zip(columns, profiles, strict=True)):
            message = messages.profile_message(column, profile)
            size_bytes += message.ByteSize()
            if index == limit or (index and size_bytes > _MAX_PROFILE_PAGE_BYTES):
                response.next_page_token = encode_token("profile", f"{revision}:{offset + index}")
                break
            response.columns.append(message)
        return response

    async def ExportRecord(  # noqa: D102, N802
        self, request: pb.ExportRecordRequest, context: Any
    ) -> AsyncGenerator[pb.ExportRecordResponse]:
        async with aclosing(self._streams.admit(self._export(request, context))) as parts:
            async for part in parts:
                yield part

    async def CreateDownloadUrl(  # noqa: D102, N802
        self, request: pb.CreateDownloadUrlRequest, context: Any
    ) -> pb.CreateDownloadUrlResponse:
        ttl_s = fields.url_ttl_s(request)
        name, info = await self._stored.find(owner_of(context), request)
        expires_at = datetime.now(UTC) + timedelta(seconds=ttl_s)
        try:
            url = await self._store.sign_url(name, ttl_s, media_type=info.media_type, file_name=info.file_name)
        except CannotSign as error:
            raise FailedPrecondition("SIGNING_UNAVAILABLE", f"{error}; use ReadFile") from None
        return pb.CreateDownloadUrlResponse(url=url, expire_time=messages.time_message(expires_at), info=info)

    async def ReadRows(self, request: pb.ReadRowsRequest, context: Any) -> AsyncGenerator[bytes]:  # type: ignore[override]  # noqa: D102, N802
        async with aclosing(self._streams.admit(self._rows(request, context))) as parts:
            async for part in parts:
                yield part

    async def ReadFile(  # noqa: D102, N802
        self, request: pb.ReadFileRequest, context: Any
    ) -> AsyncGenerator[pb.ReadFileResponse]:
        async with aclosing(self._streams.admit(self._file(request, context))) as parts:
            async for part in parts:
                yield part

    async def _rows(self, request: pb.ReadRowsRequest, context: Any) -> AsyncGenerator[bytes]:
        offset = fields.not_negative("row_offset", request.row_offset)
        limit = fields.not_negative("row_limit", request.row_limit)
        record, file = await self._clean(context, request)
        names = file.checked_columns(request.columns)
        rows = range(offset, file.checked_rows(offset, limit))
        needed, groups, make = names, None, batch_messages
        if request.filter:
            row_filter = RowFilter(request.filter, record.columns or ())
            needed = [*names, *(row_filter.columns - set(names))]
            groups = await self._files.decode(row_filter.groups, file, file.groups(rows.start, rows.stop))
            make = partial(filtered_messages, names, row_filter)
        yield schema_message(file.schema_of(names), record.revision, file.row_count, offset)
        async with aclosing(read_batches(self._files, file, needed, rows, make, groups=groups)) as batches:
            async for parts in batches:
                for part in parts:
                    yield part

    async def _file(self, request: pb.ReadFileRequest, context: Any) -> AsyncGenerator[pb.ReadFileResponse]:
        offset = fields.not_negative("offset", request.offset)
        name, info = await self._stored.find(owner_of(context), request)
        if info.size_bytes and offset > info.size_bytes:
            raise OutOfRange("OFFSET_MISMATCH", f"offset {offset} is beyond the file's {info.size_bytes} bytes")
        yield pb.ReadFileResponse(offset=offset, info=info)
        async for data in self._store.read(name, offset):
            yield pb.ReadFileResponse(data=data, offset=offset)
            offset += len(data)

    async def _export(self, request: pb.ExportRecordRequest, context: Any) -> AsyncGenerator[pb.ExportRecordResponse]:
        asked = checked_export(request)
        begun = await self._exporter.begun(owner_of(context), asked)
        if begun is not None:
            yield begun
            return
        record, file = await self._clean(context, request)
        if asked.options.format is ExportFormat.PARQUET:
            name, info = clean_file_of(record)
            yield pb.ExportRecordResponse(info=info)
            offset = 0
            async for data in self._store.read(name):
                yield pb.ExportRecordResponse(data=data, offset=offset)
                offset += len(data)
            return
        async with aclosing(self._exporter.export(record, file, asked)) as parts:
            async for part in parts:
                yield part

    async def _clean(
        self, context: Any, request: pb.PreviewRecordRequest | pb.ReadRowsRequest | pb.ExportRecordRequest
    ) -> tuple[Record, CleanFile]:
        record = await self._record(context, request)
        if record.clean_object is None:
            raise not_ready(record)
        return record, await self._files.open(record.clean_object, record.clean_size_bytes or 0)

    async def _record(
        self,
        context: Any,
        request: pb.PreviewRecordRequest | pb.GetProfileRequest | pb.ReadRowsRequest | pb.ExportRecordRequest,
    ) -> Record:
        revision = fields.not_negative("revision", request.revision)
        record_id = fields.uuid_field("record_id", request.record_id)
        return found_version(await self._records.read(owner_of(context), record_id, revision), revision)


def _profile_position(token: str) -> tuple[int, int]:
    """Return (revision, columns before the page)."""
    revision, _, offset = decode_token("profile", token).partition(":")
    if not (revision.isdecimal() and offset.isdecimal()):
        raise invalid_field("page_token", "is not a next_page_token of this method")
    return int(revision), int(offset)
