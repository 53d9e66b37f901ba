"""What UploadFile refuses, at the first moment it is known, and what two callers of one upload learn."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from ingest_service.upload.admission import Admission
from ingest_service.upload.content import check_content
from ingest_service.upload.stream import UploadStream
from shared.errors import InvalidArgument, ResourceExhausted
from tablemill.v1 import ingest_service_pb2 as pb
from tests.rpc import Calls, chunk, finish, header, messages, reason_of, send

FOREIGN = {
    "png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    "jpeg": b"\xff\xd8\xff\xe0\0\x10JFIF",
    "gif": b"GIF89a\x01\0\x01\0",
    "pdf": b"%PDF-1.7\n",
    "elf": b"\x7fELF\x02\x01\x01\0",
    "exe": b"MZ\x90\0\x03\0",
    "pickle": b"\x80\x04\x95\x1f",
    "7z": b"7z\xbc\xaf\x27\x1c\0\x04",
    "rar": b"Rar!\x1a\x07\x01\0",
    "sqlite": b"SQLite format 3\0\x10\0",
}
TEXTS = [
    b"MZ,PAR1\n1,2\n",
    b"PAR1\n1\n",
    b"BZh,x\n1,2\n",
    b"PK\x03\x04",
    b"",
    "MZ,编号\n1,2\n".encode("gb18030"),
    b"\0\0\0",
    b"PAR1\x15\x04\x15\0",
    b"\x1f\x8b\x08\0",
    b"\x28\xb5\x2f\xfd\x04",
    b"<!DOCTYPE html><table>",
]


async def _refusal(calls: Calls, parts: list[pb.UploadFileRequest]) -> tuple[str, str, dict[str, str]]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await calls.ingest.UploadFile(send(parts), timeout=20)
    return reason_of(caught.value)


async def _get_upload(calls: Calls, request_id: str) -> pb.Upload:
    return (await calls.ingest.GetUpload(pb.GetUploadRequest(request_id=request_id))).upload


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_content_is_known_by_its_first_bytes(name: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        check_content(FOREIGN[name])
    assert caught.value.metadata == {"detected": name}


@pytest.mark.parametrize("start", TEXTS)
def test_what_may_be_a_table_is_taken(start: bytes) -> None:
    check_content(start)


async def test_foreign_content_is_refused_for_good_while_it_is_sent(calls: Calls) -> None:
    request_id = str(uuid4())
    go_on = asyncio.Event()

    async def endless() -> AsyncIterator[pb.UploadFileRequest]:
        yield header("table.xlsx", request_id)
        for offset, byte in enumerate(FOREIGN["png"]):
            yield chunk(offset, bytes([byte]))
        await go_on.wait()

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await calls.ingest.UploadFile(endless(), timeout=20)
    assert reason_of(caught.value) == ("INVALID_ARGUMENT", "FILE_FORMAT_UNSUPPORTED", {"detected": "png"})
    state = await _get_upload(calls, request_id)
    assert (state.state, state.error.reason) == (pb.UPLOAD_STATE_REFUSED, "FILE_FORMAT_UNSUPPORTED")
    assert dict(state.error.metadata) == {"detected": "png"}


async def test_a_declared_size_over_the_limit_is_a_stored_verdict(calls: Calls) -> None:
    first = header(size_bytes=31 << 20)
    assert (await _refusal(calls, [first]))[1] == "FILE_TOO_LARGE"
    state = await _get_upload(calls, first.header.request_id)
    assert (state.state, state.error.reason) == (pb.UPLOAD_STATE_REFUSED, "FILE_TOO_LARGE")
    assert (await _refusal(calls, [first]))[1] == "UPLOAD_CLOSED"


@pytest.mark.parametrize("parts", [[chunk(0, b"abc")], [chunk(0, b"a"), finish(1)]])
async def test_a_declared_size_is_kept_to(calls: Calls, parts: list[pb.UploadFileRequest]) -> None:
    assert (await _refusal(calls, [header(size_bytes=2), *parts]))[:2] == ("OUT_OF_RANGE", "SIZE_MISMATCH")


async def test_one_owner_cannot_take_all_places() -> None:
    admission = Admission(max_uploads=2, max_uploads_per_owner=1)
    streams = [UploadStream(send([]), idle_s=1, min_bytes_per_s=0) for _ in range(4)]
    with admission.admit("a", streams[0]):
        with pytest.raises(ResourceExhausted, match="of yours"), admission.admit("a", streams[1]):
            pass
        with (
            admission.admit("b", streams[2]),
            pytest.raises(ResourceExhausted, match="on this server"),
            admission.admit("c", streams[3]),
        ):
            pass
    with admission.admit("a", streams[1]):
        pass


async def test_a_client_that_trickles_is_cut_off_and_may_resume(calls: Calls) -> None:
    async def trickle() -> AsyncIterator[pb.UploadFileRequest]:
        yield header()
        for offset in range(1_000_000):
            yield chunk(offset, b"x")
            await asyncio.sleep(0.1)  # much sooner than the idle timeout

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await calls.ingest.UploadFile(trickle(), timeout=20)
    assert reason_of(caught.value)[:2] == ("UNAVAILABLE", "UPLOAD_IDLE")


async def test_both_of_two_callers_learn_the_same(calls: Calls) -> None:
    parts = messages(b"a,b\n1,2\n" * 500_000)

    async def call() -> tuple[str, str]:
        try:
            answer = await calls.ingest.UploadFile(send(parts), timeout=20)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.INTERNAL:  # the client may lose the status, see grpc/grpc#36066
                assert reason_of(error)[:2] == ("ABORTED", "UPLOAD_SUPERSEDED")
            return await _until_committed(calls, parts[0].header.request_id)
        return answer.record_id, answer.job_id

    assert len(set(await asyncio.gather(*(call() for _ in range(3))))) == 1
    assert len((await calls.ingest.ListRecords(pb.ListRecordsRequest())).records) == 1


async def _until_committed(calls: Calls, request_id: str) -> tuple[str, str]:
    async with asyncio.timeout(20):
        while (upload := await _get_upload(calls, request_id)).state != pb.UPLOAD_STATE_COMMITTED:
            await asyncio.sleep(0.02)
    return upload.record_id, upload.job_id


async def test_a_stream_that_was_overtaken_at_its_end_gets_the_newer_ones_answer(calls: Calls) -> None:
    request_id, go_on = str(uuid4()), asyncio.Event()

    async def older() -> AsyncIterator[pb.UploadFileRequest]:
        for part in messages(b"a\n1\n", request_id=request_id)[:2]:
            yield part
        await go_on.wait()
        yield finish(4)

    first = calls.ingest.UploadFile(older())
    async with asyncio.timeout(10):
        while True:
            try:
                await _get_upload(calls, request_id)
                break
            except grpc.aio.AioRpcError:
                await asyncio.sleep(0.02)
    newer = await calls.ingest.UploadFile(send(messages(b"a\n1\n", request_id=request_id)))
    go_on.set()
    assert await first == newer


async def test_a_time_to_live_becomes_the_records(calls: Calls) -> None:
    parts = messages(b"a\n1\n")
    parts[0].header.ttl.CopyFrom(Duration(seconds=3600))
    stored = await calls.ingest.UploadFile(send(parts))
    record = (await calls.ingest.GetRecord(pb.GetRecordRequest(record_id=stored.record_id))).record
    assert record.expire_time.seconds - record.create_time.seconds == pytest.approx(3600, abs=2)
    parts[0].header.ttl.seconds = 7200
    assert (await _refusal(calls, parts))[1] == "REQUEST_ID_REUSED"
    parts[0].header.ttl.seconds = 0
    assert (await _refusal(calls, parts))[2] == {"field": "header.ttl"}
