"""Exports and signed URLs through the API; what a job has to make is made by hand here."""

import io
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import google_crc32c
import grpc
import openpyxl
import psycopg
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from shared.database import make_pool
from shared.jobs.queue import JobQueue
from shared.records.exports import complete_export
from shared.storage import open_store
from tablemill.v1 import data_service_pb2 as dpb
from tablemill.v1 import job_pb2
from tests.integration.clean_data import publish
from tests.rpc import Calls, reason_of, upload

SMALL = pa.table({"姓名": ["甲", "=1+1", None], "n": [1, None, -3]})
LARGE = pa.table({"n": list(range(1_048_576))})


class Exports:
    """Records and exports of one service."""

    def __init__(self, calls: Calls, database_url: str, store_url: str, directory: Path) -> None:
        self.calls = calls
        self.database_url = database_url
        self.store_url = store_url
        self.directory = directory

    async def record(self, table: pa.Table) -> str:
        store = open_store(self.store_url)
        record_id = await publish(self.calls, self.database_url, store, table, self.directory, group_rows=100_000)
        await store.close()
        return record_id

    async def ask(self, record_id: str, **fields: Any) -> list[dpb.ExportRecordResponse]:
        request = dpb.ExportRecordRequest(**{"record_id": record_id, "request_id": str(uuid4()), **fields})
        return [part async for part in self.calls.data.ExportRecord(request)]

    async def refusal(self, record_id: str, **fields: Any) -> tuple[str, str, dict[str, str]]:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await self.ask(record_id, **fields)
        return reason_of(caught.value)

    async def finish(self, data: bytes) -> None:
        """End the one export job that waits, with `data` as its file."""
        store = open_store(self.store_url)
        async with make_pool(self.database_url, "test", max_size=2) as pool:
            jobs = JobQueue(pool)
            (claimed,) = await jobs.claim("export", limit=1, worker_id="w", lease_s=60, timeout_s=60)
            path = self.directory / "export"
            path.write_bytes(data)
            name = f"exports/{claimed.record_id}/{claimed.lease.job_id}-{claimed.lease.token}.xlsx"
            info = await store.put_file(name, path)
            async with pool.connection() as connection, connection.transaction():
                await jobs.succeed(connection, claimed.lease)
                await complete_export(connection, "local", claimed.lease.job_id, info)
        await store.close()


@pytest.fixture
def exports(calls: Calls, database_url: str, file_store_url: str, tmp_path: Path) -> Exports:
    return Exports(calls, database_url, file_store_url, tmp_path)


def _file(parts: list[dpb.ExportRecordResponse]) -> bytes:
    data = b"".join(part.data for part in parts)
    assert (parts[0].info.size_bytes, parts[0].info.crc32c) == (len(data), google_crc32c.value(data))
    assert parts[0].info.revision == 1
    return data


async def test_a_small_table_comes_at_once(exports: Exports) -> None:
    record_id = await exports.record(SMALL)
    parts = await exports.ask(record_id, format=dpb.EXPORT_FORMAT_XLSX)
    sheet = openpyxl.load_workbook(io.BytesIO(_file(parts))).worksheets[0]
    assert list(sheet.iter_rows(values_only=True)) == [("姓名", "n"), ("甲", 1), ("=1+1", None), (None, -3)]
    assert parts[0].info.file_name == "数据.xlsx"
    parts = await exports.ask(record_id, format=dpb.EXPORT_FORMAT_CSV, byte_order_mark=True, keep_formulas=True)
    data = _file(parts)
    assert data.startswith(b"\xef\xbb\xbf")
    assert pa_csv.read_csv(io.BytesIO(data))["姓名"].to_pylist() == ["甲", "=1+1", ""]
    parts = await exports.ask(record_id, format=dpb.EXPORT_FORMAT_PARQUET)
    assert pq.read_table(io.BytesIO(_file(parts))).equals(SMALL)


async def test_a_large_table_is_a_job_and_asking_again_gives_the_same(exports: Exports) -> None:
    record_id = await exports.record(LARGE)
    request: dict[str, Any] = {"request_id": str(uuid4()), "format": dpb.EXPORT_FORMAT_XLSX, "split_sheets": True}
    (answer,) = await exports.ask(record_id, **request)
    assert (answer.job.queue, answer.job.state, answer.job.record_id) == (
        "export", job_pb2.JOB_STATE_QUEUED, record_id
    )  # fmt: skip
    assert [part.job.job_id for part in await exports.ask(record_id, **request)] == [answer.job.job_id]
    code, reason, _ = await exports.refusal(record_id, **{**request, "split_sheets": False})
    assert (code, reason) == ("ALREADY_EXISTS", "REQUEST_ID_REUSED")

    read = dpb.ReadFileRequest(export_job_id=answer.job.job_id)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await exports.calls.data.ReadFile(read).read()
    assert reason_of(caught.value) == (
        "FAILED_PRECONDITION", "EXPORT_NOT_READY", {"job_id": answer.job.job_id, "job_state": "JOB_STATE_QUEUED"}
    )  # fmt: skip
    await exports.finish(b"a workbook")
    parts = [part async for part in exports.calls.data.ReadFile(read)]
    assert b"".join(part.data for part in parts) == b"a workbook"
    info = parts[0].info
    assert (info.revision, info.crc32c, info.file_name) == (1, google_crc32c.value(b"a workbook"), "数据.xlsx")
    (again,) = await exports.ask(record_id, **request)
    assert (again.job.job_id, again.job.state) == (answer.job.job_id, job_pb2.JOB_STATE_SUCCEEDED)


async def test_what_does_not_fit_is_refused_before_there_is_a_job(exports: Exports, database_url: str) -> None:
    record_id = await exports.record(LARGE)
    code, reason, metadata = await exports.refusal(record_id, format=dpb.EXPORT_FORMAT_XLSX)
    assert (code, reason) == ("FAILED_PRECONDITION", "EXPORT_TOO_LARGE")
    assert metadata == {"row_count": "1048576", "max_rows": "1048575"}
    long = await exports.record(pa.table({"text": ["x" * 40_000]}))
    code, reason, metadata = await exports.refusal(long, format=dpb.EXPORT_FORMAT_XLSX)
    assert (reason, metadata["row"]) == ("EXPORT_TEXT_TOO_LONG", "1")
    waiting = await upload(exports.calls, b"a\n1\n")
    for record, fields, expected in (
        (waiting.record_id, {"format": dpb.EXPORT_FORMAT_CSV}, "RECORD_NOT_READY"),
        (str(uuid4()), {"format": dpb.EXPORT_FORMAT_CSV}, "RECORD_NOT_FOUND"),
        (record_id, {"format": dpb.EXPORT_FORMAT_CSV, "revision": 2}, "VERSION_NOT_FOUND"),
        (record_id, {}, "FIELD_INVALID"),
        (record_id, {"format": dpb.EXPORT_FORMAT_CSV, "split_sheets": True}, "FIELD_INVALID"),
        (record_id, {"format": dpb.EXPORT_FORMAT_CSV, "request_id": "x"}, "FIELD_INVALID"),
    ):
        assert (await exports.refusal(record, **fields))[1] == expected
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT count(*) FROM exports").fetchone() == (0,)


async def test_somebody_elses_export_is_no_export(exports: Exports, database_url: str) -> None:
    record_id = await exports.record(LARGE)
    (answer,) = await exports.ask(record_id, format=dpb.EXPORT_FORMAT_CSV)
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE exports SET owner = 'somebody else'")
    for job_id, reason in ((answer.job.job_id, "EXPORT_NOT_FOUND"), ("x", "FIELD_INVALID")):
        for call in (
            exports.calls.data.ReadFile(dpb.ReadFileRequest(export_job_id=job_id)).read(),
            exports.calls.data.CreateDownloadUrl(dpb.CreateDownloadUrlRequest(export_job_id=job_id)),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call
            assert reason_of(caught.value)[1] == reason
    both = dpb.ReadFileRequest(export_job_id=answer.job.job_id, record_id=record_id)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await exports.calls.data.ReadFile(both).read()
    assert reason_of(caught.value)[2] == {"field": "export_job_id"}


async def test_a_store_without_a_key_says_that_it_cannot_sign(calls_on_each_store: Calls) -> None:
    stored = await upload(calls_on_each_store, b"a\n1\n")
    request = dpb.CreateDownloadUrlRequest(record_id=stored.record_id, kind=dpb.FILE_KIND_RAW)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await calls_on_each_store.data.CreateDownloadUrl(request)
    assert reason_of(caught.value)[:2] == ("FAILED_PRECONDITION", "SIGNING_UNAVAILABLE")
    request.ttl.FromSeconds(3601)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await calls_on_each_store.data.CreateDownloadUrl(request)
    assert reason_of(caught.value)[2] == {"field": "ttl"}


async def test_exports_go_when_their_time_is_over(exports: Exports, database_url: str) -> None:
    from shared.records.expiry import Expiry

    record_id = await exports.record(LARGE)
    (answer,) = await exports.ask(record_id, format=dpb.EXPORT_FORMAT_CSV)
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE exports SET expires_at = now() - interval '1 day'")
    async with make_pool(database_url, "test", max_size=2) as pool:
        assert await Expiry(pool).forget_exports(10) == [], "its job is not over"
        await exports.finish(b"a file")
        assert await Expiry(pool).forget_exports(10) == [], "its time began anew"
        with psycopg.connect(database_url) as connection:
            connection.execute("UPDATE exports SET expires_at = now() - interval '1 day'")
        ((name,),) = await Expiry(pool).forget_exports(10)
        assert name.startswith(f"exports/{record_id}/{UUID(answer.job.job_id)}")
