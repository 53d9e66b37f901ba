"""Reads of rows: one table whatever breaks on the way."""

import pyarrow as pa
import pytest

from tablemill.client import TablemillClient
from tablemill.errors import UnavailableError
from tablemill.v1.data_service_pb2 import ReadRowsResponse
from tests.unit.client.fake import FakeServer

TABLE = pa.table({"n": list(range(10)), "text": ["文"] * 10})


@pytest.fixture(autouse=True)
def served(fake: FakeServer) -> None:
    """Five batches of two rows."""
    schema = ReadRowsResponse(arrow_ipc=TABLE.schema.serialize().to_pybytes(), revision=7, total_row_count=10)
    batches = [
        ReadRowsResponse(
            arrow_ipc=TABLE.slice(start, 2).to_batches()[0].serialize().to_pybytes(),
            row_count=2,
            next_row_offset=start + 2,
        )
        for start in range(0, 10, 2)
    ]
    fake.data.row_messages = [schema, *batches]


async def test_a_table_arrives(client: TablemillClient) -> None:
    assert (await client.read_table("r")).equals(TABLE)


async def test_a_broken_read_resumes_after_the_last_row_of_the_same_version(
    client: TablemillClient, fake: FakeServer
) -> None:
    fake.data.breaks_at = [3, 0, 1, 2]
    assert (await client.read_table("r")).equals(TABLE)
    asked = [(request.row_offset, request.revision) for request in fake.data.row_requests]
    assert asked == [(0, 0), (4, 7), (4, 7), (4, 7), (6, 7)]


async def test_a_limit_counts_over_all_streams(client: TablemillClient, fake: FakeServer) -> None:
    fake.data.row_messages = fake.data.row_messages[:4]
    fake.data.breaks_at = [3]
    assert (await client.read_table("r", row_limit=6)).equals(TABLE.slice(0, 6))
    assert [request.row_limit for request in fake.data.row_requests] == [6, 2]


async def test_giving_up_raises_the_last_failure(client: TablemillClient, fake: FakeServer) -> None:
    fake.data.breaks_at = [1] * 100
    with pytest.raises(UnavailableError):
        await client.read_table("r")
