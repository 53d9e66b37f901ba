"""The job engine beside other queues on Postgres: same machine, same server, same run, public interfaces alone.

Every queue answers the same questions (benchmarks/peers/queue_protocol.py) in a process of its own, on a database of
its own. Python peers are installed into a throw-away environment; what cannot run is named with its reason.
BENCH_QUEUE_SCALE (default 1) multiplies how many jobs and seconds there are.
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.harness import Report, percentile
from tests.stack import CHECKOUT, Stack

_SCALE = float(os.environ.get("BENCH_QUEUE_SCALE", "1"))
_PEERS = {
    "procrastinate": ["procrastinate", "psycopg[binary,pool]", "uvloop"],
    "pgqueuer": ["pgqueuer", "asyncpg", "uvloop"],
}
_NOT_RUN = {
    "pg-boss, graphile-worker": "no adapter for Node yet",
    "River": "no adapter for Go yet",
}
_SAMPLES = 200
_IDLE_S = 30
_TIMEOUT_S = 300.0
_LEASE_S = 15.0


@dataclass(frozen=True)
class Contender:
    """A queue that can run: its adapter, its interpreter, its database, and how large a backlog it can take in time."""

    name: str
    python: str
    url: str
    jobs: int

    def ask(self, question: str, number: int = 0) -> dict[str, Any]:
        """Return what its adapter answers. Raises RuntimeError when it broke or took too long."""
        try:
            done = subprocess.run(
                self.command(question, number),
                cwd=CHECKOUT,
                capture_output=True,
                text=True,
                timeout=_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"{self.name}: no answer to {question} in {_TIMEOUT_S:.0f} s") from None
        if done.returncode:
            raise RuntimeError(f"{self.name}: {question} broke: {done.stderr[-300:]}")
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return found

    def afresh(self, stack: Stack) -> "Contender":
        """Return the same with a database that nothing was measured on yet. Raises RuntimeError."""
        fresh = replace(self, url=stack.postgres.create_database())
        fresh.ask("install")
        return fresh

    def command(self, question: str, number: int) -> list[str]:
        """Return the command line that asks."""
        return [self.python, "-m", f"benchmarks.peers.queue_{self.name}", self.url, question, str(number)]

    def value(self, query: str) -> Any:
        """Return one value from its database."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            row = connection.execute(query.encode()).fetchone()
            return row[0] if row else None

    def run(self, statement: str) -> None:
        """Run one statement in its database."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement.encode())


async def run(out: Report) -> None:
    """Measure everything, one contender after the other for each question."""
    await asyncio.to_thread(_run, out)


def _run(out: Report) -> None:
    with Stack(durable=True, store="file", log_directory=None) as stack, tempfile.TemporaryDirectory() as directory:
        contenders = list(_contenders(Path(directory), out))
        figures: dict[str, dict[str, float | str]] = {contender.name: {} for contender in contenders}
        for measure in (_latency, _drains, _held_xmin, _idle):
            for contender in contenders:
                try:
                    figures[contender.name] |= measure(contender.afresh(stack), stack, out)
                except RuntimeError as error:
                    out.note(str(error))
        ours = contenders[0]
        figures[ours.name] |= _backlog(ours.afresh(stack)) | _killed(ours.afresh(stack))
        for name, found in figures.items():
            out.row(name, **found)
        for name, reason in _NOT_RUN.items():
            out.note(f"not run: {name}: {reason}")
        _hold_against_bars(out, figures)


def _contenders(directory: Path, out: Report) -> Iterator[Contender]:
    yield Contender("tablemill", sys.executable, "", int(30_000 * _SCALE))
    for name, packages in _PEERS.items():
        python = directory / name / "bin" / "python"
        venv.create(directory / name, with_pip=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages]
        done = subprocess.run(pip, capture_output=True, text=True, check=False)
        if done.returncode:
            out.note(f"not run: {name}: pip failed: {done.stderr[-200:]}")
            continue
        yield Contender(name, str(python), "", int(3_000 * _SCALE))


def _latency(contender: Contender, stack: Stack, out: Report) -> dict[str, float | str]:
    del stack
    waits_ms = contender.ask("latency", int(_SAMPLES * _SCALE))["waits_ms"]
    out.samples(f"{contender.name}_idle_start_ms", waits_ms)
    return {
        "idle_p50_ms": percentile(waits_ms, 0.5),
        "idle_p99_ms": percentile(waits_ms, 0.99),
        "idle_max_ms": max(waits_ms),
    }


def _drains(contender: Contender, stack: Stack, out: Report) -> dict[str, float | str]:
    """No-op jobs a second and WAL, over a backlog; statistics are fresh for everybody."""
    del stack, out
    jobs_per_s = {}
    wal_bytes = 0
    for settings, jobs in (("default", contender.jobs // 10), ("best", contender.jobs)):
        before = contender.value("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")
        contender.ask("fill", jobs)
        filled = contender.value("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")
        contender.run("VACUUM ANALYZE")
        analyzed = contender.value("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")
        drained = contender.ask(f"drain_{settings}", jobs)
        after = contender.value("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")
        jobs_per_s[settings] = drained["jobs"] / drained["seconds"]
        wal_bytes = int(filled - before + after - analyzed) // jobs
    return {
        "jobs_per_s_default": jobs_per_s["default"],
        "jobs_per_s_best": jobs_per_s["best"],
        "wal_bytes_per_job": wal_bytes,
    }


def _held_xmin(contender: Contender, stack: Stack, out: Report) -> dict[str, float | str]:
    del stack
    seconds = int(30 * _SCALE)
    clean = contender.ask("sustain", seconds)["done_per_s"]
    with psycopg.connect(contender.url) as holder:
        holder.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        holder.execute("SELECT txid_current()")
        held = contender.ask("sustain", seconds)["done_per_s"]
    out.samples(f"{contender.name}_clean_jobs_per_s", clean)
    out.samples(f"{contender.name}_held_xmin_jobs_per_s", held)
    last = held[-(seconds // 3) :]
    return {
        "sustained_per_s": sum(clean) / seconds,
        "held_xmin_per_s": sum(held) / seconds,
        "held_xmin_last_third_per_s": sum(last) / len(last),
    }


def _idle(contender: Contender, stack: Stack, out: Report) -> dict[str, float | str]:
    """Statements that the server logs while one worker waits."""
    del out
    name = stack.postgres.name_of(contender.url)
    contender.run(f'ALTER DATABASE "{name}" SET log_min_duration_statement = 0')
    log = stack.directory / "postgres.log"
    with subprocess.Popen(contender.command("idle", _IDLE_S), cwd=CHECKOUT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        before = log.stat().st_size
        time.sleep(_IDLE_S - 0.5)
        lines = log.read_bytes()[before:].splitlines()
        process.wait()
    contender.run(f'ALTER DATABASE "{name}" RESET log_min_duration_statement')
    return {f"idle_statements_per_{_IDLE_S}_s": sum(b" statement: " in line or b" execute " in line for line in lines)}


def _backlog(ours: Contender) -> dict[str, float | str]:
    """Claim of one job with nothing and with a large backlog before it, through JobQueue."""
    return {name: float(value) for name, value in ours.ask("claim", int(1_000_000 * _SCALE)).items()}


def _killed(ours: Contender) -> dict[str, float | str]:
    """SIGKILL of the worker to the start of its job elsewhere."""
    with _hanging(ours) as first, _hanging(ours, enqueue=False) as second:
        first.kill()
        killed_s = time.perf_counter()
        assert second.stdout is not None
        assert second.stdout.readline() == b"started\n"
        return {"sigkill_to_running_s": time.perf_counter() - killed_s}


@contextmanager
def _hanging(ours: Contender, *, enqueue: bool = True) -> Iterator[subprocess.Popen[bytes]]:
    """Run a worker whose handler never ends; with `enqueue` it has begun."""
    command = ours.command("hang", int(enqueue))
    with subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield process
        finally:
            process.kill()


def _hold_against_bars(out: Report, figures: dict[str, dict[str, Any]]) -> None:
    ours = figures["tablemill"]
    peers = [found for name, found in figures.items() if name != "tablemill"]
    out.bar("idle start p50", measured=ours["idle_p50_ms"], bar=3, unit="ms")
    out.bar("idle start p99", measured=ours["idle_p99_ms"], bar=8, unit="ms")
    peer_p50_ms = min((found["idle_p50_ms"] for found in peers if "idle_p50_ms" in found), default=float("inf"))
    out.bar("idle start p50 vs the best peer", measured=ours["idle_p50_ms"], bar=peer_p50_ms, unit="ms")
    best = ours["jobs_per_s_best"]
    out.bar("no-op jobs, one process", measured=best, bar=5000, unit="jobs/s", higher_is_better=True)
    peer_best = max((found["jobs_per_s_best"] for found in peers if "jobs_per_s_best" in found), default=0)
    out.bar("no-op jobs vs the best peer", measured=best, bar=peer_best, unit="jobs/s", higher_is_better=True)
    out.bar("WAL", measured=ours["wal_bytes_per_job"], bar=1536, unit="bytes/job")
    share = ours["held_xmin_last_third_per_s"] / ours["sustained_per_s"]
    out.bar("held xmin, last third vs clean", measured=share, bar=0.7, unit="", higher_is_better=True)
    out.bar("idle load", measured=ours[f"idle_statements_per_{_IDLE_S}_s"], bar=6, unit="statements / 30 s")
    claim = ours["claim_backlog_ms"] / ours["claim_empty_ms"]
    out.bar("claim behind a backlog vs empty", measured=claim, bar=1.2, unit="x")
    out.bar("SIGKILL to running elsewhere", measured=ours["sigkill_to_running_s"], bar=_LEASE_S + 2, unit="s")
