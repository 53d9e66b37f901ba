"""UploadFile and GetUpload: what is acknowledged is whole, what is not is resumable or refused with a reason."""

import asyncio
import os
from collections.abc import AsyncIterator
from itertools import count
from uuid import uuid4

import google_crc32c
import grpc
import psycopg
import pytest

from tablemill.v1 import data_service_pb2 as dpb
from tablemill.v1 import ingest_service_pb2 as pb
from tests.rpc import Calls, chunk, finish, header, messages, reason_of, send, upload

SEGMENT_BYTES = 4 << 20
RANDOM = os.urandom(20 << 20)


async def _raw(calls: Calls, record_id: str) -> bytes:
    request = dpb.ReadFileRequest(record_id=record_id, kind=dpb.FILE_KIND_RAW)
    return b"".join([part.data async for part in calls.data.ReadFile(request)])


async def _refusal(
    calls: Calls, parts: list[pb.UploadFileRequest], *, half_close: bool = False
) -> tuple[str, str, dict[str, str]]:
    """Return how an upload of `parts` is refused.

    Without `half_close` the stream stays open: a client that still writes while it is refused may lose the status.
    """

    async def stream() -> AsyncIterator[pb.UploadFileRequest]:
        for part in parts:
            yield part
        if not half_close:
            await asyncio.Event().wait()

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await calls.ingest.UploadFile(stream(), timeout=20)
    return reason_of(caught.value)


async def _get_upload(calls: Calls, request_id: str) -> pb.Upload:
    return (await calls.ingest.GetUpload(pb.GetUploadRequest(request_id=request_id))).upload


async def _until_begun(calls: Calls, request_id: str) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                await _get_upload(calls, request_id)
            except grpc.aio.AioRpcError:
                await asyncio.sleep(0.02)
            else:
                return


async def _break_after(calls: Calls, parts: list[pb.UploadFileRequest]) -> None:
    """Send `parts`, then vanish without finish once the server has taken them."""

    async def stream() -> AsyncIterator[pb.UploadFileRequest]:
        for part in parts:
            yield part
        await asyncio.Event().wait()

    call = calls.ingest.UploadFile(stream())
    request_id = parts[0].header.request_id
    whole_segments = sum(len(part.chunk.data) for part in parts) // SEGMENT_BYTES * SEGMENT_BYTES
    async with asyncio.timeout(20):
        while True:
            try:
                if (await _get_upload(calls, request_id)).committed_size_bytes >= whole_segments - SEGMENT_BYTES:
                    break
            except grpc.aio.AioRpcError:
                pass
            await asyncio.sleep(0.02)
    call.cancel()


@pytest.mark.parametrize("size_bytes", [0, 1, SEGMENT_BYTES - 1, SEGMENT_BYTES, SEGMENT_BYTES + 1, 20 << 20])
async def test_what_is_acknowledged_is_whole(calls_on_each_store: Calls, size_bytes: int) -> None:
    calls = calls_on_each_store
    data = RANDOM[:size_bytes]
    stored = await upload(calls, data)
    assert (stored.size_bytes, stored.crc32c) == (size_bytes, google_crc32c.value(data))
    assert await _raw(calls, stored.record_id) == data


async def test_record_and_job_are_there_with_the_answer(calls: Calls) -> None:
    stored = await upload(calls, b"a,b\n1,2\n")
    job = (await calls.ingest.GetJob(pb.GetJobRequest(job_id=stored.job_id))).job
    record = (await calls.ingest.GetRecord(pb.GetRecordRequest(record_id=stored.record_id))).record
    assert (job.record_id, job.queue, job.attempt, job.version) == (stored.record_id, "ingest", 0, 1)
    assert (record.latest_job_id, record.file_name, record.size_bytes) == (stored.job_id, "数据.csv", 8)


async def test_the_same_request_again_gets_the_same_answer(calls: Calls) -> None:
    parts = messages(b"a,b\n1,2\n")
    first = await calls.ingest.UploadFile(send(parts))
    assert await calls.ingest.UploadFile(send(parts)) == first
    state = await _get_upload(calls, parts[0].header.request_id)
    assert (state.state, state.record_id, state.job_id) == (
        pb.UPLOAD_STATE_COMMITTED,
        first.record_id,
        first.job_id,
    )
    assert len((await calls.ingest.ListRecords(pb.ListRecordsRequest())).records) == 1


async def test_the_same_request_id_for_another_file_is_refused(calls: Calls) -> None:
    parts = messages(b"a\n1\n")
    await calls.ingest.UploadFile(send(parts))
    again = messages(b"a\n1\n", "other.csv", parts[0].header.request_id)
    assert (await _refusal(calls, again))[:2] == ("ALREADY_EXISTS", "REQUEST_ID_REUSED")


@pytest.mark.parametrize("ending", ["cancel", "deadline", "half_close", "over_size"])
async def test_a_stream_without_finish_never_becomes_a_record(calls: Calls, ending: str) -> None:
    request_id = str(uuid4())
    parts = [header(request_id=request_id), chunk(0, b"x" * 100_000)]
    if ending == "cancel":
        await _break_after(calls, parts)
    elif ending == "half_close":
        assert (await _refusal(calls, parts, half_close=True))[:2] == ("INVALID_ARGUMENT", "UPLOAD_PROTOCOL")
    else:

        async def stream() -> AsyncIterator[pb.UploadFileRequest]:
            for part in parts:
                yield part
            if ending == "over_size":
                yield chunk(100_000, bytes(5 << 20))
            await asyncio.Event().wait()

        with pytest.raises(grpc.aio.AioRpcError):
            await calls.ingest.UploadFile(stream(), timeout=1)
    assert list((await calls.ingest.ListRecords(pb.ListRecordsRequest())).records) == []
    whole = messages(b"x" * 150_000, request_id=request_id)
    stored = await calls.ingest.UploadFile(send(whole))
    assert await _raw(calls, stored.record_id) == b"x" * 150_000


async def test_a_broken_upload_goes_on_where_it_was(calls_on_each_store: Calls) -> None:
    calls = calls_on_each_store
    request_id = str(uuid4())
    whole = messages(RANDOM, request_id=request_id)
    await _break_after(calls, whole[:76])  # 75 chunks of 256 KiB: four segments and a part of the fifth
    state = await _get_upload(calls, request_id)
    assert state.state == pb.UPLOAD_STATE_ACTIVE
    assert state.committed_size_bytes in {3 * SEGMENT_BYTES, 4 * SEGMENT_BYTES}
    assert state.HasField("expire_time")
    rest = messages(RANDOM, request_id=request_id, start=state.committed_size_bytes)
    stored = await calls.ingest.UploadFile(send(rest))
    assert await _raw(calls, stored.record_id) == RANDOM


async def test_a_chunk_that_arrives_changed_can_be_sent_again(calls: Calls) -> None:
    request_id = str(uuid4())
    bad = [header(request_id=request_id), chunk(0, b"a\n1\n", crc32c=1)]
    assert (await _refusal(calls, bad))[:2] == ("ABORTED", "CHUNK_CRC_MISMATCH")
    stored = await calls.ingest.UploadFile(send(messages(b"a\n1\n", request_id=request_id)))
    assert await _raw(calls, stored.record_id) == b"a\n1\n"


async def test_a_file_that_arrives_changed_is_refused_for_good(calls: Calls, database_url: str) -> None:
    parts = [*messages(RANDOM)[:-1], finish(len(RANDOM), crc32c=1)]
    assert (await _refusal(calls, parts))[:2] == ("DATA_LOSS", "FILE_CRC_MISMATCH")
    state = await _get_upload(calls, parts[0].header.request_id)
    assert (state.state, state.error.reason) == (pb.UPLOAD_STATE_REFUSED, "FILE_CRC_MISMATCH")
    code, reason, metadata = await _refusal(calls, parts[:1])
    assert (code, reason) == ("FAILED_PRECONDITION", "UPLOAD_CLOSED")
    assert metadata == {"refused_reason": "FILE_CRC_MISMATCH"}
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT count(*) FROM records").fetchone() == (0,)


PROTOCOL_BREAKS = {
    "chunk first": [chunk(0, b"x")],
    "two headers": [header(), header()],
    "empty message": [header(), pb.UploadFileRequest()],
    "after finish": [header(), chunk(0, b"x"), finish(1), chunk(1, b"x")],
    "nothing": [],
}


@pytest.mark.parametrize("break_", PROTOCOL_BREAKS)
async def test_the_protocol_is_held(calls: Calls, break_: str) -> None:
    refusal = await _refusal(calls, PROTOCOL_BREAKS[break_], half_close=not PROTOCOL_BREAKS[break_])
    assert refusal[:2] == ("INVALID_ARGUMENT", "UPLOAD_PROTOCOL")


async def test_offsets_and_sizes_must_fit(calls: Calls) -> None:
    gap = await _refusal(calls, [header(), chunk(0, b"xx"), chunk(3, b"x")])
    assert gap == ("OUT_OF_RANGE", "OFFSET_MISMATCH", {"expected_offset": "2"})
    short = await _refusal(calls, [header(), chunk(0, b"xx"), finish(3)])
    assert short == ("OUT_OF_RANGE", "SIZE_MISMATCH", {"received_bytes": "2"})


async def test_a_file_over_the_limit_is_refused_as_soon_as_that_is_known(calls: Calls) -> None:
    declared = await _refusal(calls, [header(size_bytes=31 << 20)])
    assert declared == ("INVALID_ARGUMENT", "FILE_TOO_LARGE", {"max_size_bytes": str(30 << 20)})
    parts = [header()] + [chunk(number << 20, bytes(1 << 20)) for number in range(31)]
    with pytest.raises(grpc.aio.AioRpcError):
        await calls.ingest.UploadFile(send(parts))
    # Some clients lose the status of an early refusal; the stored verdict is what counts.
    state = await _get_upload(calls, parts[0].header.request_id)
    assert (state.state, state.error.reason) == (pb.UPLOAD_STATE_REFUSED, "FILE_TOO_LARGE")


BAD_HEADERS = {
    "request_id": pb.UploadHeader(request_id="7", file_name="a.csv"),
    "no file_name": pb.UploadHeader(request_id=str(uuid4())),
    "long file_name": pb.UploadHeader(request_id=str(uuid4()), file_name="数" * 86),
    "control in file_name": pb.UploadHeader(request_id=str(uuid4()), file_name="a\nb.csv"),
    "negative size": pb.UploadHeader(request_id=str(uuid4()), file_name="a.csv", size_bytes=-1),
    "label key": pb.UploadHeader(request_id=str(uuid4()), file_name="a.csv", labels={"Upper": "x"}),
    "label value": pb.UploadHeader(request_id=str(uuid4()), file_name="a.csv", labels={"a": "x" * 257}),
    "labels": pb.UploadHeader(request_id=str(uuid4()), file_name="a", labels={f"k{i}": "" for i in range(17)}),
    "sheet": pb.UploadHeader(request_id=str(uuid4()), file_name="a", options=pb.ReadOptions(sheet="a\0")),
    **{
        f"options {number}": pb.UploadHeader(request_id=str(uuid4()), file_name="a", options=options)
        for number, options in enumerate(
            [
                pb.ReadOptions(sheet="a", sheet_number=1),
                pb.ReadOptions(sheet_number=-1),
                pb.ReadOptions(header_row=201),
                pb.ReadOptions(delimiter="a"),
                pb.ReadOptions(delimiter="|||||"),
                pb.ReadOptions(delimiter=";", quote=";"),
                pb.ReadOptions(quote="''"),
                pb.ReadOptions(encoding="rot13"),
                pb.ReadOptions(encoding="no-such"),
                pb.ReadOptions(encoding="a\0"),
                pb.ReadOptions(null_tokens=["x"] * 51),
                pb.ReadOptions(null_tokens=[""]),
                pb.ReadOptions(date_order=7),  # type: ignore[arg-type]
            ]
        )
    },
}


@pytest.mark.parametrize("what", BAD_HEADERS)
async def test_bad_headers_name_the_field(calls: Calls, what: str) -> None:
    code, reason, metadata = await _refusal(calls, [pb.UploadFileRequest(header=BAD_HEADERS[what])])
    assert (code, reason) == ("INVALID_ARGUMENT", "FIELD_INVALID")
    assert metadata["field"].startswith("header.")


async def test_the_newest_stream_of_an_upload_wins(calls: Calls) -> None:
    request_id = str(uuid4())
    release = asyncio.Event()

    async def older() -> AsyncIterator[pb.UploadFileRequest]:
        yield header(request_id=request_id)
        yield chunk(0, b"a\n1\n")
        await release.wait()
        yield finish(4)

    first = calls.ingest.UploadFile(older())
    await _until_begun(calls, request_id)
    stored = await calls.ingest.UploadFile(send(messages(b"a\n2\n", request_id=request_id)))
    release.set()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await first
    assert reason_of(caught.value)[:2] == ("ABORTED", "UPLOAD_SUPERSEDED")
    assert await _raw(calls, stored.record_id) == b"a\n2\n"


async def test_an_upload_that_does_not_move_is_cut_off(calls: Calls) -> None:
    async def stuck() -> AsyncIterator[pb.UploadFileRequest]:
        yield header()
        await asyncio.Event().wait()

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await calls.ingest.UploadFile(stuck())
    assert reason_of(caught.value)[:2] == ("UNAVAILABLE", "UPLOAD_IDLE")


async def test_too_many_uploads_are_told_to_come_back(calls: Calls) -> None:
    async def slow(request_id: str) -> AsyncIterator[pb.UploadFileRequest]:
        yield header(request_id=request_id)
        for offset in count():
            yield chunk(offset, b"x")
            await asyncio.sleep(0.2)  # alive, so that no idle timeout ends it

    request_ids = [str(uuid4()) for _ in range(4)]
    open_calls = [calls.ingest.UploadFile(slow(request_id)) for request_id in request_ids]
    for request_id in request_ids:
        await _until_begun(calls, request_id)
    assert (await _refusal(calls, []))[:2] == ("RESOURCE_EXHAUSTED", "TOO_MANY_UPLOADS")
    for open_call in open_calls:
        open_call.cancel()


async def test_bytes_that_are_no_message_are_refused_without_a_leak(calls: Calls) -> None:
    method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]
    method = calls.channel.unary_unary("/tablemill.v1.IngestService/GetJob")
    call = method(b"\xff\xff\xff")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    assert reason_of(caught.value)[:2] == ("INVALID_ARGUMENT", "MESSAGE_MALFORMED")
