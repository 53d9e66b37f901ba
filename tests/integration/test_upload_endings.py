"""A stream that ends without finish, however it ends, a hundred times: nothing of it becomes a record."""

import asyncio
import random
from collections.abc import AsyncIterator

import grpc
import pytest

from tablemill.v1 import ingest_service_pb2 as pb
from tests.rpc import CHUNK_BYTES, Calls, chunk, header, messages, send

RUNS = 100


async def _end_without_finish(calls: Calls, ending: str, chunks: int, chance: random.Random) -> None:
    sent = asyncio.Event()

    async def stream() -> AsyncIterator[pb.UploadFileRequest]:
        yield header()
        for number in range(chunks):
            yield chunk(number * CHUNK_BYTES, bytes(CHUNK_BYTES))
        sent.set()
        if ending == "over_size":
            yield chunk(chunks * CHUNK_BYTES, bytes(5 << 20))
        if ending != "half_close":
            await asyncio.Event().wait()

    call = calls.ingest.UploadFile(stream(), timeout=chance.uniform(0.02, 0.3) if ending == "deadline" else 20)
    if ending == "cancel":
        await sent.wait()
        await asyncio.sleep(chance.uniform(0, 0.05))
        call.cancel()
    with pytest.raises((grpc.aio.AioRpcError, asyncio.CancelledError)):
        await call


async def _run(calls: Calls, ending: str, runs: int) -> None:
    chance = random.Random(ending)
    for _ in range(runs):
        chunks = chance.randrange(40)
        await _end_without_finish(calls, ending, chunks, chance)
        assert not (await calls.ingest.ListRecords(pb.ListRecordsRequest())).records
    # The service is as good as new.
    stored = await calls.ingest.UploadFile(send(messages(b"a,b\n1,2\n")))
    assert stored.size_bytes == len(b"a,b\n1,2\n")


ENDINGS = ["cancel", "deadline", "half_close", "over_size"]


@pytest.mark.parametrize("ending", ENDINGS)
async def test_a_few_times(calls: Calls, ending: str) -> None:
    await _run(calls, ending, 4)


@pytest.mark.slow
@pytest.mark.parametrize("ending", ENDINGS)
async def test_a_hundred_times(calls: Calls, ending: str) -> None:
    await _run(calls, ending, RUNS)
