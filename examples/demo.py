"""`make demo`: one messy workbook on its way through the real thing, and how long each step takes.

Starts a PostgreSQL, a fake-gcs-server and both services, uploads the sample by the command line, shows what became
of it, measures a second upload over gRPC, stops everything and checks that nothing is left.
"""

import asyncio
import os
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psutil
from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Console
from rich.table import Table

from examples.sample import write_sample
from tablemill.client import TablemillClient
from tablemill.errors import TablemillError
from tablemill.v1.job_pb2 import JOB_STATE_SUCCEEDED, Job
from tablemill.v1.record_pb2 import Record
from tests.stack import CHECKOUT, Stack

_PREVIEW_CALLS = 15
_PREVIEW_COLUMNS = 6
_PROFILE_LINES = 11
_ABOUT_TIMINGS = (
    "Measured on this machine by the client's clock, the pick-up by the database's. The old design parsed the file "
    "within the upload and again for each preview; its figures were reported for such a file, not measured here."
)

console = Console(highlight=False)


def main() -> int:
    """Run the demo; return the exit code."""
    began = time.monotonic()
    try:
        with Stack(durable=True) as stack:
            path = stack.directory / "sample.xlsx"
            with ThreadPoolExecutor() as threads:
                sample = threads.submit(write_sample, path)
                stack.services.start()
            _say(f"PostgreSQL, fake-gcs-server, ingest service and worker service serve ({_since(began)}).")
            facts, size = sample.result(), f"{path.stat().st_size / 1e6:.1f} MB"
            _say(f"The messy workbook to mill: {facts.rows:,} rows x {facts.columns} columns, {size}.")
            with _logs_if_it_fails(stack):
                _show(stack, path)
            processes = psutil.Process().children(recursive=True)
    except (RuntimeError, TablemillError, subprocess.CalledProcessError) as error:
        console.print(f"The demo failed: {error}", style="red", markup=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        _say("Interrupted; everything is stopped.")
        return 130
    alive = [process for process in processes if process.is_running()]
    if alive or stack.directory.exists():
        console.print(f"Something was left behind: {alive}, {stack.directory}", style="red", markup=False)
        return 1
    _say(f"Checked: all {len(processes)} processes have ended, all files are removed ({_since(began)} in all).")
    console.print("To play with it yourself: [bold]make up[/]")
    return 0


@contextmanager
def _logs_if_it_fails(stack: Stack) -> Iterator[None]:
    try:
        yield
    except (RuntimeError, TablemillError, subprocess.CalledProcessError):
        for name, tail in stack.services.log_tails(5).items():
            console.print(f"The end of {name}.log:\n{tail}", markup=False, soft_wrap=True)
        raise


def _show(stack: Stack, path: Path) -> None:
    """Mill the workbook by the command line, then once more with a stopwatch."""
    _tablemill(stack, "upload", path.name, "--watch")
    address = stack.services.address
    record = asyncio.run(_newest_record(address))
    columns = [part for column in record.columns[:_PREVIEW_COLUMNS] for part in ("-c", column.name)]
    _tablemill(stack, "preview", record.record_id, "-n", "5", *columns)
    _tablemill(stack, "profile", record.record_id, lines=_PROFILE_LINES)
    console.print()
    console.print(asyncio.run(_measure(address, path)))
    console.print(_ABOUT_TIMINGS)


def _tablemill(stack: Stack, *arguments: str, lines: int | None = None) -> None:
    """Run the command line as a user would, and show its output, or only the first lines of it."""
    console.print(f"\n$ tablemill {shlex.join(arguments)}", style="bold", markup=False, soft_wrap=True)
    done = subprocess.run(
        [sys.executable, "-m", "tablemill", *arguments],
        stdout=subprocess.PIPE if lines else None,
        text=True,
        check=True,
        cwd=stack.directory,
        env=os.environ | {"TABLEMILL_SERVER": stack.services.address, "PYTHONPATH": str(CHECKOUT)},
    )
    if lines:
        output = done.stdout.splitlines()
        for line in output[:lines]:
            console.print(line, markup=False, no_wrap=True, overflow="ellipsis")
        console.print(f"… and {len(output) - lines} more columns")


async def _newest_record(address: str) -> Record:
    async with TablemillClient(address) as client:
        newest = await anext(client.list_records(page_size=1))
        return await client.get_record(newest.record_id)


async def _measure(address: str, path: Path) -> Table:
    """Upload the file again over gRPC and put the times beside those of the design this one replaces."""
    async with TablemillClient(address) as client:
        began = time.perf_counter()
        upload = await client.upload(path)
        acknowledged_s = time.perf_counter() - began
        job = await _final_state(client, upload.job_id)
        ready_s = time.perf_counter() - began
        previews_s = [await _preview_s(client, upload.record_id) for _ in range(_PREVIEW_CALLS)]
    picked_up_s = _seconds(job.start_time) - _seconds(job.create_time)
    rest = statistics.median(previews_s[1:])

    table = Table(title="A second upload of this file, over gRPC", title_justify="left")
    for column in ("", "here", "old design", "with queue and cache"):
        table.add_column(column, justify="right" if column else "left", no_wrap=True)
    table.add_row("upload acknowledged", _time(acknowledged_s), "47 s", "3 s")
    table.add_row("  then picked up by a worker", _time(picked_up_s), "-", "-")
    table.add_row("clean Parquet ready, in all", _time(ready_s), "-", "-")
    table.add_row("first preview, 50 rows", _time(previews_s[0]), "43 s", "0.5 s")
    table.add_row(f"median of {_PREVIEW_CALLS - 1} more previews", _time(rest), "43 s", "0.5 s")
    return table


async def _final_state(client: TablemillClient, job_id: str) -> Job:
    states = [job async for job in client.watch([job_id])]
    if states[-1].state != JOB_STATE_SUCCEEDED:
        raise RuntimeError(f"the job failed: {states[-1].error.message}")
    return states[-1]


async def _preview_s(client: TablemillClient, record_id: str) -> float:
    began = time.perf_counter()
    await client.preview(record_id)
    return time.perf_counter() - began


def _say(text: str) -> None:
    console.print(f"\n{text}", soft_wrap=True)


def _since(began: float) -> str:
    return f"{time.monotonic() - began:.1f} s"


def _seconds(time_of: Timestamp) -> float:
    return time_of.seconds + time_of.nanos / 1e9


def _time(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"


if __name__ == "__main__":
    sys.exit(main())
