"""Actions beside Polars on the same work: read a Parquet file, act, write a Parquet file.

Question: what do actions cost beyond the engine that is fastest at it? Each contender runs in a process of its own, on
the sample workbook as ingestion leaves it (3,339 x 151) and on a large table of 12 columns. Both write zstd at level 1
in row groups of 131,072 rows. What Polars gives is compared with ours, value by value. The profile of the new version,
to which Polars has no counterpart, is left out there; it is part of the whole job, which is measured beside it.
"""

import asyncio
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.harness import Report, percentile
from benchmarks.peers import actions_contenders as contenders
from examples.sample import write_sample
from tablemill.client import TablemillClient
from tests.stack import Stack
from worker_service.tables import Limits, ReadOptions, convert

_LARGE_ROWS = 10_000_000
_RUNS = {"small": 15, "large": 1}
_BAR = 1.3
_FIXED_MS = 50.0


async def run(out: Report) -> None:
    """Measure each work on each table, then the whole job on the small one."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tables = {"small": _small(folder), "large": contenders.write_large(folder / "large.parquet", _LARGE_ROWS)}
        for size, path in tables.items():
            for work in contenders.WORKS[size]:
                await _compare(out, size, work, path, folder)
    await _whole_job(out)
    out.note(
        f"small: the sample workbook, 3,339 x 151; large: {_LARGE_ROWS:,} x 12, made data. Medians of 15 and 2 runs."
    )


async def _compare(out: Report, size: str, work: str, path: Path, folder: Path) -> None:
    targets = {name: folder / f"{name}.parquet" for name in ("tablemill", "polars")}
    found = {name: await _measured(name, size, work, path, target) for name, target in targets.items()}
    contenders.check_equal(*targets.values())
    ours_ms, peer_ms = (percentile(found[name]["seconds"], 0.5) * 1000 for name in targets)
    out.samples(f"{size}: {work}: tablemill_s", found["tablemill"]["seconds"])
    out.samples(f"{size}: {work}: polars_s", found["polars"]["seconds"])
    out.row(
        f"{size}: {work}",
        tablemill_ms=ours_ms,
        polars_ms=peer_ms,
        ratio=ours_ms / peer_ms,
        cpu_ratio=found["tablemill"]["cpu_s"] / found["polars"]["cpu_s"],
        tablemill_peak_mib=found["tablemill"]["peak_mib"],
        polars_peak_mib=found["polars"]["peak_mib"],
    )
    bar_ms = _BAR * peer_ms + _FIXED_MS
    out.bar(f"{size}, {work}: {_BAR} x Polars + {_FIXED_MS:g} ms", measured=ours_ms, bar=bar_ms, unit="ms")


async def _measured(contender: str, size: str, work: str, source: Path, target: Path) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.peers.actions_contenders"),
        *(contender, size, work, str(source), str(target), str(_RUNS[size])),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"{contender} failed at {work}")
    found: dict[str, Any] = json.loads(output)
    return found


async def _whole_job(out: Report) -> None:
    """From the call to the new version, through both services."""
    with Stack(durable=True, store="file") as stack:
        workbook = write_sample(stack.directory / "sample.xlsx").path
        stack.services.start()
        async with TablemillClient(stack.services.address) as client:
            upload = await client.upload(workbook)
            async for _ in client.watch([upload.job_id]):
                pass
            waits_ms = []
            for base in range(1, 12):
                began_s = asyncio.get_running_loop().time()
                job_id = await client.actions.apply(upload.record_id, base, contenders.WORKS["small"]["filter"])
                async for job in client.watch([job_id]):
                    if job.error.reason:
                        raise RuntimeError(job.error.message)
                waits_ms.append((asyncio.get_running_loop().time() - began_s) * 1000)
    out.samples("whole_job_ms", waits_ms)
    out.row("small: filter, the whole job with its profile", tablemill_ms=percentile(waits_ms[1:], 0.5))


def _small(folder: Path) -> Path:
    made = folder / "converted"
    made.mkdir()
    workbook = write_sample(folder / "sample.xlsx").path
    convert(
        workbook,
        made,
        file_name="sample.xlsx",
        options=ReadOptions(),
        limits=Limits(),
        on_progress=lambda _: None,
    )
    return made / "clean.parquet"
