"""The job engine beside other queues on Postgres: same machine, same server, same run, public interfaces alone.

Every queue answers the same questions (benchmarks/peers/queue_protocol.py) in a process of its own, on a database of
its own. Peers are installed into a throw-away folder; what cannot run is named with its reason. At BENCH_QUEUE_SCALE 1
(the default; it multiplies how many jobs and seconds there are) all takes about 13 minutes.
"""

import asyncio
import os
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from benchmarks import queue_questions as questions
from benchmarks.harness import Report
from benchmarks.peers.queue_contenders import OURS, Contender, install
from benchmarks.queue_questions import Figures
from tests.stack import Stack

_SCALE = float(os.environ.get("BENCH_QUEUE_SCALE", "1"))
_LEASE_S = 15.0
_NOTES = (
    "One clock in one process times the call that enqueues and the first line of the handler.",
    "Idle start and idle statements: default settings, but what a peer's documentation advises for a quick start of "
    "jobs: pg-boss listens (its default looks every 2 s), River's FetchCooldown is 1 ms (its default is 100 ms).",
    "No-op jobs: from the worker's start to the start of the last handler of a backlog, after VACUUM ANALYZE for all; "
    "the best documented settings are in the adapters, with links. Rates of pg-boss by default are one job in 2 s.",
    "WAL: from enqueueing (1,000 a transaction) to the end of a job, with the best settings, after a checkpoint; "
    "graphile-worker and pgqueuer delete a job that is through, the others keep it.",
    "Enqueueing without wake-ups: only Tablemill and pg-boss have a switch for it. "
    "Only Tablemill has a call that claims, and a token to refuse, so claim cost and stale writes have no peers.",
    "SIGKILL to running elsewhere, for which we waited a minute: by default pgqueuer takes a job over after 30 s, "
    "pg-boss after 15 min, River after 1 h, graphile-worker after 4 h, procrastinate when somebody asks it to.",
)

T = TypeVar("T")
_Ask = Callable[[Contender, Report, float], Figures]


async def run(out: Report) -> None:
    """Measure everything, one contender after the other for each question."""
    await asyncio.to_thread(_run, out)


def _run(out: Report) -> None:
    with Stack(durable=True, store="file", log_directory=None) as stack, tempfile.TemporaryDirectory() as directory:
        contenders = install(Path(directory), _SCALE, out)
        figures: dict[str, dict[str, Any]] = {contender.name: {} for contender in contenders}
        began_s = time.perf_counter()
        for ask in (questions.latency, questions.drains, questions.enqueueing, questions.held_xmin):
            for contender in contenders:
                figures[contender.name] |= _ask(ask, contender, stack, out)
        figures[OURS] |= _ask(questions.claim_cost, contenders[0], stack, out)
        figures[OURS] |= _ask(questions.stale_writes, contenders[0], stack, out)
        for name, found in _side_by_side(contenders, stack, out):
            figures[name] |= found
        minutes = (time.perf_counter() - began_s) / 60
    for name, found in figures.items():
        out.row(name, **found)
    for note in _NOTES:
        out.note(note)
    out.note(f"{minutes:.1f} minutes at scale {_SCALE:g}, installations not counted.")
    _hold_against_bars(out, figures[OURS])
    _hold_against_peers(out, figures, {contender.name for contender in contenders if contender.language == "Python"})


def _ask(ask: _Ask, contender: Contender, stack: Stack, out: Report) -> Figures:
    """Ask on a fresh database."""
    return _tried(contender, out, lambda: ask(contender.afresh(stack), out, _SCALE)) or {}


def _side_by_side(contenders: list[Contender], stack: Stack, out: Report) -> Iterable[tuple[str, Figures]]:
    """Ask of all at once what is mostly waiting."""
    made = [_tried(contender, out, partial(contender.afresh, stack)) for contender in contenders]
    fresh = [contender for contender in made if contender]
    out.note(f"versions: {', '.join(f'{contender.name} {contender.version}' for contender in fresh)}")
    yield from questions.idle(fresh, stack, out).items()
    yield from questions.killed(fresh, stack, out).items()


def _tried(contender: Contender, out: Report, attempt: Callable[[], T]) -> T | None:
    """Return what `attempt` gives; None and a note when a peer breaks. When ours does, the benchmark is broken."""
    try:
        return attempt()
    except Exception as error:  # whatever a peer does, the others go on
        if contender.ours:
            raise
        out.note(f"{contender.name}: {type(error).__name__}: {error}")
        return None


def _hold_against_bars(out: Report, ours: dict[str, Any]) -> None:
    out.bar("idle start p50", measured=ours["idle_p50_ms"], bar=3, unit="ms")
    out.bar("idle start p99", measured=ours["idle_p99_ms"], bar=8, unit="ms")
    rate = ours["jobs_per_s_best"]
    out.bar("no-op jobs, one process", measured=rate, bar=5000, unit="jobs/s", higher_is_better=True)
    share = ours["enqueued_per_s_waking"] / ours["enqueued_per_s_silent"]
    out.bar("enqueueing with wake-ups vs without", measured=share, bar=0.95, unit="", higher_is_better=True)
    claim = ours["claim_backlog_ms"] / ours["claim_empty_ms"]
    out.bar("claim before a backlog vs empty", measured=claim, bar=1.2, unit="x")
    share = ours["held_xmin_per_s"] / ours["clean_per_s"]
    out.bar("held xmin vs clean", measured=share, bar=0.7, unit="", higher_is_better=True)
    flat = ours["held_xmin_last_third_per_s"] / ours["held_xmin_first_third_per_s"]
    out.bar("held xmin, flat: last third vs first", measured=flat, bar=0.9, unit="", higher_is_better=True)
    out.bar("idle load", measured=ours["idle_statements"], bar=6, unit=f"statements / {questions.IDLE_S} s")
    out.bar("WAL", measured=ours["wal_bytes_per_job"], bar=1536, unit="bytes/job")
    out.bar("SIGKILL to running elsewhere", measured=_seconds(ours["sigkill_to_running_s"]), bar=_LEASE_S + 2, unit="s")
    refused = ours["stale_refused"] / ours["stale_writes"]
    out.bar("stale writes refused", measured=refused, bar=1, unit="", higher_is_better=True)


def _hold_against_peers(out: Report, figures: dict[str, dict[str, Any]], in_python: set[str]) -> None:
    ours = figures[OURS]
    for name in ("p50", "p99"):
        peers = [
            found[f"idle_{name}_ms"] for peer, found in figures.items() if peer != OURS and f"idle_{name}_ms" in found
        ]
        if peers:
            out.bar(f"idle start {name} vs the best peer", measured=ours[f"idle_{name}_ms"], bar=min(peers), unit="ms")
    rates = [figures[peer]["jobs_per_s_best"] for peer in in_python - {OURS} if "jobs_per_s_best" in figures[peer]]
    if rates:
        rate = ours["jobs_per_s_best"]
        out.bar(
            "no-op jobs vs the best Python peer", measured=rate, bar=max(rates), unit="jobs/s", higher_is_better=True
        )


def _seconds(shown: float | str) -> float:
    return shown if isinstance(shown, float) else float("inf")
