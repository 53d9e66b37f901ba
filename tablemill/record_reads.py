"""The reading side of the client: previews, profiles, rows and files."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING

import grpc

from tablemill.downloading import Download, DownloadCallback, DownloadResult
from tablemill.errors import answer_of
from tablemill.reading import RowsRead
from tablemill.retrying import RetryPolicy
from tablemill.v1 import data_service_pb2, data_service_pb2_grpc
from tablemill.v1.record_pb2 import ColumnProfile

if TYPE_CHECKING:
    import pyarrow as pa


def _ignore(*_progress: object) -> None:
    """Take a report of progress that nobody asked for."""


class RecordReads:
    """What `TablemillClient` can read of a record."""

    _channel: grpc.aio.Channel
    _data: data_service_pb2_grpc.DataServiceStub
    _retry: RetryPolicy

    async def preview(
        self,
        record_id: str,
        *,
        row_offset: int = 0,
        row_limit: int = 50,
        columns: Sequence[str] = (),
        revision: int = 0,
    ) -> data_service_pb2.PreviewRecordResponse:
        """Return some rows of one version (0: the current one), at most 1,000, of all columns or those named."""
        request = data_service_pb2.PreviewRecordRequest(
            record_id=record_id, row_offset=row_offset, row_limit=row_limit, columns=columns, revision=revision
        )
        return await answer_of(self._data.PreviewRecord(request))

    async def read_rows(
        self,
        record_id: str,
        *,
        columns: Sequence[str] = (),
        row_offset: int = 0,
        row_limit: int = 0,
        row_filter: str = "",
        revision: int = 0,
    ) -> "AsyncGenerator[pa.RecordBatch]":
        """Yield the clean data as Arrow record batches of about 2 MiB; a broken stream is resumed. Needs pyarrow.

        Args:
            record_id: The record.
            columns: Their names, in the order wanted; empty for all.
            row_offset: First row, from 0.
            row_limit: At most this many rows, counted before the filter; 0 for all.
            row_filter: Only rows for which this expression is true, for example "age >= 65 and sex = 'f'".
            revision: Which version; 0 for the current one. All batches are of one version.

        Raises:
            UnavailableError: The rows could not be read within the retry policy.
        """
        read = self.open_rows(
            record_id,
            columns=columns,
            row_offset=row_offset,
            row_limit=row_limit,
            row_filter=row_filter,
            revision=revision,
        )
        async with aclosing(read.batches()) as batches:
            async for batch in batches:
                yield batch

    async def read_table(
        self,
        record_id: str,
        *,
        columns: Sequence[str] = (),
        row_offset: int = 0,
        row_limit: int = 0,
        row_filter: str = "",
        revision: int = 0,
    ) -> "pa.Table":
        """Return what `read_rows` yields as one table: `table.to_pandas()`, `polars.from_arrow(table)`."""
        read = self.open_rows(
            record_id,
            columns=columns,
            row_offset=row_offset,
            row_limit=row_limit,
            row_filter=row_filter,
            revision=revision,
        )
        return await read.table()

    def open_rows(
        self,
        record_id: str,
        *,
        columns: Sequence[str] = (),
        row_offset: int = 0,
        row_limit: int = 0,
        row_filter: str = "",
        revision: int = 0,
    ) -> RowsRead:
        """Return the read behind `read_rows`, for those who want the Arrow IPC bytes themselves: no pyarrow needed."""
        request = data_service_pb2.ReadRowsRequest(
            record_id=record_id,
            columns=columns,
            row_offset=row_offset,
            row_limit=row_limit,
            filter=row_filter,
            revision=revision,
        )
        return RowsRead(self._channel, request, self._retry)

    async def profile(
        self, record_id: str, *, page_size: int = 200, revision: int = 0
    ) -> AsyncGenerator[ColumnProfile]:
        """Yield what is known of the values of each column, in order; fetched page by page as needed.

        `revision` is the version to describe, 0: the current one.
        """
        request = data_service_pb2.GetProfileRequest(record_id=record_id, page_size=page_size, revision=revision)
        while True:
            page = await answer_of(self._data.GetProfile(request))
            for column in page.columns:
                yield column
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def download(
        self,
        record_id: str,
        kind: "data_service_pb2.FileKind.ValueType",
        path: Path,
        *,
        revision: int = 0,
        on_progress: DownloadCallback = _ignore,
    ) -> DownloadResult:
        """Fetch a file of a record, resuming where a stream broke, and check it.

        Args:
            record_id: The record.
            kind: Which of its files, for example `data_service_pb2.FILE_KIND_CLEAN`.
            path: Where to put it: replaced in one step once the file is whole. In a directory it gets the
                server's name for it and replaces nothing.
            revision: Which version, 0: the current one.
            on_progress: Called with the bytes received and the bytes in all.

        Raises:
            OSError: The file cannot be written, or exists already in the directory.
            DamagedFileError: The bytes received are not those the server holds.
            UnavailableError: It could not be fetched within the retry policy.
        """
        request = data_service_pb2.ReadFileRequest(record_id=record_id, kind=kind, revision=revision)
        return await Download(self._data, request, self._retry, on_progress).run(path)

    async def create_download_url(
        self,
        record_id: str,
        kind: "data_service_pb2.FileKind.ValueType",
        *,
        revision: int = 0,
        ttl_s: float = 900.0,
    ) -> data_service_pb2.CreateDownloadUrlResponse:
        """Return a URL that anybody can fetch a file of a record with, for 1 second to 1 hour.

        Raises:
            RefusedError: The server's object store cannot sign URLs.
        """
        request = data_service_pb2.CreateDownloadUrlRequest(record_id=record_id, kind=kind, revision=revision)
        request.ttl.FromNanoseconds(round(ttl_s * 1e9))
        return await answer_of(self._data.CreateDownloadUrl(request))
