"""How fast and how lean UploadFile is, beside the least a server can do and the object store's own library.

Every pair that a bar compares is measured in turns, so that noise of the machine hits both; the median of the turns
counts. Our side is the whole service as a process: gRPC, checksums, manifest rows in a durable Postgres, objects.
"""

import asyncio
import os
import random
import shutil
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from uuid import uuid4

import google_crc32c
import grpc
import psutil
from google.cloud import storage

from benchmarks.harness import Report, watch_memory
from benchmarks.peers import gcs_library
from tablemill import sources
from tablemill.v1 import ingest_service_pb2 as pb
from tablemill.v1 import ingest_service_pb2_grpc as pb_grpc
from tests.stack import Process, Stack, temporary_directory

MIB = 1 << 20
CHUNKS_BYTES = (64 << 10, 256 << 10, 512 << 10, 1 << 20, (2 << 20) - 1)
CONCURRENT = (1, 4, 16)
MANY = 50
CHUNK_BYTES = sources.CHUNK_BYTES  # what the client library sends
TURN_BYTES = 512 * MIB
FAKE_GCS_BYTES = 192 * MIB
TURNS = 3
FLAT_BYTES = (10 * MIB, 128 * MIB, 2048 * MIB)
BLOCK = random.Random(7).randbytes(16 * MIB)


@dataclass(frozen=True)
class Speed:
    """What one turn measured."""

    mib_s: float
    server_cpu_s_gib: float


async def run(out: Report) -> None:
    """Measure and hold against the bars."""
    with ExitStack() as held:
        bench = Bench(held)
        await _file_store(out, bench)
        await _null_store(out, bench)
        await _fake_gcs(out, bench)
        await _memory(out, bench)


class Bench:
    """The servers, each started when it is first needed."""

    def __init__(self, held: ExitStack) -> None:
        self.stack = held.enter_context(Stack(durable=True))
        self.memory = held.enter_context(temporary_directory(in_memory=True))
        self._held = held
        self.sink = self._serve("bare_sink")
        self.null = self._serve("null_store")

    def ingest(self, store_url: str, emulator: str = "") -> tuple[str, int]:
        """Start our service on a store; return its address and process id."""
        env = {
            "TABLEMILL_STORE_URL": store_url,
            "STORAGE_EMULATOR_HOST": emulator,
            "TABLEMILL_LOG_LEVEL": "WARNING",
            "TABLEMILL_MAX_UPLOADS_PER_OWNER": str(MANY),
        }
        service = self.stack.services.start_ingest(env)
        return service.address, service.pid

    def _serve(self, name: str) -> tuple[str, int]:
        log_path = self.stack.directory / f"{name}.log"
        command = [sys.executable, "-m", f"benchmarks.peers.{name}"]
        process = Process(command, log_path=log_path, capture_stdout=True)
        self._held.callback(process.close)
        return process.stdout.readline().decode().strip(), process.pid


async def _file_store(out: Report, bench: Bench) -> None:
    in_memory = bench.ingest(f"file://{bench.memory}/objects")
    for chunk_bytes in CHUNKS_BYTES:
        for concurrent in CONCURRENT if chunk_bytes == CHUNK_BYTES else (4,):
            turns = {
                "bare sink": partial(_upload, bench.sink, chunk_bytes, concurrent, TURN_BYTES),
                "tablemill to file:// in memory": partial(
                    _upload, in_memory, chunk_bytes, concurrent, TURN_BYTES, emptied=bench.memory / "objects" / "raw"
                ),
            }
            sink, ours = await _in_turns(out, turns, f"{chunk_bytes >> 10} KiB x {concurrent}")
            if chunk_bytes == CHUNK_BYTES:
                out.bar(f"file:// in memory / bare sink, {concurrent} at once", measured=ours / sink, bar=0.8,
                        unit="x", higher_is_better=True)  # fmt: skip
    on_disk = bench.ingest(f"file://{bench.stack.directory}/objects")
    turns = {
        "write and fsync of 4 MiB pieces": partial(_write_and_sync, bench.stack.directory / "plain", TURN_BYTES),
        "tablemill to file:// on disk": partial(
            _upload, on_disk, CHUNK_BYTES, 4, TURN_BYTES, emptied=bench.stack.directory / "objects" / "raw"
        ),
    }
    await _in_turns(out, turns, _times(4))
    out.note("file:// in memory is a tmpfs: what a disk can take is the row of plain writes.")


async def _null_store(out: Report, bench: Bench) -> None:
    address, pid = bench.null
    ours_at = bench.ingest("gs://null", f"http://{address}")
    bucket = gcs_library.bucket(f"http://{address}", "null")
    for concurrent in CONCURRENT:
        turns = {
            "library to the null store": partial(_library, gcs_library.upload, bucket, concurrent, TURN_BYTES, pid),
            "tablemill to the null store": partial(_upload, ours_at, CHUNK_BYTES, concurrent, TURN_BYTES),
        }
        turns["bare sink beside the null store"] = partial(_upload, bench.sink, CHUNK_BYTES, concurrent, TURN_BYTES)
        direct, ours, sink = await _in_turns(out, turns, _times(concurrent))
        out.note(f"A bare sink, which stores nothing, is at {sink / direct:.2f} of the library, {concurrent} at once.")
        out.bar(f"null store / direct library, {concurrent} at once", measured=ours / direct, bar=0.75, unit="x",
                higher_is_better=True)  # fmt: skip


async def _fake_gcs(out: Report, bench: Bench) -> None:
    gcs = bench.stack.gcs
    url = gcs.create_bucket()
    ours_at, bucket = bench.ingest(url, gcs.url), gcs_library.bucket(gcs.url, url.removeprefix("gs://"))
    for concurrent in (1, 4):
        turns = {
            "library's streaming writer": partial(
                _library, gcs_library.write, bucket, concurrent, FAKE_GCS_BYTES, gcs.pid
            ),
            "tablemill to fake-gcs": partial(_upload, ours_at, CHUNK_BYTES, concurrent, FAKE_GCS_BYTES),
        }
        library, ours = await _in_turns(out, turns, _times(concurrent))
        out.bar(f"fake-gcs / library's streaming writer, {concurrent} at once", measured=ours / library, bar=1.0,
                unit="x", higher_is_better=True)  # fmt: skip


def _times(concurrent: int) -> str:
    return f"{CHUNK_BYTES >> 10} KiB x {concurrent}"


async def _memory(out: Report, bench: Bench) -> None:
    """The growth of a warm process, a file at a time and 50 at once: the store is the null store, so no file cache."""
    server = bench.ingest("gs://null", f"http://{bench.null[0]}")
    await _upload(server, CHUNK_BYTES, 1, 16 * MIB)
    for chunk_bytes in CHUNKS_BYTES:
        for size_bytes in FLAT_BYTES:
            peak_mib = await _growth_mib(server, chunk_bytes, 1, size_bytes)
            subject = f"memory, {chunk_bytes >> 10} KiB chunks, {size_bytes // MIB} MiB"
            out.row(subject, growth_mib=peak_mib)
            out.bar(subject, measured=peak_mib, bar=24.0, unit="MiB")
    many = await _growth_mib(server, CHUNK_BYTES, MANY, 2048 * MIB) / MANY
    out.row(f"memory, {MANY} at once, each", growth_mib=many)
    out.bar(f"memory of each of {MANY} at once", measured=many, bar=24.0, unit="MiB")


async def _growth_mib(server: tuple[str, int], chunk_bytes: int, concurrent: int, size_bytes: int) -> float:
    before_bytes = psutil.Process(server[1]).memory_info().rss
    with watch_memory(server[1]) as memory:
        await _upload(server, chunk_bytes, concurrent, size_bytes)
    return (memory.peak_bytes - before_bytes) / MIB


async def _in_turns(out: Report, turns: Mapping[str, Callable[[], Awaitable[Speed]]], what: str) -> list[float]:
    """Measure all in turns; add a row for each; return their median speeds."""
    speeds: dict[str, list[Speed]] = {name: [] for name in turns}
    for _ in range(TURNS):
        for name, turn in turns.items():
            speeds[name].append(await turn())
    for name, found in speeds.items():
        out.samples(f"{name}, {what}, mib_s", [speed.mib_s for speed in found])
        cpu = median(speed.server_cpu_s_gib for speed in found)
        out.row(f"{name}, {what}", mib_s=median(speed.mib_s for speed in found), server_cpu_s_gib=cpu)
    return [median(speed.mib_s for speed in found) for found in speeds.values()]


async def _upload(
    server: tuple[str, int], chunk_bytes: int, concurrent: int, total_bytes: int, emptied: Path | None = None
) -> Speed:
    """Upload `total_bytes` in `concurrent` files at once through UploadFile; then remove the folder `emptied`."""
    address, pid = server
    chunks = [BLOCK[start : start + chunk_bytes] for start in range(0, len(BLOCK), chunk_bytes)]
    checked = [(chunk, google_crc32c.value(chunk)) for chunk in chunks]
    async with grpc.aio.insecure_channel(address) as channel:
        stub, each = pb_grpc.IngestServiceStub(channel), total_bytes // concurrent
        with _Clock(pid, total_bytes) as clock:
            await asyncio.gather(*(stub.UploadFile(_messages(checked, each)) for _ in range(concurrent)))
    if emptied:
        shutil.rmtree(emptied)
    return clock.speed


async def _messages(chunks: list[tuple[bytes, int]], size_bytes: int) -> AsyncIterator[pb.UploadFileRequest]:
    yield pb.UploadFileRequest(header=pb.UploadHeader(request_id=str(uuid4()), file_name="b.csv"))
    offset, number = 0, 0
    while offset < size_bytes:
        data, crc32c = chunks[number % len(chunks)]
        if offset + len(data) > size_bytes:
            data = data[: size_bytes - offset]
            crc32c = google_crc32c.value(data)
        yield pb.UploadFileRequest(chunk=pb.UploadChunk(offset=offset, data=data, crc32c=crc32c))
        offset, number = offset + len(data), number + 1
    yield pb.UploadFileRequest(finish=pb.UploadFinish(size_bytes=size_bytes))


async def _library(
    upload: Callable[[storage.Bucket, bytes, int], None],
    bucket: storage.Bucket,
    concurrent: int,
    total_bytes: int,
    server_pid: int,
) -> Speed:
    """Upload by the store's own library, a thread a file; the CPU time is the store's."""
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(concurrent) as threads, _Clock(server_pid, total_bytes) as clock:
        each = total_bytes // concurrent
        await asyncio.gather(*(loop.run_in_executor(threads, upload, bucket, BLOCK, each) for _ in range(concurrent)))
    return clock.speed


async def _write_and_sync(path: Path, total_bytes: int) -> Speed:
    with _Clock(os.getpid(), total_bytes) as clock, path.open("wb", buffering=0) as file:
        for offset in range(0, total_bytes, 4 * MIB):
            start = offset % len(BLOCK)
            file.write(BLOCK[start : start + 4 * MIB])
            os.fsync(file.fileno())
    path.unlink()
    return clock.speed


class _Clock:
    """Wall time, and CPU time of a server process, around a block."""

    def __init__(self, pid: int, total_bytes: int) -> None:
        self._server = psutil.Process(pid)
        self._total_bytes = total_bytes
        self.speed = Speed(0, 0)

    def __enter__(self) -> "_Clock":
        self._cpu_s, self._started_s = self._used_s(), time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        elapsed_s, used_s = time.monotonic() - self._started_s, self._used_s() - self._cpu_s
        self.speed = Speed(self._total_bytes / MIB / elapsed_s, used_s / (self._total_bytes / (1 << 30)))

    def _used_s(self) -> float:
        times = self._server.cpu_times()
        return times.user + times.system
