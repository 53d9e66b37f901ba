"""Uploads: what is sent, and how they survive what networks and servers do."""

import asyncio
import random
import uuid
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import google_crc32c
import grpc
import pytest

from tablemill.client import TablemillClient
from tablemill.errors import NotFoundError, RefusedError, TablemillError, UnavailableError
from tablemill.uploading import UploadProgress
from tablemill.v1 import ingest_service_pb2 as pb
from tests.proxy import Proxy
from tests.unit.client.conftest import IMPATIENT
from tests.unit.client.fake import Context, FakeServer, Fault, StoredUpload, refuse

KIB = 1024
CONTENT = random.Random(1).randbytes(1_500_000)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "病例.xlsx"
    path.write_bytes(CONTENT)
    return path


def broken(code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE, reason: str = "") -> partial[Fault]:
    async def strike(context: Context, upload: StoredUpload) -> None:
        await refuse(context, code, reason)

    return partial(Fault, strike)


def stored(fake: FakeServer) -> bytes:
    (upload,) = fake.ingest.uploads.values()
    assert upload.state == pb.UPLOAD_STATE_COMMITTED
    return bytes(upload.data)


async def test_a_file_is_sent_as_header_chunks_and_finish(
    client: TablemillClient, fake: FakeServer, file: Path
) -> None:
    result = await client.upload(file, labels={"ward": "3"}, options=pb.ReadOptions(sheet="住院病例"))
    (stream,) = fake.ingest.streams
    assert stream.header.file_name == "病例.xlsx"
    assert stream.header.size_bytes == len(CONTENT)
    assert dict(stream.header.labels) == {"ward": "3"}
    assert stream.header.options.sheet == "住院病例"
    assert stream.chunk_sizes == [512 * KIB] * 2 + [len(CONTENT) - 2 * 512 * KIB]
    assert stream.finish == pb.UploadFinish(size_bytes=len(CONTENT), crc32c=google_crc32c.value(CONTENT))
    assert stored(fake) == CONTENT
    upload = fake.ingest.uploads[stream.header.request_id]
    assert (result.record_id, result.job_id) == (upload.record_id, upload.job_id)
    assert (result.size_bytes, result.crc32c) == (len(CONTENT), google_crc32c.value(CONTENT))


async def test_an_empty_file_is_sent_without_chunks(client: TablemillClient, fake: FakeServer, tmp_path: Path) -> None:
    path = tmp_path / "empty.csv"
    path.touch()
    await client.upload(path)
    assert fake.ingest.streams[0].offsets == []
    assert stored(fake) == b""


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (grpc.StatusCode.UNAVAILABLE, "SERVER_DRAINING"),
        (grpc.StatusCode.UNAVAILABLE, ""),
        (grpc.StatusCode.INTERNAL, ""),
        (grpc.StatusCode.CANCELLED, ""),
        (grpc.StatusCode.ABORTED, "CHUNK_CRC_MISMATCH"),
        (grpc.StatusCode.OUT_OF_RANGE, "OFFSET_MISMATCH"),
    ],
)
async def test_a_broken_upload_resumes_at_what_is_committed(
    client: TablemillClient, fake: FakeServer, file: Path, code: grpc.StatusCode, reason: str
) -> None:
    fake.ingest.faults = [broken(code, reason)(at_bytes=700 * KIB, kept_bytes=600_001)]
    reports: list[UploadProgress] = []
    await client.upload(file, on_progress=reports.append)
    first, second = fake.ingest.streams
    assert first.header == second.header
    assert second.offsets[0] == 600_001
    assert stored(fake) == CONTENT
    (failure,) = [report for report in reports if report.error is not None]
    assert (failure.sent_bytes, failure.failures) == (0, 1)
    assert reports[reports.index(failure) + 1].sent_bytes == 600_001
    assert reports[-1] == UploadProgress(len(CONTENT), len(CONTENT))


async def test_a_connection_cut_in_the_middle_is_survived(fake: FakeServer, file: Path) -> None:
    async with Proxy(fake.address) as proxy, TablemillClient(proxy.address, retry=IMPATIENT) as client:

        async def strike(context: Context, upload: StoredUpload) -> None:
            proxy.cut()
            await asyncio.Event().wait()

        fake.ingest.faults = [Fault(strike, at_bytes=700 * KIB, kept_bytes=600_001)]
        await client.upload(file)
    assert [stream.offsets[0] for stream in fake.ingest.streams] == [0, 600_001]
    assert proxy.connections == 2
    assert stored(fake) == CONTENT


async def test_a_lost_answer_is_fetched_without_sending_the_file_again(
    client: TablemillClient, fake: FakeServer, file: Path
) -> None:
    fake.ingest.faults = [broken()(after_commit=True)]
    result = await client.upload(file)
    assert fake.ingest.streams[1].offsets == []
    upload = fake.ingest.uploads[fake.ingest.streams[0].header.request_id]
    assert (result.record_id, result.size_bytes) == (upload.record_id, len(CONTENT))


async def test_an_early_refusal_is_reported_as_the_server_gave_it(
    client: TablemillClient, fake: FakeServer, file: Path
) -> None:
    async def strike(context: Context, upload: StoredUpload) -> None:
        upload.state = pb.UPLOAD_STATE_REFUSED
        upload.error = pb.UploadError(reason="FILE_TOO_LARGE", message="too large", metadata={"max": "5"})
        await refuse(context, grpc.StatusCode.INVALID_ARGUMENT, "FILE_TOO_LARGE", metadata={"max": "5"})

    for _ in range(20):  # whether the client sees the status or INTERNAL is a race inside grpc.aio
        fake.ingest.faults = [Fault(strike)]
        with pytest.raises(RefusedError) as caught:
            await client.upload(file)
        assert (caught.value.reason, caught.value.metadata) == ("FILE_TOO_LARGE", {"max": "5"})


async def test_a_refusal_whose_status_was_lost_is_learned_from_get_upload(
    client: TablemillClient, fake: FakeServer, file: Path
) -> None:
    async def strike(context: Context, upload: StoredUpload) -> None:
        upload.state = pb.UPLOAD_STATE_REFUSED
        upload.error = pb.UploadError(reason="FILE_TOO_LARGE", message="too large", metadata={"max": "5"})
        await refuse(context, grpc.StatusCode.INTERNAL)

    fake.ingest.faults = [Fault(strike)]
    with pytest.raises(RefusedError, match="FILE_TOO_LARGE: too large") as caught:
        await client.upload(file)
    assert caught.value.metadata == {"max": "5"}
    assert len(fake.ingest.streams) == 1


async def test_a_refusal_that_the_server_does_not_store_is_heard_at_the_next_stream(
    client: TablemillClient, fake: FakeServer, file: Path
) -> None:
    fake.ingest.faults = [
        broken(grpc.StatusCode.INTERNAL)(),
        broken(grpc.StatusCode.INVALID_ARGUMENT, "FIELD_INVALID")(),
    ]
    with pytest.raises(RefusedError, match="FIELD_INVALID"):
        await client.upload(file)
    assert len(fake.ingest.streams) == 2


async def test_a_final_refusal_is_not_retried(client: TablemillClient, fake: FakeServer, file: Path) -> None:
    fake.ingest.faults = [broken(grpc.StatusCode.ABORTED, "UPLOAD_SUPERSEDED")(at_finish=True)]
    with pytest.raises(RefusedError, match="UPLOAD_SUPERSEDED"):
        await client.upload(file)
    assert len(fake.ingest.streams) == 1


async def test_the_result_of_another_file_is_never_taken_for_ours(
    client: TablemillClient, fake: FakeServer, file: Path
) -> None:
    request_id = str(uuid.uuid4())
    await client.upload(file, request_id=request_id)
    with pytest.raises(RefusedError, match="REQUEST_ID_REUSED"):
        await client.upload(file, file_name="other.xlsx", request_id=request_id)


async def test_an_upload_begun_by_another_process_goes_on_where_it_stopped(
    client: TablemillClient, fake: FakeServer, file: Path
) -> None:
    request_id = str(uuid.uuid4())
    fake.ingest.uploads[request_id] = StoredUpload(bytearray(CONTENT[:500_000]), file_name="病例.xlsx")
    await client.upload(file, request_id=request_id)
    assert fake.ingest.streams[0].offsets[0] == 500_000
    assert stored(fake) == CONTENT


async def test_without_progress_the_last_failure_is_raised_after_the_allowed_attempts(
    client: TablemillClient, fake: FakeServer, file: Path
) -> None:
    fake.ingest.faults = [broken(grpc.StatusCode.UNAVAILABLE, "UPLOAD_IDLE")(at_finish=True) for _ in range(10)]
    with pytest.raises(UnavailableError, match="UPLOAD_IDLE"):
        await client.upload(file)
    assert len(fake.ingest.streams) == IMPATIENT.attempts


async def test_progress_renews_the_patience(client: TablemillClient, fake: FakeServer, file: Path) -> None:
    offsets = [100_000 * number for number in range(1, 11)]
    assert len(offsets) > IMPATIENT.attempts
    fake.ingest.faults = [broken()(at_bytes=offset, kept_bytes=offset) for offset in offsets]
    await client.upload(file)
    assert [stream.offsets[0] for stream in fake.ingest.streams] == [0, *offsets]
    assert stored(fake) == CONTENT


async def test_a_server_that_cannot_tell_where_to_resume_is_asked_again(
    client: TablemillClient, fake: FakeServer, file: Path
) -> None:
    fake.ingest.faults = [broken()(at_bytes=700 * KIB, kept_bytes=600_001)]
    fake.ingest.unavailable_answers = 5  # more than the four tries of the channel's own retry policy
    await client.upload(file)
    assert stored(fake) == CONTENT


async def pieces(*sizes: int) -> AsyncIterator[bytes]:
    start = 0
    for size in sizes:
        yield CONTENT[start : start + size]
        start += size


async def test_bytes_are_cut_into_chunks(client: TablemillClient, fake: FakeServer) -> None:
    await client.upload(pieces(10, 0, 600 * KIB), file_name="a.csv")
    (stream,) = fake.ingest.streams
    assert stream.chunk_sizes == [10, 512 * KIB, 88 * KIB]
    assert not stream.header.HasField("size_bytes")
    assert stored(fake) == CONTENT[: 10 + 600 * KIB]


async def test_bytes_cannot_be_resumed(client: TablemillClient, fake: FakeServer) -> None:
    fake.ingest.faults = [broken()(at_finish=True, kept_bytes=10)]
    with pytest.raises(UnavailableError):
        await client.upload(pieces(10, 10), file_name="a.csv")
    assert len(fake.ingest.streams) == 1


async def test_bytes_whose_answer_was_lost_are_stored_all_the_same(client: TablemillClient, fake: FakeServer) -> None:
    fake.ingest.faults = [broken()(after_commit=True)]
    result = await client.upload(pieces(10, 10), file_name="a.csv")
    assert result.size_bytes == 20


async def test_bytes_need_a_name(client: TablemillClient) -> None:
    with pytest.raises(ValueError, match="file_name"):
        await client.upload(pieces(10))


async def test_an_error_of_the_source_ends_the_upload_and_is_raised(client: TablemillClient, fake: FakeServer) -> None:
    async def failing() -> AsyncIterator[bytes]:
        yield b"abc"
        raise KeyError("from the source")

    with pytest.raises(KeyError, match="from the source"):
        await client.upload(failing(), file_name="a.csv")
    assert all(upload.state == pb.UPLOAD_STATE_ACTIVE for upload in fake.ingest.uploads.values())


async def test_a_server_that_is_not_there_is_unavailable(file: Path) -> None:
    async with TablemillClient("127.0.0.1:1", retry=IMPATIENT) as client:
        with pytest.raises(UnavailableError):
            await client.upload(file)


async def test_errors_of_reads_carry_reason_and_code(client: TablemillClient) -> None:
    with pytest.raises(NotFoundError) as caught:
        await client.get_job("unknown")
    error: TablemillError = caught.value
    assert (error.reason, error.code) == ("JOB_NOT_FOUND", grpc.StatusCode.NOT_FOUND)
    assert str(error) == "JOB_NOT_FOUND: JOB_NOT_FOUND in words"
