"""ReadRows: Arrow batches of clean data, by both kinds of store."""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import polars
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pyarrow import ipc

from shared.storage import ObjectStore, open_store
from tablemill.client import TablemillClient
from tablemill.v1 import data_service_pb2 as dpb
from tests.integration.clean_data import publish
from tests.rpc import Calls, reason_of, upload

ROWS = 30_000
TABLE = pa.table(
    {
        "id": pa.array(range(ROWS), pa.int64()),
        "a": pa.array([f"病人{row}" if row % 5 else None for row in range(ROWS)]),
        "a.b": pa.array([row / 7 for row in range(ROWS)]),
    }
)


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[ObjectStore]:
    store = open_store(store_url, emulator_url=os.environ.get("STORAGE_EMULATOR_HOST", ""))
    yield store
    await store.close()


@pytest.fixture
async def record_id(calls_on_each_store: Calls, database_url: str, store: ObjectStore, tmp_path: Path) -> str:
    """A record of 30,000 rows in row groups of 10,000."""
    return await publish(calls_on_each_store, database_url, store, TABLE, tmp_path)


async def _read(calls: Calls, **request: object) -> tuple[list[dpb.ReadRowsResponse], pa.Table]:
    """Return the messages, and the table that any Arrow library makes of their bytes put together."""
    messages = [message async for message in calls.data.ReadRows(dpb.ReadRowsRequest(**request))]  # type: ignore[arg-type]
    return messages, ipc.open_stream(b"".join(message.arrow_ipc for message in messages)).read_all()


async def test_everything_arrives_in_order(calls_on_each_store: Calls, record_id: str) -> None:
    messages, table = await _read(calls_on_each_store, record_id=record_id)
    assert table.equals(TABLE)
    first, *others = messages
    assert (first.revision, first.total_row_count, first.row_count, first.next_row_offset) == (1, ROWS, 0, 0)
    assert [message.next_row_offset for message in others][-1] == ROWS
    assert sum(message.row_count for message in others) == ROWS
    assert max(len(message.arrow_ipc) for message in messages) < 2_400_000


@pytest.mark.parametrize(
    ("offset", "limit"), [(0, 1), (9_999, 2), (12_345, 10_000), (29_000, 0), (29_999, 50), (ROWS, 5)]
)
async def test_any_range_of_any_columns(calls_on_each_store: Calls, record_id: str, offset: int, limit: int) -> None:
    columns = ["a.b", "a"]
    request = {"record_id": record_id, "row_offset": offset, "row_limit": limit, "columns": columns}
    _, table = await _read(calls_on_each_store, **request)
    assert table.equals(TABLE.select(columns).slice(offset, limit or ROWS))
    preview = await calls_on_each_store.data.PreviewRecord(
        dpb.PreviewRecordRequest(record_id=record_id, row_offset=offset, row_limit=2, columns=["a"])
    )
    texts = [row.cells[0].text if row.cells[0].HasField("text") else None for row in preview.rows]
    assert texts == TABLE["a"].slice(offset, 2).to_pylist()


@pytest.mark.parametrize(
    ("row_filter", "expected"),
    [
        ("id >= 9990 and id < 10010", pc.field("id").isin(range(9990, 10010))),
        ("a is null", pc.field("a").is_null()),
        ("a = '病人12345' or `a.b` > 4284", (pc.field("a") == "病人12345") | (pc.field("a.b") > 4284)),
        ("id < 0", pc.field("id") < 0),
    ],
)
async def test_only_rows_that_fit(calls_on_each_store: Calls, record_id: str, row_filter: str, expected: Any) -> None:
    messages, table = await _read(calls_on_each_store, record_id=record_id, filter=row_filter, columns=["a"])
    assert table.equals(TABLE.filter(expected).select(["a"]))
    assert [message.next_row_offset for message in messages] == sorted(message.next_row_offset for message in messages)
    async with TablemillClient(calls_on_each_store.address) as client:
        assert (await client.read_table(record_id, row_filter=row_filter, row_offset=100)).equals(
            TABLE.slice(100).filter(expected)
        )


async def test_a_filtered_read_resumes_at_any_message(calls_on_each_store: Calls, record_id: str) -> None:
    request = {"record_id": record_id, "filter": "floor(id / 3) * 3 = id"}
    messages, table = await _read(calls_on_each_store, **request)
    done = 0
    for message in messages:
        done += message.row_count
        _, rest = await _read(calls_on_each_store, **request, row_offset=message.next_row_offset)
        assert rest.equals(table.slice(done))


async def test_an_error_of_a_filter_tells_the_character(calls_on_each_store: Calls, record_id: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await calls_on_each_store.data.ReadRows(
            dpb.ReadRowsRequest(record_id=record_id, filter="id > 3 and none = 1")
        ).read()
    assert reason_of(caught.value) == ("INVALID_ARGUMENT", "FIELD_INVALID", {"field": "filter", "position": "12"})


async def test_rows_larger_than_a_message_come_one_by_one(
    calls: Calls, database_url: str, file_store_url: str, tmp_path: Path
) -> None:
    store = open_store(file_store_url)
    large = pa.table({"text": ["文" * 200_000, None, "x" * 900_000, "y" * 900_000]})
    record_id = await publish(calls, database_url, store, large, tmp_path)
    await store.close()
    messages, table = await _read(calls, record_id=record_id)
    assert table.equals(large)
    assert len(messages) > 2


async def test_a_table_without_rows_has_a_schema(
    calls: Calls, database_url: str, file_store_url: str, tmp_path: Path
) -> None:
    store = open_store(file_store_url)
    record_id = await publish(calls, database_url, store, TABLE.slice(0, 0), tmp_path)
    await store.close()
    messages, table = await _read(calls, record_id=record_id)
    assert (len(messages), table.schema) == (1, TABLE.schema)


async def test_the_client_makes_a_table(calls_on_each_store: Calls, record_id: str) -> None:
    async with TablemillClient(calls_on_each_store.address) as client:
        table = await client.read_table(record_id, columns=["a", "id"], row_offset=3, row_limit=20_000)
        empty = await client.read_table(record_id, row_offset=ROWS)
    assert table.equals(TABLE.select(["a", "id"]).slice(3, 20_000))
    assert empty.equals(TABLE.slice(0, 0))


async def test_three_lines_make_a_frame(calls: Calls, database_url: str, file_store_url: str, tmp_path: Path) -> None:
    store = open_store(file_store_url)
    record_id = await publish(calls, database_url, store, TABLE, tmp_path)
    await store.close()
    async with TablemillClient(calls.address) as client:
        table = await client.read_table(record_id, columns=["id", "a"])
    assert table.to_pandas()["id"].sum() == sum(range(ROWS))
    frame = polars.from_arrow(table)
    assert isinstance(frame, polars.DataFrame)
    assert frame["a"].null_count() == ROWS / 5


async def test_what_does_not_fit_is_refused(
    calls: Calls, database_url: str, file_store_url: str, tmp_path: Path
) -> None:
    store = open_store(file_store_url)
    record_id = await publish(calls, database_url, store, TABLE, tmp_path)
    await store.close()
    waiting = await upload(calls, b"a\n1\n")
    refusals = {
        "ROW_OUT_OF_RANGE": dpb.ReadRowsRequest(record_id=record_id, row_offset=ROWS + 1),
        "FIELD_INVALID": dpb.ReadRowsRequest(record_id=record_id, columns=["a", "a"]),
        "VERSION_NOT_FOUND": dpb.ReadRowsRequest(record_id=record_id, revision=2),
        "RECORD_NOT_READY": dpb.ReadRowsRequest(record_id=waiting.record_id),
    }
    for reason, request in refusals.items():
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await calls.data.ReadRows(request).read()
        assert reason_of(caught.value)[1] == reason
