"""The command line against a scripted server: output, JSON lines, exit codes."""

import asyncio
import json
import os
import pty
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import google_crc32c
import grpc
import pytest

from tablemill.v1 import ingest_service_pb2 as pb
from tablemill.v1.data_service_pb2 import Cell, PreviewRecordResponse, Row
from tablemill.v1.job_pb2 import JOB_STATE_FAILED, JOB_STATE_RUNNING, FilePlace, Job, JobError, Progress
from tablemill.v1.record_pb2 import (
    DATA_TYPE_FLOAT64,
    DATA_TYPE_INT64,
    DATA_TYPE_STRING,
    RECORD_STATE_FAILED,
    RECORD_STATE_READY,
    CellSample,
    Column,
    ColumnProfile,
    MixedValues,
    Record,
    TextLengths,
    TimeBin,
    ValueCount,
)
from tests.unit.client.fake import Context, FakeServer, Fault, StoredUpload, refuse
from tests.unit.client.test_watch import done, play, running, silence_after

RECORD = Record(
    record_id="0199-record",
    state=RECORD_STATE_READY,
    file_name="病例[1].xlsx",
    size_bytes=12345,
    revision=1,
    row_count=3339,
    column_count=2,
    columns=[Column(name="年龄", type=DATA_TYPE_INT64, null_count=3)],
)
FAILED = Job(
    job_id="a",
    version=3,
    state=JOB_STATE_FAILED,
    done=True,
    error=JobError(
        reason="FILE_CORRUPT",
        message="The workbook is cut off; save it again.",
        metadata={"part": "sheet1.xml"},
        place=FilePlace(sheet="病例", row=12, column="D"),
    ),
)
PAGE = PreviewRecordResponse(
    columns=[
        Column(name="姓名", type=DATA_TYPE_STRING),
        Column(name="编号", type=DATA_TYPE_INT64),
        Column(name="费用", type=DATA_TYPE_FLOAT64),
    ],
    rows=[
        Row(cells=[Cell(text="张[b]三\x1b[2J"), Cell(int64=9007199254740993), Cell(float64=1.5)]),
        Row(cells=[Cell(), Cell(int64=-1), Cell(float64=float("nan"))]),
    ],
    row_count=3339,
)


@dataclass
class Finished:
    code: int
    out: str
    err: str

    @property
    def objects(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


async def tablemill(*arguments: str | Path, server: str, env_server: bool = False) -> Finished:
    environment = {**os.environ, "NO_PROXY": "*", "no_proxy": "*"}
    where = [] if env_server else ["--server", server]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tablemill", *map(str, arguments), *where),
        stdout=PIPE,
        stderr=PIPE,
        env={**environment, "TABLEMILL_SERVER": server if env_server else ""},
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return Finished(process.returncode, out.decode(), err.decode())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "病例.csv"
    path.write_bytes(b"a,b\n1,2\n" * 1000)
    return path


async def test_upload_and_watch_print_ids_and_stages(fake: FakeServer, file: Path) -> None:
    async def script(_context: Context) -> AsyncIterator[pb.WatchStatusResponse]:
        (upload,) = fake.ingest.uploads.values()
        job = running(upload.job_id, 1)
        job.progress.CopyFrom(Progress(stage="read", done=10, total=3339, unit="rows"))
        yield pb.WatchStatusResponse(jobs=[job])
        yield pb.WatchStatusResponse(jobs=[done(upload.job_id, 2)])

    fake.ingest.watches = [script]
    finished = await tablemill("upload", file, "--watch", "--label", "ward=3", server=fake.address)
    (upload,) = fake.ingest.uploads.values()
    assert (finished.code, finished.err) == (0, "")
    assert finished.out.splitlines() == [
        "Uploaded 病例.csv (8,000 bytes)",
        f"  record  {upload.record_id}",
        f"  job     {upload.job_id}",
        f"Job {upload.job_id}: running, read 10/3,339 rows",
        f"Job {upload.job_id}: succeeded",
    ]
    assert dict(fake.ingest.streams[0].header.labels) == {"ward": "3"}


async def test_read_options_reach_the_server(fake: FakeServer, file: Path) -> None:
    flags = ("--header-row", "0", "--delimiter", "tab", "--quote", "none", "--encoding", "gbk", "--null-token", "x")
    more = ("--null-token", "y", "--date-order", "month-first", "--sheet-number", "2")
    finished = await tablemill("upload", file, *flags, *more, server=fake.address)
    assert (finished.code, finished.err) == (0, "")
    assert fake.ingest.streams[0].header.options == pb.ReadOptions(
        sheet_number=2,
        header_row=0,
        delimiter="\t",
        quote="",
        encoding="gbk",
        null_tokens=["x", "y"],
        date_order=pb.DATE_ORDER_MONTH_FIRST,
    )


async def test_json_prints_one_object_per_event(fake: FakeServer, file: Path) -> None:
    finished = await tablemill("upload", file, "--json", server=fake.address)
    (upload,) = fake.ingest.uploads.values()
    assert finished.objects == [
        {
            "upload": {
                "record_id": upload.record_id,
                "job_id": upload.job_id,
                "size_bytes": 8000,
                "crc32c": google_crc32c.value(file.read_bytes()),
            }
        }
    ]
    fake.ingest.watches = [play([running("a", 1)], [running("a", 2)], [FAILED])]
    finished = await tablemill("--json", "watch", "a", server=fake.address)
    assert [event["state"] for event in finished.objects] == [
        "JOB_STATE_RUNNING",
        "JOB_STATE_RUNNING",
        "JOB_STATE_FAILED",
    ]
    assert finished.code == 1


async def test_a_failed_job_tells_why_where_and_what_to_do(fake: FakeServer) -> None:
    fake.ingest.watches = [play([FAILED])]
    finished = await tablemill("watch", "a", server=fake.address)
    assert finished.code == 1
    assert finished.err.splitlines() == [
        "FILE_CORRUPT: The workbook is cut off; save it again.",
        "  Where: sheet 病例, row 12, column D",
        "  part: sheet1.xml",
        "  What to do: Mend the file as said above, then upload it again.",
    ]


async def test_status_takes_jobs_and_records(fake: FakeServer) -> None:
    fake.ingest.jobs = {"a": FAILED, "b": done("b", 3)}
    fake.ingest.records = {"r": RECORD, "f": Record(record_id="f", state=RECORD_STATE_FAILED)}
    codes = {}
    for id_ in ("a", "b", "r", "f", "unknown"):
        codes[id_] = (await tablemill("status", id_, server=fake.address)).code
    assert codes == {"a": 1, "b": 0, "r": 0, "f": 1, "unknown": 3}


async def test_listed_ids_are_whole_in_a_pipe(fake: FakeServer) -> None:
    fake.ingest.records = {str(number): Record(record_id=f"{number:036d}") for number in range(7)}
    finished = await tablemill("ls", "--limit", "5", server=fake.address)
    assert [line.split()[0] for line in finished.out.splitlines()[1:]] == [f"{n:036d}" for n in range(5)]
    finished = await tablemill("ls", "--json", server=fake.address, env_server=True)
    assert len(finished.objects) == 7


async def test_show_lists_columns(fake: FakeServer) -> None:
    fake.ingest.records = {"r": RECORD}
    finished = await tablemill("show", "r", server=fake.address)
    assert "病例[1].xlsx (12,345 bytes)" in finished.out
    assert "3,339 rows x 2 columns" in finished.out
    assert finished.out.splitlines()[-1].split() == ["年龄", "int64", "3"]


async def test_preview_prints_a_table_or_rows(fake: FakeServer) -> None:
    fake.data.page = PAGE
    finished = await tablemill("preview", "r", server=fake.address)
    header, first, second = finished.out.splitlines()
    assert header.split() == ["姓名", "编号", "费用"]
    assert first.split() == ["张[b]三�[2J", "9007199254740993", "1.5"]
    assert second.split() == ["-1", "nan"]
    assert finished.err == "Rows 0 to 2 of 3,339\n"
    finished = await tablemill("preview", "r", "--json", server=fake.address)
    assert finished.objects == [
        {"姓名": "张[b]三\x1b[2J", "编号": 9007199254740993, "费用": 1.5},
        {"姓名": None, "编号": -1, "费用": "nan"},
    ]


async def test_profile_prints_all_pages(fake: FakeServer) -> None:
    fake.data.columns = [
        ColumnProfile(
            column=Column(name=f"列{number}", type=DATA_TYPE_INT64),
            distinct_count=5,
            mean=2.5,
            top_values=[ValueCount(value="7", count=2)],
        )
        for number in range(450)
    ]
    finished = await tablemill("profile", "r", server=fake.address)
    lines = finished.out.splitlines()
    assert len(lines) == 451
    assert lines[450].split() == ["列449", "int64", "0", "5", "2.5", "7", "(2)"]
    finished = await tablemill("profile", "r", "--json", server=fake.address)
    assert [column["column"]["name"] for column in finished.objects] == [f"列{n}" for n in range(450)]


async def test_profile_of_one_column_tells_everything(fake: FakeServer) -> None:
    fake.data.columns = [
        ColumnProfile(column=Column(name="年龄", type=DATA_TYPE_INT64), unit="岁", mean=2.5),
        ColumnProfile(
            column=Column(name="肌钙蛋白", type=DATA_TYPE_STRING, null_count=1),
            type_reason="90 of 92 values read as numbers, the others do not",
            mixed=MixedValues(candidate="numbers", parsed_count=90, others=[ValueCount(value="<0.01", count=2)]),
            null_tokens=[ValueCount(value="NA", count=1)],
            samples=[CellSample(row=7, raw="NA", outcome="null_token")],
            lengths=TextLengths(min=1, max=5, mean=3.25),
            time_histogram=[TimeBin(lower="2024-01-01", upper="2024-01-08", count=3)],
        ),
    ]
    finished = await tablemill("profile", "r", "-c", "肌钙蛋白", server=fake.address)
    lines = [" ".join(line.split()) for line in finished.out.splitlines()]
    assert lines[0] == "肌钙蛋白: string"
    for expected in (
        "because 90 of 92 values read as numbers, the others do not",
        "almost 90 values read as numbers; the others:",
        "<0.01 (2)",
        "no value NA (1)",
        "row 7 NA (null token)",
        "lengths 1 to 5 characters, 3.25 on average",
    ):
        assert expected in lines
    assert any(line.startswith("from 2024-01-01 █") for line in lines)
    assert "年龄" not in finished.out
    finished = await tablemill("profile", "r", "-c", "nothing", server=fake.address)
    assert finished.code == 2
    assert "no column named nothing" in finished.err


async def test_download_writes_and_says_where(fake: FakeServer, tmp_path: Path) -> None:
    fake.data.content = b"PAR1"
    finished = await tablemill("download", "r", "-o", tmp_path / "x.parquet", server=fake.address)
    assert finished.out == f"{tmp_path}/x.parquet (4 bytes, checked)\n"
    assert (tmp_path / "x.parquet").read_bytes() == b"PAR1"
    finished = await tablemill("download", "r", "-o", tmp_path / "no" / "x", server=fake.address)
    assert finished.code == 2


async def test_a_refusal_names_reason_and_facts(fake: FakeServer) -> None:
    finished = await tablemill("preview", "r", "--from", "9", server=fake.address)
    assert (finished.code, finished.out) == (5, "")
    assert finished.err == "ROW_OUT_OF_RANGE: ROW_OUT_OF_RANGE in words\n  rows: 2\n"
    finished = await tablemill("preview", "r", "--from", "9", "--json", server=fake.address)
    assert json.loads(finished.err)["error"]["reason"] == "ROW_OUT_OF_RANGE"


async def test_trouble_on_the_way_is_told(fake: FakeServer, file: Path) -> None:
    async def strike(context: Context, _upload: StoredUpload) -> None:
        await refuse(context, grpc.StatusCode.UNAVAILABLE, "SERVER_DRAINING")

    fake.ingest.faults = [Fault(strike, at_finish=True)]
    finished = await tablemill("upload", file, server=fake.address)
    assert finished.code == 0
    assert finished.err == "Trying again: SERVER_DRAINING: SERVER_DRAINING in words\n"


async def test_a_server_that_is_not_there_is_exit_code_4() -> None:
    finished = await tablemill("ls", server="127.0.0.1:1")
    assert finished.code == 4
    assert finished.err.startswith("UNAVAILABLE: ")


@pytest.mark.parametrize("what", [("--record", "r"), ("--all", "--queue", "q", "--state", "failed")])
async def test_watches_of_a_record_and_of_everything(fake: FakeServer, what: tuple[str, ...]) -> None:
    fake.ingest.watches = [play([running("a", 1)], [FAILED], grpc.StatusCode.NOT_FOUND, reason="RECORD_NOT_FOUND")]
    finished = await tablemill("--json", "watch", *what, server=fake.address)
    assert finished.code == 3
    assert [event["version"] for event in finished.objects] == ["1", "3"]
    (target,) = fake.ingest.watch_requests[0].targets
    if what[0] == "--record":
        assert target.record_id == "r"
    else:
        assert (list(target.all.queues), list(target.all.states)) == (["q"], [JOB_STATE_FAILED])


@pytest.mark.parametrize(
    "arguments",
    [
        ("upload", "/no/such/file"),
        ("download", "r", "--kind", "x"),
        ("watch",),
        ("watch", "a", "--all"),
        ("watch", "a", "--queue", "q"),
        ("sing",),
    ],
)
async def test_wrong_usage_is_exit_code_2(arguments: tuple[str, ...]) -> None:
    assert (await tablemill(*arguments, server="127.0.0.1:1")).code == 2


async def test_interrupting_is_exit_code_130(fake: FakeServer) -> None:
    fake.ingest.watches = [silence_after([running("a", 1)])]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tablemill", "watch", "a", "--server", fake.address), stdout=PIPE, stderr=PIPE
    )
    assert process.stdout is not None
    await process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, err = await process.communicate()
    assert (process.returncode, err.decode()) == (130, "\nInterrupted.\n")


async def test_a_reader_that_has_seen_enough_ends_the_command_quietly(fake: FakeServer) -> None:
    fake.data.columns = [ColumnProfile(column=Column(name="x" * 200)) for _ in range(2000)]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tablemill", "profile", "r", "--json", "--server", fake.address),
        stdout=PIPE,
        stderr=PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    await process.stdout.readline()
    process._transport.get_pipe_transport(1).close()  # type: ignore[attr-defined]
    assert await process.stderr.read() == b""
    assert await process.wait() == 0


async def test_a_terminal_gets_a_live_bar(fake: FakeServer) -> None:
    drawn = asyncio.Event()
    job = Job(job_id="a", version=1, state=JOB_STATE_RUNNING)
    job.progress.CopyFrom(Progress(stage="read", done=1000, total=3339, unit="rows"))

    async def script(_context: Context) -> AsyncIterator[pb.WatchStatusResponse]:
        yield pb.WatchStatusResponse(jobs=[job])
        await drawn.wait()
        yield pb.WatchStatusResponse(jobs=[done("a", 2)])

    fake.ingest.watches = [script]
    ours, theirs = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tablemill", "watch", "a", "--server", fake.address),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
    )
    os.close(theirs)
    screen = ""
    while "read 1,000/3,339 rows" not in screen:
        screen += (await asyncio.to_thread(os.read, ours, 4096)).decode(errors="replace")
    assert "━" in screen
    drawn.set()
    while "Job a: succeeded" not in screen:
        screen += (await asyncio.to_thread(os.read, ours, 4096)).decode(errors="replace")
    assert await process.wait() == 0
    os.close(ours)
