"""Records, previews, profiles and files, read through the API from clean data that a test put there."""

import asyncio
import io
from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import google_crc32c
import grpc
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shared.database import make_pool
from shared.records.model import CleanData, Origin, RevisionConflict
from shared.records.records import publish_clean_data
from shared.storage import open_store
from tablemill.v1 import data_service_pb2 as dpb
from tablemill.v1 import ingest_service_pb2 as pb
from tablemill.v1 import record_pb2
from tests.integration.clean_data import publish
from tests.rpc import Calls, reason_of, upload

ROWS = 30_000
TYPES = {"编号": "string", "值": "int64", "比": "float64", "是": "bool", "日": "date", "时": "timestamp"}


def _table() -> pa.Table:
    return pa.table(
        {
            "编号": pa.array([f"{row:05}" for row in range(ROWS)]),
            "值": pa.array([None if row % 7 == 3 else row for row in range(ROWS)], pa.int64()),
            "比": pa.array([row / 3 for row in range(ROWS)]),
            "是": pa.array([row % 2 == 0 for row in range(ROWS)]),
            "日": pa.array([date(2024, 3, 1)] * ROWS),
            "时": pa.array([datetime(2024, 3, 5, 8, 30)] * ROWS, pa.timestamp("us")),
        }
    )


def _profile(columns: int) -> list[Mapping[str, Any]]:
    counts = {"source_nonempty": ROWS, "kept_as_text": ROWS}
    top = [{"value": "x" * 64, "count": 1}] * 20
    return [{"type_reason": "a test", "cells": counts, "top_values": top} for _ in range(columns)]


@pytest.fixture
async def ready(calls: Calls, database_url: str, file_store_url: str, tmp_path: Path) -> str:
    """Return the id of a record with clean data of 30,000 rows x 6 columns in row groups of 10,000."""
    store = open_store(file_store_url)
    warning = {"code": "TOTALS_ROW", "message": "m", "message_zh": "信", "rows": [7], "count": 1}
    record_id = await publish(calls, database_url, store, _table(), tmp_path, profile=_profile(6), warnings=[warning])
    await store.close()
    return record_id


async def _publish_second(database_url: str, file_store_url: str, tmp_path: Path, record_id: str) -> None:
    """Make revision 2 of the record: its last three columns of its first five rows."""
    path = tmp_path / "second.parquet"
    pq.write_table(_table().slice(0, 5).select(list(TYPES)[3:]), path)
    store = open_store(file_store_url)
    columns = [{"name": n, "type": TYPES[n], "source_name": n, "null_count": 0} for n in list(TYPES)[3:]]
    clean = CleanData(None, await store.put_file("clean/second", path), None, 5, columns, _profile(3), [])
    async with (
        make_pool(database_url, "test", max_size=1) as pool,
        pool.connection() as connection,
        connection.transaction(),
    ):
        await publish_clean_data(connection, "local", UUID(record_id), clean, Origin(uuid4(), 1, [{"sort": {}}]))
        with pytest.raises(RevisionConflict):
            await publish_clean_data(connection, "local", UUID(record_id), clean, Origin(uuid4(), 1))
    await store.close()


async def test_every_version_stays_readable(
    calls: Calls, ready: str, database_url: str, file_store_url: str, tmp_path: Path
) -> None:
    first_page = await calls.data.GetProfile(dpb.GetProfileRequest(record_id=ready, page_size=4))
    await _publish_second(database_url, file_store_url, tmp_path, ready)
    second = (2, 5, list(TYPES)[3:])
    for asked, (revision, rows, names) in {0: second, 2: second, 1: (1, ROWS, list(TYPES))}.items():
        record = (await calls.ingest.GetRecord(pb.GetRecordRequest(record_id=ready, revision=asked))).record
        assert (record.revision, record.row_count, record.format) == (revision, rows, "csv")
        assert [column.name for column in record.columns] == names
        preview = await calls.data.PreviewRecord(dpb.PreviewRecordRequest(record_id=ready, revision=asked))
        assert (preview.revision, preview.row_count, len(preview.columns)) == (revision, rows, len(names))
        profile = await calls.data.GetProfile(dpb.GetProfileRequest(record_id=ready, revision=asked))
        assert (profile.revision, len(profile.columns)) == (revision, len(names))
        request = dpb.ReadFileRequest(record_id=ready, kind=dpb.FILE_KIND_CLEAN, revision=asked)
        parts = [part async for part in calls.data.ReadFile(request)]
        assert parts[0].info.revision == revision
        assert pq.read_metadata(io.BytesIO(b"".join(part.data for part in parts))).num_rows == rows
    next_page = dpb.GetProfileRequest(record_id=ready, page_token=first_page.next_page_token)
    second_page = await calls.data.GetProfile(next_page)
    assert (second_page.revision, [entry.column.name for entry in second_page.columns]) == (1, list(TYPES)[4:])
    for call in (
        calls.ingest.GetRecord(pb.GetRecordRequest(record_id=ready, revision=3)),
        calls.data.PreviewRecord(dpb.PreviewRecordRequest(record_id=ready, revision=3)),
        calls.data.GetProfile(dpb.GetProfileRequest(record_id=ready, revision=3)),
        calls.data.ReadFile(dpb.ReadFileRequest(record_id=ready, kind=dpb.FILE_KIND_CLEAN, revision=3)).read(),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert reason_of(caught.value)[:2] == ("NOT_FOUND", "VERSION_NOT_FOUND")


def _values(row: dpb.Row) -> list[Any]:
    kinds = [cell.WhichOneof("kind") for cell in row.cells]
    return [kind and getattr(cell, kind) for kind, cell in zip(kinds, row.cells, strict=True)]


async def test_preview_gives_typed_rows(calls: Calls, ready: str) -> None:
    preview = await calls.data.PreviewRecord(dpb.PreviewRecordRequest(record_id=ready))
    assert (len(preview.rows), preview.row_count, preview.truncated, preview.revision) == (50, ROWS, False, 1)
    assert [column.name for column in preview.columns] == list(TYPES)
    assert _values(preview.rows[2]) == ["00002", 2, 2 / 3, True, "2024-03-01", "2024-03-05T08:30:00"]
    assert _values(preview.rows[3])[1] is None


@pytest.mark.parametrize("offset", [0, 9_990, 10_000, 29_995, ROWS])
async def test_preview_from_any_row(calls: Calls, ready: str, offset: int) -> None:
    request = dpb.PreviewRecordRequest(record_id=ready, row_offset=offset, row_limit=20, columns=["值", "编号"])
    preview = await calls.data.PreviewRecord(request)
    assert [_values(row)[1] for row in preview.rows] == [f"{row:05}" for row in range(offset, min(offset + 20, ROWS))]
    assert [column.name for column in preview.columns] == ["值", "编号"]


async def test_preview_refuses_what_does_not_exist(calls: Calls, ready: str) -> None:
    bad = {
        ("OUT_OF_RANGE", "ROW_OUT_OF_RANGE"): dpb.PreviewRecordRequest(record_id=ready, row_offset=ROWS + 1),
        ("INVALID_ARGUMENT", "FIELD_INVALID"): dpb.PreviewRecordRequest(record_id=ready, columns=["none"]),
        ("NOT_FOUND", "RECORD_NOT_FOUND"): dpb.PreviewRecordRequest(record_id=str(uuid4())),
    }
    for expected, request in bad.items():
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await calls.data.PreviewRecord(request)
        assert reason_of(caught.value)[:2] == expected


async def test_many_previews_at_once_agree(calls: Calls, ready: str) -> None:
    requests = [dpb.PreviewRecordRequest(record_id=ready, row_offset=7, row_limit=3) for _ in range(30)]
    previews = await asyncio.gather(*(calls.data.PreviewRecord(request) for request in requests))
    assert len({preview.SerializeToString(deterministic=True) for preview in previews}) == 1


async def test_nothing_is_read_before_it_is_ready(calls: Calls) -> None:
    stored = await upload(calls, b"a\n1\n")
    refused: list[tuple[str, str, dict[str, str]]] = []
    for call in (
        calls.data.PreviewRecord(dpb.PreviewRecordRequest(record_id=stored.record_id)),
        calls.data.GetProfile(dpb.GetProfileRequest(record_id=stored.record_id)),
        calls.data.ReadFile(dpb.ReadFileRequest(record_id=stored.record_id, kind=dpb.FILE_KIND_CLEAN)).read(),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        refused.append(reason_of(caught.value))
    metadata = {"job_id": stored.job_id, "job_state": "JOB_STATE_QUEUED"}
    assert refused == [("FAILED_PRECONDITION", "RECORD_NOT_READY", metadata)] * 3
    record = (await calls.ingest.GetRecord(pb.GetRecordRequest(record_id=stored.record_id))).record
    assert record.state == record_pb2.RECORD_STATE_PROCESSING


async def test_profile_comes_in_pages(calls: Calls, ready: str) -> None:
    names, token, pages = [], "", 0
    while True:
        page = await calls.data.GetProfile(dpb.GetProfileRequest(record_id=ready, page_size=4, page_token=token))
        names += [entry.column.name for entry in page.columns]
        pages, token = pages + 1, page.next_page_token
        if not token:
            break
    assert (names, pages) == (list(TYPES), 2)
    for bad in ("x", "!!", "cmVjb3JkczoxMg"):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await calls.data.GetProfile(dpb.GetProfileRequest(record_id=ready, page_token=bad))
        assert reason_of(caught.value) == ("INVALID_ARGUMENT", "FIELD_INVALID", {"field": "page_token"})


async def test_files_are_read_from_any_offset(calls: Calls, ready: str, file_store_url: str) -> None:
    parts = [part async for part in calls.data.ReadFile(dpb.ReadFileRequest(record_id=ready, kind=dpb.FILE_KIND_CLEAN))]
    data = b"".join(part.data for part in parts)
    info = parts[0].info
    assert (info.size_bytes, info.crc32c) == (len(data), google_crc32c.value(data))
    assert info.file_name == "数据.parquet"
    request = dpb.ReadFileRequest(record_id=ready, kind=dpb.FILE_KIND_CLEAN, offset=1000)
    rest = [part async for part in calls.data.ReadFile(request)]
    assert b"".join(part.data for part in rest) == data[1000:]
    for bad, reason in (
        (dpb.ReadFileRequest(record_id=ready, kind=dpb.FILE_KIND_CLEAN, offset=len(data) + 1), "OFFSET_MISMATCH"),
        (dpb.ReadFileRequest(record_id=ready), "FIELD_INVALID"),
        (dpb.ReadFileRequest(record_id=ready, kind=dpb.FILE_KIND_REJECTS), "RECORD_NOT_READY"),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await calls.data.ReadFile(bad).read()
        assert reason_of(caught.value)[1] == reason


async def test_records_are_listed_newest_first_in_pages(calls: Calls) -> None:
    ids = [(await upload(calls, b"a\n1\n")).record_id for _ in range(7)]
    seen, token = [], ""
    while True:
        page = await calls.ingest.ListRecords(pb.ListRecordsRequest(page_size=3, page_token=token))
        seen += [record.record_id for record in page.records]
        token = page.next_page_token
        if not token:
            break
    assert seen == ids[::-1]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await calls.ingest.ListRecords(pb.ListRecordsRequest(page_size=-1))
    assert reason_of(caught.value)[1] == "FIELD_INVALID"


async def test_another_owners_record_looks_like_no_record(calls: Calls, ready: str, database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE records SET owner = 'somebody else'")
    for call in (
        calls.ingest.GetRecord(pb.GetRecordRequest(record_id=ready)),
        calls.data.PreviewRecord(dpb.PreviewRecordRequest(record_id=ready)),
        calls.data.GetProfile(dpb.GetProfileRequest(record_id=ready)),
        calls.data.ReadFile(dpb.ReadFileRequest(record_id=ready, kind=dpb.FILE_KIND_RAW)).read(),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert reason_of(caught.value) == ("NOT_FOUND", "RECORD_NOT_FOUND", {})
    assert list((await calls.ingest.ListRecords(pb.ListRecordsRequest())).records) == []
