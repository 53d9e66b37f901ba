"""The real command line against real services."""

import json
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow.parquet
import pytest

from examples.sample import write_sample
from tests.conftest import Services
from tests.e2e.command_line import tablemill

ROWS = 120
COLUMNS = 60
UNKNOWN = "00000000-0000-7000-8000-000000000000"


@pytest.fixture
def workbook(tmp_path: Path) -> Path:
    return write_sample(tmp_path / "病例.xlsx", rows=ROWS, columns=COLUMNS).path


async def test_a_workbook_is_uploaded_watched_and_read_back(
    shared_services: Services, workbook: Path, tmp_path: Path
) -> None:
    ttl = ("--ttl-s", "3600")
    finished = await tablemill(shared_services, "upload", workbook, "--watch", "--label", "ward=3", *ttl, "--json")
    assert (finished.code, finished.err) == (0, "")
    first, *events = finished.objects
    record_id, job_id = first["upload"]["record_id"], first["upload"]["job_id"]
    assert first["upload"]["size_bytes"] == workbook.stat().st_size
    assert events[-1]["state"] == "JOB_STATE_SUCCEEDED"
    assert {event["job_id"] for event in events} == {job_id}

    (job,) = (await tablemill(shared_services, "status", job_id, "--json")).objects
    assert job["done"] is True
    (record,) = (await tablemill(shared_services, "show", record_id, "--json")).objects
    assert (record["row_count"], record["column_count"]) == (str(ROWS), COLUMNS)
    assert record["labels"] == {"ward": "3"}
    kept = datetime.fromisoformat(record["expire_time"]) - datetime.fromisoformat(record["create_time"])
    assert timedelta(seconds=3540) < kept < timedelta(seconds=3660)
    listed = (await tablemill(shared_services, "ls", "--json")).objects
    assert record_id in {record["record_id"] for record in listed}

    rows = (await tablemill(shared_services, "preview", record_id, "-n", "1000", "--json")).objects
    assert len(rows) == ROWS
    assert rows[0]["患者编号"] == "00000001"
    assert rows[-1]["患者编号"] == "合计"
    columns = (await tablemill(shared_services, "profile", record_id, "--json")).objects
    assert [column["column"]["name"] for column in columns] == list(rows[0])

    target = tmp_path / "clean.parquet"
    assert (await tablemill(shared_services, "download", record_id, "-o", target)).code == 0
    table = pyarrow.parquet.read_table(target)
    assert (table.num_rows, table.column_names) == (ROWS, list(rows[0]))
    raw = tmp_path / "raw.xlsx"
    assert (await tablemill(shared_services, "download", record_id, "--kind", "raw", "-o", raw)).code == 0
    assert raw.read_bytes() == workbook.read_bytes()


async def test_people_get_tables_and_sentences(shared_services: Services, workbook: Path) -> None:
    finished = await tablemill(shared_services, "upload", workbook, "--watch")
    assert finished.code == 0
    lines = finished.out.splitlines()
    record_id = lines[1].split()[1]
    assert lines[-1].endswith(": succeeded")
    preview = await tablemill(shared_services, "preview", record_id, "-c", "年龄", "-c", "患者编号", "-n", "3")
    header, *rows = preview.out.splitlines()
    assert header.split() == ["年龄", "患者编号"]
    assert len(rows) == 3
    assert "患者编号" in (await tablemill(shared_services, "profile", record_id)).out
    assert f"{ROWS:,} rows x {COLUMNS:,} columns" in (await tablemill(shared_services, "status", record_id)).out


async def test_a_file_that_is_no_table_fails_with_advice(shared_services: Services, tmp_path: Path) -> None:
    broken = tmp_path / "broken.xlsx"
    broken.write_bytes(b"PK\x03\x04" + bytes(range(256)) * 40)
    finished = await tablemill(shared_services, "upload", broken, "--watch")
    assert finished.code in {1, 5}  # refused at the door, or by the job
    reason, _, message = finished.err.splitlines()[0].partition(": ")
    assert reason.isupper()
    assert message


@pytest.mark.parametrize("command", ["status", "show", "preview", "profile", "download", "watch"])
async def test_unknown_ids_are_exit_code_3(shared_services: Services, command: str) -> None:
    finished = await tablemill(shared_services, command, UNKNOWN)
    assert (finished.code, finished.out) == (3, "")
    assert "_NOT_FOUND: " in finished.err


async def test_a_refused_request_is_exit_code_5(shared_services: Services, workbook: Path) -> None:
    finished = await tablemill(shared_services, "upload", workbook, "--label", "NOT A KEY=1")
    assert finished.code == 5
    # Not always the first line: grpc.aio may lose the status of an early refusal, which costs a second try.
    assert "FIELD_INVALID: " in finished.err


async def test_clean_data_is_changed_and_changed_back(shared_services: Services, tmp_path: Path) -> None:
    table, actions = tmp_path / "a.csv", tmp_path / "actions.json"
    table.write_text("姓名,年龄\n甲,70\n乙,30\n")
    first, *_ = (await tablemill(shared_services, "upload", table, "--watch", "--json")).objects
    record_id = first["upload"]["record_id"]

    actions.write_text(json.dumps([{"filter_rows": {"condition": "年龄 >= 65"}}]))
    tried = await tablemill(shared_services, "apply", record_id, actions, "--dry-run", "--json")
    assert tried.objects[-1] == {"rows_after": [1], "row_count": 1, "rows": [{"姓名": "甲", "年龄": 70}]}
    shown = await tablemill(shared_services, "apply", record_id, actions, "--dry-run")
    assert ("filter_rows: 1 rows" in shown.out, "nothing was changed" in shown.err) == (True, True)
    assert (await tablemill(shared_services, "apply", record_id, actions, "--base", "1")).code == 0
    stale = await tablemill(shared_services, "apply", record_id, actions, "--base", "1")
    assert (stale.code != 0, "VERSION_CONFLICT" in stale.err) == (True, True)

    newest, oldest = (await tablemill(shared_services, "versions", record_id, "--json")).objects
    assert (newest["revision"], newest["row_count"], oldest["row_count"]) == ("2", "1", "2")
    listed = (await tablemill(shared_services, "versions", record_id)).out
    assert ("2*" in listed, "the upload" in listed) == (True, True)
    assert "equal to revision 1" in (await tablemill(shared_services, "revert", record_id, "1")).out
    (record,) = (await tablemill(shared_services, "show", record_id, "--json")).objects
    assert (record["revision"], record["row_count"]) == ("3", "2")

    for text, told in (("{}", "JSON list"), ("[", "no JSON"), ('[{"sort": {}}]', "actions[0]")):
        actions.write_text(text)
        refused = await tablemill(shared_services, "apply", record_id, actions)
        assert (refused.code, told in refused.err) == (2, True), refused.err
    actions.write_text('[{"filter_rows": {"condition": "年令 > 1"}}]')
    refused = await tablemill(shared_services, "apply", record_id, actions)
    assert "actions[0].filter_rows.condition: at character 1: there is no column 年令" in refused.err.replace("\n", "")
