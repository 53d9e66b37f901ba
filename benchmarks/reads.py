"""Reads of clean data beside libraries on the same local file, and ReadRows beside Arrow Flight's Python server.

Questions: how long does somebody wait for a page of a table, small or large? How fast do all rows arrive? What does an
xlsx export cost in time and memory? TABLEMILL_BENCH_ROWS sets the rows of the large table, 10,000,000 by default.
"""

import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import grpc
import polars as pl
import pyarrow.parquet as pq
from pyarrow import flight

from benchmarks.harness import Report, percentile
from benchmarks.peers.xlsx_writers import WAYS
from benchmarks.reads_data import clean_sample, large_table
from shared.storage import open_store
from tablemill.client import TablemillClient
from tests.integration.clean_data import publish_file
from tests.rpc import Calls
from tests.stack import Stack

_SAMPLE_ROWS = 3_339
_LARGE_ROWS = int(os.environ.get("TABLEMILL_BENCH_ROWS", "10000000"))
_PAGE_ROWS = 100
_PAGES = 60
_FULL_READS = 3
_MIB = 1 << 20


async def run(out: Report) -> None:
    """Measure previews, full reads and exports."""
    with Stack(durable=True, store="file") as stack:
        sample, large = clean_sample(stack.directory, _SAMPLE_ROWS), stack.directory / "large.parquet"
        large_table(large, _LARGE_ROWS)
        ids = await _published(stack, [sample, large])
        async with TablemillClient(stack.services.address) as client:
            await _previews(out, client, {"sample": (sample, ids[0]), "large": (large, ids[1])})
            await _full_reads(out, client, large, ids[1])
        _exports(out, stack.directory, sample)
    out.note(f"sample: {_SAMPLE_ROWS:,} x 151; large: {_LARGE_ROWS:,} x 8 of all types, {os.cpu_count()} cores.")
    out.note(
        "Previews: end to end through gRPC, Postgres and a store in a directory; libraries open the file each time."
    )


async def _published(stack: Stack, paths: list[Path]) -> list[str]:
    """Start an ingest service without a worker; return records whose clean data are these files."""
    stack.services.start_ingest()
    store = open_store(stack.services.store_url)
    async with grpc.aio.insecure_channel(stack.services.address) as channel:
        calls = Calls(channel, stack.services.address)
        ids = [await publish_file(calls, stack.services.database_url, store, path) for path in paths]
    await store.close()
    return ids


async def _previews(out: Report, client: TablemillClient, tables: dict[str, tuple[Path, str]]) -> None:
    for name, (path, record_id) in tables.items():
        rows = pq.read_metadata(path).num_rows
        first, anywhere = [0] * _PAGES, random.Random(7).choices(range(rows - _PAGE_ROWS), k=_PAGES)
        ours = partial(client.preview, record_id, row_limit=_PAGE_ROWS)
        for page, offsets in (("first page", first), ("any page", anywhere)):
            waits_ms = await _timed([partial(ours, row_offset=offset) for offset in offsets])
            out.samples(f"preview_{name}_{page.replace(' ', '_')}_ms", waits_ms)
            out.row(f"preview {name}, {page}: tablemill", **_waits(waits_ms))
            for peer, read in _page_readers(path).items():
                out.row(
                    f"preview {name}, {page}: {peer}",
                    **_waits(await _timed([partial(_as_async, read, offset) for offset in offsets[: _PAGES // 3]])),
                )
            out.bar(f"preview {name}, {page}, p50", measured=statistics.median(waits_ms), bar=10, unit="ms")


def _page_readers(path: Path) -> dict[str, Callable[[int], object]]:
    def pyarrow(offset: int) -> object:
        with pq.ParquetFile(path, memory_map=True) as file:
            start = 0
            for group in range(file.num_row_groups):
                rows = file.metadata.row_group(group).num_rows
                if start + rows > offset:
                    return file.read_row_group(group).slice(offset - start, _PAGE_ROWS).to_pylist()
                start += rows
            return []

    return {
        "pyarrow": pyarrow,
        "polars": lambda offset: pl.scan_parquet(path).slice(offset, _PAGE_ROWS).collect().rows(),
        "duckdb": lambda offset: duckdb.execute(f"FROM '{path}' LIMIT {_PAGE_ROWS} OFFSET {offset}").fetchall(),
    }


async def _full_reads(out: Report, client: TablemillClient, path: Path, record_id: str) -> None:
    async def ours() -> int:
        return sum([batch.nbytes async for batch in client.read_rows(record_id)])

    with _FlightServer(path) as server:
        readers: dict[str, Callable[[], Awaitable[int]]] = {
            "ReadRows": ours,
            "Arrow Flight, Python server": partial(_as_async, server.read),
            "pyarrow on the file": partial(_as_async, _read_directly, path),
            "polars on the file": partial(_as_async, lambda: int(pl.read_parquet(path).estimated_size())),
        }
        rates: dict[str, list[float]] = {}
        for name, read in readers.items():
            await read()
            rates[name] = []
        for _ in range(_FULL_READS):  # in turns, so that what else the machine does strikes all
            for name, read in readers.items():
                began = time.perf_counter()
                size_bytes = await read()
                rates[name].append(size_bytes / _MIB / (time.perf_counter() - began))
    for name, found in rates.items():
        out.samples(f"read_{name}_mib_per_s", found)
        out.row(f"all rows: {name}", mib_per_s=statistics.median(found))
    ratio = statistics.median(rates["ReadRows"]) / statistics.median(rates["Arrow Flight, Python server"])
    out.bar("ReadRows of Flight", measured=ratio, bar=0.7, unit="", higher_is_better=True)


class _FlightServer:
    """Arrow Flight's Python server in a process of its own, and a client of it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> "_FlightServer":
        command = [sys.executable, "-m", "benchmarks.peers.flight_server", str(self._path)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self._client = flight.connect(f"grpc://127.0.0.1:{int(self._process.stdout.readline())}")
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()
        self._process.communicate()

    def read(self) -> int:
        """Read everything; return how many bytes of Arrow that was."""
        chunks: Any = self._client.do_get(flight.Ticket(b""))
        return sum(int(chunk.data.nbytes) for chunk in chunks)


def _read_directly(path: Path) -> int:
    with pq.ParquetFile(path, memory_map=True) as file:
        return sum(batch.nbytes for batch in file.iter_batches())


def _exports(out: Report, directory: Path, sample: Path) -> None:
    four_times = clean_sample(directory, 4 * _SAMPLE_ROWS)
    measured = {way: _export(way, sample, directory) for way in WAYS}
    for way, facts in measured.items():
        out.row(f"xlsx sample: {way}", seconds=facts["seconds"], peak_mib=facts["peak_bytes"] / _MIB)
    large = _export("tablemill", four_times, directory)
    out.row("xlsx sample x 4: tablemill", seconds=large["seconds"], peak_mib=large["peak_bytes"] / _MIB)
    ours, pandas = measured["tablemill"], measured["pandas_openpyxl"]
    out.bar("xlsx export of pandas + openpyxl's time", measured=ours["seconds"] / pandas["seconds"], bar=1, unit="")
    growth = (large["peak_bytes"] - ours["peak_bytes"]) / ours["peak_bytes"]
    out.bar("growth of the peak memory with 4 x the rows", measured=growth, bar=0.25, unit="")


def _export(way: str, source: Path, directory: Path) -> dict[str, float]:
    target = directory / "out.xlsx"
    target.unlink(missing_ok=True)
    command = [sys.executable, "-m", "benchmarks.peers.xlsx_writers", way, str(source), str(target)]
    found: dict[str, float] = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    return found


async def _as_async(read: Callable[..., Any], *args: Any) -> Any:
    return read(*args)


async def _timed(reads: list[Callable[[], Awaitable[object]]]) -> list[float]:
    await reads[0]()
    waits_ms = []
    for read in reads:
        began = time.perf_counter()
        await read()
        waits_ms.append((time.perf_counter() - began) * 1000)
    return waits_ms


def _waits(waits_ms: list[float]) -> dict[str, float]:
    return {"p50_ms": statistics.median(waits_ms), "p90_ms": percentile(waits_ms, 0.9), "max_ms": max(waits_ms)}
