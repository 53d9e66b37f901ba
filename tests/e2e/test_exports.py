"""Clean data out and in again: what is exported is cleaned into the same values and types."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from pyarrow import ipc

from examples.sample import write_sample
from tablemill.client import TablemillClient
from tests.conftest import Services
from tests.e2e.command_line import tablemill

ROWS, COLUMNS = 350, 151  # more cells than are exported without a job


async def _milled(client: TablemillClient, path: Path) -> str:
    upload = await client.upload(path)
    jobs = [job async for job in client.watch([upload.job_id])]
    assert not jobs[-1].error.reason, jobs[-1].error
    return upload.record_id


@pytest.mark.parametrize("file_format", ["xlsx", "csv"])
async def test_an_export_is_cleaned_into_the_same_table(
    shared_services: Services, tmp_path: Path, file_format: str
) -> None:
    workbook = write_sample(tmp_path / "病例.xlsx", rows=ROWS, columns=COLUMNS).path
    seen: list[str] = []
    async with TablemillClient(shared_services.address) as client:
        record_id = await _milled(client, workbook)
        before = await client.read_table(record_id)
        page = await client.preview(record_id, row_offset=ROWS - 5)
        assert [row.cells[0].text for row in page.rows] == before.column(0)[-5:].to_pylist()
        target = tmp_path / f"export.{file_format}"
        result = await client.export(record_id, file_format, target, on_job=lambda job: seen.append(job.queue))
        assert (result.revision, set(seen)) == (1, {"export"})
        again = await _milled(client, target)
        after = await client.read_table(again)
    assert [field.type for field in after.schema] == [field.type for field in before.schema]
    assert after.column_names == before.column_names
    for name in before.column_names:
        assert after[name].to_pylist() == before[name].to_pylist(), name


async def test_a_changed_table_its_export_and_its_reads_agree(shared_services: Services, tmp_path: Path) -> None:
    workbook = write_sample(tmp_path / "病例.xlsx", rows=40, columns=20).path
    actions: list[dict[str, Any]] = [
        {"filter_rows": {"condition": "年龄 >= 40"}},
        {"compute_column": {"name": "十年", "expression": "年龄 / 10 + 0.25"}},
        {"sort_rows": {"keys": [{"column": "年龄", "descending": True}]}},
    ]
    async with TablemillClient(shared_services.address) as client:
        record_id = await _milled(client, workbook)
        before = await client.read_table(record_id)
        job_id = await client.actions.apply(record_id, 1, actions)
        assert not [job async for job in client.watch([job_id])][-1].error.reason
        changed = await client.read_table(record_id)
        ages: list[Any] = changed.column("年龄").to_pylist()
        assert ages == sorted(ages, reverse=True)
        filtered = await client.read_table(record_id, revision=1, row_filter="年龄 >= 40")
        assert changed.drop_columns("十年").sort_by("入院日期") == filtered.sort_by("入院日期")
        assert (await client.actions.revert(record_id, 2, 1)).revision == 3
        for revision, wanted in ((2, changed), (3, before)):
            target = tmp_path / f"{revision}.xlsx"
            assert (await client.export(record_id, "xlsx", target, revision=revision)).revision == revision
            again = await client.read_table(await _milled(client, target))
            assert again.schema.names == wanted.schema.names
            assert again.schema.types == wanted.schema.types
            assert again.to_pylist() == wanted.to_pylist()


async def test_rows_and_files_from_the_command_line(shared_services: Services, tmp_path: Path) -> None:
    workbook = write_sample(tmp_path / "病例.xlsx", rows=30, columns=20).path
    async with TablemillClient(shared_services.address) as client:
        record_id = await _milled(client, workbook)
        table = await client.read_table(record_id)

    async def run(*arguments: str | Path) -> str:
        finished = await tablemill(shared_services, *arguments)
        assert (finished.code, finished.err) == (0, "")
        return finished.out

    read = ("read", record_id, "--from", "3", "-n", "4", "-c", "年龄", "-c", "出生日期")
    wanted = table.select(["年龄", "出生日期"]).slice(3, 4)
    await run(*read, "-f", "arrow", "-o", tmp_path / "rows.arrow")
    assert ipc.open_stream((tmp_path / "rows.arrow").read_bytes()).read_all().equals(wanted)
    await run(*read, "-o", tmp_path / "rows.csv")
    assert pa.csv.read_csv(tmp_path / "rows.csv").to_pylist() == wanted.to_pylist()
    finished = await tablemill(shared_services, *read, "--json")
    assert [row["出生日期"] for row in finished.objects] == [str(day) for day in wanted["出生日期"].to_pylist()]

    out = await run("export", record_id, "-f", "parquet", "-o", tmp_path)
    assert out.startswith(f"{tmp_path}/病例.parquet (")
    assert out.endswith(", checked, revision 1)\n")
    assert pq.read_table(tmp_path / "病例.parquet").equals(table)
    assert (await run("export", record_id, "-o", tmp_path / "out.xlsx")).startswith(f"{tmp_path}/out.xlsx (")
    refused = await tablemill(shared_services, "url", record_id)
    assert (refused.code, refused.err.partition(":")[0]) == (5, "SIGNING_UNAVAILABLE")
