"""Clients in other languages against real services, made only from the protos and the published docs."""

import asyncio
import re
from pathlib import Path

import pytest

from examples.sample import write_sample, write_sample_csv
from tablemill.client import TablemillClient
from tablemill.v1.job_pb2 import JOB_STATE_SUCCEEDED
from tests.conftest import Services
from tests.interop.conftest import EXAMPLES, ROOT, run

MIB = 1024 * 1024
ROWS = 60
COLUMNS = 45

pytestmark = [pytest.mark.interop, pytest.mark.timeout(600)]


@pytest.fixture
def workbook(tmp_path: Path) -> Path:
    return write_sample(tmp_path / "病例.xlsx", rows=ROWS, columns=COLUMNS).path


def check_output(output: str) -> None:
    """Check what both examples print: ids, states, then a few rows."""
    assert re.search(r"^record [0-9a-f-]{36}\njob [0-9a-f-]{36}\n", output)
    assert re.search(r"^JOB_STATE_SUCCEEDED ", output, re.MULTILINE)
    lines = output.splitlines()
    start = lines.index(f"{ROWS} rows x {COLUMNS} columns")
    header, *rows = lines[start + 1 :]
    assert header.startswith("患者编号 | 姓名 | 身份证号 | ")
    assert len(rows) >= 3
    assert rows[0].startswith("00000001 | 患者0001 | 990000")


def test_go_uploads_watches_and_previews(
    go_client: Path, shared_services: Services, workbook: Path, tmp_path: Path
) -> None:
    finished = run([go_client, "-server", shared_services.address, "-file", workbook], tmp_path)
    assert finished.returncode == 0, finished.stderr
    check_output(finished.stdout)
    assert finished.stdout.splitlines()[-1] == f"{ROWS} rows x {COLUMNS} columns as Arrow, the first is 患者编号: utf8"


def test_go_resumes_at_the_committed_size(go_client: Path, shared_services: Services, tmp_path: Path) -> None:
    facts = write_sample_csv(tmp_path / "visits.csv", 40 * MIB)
    command: list[str | Path] = [
        go_client,
        "-server",
        shared_services.address,
        "-file",
        facts.path,
        "-break-at",
        str(36 * MIB),
    ]
    finished = run(command, tmp_path)
    assert finished.returncode == 0, finished.stderr
    resumed = re.search(r"^resuming at byte (\d+)$", finished.stdout, re.MULTILINE)
    assert resumed is not None
    assert 0 < int(resumed[1]) <= 36 * MIB + 256 * 1024
    assert f"{facts.rows} rows x {facts.columns} columns" in finished.stdout


def test_go_reports_a_refusal(go_client: Path, shared_services: Services, tmp_path: Path) -> None:
    (tmp_path / "empty.csv").touch()
    command: list[str | Path] = [go_client, "-server", shared_services.address, "-file", "empty.csv"]
    finished = run(command, tmp_path)
    assert finished.returncode == 1
    assert re.match(r"[A-Z_]{6,}: .+|the job failed: [A-Z_]{6,}: .+", finished.stderr)


def test_node_uploads_watches_and_previews(node_client: Path, shared_services: Services, workbook: Path) -> None:
    finished = run(["node", "main.js", shared_services.address, workbook], node_client)
    assert finished.returncode == 0, finished.stderr
    check_output(finished.stdout)


async def test_java_reads_rows_as_arrow(java_client: Path, shared_services: Services, workbook: Path) -> None:
    async with TablemillClient(shared_services.address) as client:
        upload = await client.upload(workbook)
        assert [job async for job in client.watch([upload.job_id])][-1].state == JOB_STATE_SUCCEEDED
    where = (f"-Dserver={shared_services.address}", f"-Drecord={upload.record_id}")
    finished = await asyncio.to_thread(run, ["mvn", "-q", "-B", "exec:exec", *where], java_client)
    assert finished.returncode == 0, finished.stdout
    shape = f"{ROWS} rows x {COLUMNS} columns as Arrow, the first is 患者编号: Utf8"
    assert shape in finished.stdout


def test_no_lock_file_names_a_registry() -> None:
    for folder in (EXAMPLES / "node", ROOT / "benchmarks" / "peers" / "node"):
        assert '"resolved"' not in (folder / "package-lock.json").read_text()
