"""The sample on its way through the pair: how long each step takes, and openpyxl's read alone beside it.

Question: what does a user of a 3,339 x 151 workbook wait for? Ten uploads, one after the other, on a durable
PostgreSQL and a fake-gcs-server on the same machine.
"""

import statistics
import time
from pathlib import Path

import openpyxl

from benchmarks.harness import Report, percentile
from examples.sample import write_sample
from tablemill.client import TablemillClient
from tests.stack import Stack

_UPLOADS = 10
_PREVIEWS = 50


async def run(out: Report) -> None:
    """Measure uploads, jobs and previews."""
    with Stack(durable=True) as stack:
        path = stack.directory / "sample.xlsx"
        write_sample(path)
        stack.services.start()
        steps: dict[str, list[float]] = {"acknowledged_ms": [], "picked_up_ms": [], "ready_ms": [], "preview_ms": []}
        async with TablemillClient(stack.services.address) as client:
            for number in range(_UPLOADS + 1):
                measured = await _one_upload(client, path)
                if number:  # the first one warms everything up
                    for name, values in measured.items():
                        steps[name] += values
        openpyxl_ms = [_read_with_openpyxl_ms(path) for _ in range(3)]
    for name, values in steps.items():
        out.samples(name, values)
        out.row(name, p50=statistics.median(values), p99=percentile(values, 0.99), max=max(values))
    out.row("openpyxl, reading alone, ms", p50=statistics.median(openpyxl_ms))
    out.note("Old design on a file of this shape, as reported, not measured here: 47 s blocked upload, 43 s a preview;")
    out.note("3 s and 0.5 s with a queue and a cache.")
    out.bar("upload acknowledged, p99", measured=percentile(steps["acknowledged_ms"], 0.99), bar=1000, unit="ms")
    out.bar("ready, median", measured=statistics.median(steps["ready_ms"]), bar=5000, unit="ms")
    out.bar("preview, p99", measured=percentile(steps["preview_ms"], 0.99), bar=100, unit="ms")


async def _one_upload(client: TablemillClient, path: Path) -> dict[str, list[float]]:
    began = time.perf_counter()
    upload = await client.upload(path)
    acknowledged = time.perf_counter() - began
    jobs = [job async for job in client.watch([upload.job_id])]
    ready = time.perf_counter() - began
    if jobs[-1].error.reason:
        raise RuntimeError(jobs[-1].error.message)
    picked_up = jobs[-1].start_time.ToNanoseconds() - jobs[-1].create_time.ToNanoseconds()
    previews = []
    for _ in range(_PREVIEWS):
        began = time.perf_counter()
        await client.preview(upload.record_id)
        previews.append((time.perf_counter() - began) * 1000)
    return {
        "acknowledged_ms": [acknowledged * 1000],
        "picked_up_ms": [picked_up / 1e6],
        "ready_ms": [ready * 1000],
        "preview_ms": previews,
    }


def _read_with_openpyxl_ms(path: Path) -> float:
    began = time.perf_counter()
    book = openpyxl.load_workbook(path, read_only=True)
    for row in book.worksheets[0].iter_rows(values_only=True):
        len(row)
    book.close()
    return (time.perf_counter() - began) * 1000
