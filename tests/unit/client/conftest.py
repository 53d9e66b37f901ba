from collections.abc import AsyncIterator

import grpc
import pytest

from tablemill.client import TablemillClient
from tablemill.retrying import RetryPolicy
from tablemill.v1 import data_service_pb2_grpc, ingest_service_pb2_grpc
from tests.unit.client.fake import FakeData, FakeIngest, FakeServer

IMPATIENT = RetryPolicy(attempts=4, first_delay_s=0.001, longest_delay_s=0.01)


@pytest.fixture
async def fake() -> AsyncIterator[FakeServer]:
    """A fake server on a real socket."""
    ingest, data = FakeIngest(), FakeData()
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", 4 * 1024 * 1024)])
    ingest_service_pb2_grpc.add_IngestServiceServicer_to_server(ingest, server)
    data_service_pb2_grpc.add_DataServiceServicer_to_server(data, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield FakeServer(ingest, data, f"127.0.0.1:{port}")
    await server.stop(None)


@pytest.fixture
async def client(fake: FakeServer) -> AsyncIterator[TablemillClient]:
    """A client of the fake server that retries at once and gives up after four failures."""
    async with TablemillClient(fake.address, retry=IMPATIENT) as client:
        yield client
