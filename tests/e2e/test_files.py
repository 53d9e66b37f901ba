"""Files as they come, good and bad, through both services: every one ends as clean data or with a reason."""

import io
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import openpyxl
import pyarrow.parquet as pq
import pytest

from examples.sample import write_sample
from tablemill.v1 import data_service_pb2 as dpb
from tablemill.v1 import ingest_service_pb2 as pb
from tablemill.v1 import job_pb2, record_pb2
from tests.conftest import Services
from tests.rpc import Calls, chunk, header, messages, reason_of, send, until_done, upload

SMALL_CSV = "编号,值\n001,1\n002,2\n003,NA\n".encode()


@pytest.fixture
async def calls(shared_services: Services) -> AsyncIterator[Calls]:
    async with grpc.aio.insecure_channel(shared_services.address) as channel:
        yield Calls(channel)


async def _read_file(calls: Calls, record_id: str, kind: dpb.FileKind.ValueType) -> bytes:
    request = dpb.ReadFileRequest(record_id=record_id, kind=kind)
    return b"".join([part.data async for part in calls.data.ReadFile(request)])


async def test_a_messy_workbook_becomes_clean_parquet(calls: Calls, tmp_path: Path) -> None:
    source = tmp_path / "sample.xlsx"
    write_sample(source, rows=300)
    stored = await upload(calls, source.read_bytes(), "样本.xlsx")
    states = await until_done(calls, stored.job_id)
    assert states[-1].state == job_pb2.JOB_STATE_SUCCEEDED, states[-1].error
    assert states[-1].attempt == 1
    assert [job.version for job in states] == sorted({job.version for job in states}), "versions rise"

    record = (await calls.ingest.GetRecord(pb.GetRecordRequest(record_id=stored.record_id))).record
    assert (record.state, record.format) == (record_pb2.RECORD_STATE_READY, "xlsx")
    assert (record.row_count, record.column_count, len(record.columns)) == (300, 151, 151)
    assert record.warnings, "the mess is reported"

    preview = await calls.data.PreviewRecord(dpb.PreviewRecordRequest(record_id=stored.record_id, row_limit=5))
    assert len(preview.rows) == 5
    assert {len(row.cells) for row in preview.rows} == {151}

    profile = await calls.data.GetProfile(dpb.GetProfileRequest(record_id=stored.record_id))
    assert [entry.column.name for entry in profile.columns] == [column.name for column in record.columns]
    for entry in profile.columns:
        cells = entry.cells
        assert cells.source_nonempty == (
            cells.typed + cells.kept_as_text + cells.nulled_by_token + cells.error_cells + cells.rejected
        )

    clean = await _read_file(calls, stored.record_id, dpb.FILE_KIND_CLEAN)
    table = pq.read_table(io.BytesIO(clean))
    assert (table.num_rows, table.column_names) == (300, [column.name for column in record.columns])
    assert await _read_file(calls, stored.record_id, dpb.FILE_KIND_RAW) == source.read_bytes()


def _encrypted_workbook() -> bytes:
    """Return an OLE2 file as Excel writes it for a workbook with a password: one stream is called EncryptedPackage."""
    sector = 512
    head = bytearray(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(sector - 8))
    head[24:28] = (0x3E).to_bytes(2, "little") + (3).to_bytes(2, "little")
    head[28:34] = b"\xfe\xff" + (9).to_bytes(2, "little") + (6).to_bytes(2, "little")
    head[44:48] = (1).to_bytes(4, "little")  # one FAT sector
    head[48:52] = (1).to_bytes(4, "little")  # directory in sector 1
    head[56:60] = (4096).to_bytes(4, "little")
    head[60:64] = head[68:72] = (0xFFFFFFFE).to_bytes(4, "little")
    head[76:512] = (0).to_bytes(4, "little") + b"\xff" * 432
    fat = (0xFFFFFFFD).to_bytes(4, "little") + (0xFFFFFFFE).to_bytes(4, "little") + b"\xff" * (sector - 8)

    def entry(name: str, kind: int, child: int) -> bytes:
        text = name.encode("utf-16-le") + b"\0\0"
        out = bytearray(128)
        out[: len(text)] = text
        out[64:66] = len(text).to_bytes(2, "little")
        out[66] = kind
        out[67] = 1
        out[68:72] = out[72:76] = b"\xff\xff\xff\xff"
        out[76:80] = child.to_bytes(4, "little", signed=True)
        out[116:120] = (0xFFFFFFFE).to_bytes(4, "little")
        return bytes(out)

    directory = entry("Root Entry", 5, 1) + entry("EncryptedPackage", 2, -1)
    return bytes(head) + fat + directory.ljust(sector, b"\0")


def _workbook() -> bytes:
    book = openpyxl.Workbook()
    assert book.active is not None
    for row in range(200):
        book.active.append([f"r{row}", row, row / 3])
    target = io.BytesIO()
    book.save(target)
    return target.getvalue()


def _bad_files() -> dict[str, tuple[str, bytes, set[str]]]:
    junk = bytes((number * 197 + number // 7) % 256 for number in range(50_000))
    return {
        "truncated": ("truncated.xlsx", _workbook()[:4000], {"FILE_CORRUPT"}),
        "empty": ("empty.csv", b"", {"EMPTY_FILE"}),
        "junk": ("junk.csv", junk, {"FILE_FORMAT_UNSUPPORTED", "NOT_TABULAR"}),
        "password": ("secret.xlsx", _encrypted_workbook(), {"FILE_ENCRYPTED"}),
        "zip of something else": ("archive.xlsx", _zip_of_text(), {"FILE_FORMAT_UNSUPPORTED"}),
    }


def _zip_of_text() -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("readme.txt", "hello")
    return target.getvalue()


async def test_bad_files_fail_with_reasons_and_nothing_falls_over(shared_services: Services, calls: Calls) -> None:
    files = _bad_files()
    uploads = {name: await upload(calls, data, file_name) for name, (file_name, data, _) in files.items()}
    for name, stored in uploads.items():
        last = (await until_done(calls, stored.job_id))[-1]
        assert last.state == job_pb2.JOB_STATE_FAILED, name
        assert last.error.reason in files[name][2], (name, last.error)
        assert len(last.error.message) > 20, (name, last.error.message)
        assert last.attempt == 1, f"{name}: a bad file is not tried again"
        record = (await calls.ingest.GetRecord(pb.GetRecordRequest(record_id=stored.record_id))).record
        assert record.state == record_pb2.RECORD_STATE_FAILED
        assert record.error.reason == last.error.reason
    stored = await upload(calls, SMALL_CSV)
    assert (await until_done(calls, stored.job_id))[-1].state == job_pb2.JOB_STATE_SUCCEEDED
    assert shared_services.ingest.alive
    assert shared_services.worker.alive


async def test_a_picture_named_xlsx_is_refused_before_it_is_stored(calls: Calls) -> None:
    parts = [header("picture.xlsx"), chunk(0, b"\x89PNG\r\n\x1a\n" + bytes(2000))]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await calls.ingest.UploadFile(send(parts))
    assert reason_of(caught.value) == ("INVALID_ARGUMENT", "FILE_FORMAT_UNSUPPORTED", {"detected": "png"})


async def test_read_options_are_obeyed_and_echoed(calls: Calls) -> None:
    parts = messages("id|n,m\n1|é,ß\n2|c\n".encode("latin-1"))
    parts[0].header.options.CopyFrom(pb.ReadOptions(delimiter="|", encoding="latin-1"))
    stored = await calls.ingest.UploadFile(send(parts))
    states = await until_done(calls, stored.job_id)
    assert states[-1].state == job_pb2.JOB_STATE_SUCCEEDED, states[-1].error
    record = (await calls.ingest.GetRecord(pb.GetRecordRequest(record_id=stored.record_id))).record
    assert [column.name for column in record.columns] == ["id", "n,m"]
    reading = {choice.name: (choice.value, choice.origin, choice.confidence) for choice in record.reading}
    assert reading["encoding"] == ("iso8859-1", record_pb2.CHOICE_ORIGIN_GIVEN, 1.0)
    assert reading["delimiter"] == ("|", record_pb2.CHOICE_ORIGIN_GIVEN, 1.0)


async def test_text_named_xlsx_is_read_by_its_content(calls: Calls) -> None:
    stored = await upload(calls, SMALL_CSV, "wrong.xlsx")
    assert (await until_done(calls, stored.job_id))[-1].state == job_pb2.JOB_STATE_SUCCEEDED
    record = (await calls.ingest.GetRecord(pb.GetRecordRequest(record_id=stored.record_id))).record
    assert record.format == "csv"
    assert "EXTENSION_MISMATCH" in {warning.code for warning in record.warnings}
