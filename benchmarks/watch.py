"""WatchStatus with thousands of streams on one process: memory, latency, fan-out, and what polling costs instead.

Every stream watches two jobs: one of its own and one that all share. Jobs are changed by statements of this process,
which commit, note the time, and send hints as the services do; the time of a receipt is taken by the same clock.
At BENCH_WATCH_SCALE 1 (the default; it multiplies how many streams there are) all takes about three minutes.
"""

import asyncio
import os
import random
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from statistics import mean, median
from typing import Any
from uuid import UUID

import grpc
import psutil

from benchmarks.harness import Report, percentile
from benchmarks.watch_notify import notify_cost
from shared.database import Pool, make_pool
from shared.jobs.notify import Notifier
from tablemill.v1 import ingest_service_pb2 as pb
from tests.stack import Process, Stack
from tests.watch_fleet import JobDriver

_SCALE = float(os.environ.get("BENCH_WATCH_SCALE", "1"))
STREAMS = tuple(int(count * _SCALE) for count in (1_000, 5_000, 10_000))
_CONNECTIONS = 20
_OPENING = 100
_SINGLE_UPDATES = 200
_FAN_OUTS = 5
_KEPT = 500  # of thousands of samples
_UPDATES_PER_S = 1_000
_SPREAD_S = 8.0
_IDLE_S = 15.0
_POLL_EVERY_S = 2.0
_POLLERS = min(1_000, STREAMS[0])
_POLLED_S = 8.0
_HEARTBEAT_BYTES = 8  # a message with a job is longer
_WATCH, _GET_JOB = (f"/tablemill.v1.IngestService/{name}" for name in ("WatchStatus", "GetJob"))
_CHANGE = """
UPDATE jobs SET progress_stage = 'read', progress_done = progress_done + 1, version = version + 1
WHERE job_id = ANY(%s)
"""


async def run(out: Report) -> None:
    """Measure and hold against the bars."""
    with Stack(durable=True, store="file") as stack:
        env = {"TABLEMILL_MAX_WATCHES": "20000", "TABLEMILL_LOG_LEVEL": "WARNING"}
        service = stack.services.start_ingest(env)
        bare = Process(
            [sys.executable, "-m", "benchmarks.peers.bare_fan_out"],
            log_path=stack.directory / "bare.log",
            capture_stdout=True,
        )
        async with AsyncExitStack() as held:
            held.callback(bare.close)
            bench = await Bench.begin(held, stack, service.address, service.pid, bare)
            for count in STREAMS:
                await _measure(out, bench, count)
            await bench.close_streams()
            await _poll(out, bench)
            await notify_cost(out, stack.services.database_url)
    out.note("Streams ask for the default heartbeat, every 15 s; CPU is of one core; each stream watches two jobs.")


@dataclass
class Streams:
    """Streams to one server, and when each heard of a change last."""

    channels: Sequence[grpc.aio.Channel]
    method: str
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    heard_s: list[float] = field(default_factory=list)
    on_heard: Callable[[int, float], None] = lambda _number, _s: None

    async def open(self, requests: Sequence[bytes]) -> float:
        """Open one more stream for each request, 100 at a time; return how many seconds that took."""
        began_s, opening = time.perf_counter(), asyncio.Semaphore(_OPENING)
        opened = []
        for request in requests:
            number = len(self.tasks)
            self.heard_s.append(0.0)
            first = asyncio.get_running_loop().create_future()
            opened.append(first)
            self.tasks.append(asyncio.create_task(self._follow(number, request, opening, first)))
        await asyncio.gather(*opened)
        return time.perf_counter() - began_s

    async def _follow(
        self, number: int, request: bytes, opening: asyncio.Semaphore, first: asyncio.Future[None]
    ) -> None:
        async with opening:
            method: Any = self.channels[number % len(self.channels)].unary_stream(self.method)
            call = method(request)
            await call.read()
            first.set_result(None)
        while True:
            message: Any = await call.read()
            if not isinstance(message, bytes):
                raise RuntimeError(f"stream {number} ended")  # noqa: TRY004  # it is no wrong type, but the end
            if len(message) > _HEARTBEAT_BYTES:
                self.heard_s[number] = now_s = time.perf_counter()
                self.on_heard(number, now_s)

    async def all_heard_since(self, began_s: float) -> float:
        """Wait until every stream heard of a change; return the time of the last."""
        async with asyncio.timeout(60):
            while min(self.heard_s) < began_s:
                await asyncio.sleep(0.002)
        return max(self.heard_s)


@dataclass
class Bench:
    """What is measured, and what changes jobs."""

    pool: Pool
    driver: JobDriver
    notifier: Notifier
    process: psutil.Process
    ours: Streams
    bare: Streams
    bare_fire: Callable[[bytes], Awaitable[bytes]]
    shared_job: UUID
    job_ids: list[UUID]
    rss_before: int

    @classmethod
    async def begin(cls, held: AsyncExitStack, stack: Stack, address: str, pid: int, bare: Process) -> "Bench":
        pool = await held.enter_async_context(make_pool(stack.services.database_url, "bench", max_size=4))
        notifier = Notifier(stack.services.database_url, "bench")
        sending = asyncio.create_task(notifier.run())
        held.callback(sending.cancel)
        driver = JobDriver(pool, notifier)
        await driver.queue.register("toy")
        job_ids = await driver.add(STREAMS[-1] + 1)
        bare_address = bare.stdout.readline().decode().strip()
        ours = [await _channel(held, address) for _ in range(_CONNECTIONS)]
        theirs = [await _channel(held, bare_address) for _ in range(_CONNECTIONS)]
        fire: Any = (await _channel(held, bare_address)).unary_unary("/bare.FanOut/Fire")
        process = psutil.Process(pid)
        get_job: Any = ours[0].unary_unary(_GET_JOB)
        await get_job(pb.GetJobRequest(job_id=str(job_ids[0])).SerializeToString())  # what a first call costs
        return cls(
            pool,
            driver,
            notifier,
            process,
            Streams(ours, _WATCH),
            Streams(theirs, "/bare.FanOut/Watch"),
            fire,
            job_ids[0],
            job_ids[1:],
            process.memory_info().rss,
        )

    async def change(self, job_ids: Sequence[UUID]) -> float:
        """Change jobs in one commit and send the hint; return when the commit was done."""
        async with self.pool.connection() as connection:
            await connection.execute(_CHANGE, [list(job_ids)])
        committed_s = time.perf_counter()
        self.notifier.changed(job_ids)
        return committed_s

    def cpu_s(self) -> float:
        """CPU seconds that the service has used."""
        times = self.process.cpu_times()
        return float(times.user + times.system)

    async def close_streams(self) -> None:
        """End all streams."""
        for task in (*self.ours.tasks, *self.bare.tasks):
            task.cancel()
        await asyncio.gather(*self.ours.tasks, *self.bare.tasks, return_exceptions=True)


async def _channel(held: AsyncExitStack, address: str) -> grpc.aio.Channel:
    options = [("grpc.use_local_subchannel_pool", 1)]
    return await held.enter_async_context(grpc.aio.insecure_channel(address, options=options))


async def _measure(out: Report, bench: Bench, count: int) -> None:
    """Open streams until there are `count`, and measure."""
    have = len(bench.ours.tasks)
    opened_s = await bench.ours.open([_request(bench, number) for number in range(have, count)])
    await bench.bare.open([b"x"] * (count - have))
    mib = (bench.process.memory_info().rss - bench.rss_before) / (1 << 20)
    idle_percent = await _idle(bench)
    singles_ms = await _singles(bench, count)
    spread_ms, spread_percent = await _spread(bench, count)
    ours_ms, bare_ms = await _fan_outs(bench)
    out.samples(f"single_ms_{count}", singles_ms)
    out.samples(f"spread_ms_{count}_some", random.Random(7).sample(spread_ms, min(_KEPT, len(spread_ms))))
    ratio = median(ours_ms) / median(bare_ms)
    out.row(
        f"{count:,} streams",
        opened_per_s=(count - have) / opened_s,
        kib_per_stream=mib * 1024 / count,
        idle_cpu_percent=idle_percent,
        single_p50_ms=percentile(singles_ms, 0.5),
        single_p99_ms=percentile(singles_ms, 0.99),
        spread_p50_ms=percentile(spread_ms, 0.5),
        spread_p99_ms=percentile(spread_ms, 0.99),
        spread_cpu_percent=spread_percent,
        all_of_one_job_ms=median(ours_ms),
        bare_fan_out_ms=median(bare_ms),
        ratio=ratio,
    )
    if count == STREAMS[-1]:
        out.bar("single update, p99", measured=percentile(singles_ms, 0.99), bar=20, unit="ms")
        out.bar("1,000 updates a second, p99", measured=percentile(spread_ms, 0.99), bar=100, unit="ms")
        out.bar(f"{count:,} idle watchers", measured=mib, bar=400, unit="MiB")
        out.bar(f"{count:,} idle watchers, CPU", measured=idle_percent, bar=5, unit="% of a core")
        out.bar("fan-out vs the bare limit", measured=ratio, bar=1.3, unit="x")


def _request(bench: Bench, number: int) -> bytes:
    targets = [pb.WatchTarget(job_id=str(job_id)) for job_id in (bench.job_ids[number], bench.shared_job)]
    return pb.WatchStatusRequest(targets=targets).SerializeToString()


async def _idle(bench: Bench) -> float:
    before_s = bench.cpu_s()
    await asyncio.sleep(_IDLE_S)
    return 100 * (bench.cpu_s() - before_s) / _IDLE_S


async def _singles(bench: Bench, count: int) -> list[float]:
    """Change one job after the other; return the milliseconds from each commit to the receipt."""
    waits_ms = []
    for number in random.Random(7).sample(range(count), min(_SINGLE_UPDATES, count)):
        heard: asyncio.Future[float] = asyncio.get_running_loop().create_future()

        def note(who: int, at_s: float, number: int = number, heard: asyncio.Future[float] = heard) -> None:
            if who == number and not heard.done():
                heard.set_result(at_s)

        bench.ours.on_heard = note
        committed_s = await bench.change([bench.job_ids[number]])
        waits_ms.append(1000 * (await asyncio.wait_for(heard, 30) - committed_s))
    return waits_ms


async def _spread(bench: Bench, count: int) -> tuple[list[float], float]:
    """Change 1,000 jobs a second, one after the other; return the milliseconds to each receipt, and the CPU."""
    committed_s: dict[int, float] = {}
    waits_ms: list[float] = []

    def note(number: int, at_s: float) -> None:
        if number in committed_s:
            waits_ms.append(1000 * (at_s - committed_s.pop(number)))

    bench.ours.on_heard = note
    cpu_s, began_s = bench.cpu_s(), time.perf_counter()
    changed = 0
    while (passed_s := time.perf_counter() - began_s) < _SPREAD_S:
        due = int(passed_s * _UPDATES_PER_S) - changed
        numbers = [(changed + offset) % count for offset in range(due)]
        changed += due
        if numbers:
            at_s = await bench.change([bench.job_ids[number] for number in numbers])
            for number in numbers:
                committed_s.setdefault(number, at_s)
        await asyncio.sleep(0.01)
    percent = 100 * (bench.cpu_s() - cpu_s) / (time.perf_counter() - began_s)
    async with asyncio.timeout(30):
        while committed_s:
            await asyncio.sleep(0.01)
    return waits_ms, percent


async def _fan_outs(bench: Bench) -> tuple[list[float], list[float]]:
    """Change the job that all watch, and fire on the bare server, in turns; return milliseconds to the last receipt."""
    bench.ours.on_heard = lambda _number, _s: None
    ours_ms, bare_ms = [], []
    payload = b"x" * 190  # about what a job takes
    for _ in range(_FAN_OUTS):
        await asyncio.sleep(1)
        committed_s = await bench.change([bench.shared_job])
        ours_ms.append(1000 * (await bench.ours.all_heard_since(committed_s) - committed_s))
        await asyncio.sleep(1)
        fired_s = time.perf_counter()
        firing = asyncio.ensure_future(bench.bare_fire(payload))
        bare_ms.append(1000 * (await bench.bare.all_heard_since(fired_s) - fired_s))
        await firing
    return ours_ms, bare_ms


async def _poll(out: Report, bench: Bench) -> None:
    """The old way: a client for each job asks every two seconds, while 100 jobs a second change."""
    seen: dict[int, int] = {}
    committed_s: dict[int, list[float]] = {}
    stale_s: list[float] = []
    asked = 0

    async def ask(number: int) -> None:
        nonlocal asked
        get_job: Any = bench.ours.channels[number % _CONNECTIONS].unary_unary(_GET_JOB)
        request = pb.GetJobRequest(job_id=str(bench.job_ids[number])).SerializeToString()
        await asyncio.sleep(random.uniform(0, _POLL_EVERY_S))
        while True:
            answer: Any = await get_job(request)
            asked += 1
            version = pb.GetJobResponse.FromString(answer).job.version
            if version > seen.get(number, version):
                stale_s.extend(time.perf_counter() - at_s for at_s in committed_s.pop(number, []))
            seen[number] = version
            await asyncio.sleep(_POLL_EVERY_S)

    pollers = [asyncio.create_task(ask(number)) for number in range(_POLLERS)]
    await asyncio.sleep(_POLL_EVERY_S + 1)
    cpu_s, began_s, asked = bench.cpu_s(), time.perf_counter(), 0
    rng = random.Random(7)
    while time.perf_counter() - began_s < _POLLED_S:
        numbers = rng.sample(range(_POLLERS), max(1, _POLLERS // 100))
        at_s = await bench.change([bench.job_ids[number] for number in numbers])
        for number in numbers:
            committed_s.setdefault(number, []).append(at_s)
        await asyncio.sleep(0.1)
    passed_s = time.perf_counter() - began_s
    out.row(
        f"{_POLLERS:,} clients that poll every 2 s",
        queries_per_s=asked / passed_s,
        mean_staleness_ms=1000 * mean(stale_s),
        cpu_percent=100 * (bench.cpu_s() - cpu_s) / passed_s,
    )
    for poller in pollers:
        poller.cancel()
    await asyncio.gather(*pollers, return_exceptions=True)
