"""Changes of clean data through both services: dry runs, versions, conflicts, the way back."""

import asyncio
import io
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any
from uuid import uuid4

import grpc
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from google.protobuf.json_format import ParseDict
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from pyarrow import csv

from tablemill.v1 import action_pb2, job_pb2, record_pb2
from tablemill.v1 import action_service_pb2 as apb
from tablemill.v1 import data_service_pb2 as dpb
from tablemill.v1 import ingest_service_pb2 as pb
from tests.conftest import Services
from tests.rpc import Calls, reason_of, until_done, upload

CSV = "编号,性别,年龄,入院日期\n" + "".join(
    f"{row:03},{'男' if row % 2 else '女'},{20 + row},2024-01-{row % 28 + 1:02}\n" for row in range(60)
)
OLDER = {"filter_rows": {"condition": "年龄 >= 65"}}
GROUP = {"compute_column": {"name": "组", "expression": "if(年龄 >= 70, '老', '中')"}}


@pytest.fixture
async def calls(shared_services: Services) -> AsyncIterator[Calls]:
    async with grpc.aio.insecure_channel(shared_services.address) as channel:
        yield Calls(channel)


@pytest.fixture
async def record_id(calls: Calls) -> str:
    stored = await upload(calls, CSV.encode())
    assert (await until_done(calls, stored.job_id))[-1].state == job_pb2.JOB_STATE_SUCCEEDED
    return stored.record_id


def _request(
    record_id: str, base: int, *actions: Mapping[str, Any], request_id: str = "", **more: Any
) -> apb.ApplyActionsRequest:
    messages = [ParseDict(dict(action), action_pb2.Action()) for action in actions]
    return apb.ApplyActionsRequest(
        record_id=record_id, base_revision=base, request_id=request_id or str(uuid4()), actions=messages, **more
    )


async def _act(calls: Calls, request: apb.ApplyActionsRequest) -> job_pb2.Job:
    answer = await calls.actions.ApplyActions(request)
    return (await until_done(calls, answer.job_id))[-1]


async def _file(calls: Calls, record_id: str, revision: int = 0) -> bytes:
    request = dpb.ReadFileRequest(record_id=record_id, kind=dpb.FILE_KIND_CLEAN, revision=revision)
    return b"".join([part.data async for part in calls.data.ReadFile(request)])


async def _table(calls: Calls, record_id: str, revision: int = 0) -> pa.Table:
    return pq.read_table(io.BytesIO(await _file(calls, record_id, revision)))


async def _versions(calls: Calls, record_id: str) -> Sequence[apb.Version]:
    return (await calls.actions.ListVersions(apb.ListVersionsRequest(record_id=record_id))).versions


async def test_actions_make_a_new_version_and_the_old_one_stays(calls: Calls, record_id: str) -> None:
    before = await _table(calls, record_id)
    job = await _act(calls, _request(record_id, 1, OLDER, GROUP))
    assert (job.state, job.queue) == (job_pb2.JOB_STATE_SUCCEEDED, "actions"), job.error
    table = await _table(calls, record_id)
    assert table.column("年龄").to_pylist() == list(range(65, 80))
    assert table.column("组").to_pylist() == ["中"] * 5 + ["老"] * 10
    assert (await _table(calls, record_id, 1)).equals(before)

    record = (await calls.ingest.GetRecord(pb.GetRecordRequest(record_id=record_id))).record
    assert (record.revision, record.row_count, record.state) == (2, 15, record_pb2.RECORD_STATE_READY)
    assert [(column.name, column.source_name) for column in record.columns][2:] == [
        ("年龄", "年龄"), ("入院日期", "入院日期"), ("组", "")
    ]  # fmt: skip
    profile = await calls.data.GetProfile(dpb.GetProfileRequest(record_id=record_id))
    assert [(entry.min, entry.max, entry.distinct_count) for entry in profile.columns][2] == ("65", "79", 15)
    assert {value.value: value.count for value in profile.columns[4].top_values} == {"老": 10, "中": 5}

    newest, first = await _versions(calls, record_id)
    assert (newest.revision, newest.base_revision, newest.row_count, newest.current) == (2, 1, 15, True)
    assert [action.WhichOneof("kind") for action in newest.actions] == ["filter_rows", "compute_column"]
    assert newest.actions[0].filter_rows.condition == "年龄 >= 65"
    assert (first.revision, first.base_revision, list(first.actions), first.current) == (1, 0, [], False)


async def test_columns_that_stay_as_they_are_keep_their_profile(calls: Calls, record_id: str) -> None:
    before = {e.column.name: e async for e in _profile(calls, record_id)}
    rename: Mapping[str, Any] = {"rename_columns": {"renames": [{"column": "年龄", "new_name": "岁"}]}}
    sort: Mapping[str, Any] = {"sort_rows": {"keys": [{"column": "岁", "descending": True}]}}
    drop: Mapping[str, Any] = {"drop_columns": {"columns": ["性别"]}}
    assert (await _act(calls, _request(record_id, 1, rename, sort, drop))).state == job_pb2.JOB_STATE_SUCCEEDED
    after = {e.column.name: e async for e in _profile(calls, record_id)}
    assert list(after) == ["编号", "岁", "入院日期"]
    after["岁"].column.name = "年龄"
    assert after["岁"] == before["年龄"]
    assert after["编号"] == before["编号"]
    assert (await _table(calls, record_id)).column("岁").to_pylist() == list(range(79, 19, -1))


async def _profile(calls: Calls, record_id: str) -> AsyncIterator[record_pb2.ColumnProfile]:
    for entry in (await calls.data.GetProfile(dpb.GetProfileRequest(record_id=record_id))).columns:
        yield entry


async def test_a_dry_run_tells_and_writes_nothing(calls: Calls, record_id: str) -> None:
    request = _request(record_id, 1, OLDER, {"deduplicate": {"columns": ["性别"]}}, GROUP, dry_run=True)
    answer = await calls.actions.ApplyActions(request)
    assert [column.name for column in answer.columns] == ["编号", "性别", "年龄", "入院日期", "组"]
    assert (await until_done(calls, answer.job_id))[-1].state == job_pb2.JOB_STATE_SUCCEEDED
    found = await calls.actions.GetDryRun(apb.GetDryRunRequest(job_id=answer.job_id))
    assert (found.base_revision, list(found.rows_after), found.row_count) == (1, [15, 2, 2], 2)
    assert [[cell.WhichOneof("kind") for cell in row.cells] for row in found.rows] == [
        ["text", "text", "int64", "date", "text"]
    ] * 2
    assert [row.cells[2].int64 for row in found.rows] == [65, 66]
    assert [version.revision for version in await _versions(calls, record_id)] == [1]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await calls.actions.GetDryRun(apb.GetDryRunRequest(job_id=str(uuid4())))
    assert reason_of(caught.value)[:2] == ("NOT_FOUND", "JOB_NOT_FOUND")


async def test_everything_wrong_is_told_at_once_and_nothing_begins(calls: Calls, record_id: str) -> None:
    bad = _request(
        record_id,
        1,
        {"filter_rows": {"condition": "年令 > 3"}},
        GROUP,
        {"sort_rows": {"keys": [{"column": "组"}, {"column": "没有"}]}},
        {"convert_type": {"column": "入院日期", "type": "DATA_TYPE_INT64"}},
    )
    for validate_only in (False, True):
        bad.validate_only = validate_only
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await calls.actions.ApplyActions(bad)
        code, reason, metadata = reason_of(caught.value)
        assert (code, reason) == ("INVALID_ARGUMENT", "FIELD_INVALID")
        assert metadata["field"] == "actions[0].filter_rows.condition"
        status, wrong = rpc_status.from_call(caught.value), error_details_pb2.BadRequest()
        assert status is not None
        assert status.details[1].Unpack(wrong)
        assert [violation.field for violation in wrong.field_violations] == [
            "actions[0].filter_rows.condition", "actions[2].sort_rows.keys[1]", "actions[3].convert_type.type"
        ]  # fmt: skip
        assert "at character 1: there is no column 年令; did you mean 年龄?" in wrong.field_violations[0].description
    fine = await calls.actions.ApplyActions(_request(record_id, 1, GROUP, validate_only=True))
    assert (fine.job_id, fine.columns[-1].name, fine.columns[-1].type) == ("", "组", record_pb2.DATA_TYPE_STRING)


async def test_what_only_the_data_can_tell_fails_the_job(calls: Calls, record_id: str) -> None:
    job = await _act(calls, _request(record_id, 1, {"convert_type": {"column": "性别", "type": "DATA_TYPE_INT64"}}))
    assert (job.state, job.error.reason, job.attempt) == (job_pb2.JOB_STATE_FAILED, "CONVERSION_FAILED", 1)
    assert (job.error.place.row, job.error.place.column, job.error.metadata["action"]) == (1, "性别", "0")
    huge = {"compute_column": {"name": "x", "expression": "年龄 * 9000000000000000000"}}
    job = await _act(calls, _request(record_id, 1, huge))
    assert (job.state, job.error.reason) == (job_pb2.JOB_STATE_FAILED, "ARITHMETIC_OVERFLOW")
    assert [version.revision for version in await _versions(calls, record_id)] == [1]


async def test_the_same_request_again_changes_nothing_twice(calls: Calls, record_id: str) -> None:
    request = _request(record_id, 1, OLDER)
    answers = await asyncio.gather(*(calls.actions.ApplyActions(request) for _ in range(5)))
    (job_id,) = {answer.job_id for answer in answers}
    assert (await until_done(calls, job_id))[-1].state == job_pb2.JOB_STATE_SUCCEEDED
    assert (await calls.actions.ApplyActions(request)).job_id == job_id, "also when the version is no longer current"
    assert len(await _versions(calls, record_id)) == 2
    request.actions.add().CopyFrom(request.actions[0])
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await calls.actions.ApplyActions(request)
    assert reason_of(caught.value)[:2] == ("ALREADY_EXISTS", "REQUEST_ID_REUSED")


async def test_no_update_is_lost_when_many_change_at_once(calls: Calls, record_id: str) -> None:
    async def add(name: str) -> int:
        """Add a column, beginning anew whenever another change came first; return how often."""
        for tries in range(1, 40):
            record = (await calls.ingest.GetRecord(pb.GetRecordRequest(record_id=record_id))).record
            column = {"compute_column": {"name": name, "expression": "年龄 + 1"}}
            try:
                job = await _act(calls, _request(record_id, record.revision, column))
            except grpc.aio.AioRpcError as error:
                assert reason_of(error)[:2] == ("ABORTED", "VERSION_CONFLICT")
                continue
            if job.state == job_pb2.JOB_STATE_SUCCEEDED:
                return tries
            assert job.error.reason == "VERSION_CONFLICT"
        raise AssertionError("never got through")

    names = [f"新{number}" for number in range(3)]
    tries = await asyncio.gather(*map(add, names))
    table = await _table(calls, record_id)
    assert set(names) <= set(table.column_names), "every column that was added is there"
    versions = await _versions(calls, record_id)
    assert [version.revision for version in versions] == [4, 3, 2, 1]
    assert [version.base_revision for version in versions] == [3, 2, 1, 0]
    assert sum(tries) > len(names), "some had to begin anew"


async def test_the_way_back_is_a_new_version_that_shares_its_objects(
    calls: Calls, record_id: str, shared_services: Services
) -> None:
    assert (await _act(calls, _request(record_id, 1, OLDER))).state == job_pb2.JOB_STATE_SUCCEEDED
    request = apb.RevertRecordRequest(record_id=record_id, base_revision=2, revision=1, request_id=str(uuid4()))
    reverted = (await calls.actions.RevertRecord(request)).version
    assert (reverted.revision, reverted.base_revision, reverted.row_count, reverted.current) == (3, 1, 60, True)
    assert (reverted.job_id, list(reverted.actions)) == ("", [])
    assert (await calls.actions.RevertRecord(request)).version == reverted
    assert (await _table(calls, record_id)).equals(await _table(calls, record_id, 1))
    with psycopg.connect(shared_services.database_url) as connection:
        query = "SELECT count(*), count(DISTINCT clean_object) FROM versions WHERE record_id = %s"
        assert connection.execute(query, [record_id]).fetchone() == (3, 2)
    assert (await _act(calls, _request(record_id, 3, GROUP))).state == job_pb2.JOB_STATE_SUCCEEDED

    stale = apb.RevertRecordRequest(record_id=record_id, base_revision=3, revision=1, request_id=str(uuid4()))
    newer = apb.RevertRecordRequest(record_id=record_id, base_revision=4, revision=4, request_id=str(uuid4()))
    for wrong, expected in ((stale, ("ABORTED", "VERSION_CONFLICT")), (newer, ("INVALID_ARGUMENT", "FIELD_INVALID"))):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await calls.actions.RevertRecord(wrong)
        assert reason_of(caught.value)[:2] == expected


async def test_versions_come_in_pages(calls: Calls, record_id: str) -> None:
    for base in range(1, 4):
        request = apb.RevertRecordRequest(record_id=record_id, base_revision=base, revision=1, request_id=str(uuid4()))
        if base > 1:
            await calls.actions.RevertRecord(request)
        else:
            await _act(calls, _request(record_id, base, OLDER))
    seen, token = list[int](), ""
    while True:
        page = await calls.actions.ListVersions(
            apb.ListVersionsRequest(record_id=record_id, page_size=3, page_token=token)
        )
        seen += [version.revision for version in page.versions]
        token = page.next_page_token
        if not token:
            break
    assert seen == [4, 3, 2, 1]


async def test_somebody_elses_record_cannot_be_changed(calls: Calls, record_id: str, shared_services: Services) -> None:
    dry = await calls.actions.ApplyActions(_request(record_id, 1, OLDER, dry_run=True))
    await until_done(calls, dry.job_id)
    with psycopg.connect(shared_services.database_url) as connection:
        connection.execute("UPDATE records SET owner = 'somebody else' WHERE record_id = %s", [record_id])
        connection.execute("UPDATE changes SET owner = 'somebody else' WHERE record_id = %s", [record_id])
    revert = apb.RevertRecordRequest(record_id=record_id, base_revision=2, revision=1, request_id=str(uuid4()))
    for call, reason in (
        (calls.actions.ApplyActions(_request(record_id, 1, OLDER)), "RECORD_NOT_FOUND"),
        (calls.actions.ListVersions(apb.ListVersionsRequest(record_id=record_id)), "RECORD_NOT_FOUND"),
        (calls.actions.RevertRecord(revert), "RECORD_NOT_FOUND"),
        (calls.actions.GetDryRun(apb.GetDryRunRequest(job_id=dry.job_id)), "JOB_NOT_FOUND"),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert reason_of(caught.value) == ("NOT_FOUND", reason, {})


async def test_what_was_made_is_the_same_when_it_is_uploaded_again(calls: Calls, record_id: str) -> None:
    share = {"compute_column": {"name": "比", "expression": "if(编号 = '045', null, 年龄 / 8 + 0.1)"}}
    assert (await _act(calls, _request(record_id, 1, OLDER, GROUP, share))).state == job_pb2.JOB_STATE_SUCCEEDED
    revert = apb.RevertRecordRequest(record_id=record_id, base_revision=2, revision=1, request_id=str(uuid4()))
    await calls.actions.RevertRecord(revert)
    made = await _table(calls, record_id, 2)
    text = io.BytesIO()
    csv.write_csv(made, text)
    for data, name in ((await _file(calls, record_id, 2), "again.parquet"), (text.getvalue(), "again.csv")):
        again = await upload(calls, data, name)
        job = (await until_done(calls, again.job_id))[-1]
        assert job.state == job_pb2.JOB_STATE_SUCCEEDED, job.error
        table = await _table(calls, again.record_id)
        assert list(zip(table.column_names, table.schema.types, strict=True)) == list(
            zip(made.column_names, made.schema.types, strict=True)
        )
        assert table.to_pylist() == made.to_pylist()
