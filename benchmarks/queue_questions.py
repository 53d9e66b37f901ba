"""What the queues are asked, one function a question: each takes a contender on a fresh database and gives figures."""

import re
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import psycopg

from benchmarks.harness import Figure, Report, percentile
from benchmarks.peers.queue_contenders import Contender
from tests.stack import Stack

Figures = dict[str, Figure]

IDLE_S = 30
SAMPLES = 200
STALE_WRITES = 10_000
_ROUND_MS = 2_000
_READY_JOBS = 1_000_000
_PATIENCE_S = 60.0
# The lease runs from the newest heartbeat, and they come every 5 seconds: how much of the lease is left depends on when
# the worker dies, so three of them die at different times.
_LIVES_S = (0.0, 1.7, 3.3)
_STATEMENT = re.compile(rb"^\[(?P<database>\w+)\] .*?(?: statement: | execute [^:]*: )\s*(?P<text>.*)$", re.MULTILINE)


def latency(contender: Contender, out: Report, scale: float) -> Figures:
    """(a) From the call that enqueues to the start of the handler, on an idle worker."""
    waits_ms = contender.ask("latency", max(20, int(SAMPLES * scale)))["waits_ms"]
    out.samples(f"{contender.name}_idle_start_ms", waits_ms)
    return {
        "idle_p50_ms": percentile(waits_ms, 0.5),
        "idle_p99_ms": percentile(waits_ms, 0.99),
        "idle_max_ms": max(waits_ms),
    }


def drains(contender: Contender, out: Report, scale: float) -> Figures:
    """(b, g) No-op jobs a second over a backlog and, with the best settings, WAL from enqueueing to the end."""
    del out, scale
    found: Figures = {}
    for settings, jobs in (("default", contender.sizes.default_jobs), ("best", contender.sizes.best_jobs)):
        contender.run("CHECKPOINT")  # pages are logged whole after it: the same share of them for everybody
        began = _wal_bytes(contender)
        contender.ask("fill", jobs)
        filled = _wal_bytes(contender)
        contender.run("VACUUM ANALYZE")
        analyzed = _wal_bytes(contender)
        found[f"jobs_per_s_{settings}"] = jobs / contender.ask(f"drain_{settings}", jobs)["seconds"]
        found["wal_bytes_per_job"] = (filled - began + _wal_bytes(contender) - analyzed) // jobs
    return found


def enqueueing(contender: Contender, out: Report, scale: float) -> Figures:
    """(c) Jobs that 32 clients enqueue a second, with wake-ups and without."""
    rates = contender.ask("enqueue", max(300, int(_ROUND_MS * scale)))
    found: Figures = {}
    for kind in ("waking", "silent"):
        if rates[kind]:
            out.samples(f"{contender.name}_enqueued_per_s_{kind}", rates[kind])
            found[f"enqueued_per_s_{kind}"] = sum(rates[kind]) / len(rates[kind])
    return found


def held_xmin(contender: Contender, out: Report, scale: float) -> Figures:
    """(e) Jobs a second, first with nothing in the way, then while another session holds a snapshot all the time."""
    del scale
    clean = contender.ask("sustain", contender.sizes.clean_s)["done_per_s"]
    with psycopg.connect(contender.url) as holder:
        holder.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        holder.execute("SELECT txid_current()")
        held = contender.ask("sustain", contender.sizes.held_s)["done_per_s"]
    out.samples(f"{contender.name}_clean_jobs_per_s", clean)
    out.samples(f"{contender.name}_held_xmin_jobs_per_s", held)
    third = len(held) // 3
    return {
        "clean_per_s": _mean(clean),
        "held_xmin_s": len(held),
        "held_xmin_per_s": _mean(held),
        "held_xmin_first_third_per_s": _mean(held[:third]),
        "held_xmin_last_third_per_s": _mean(held[-third:]),
    }


def claim_cost(ours: Contender, out: Report, scale: float) -> Figures:
    """(d) A claim of one job with nothing and with a million ready jobs behind it; ours alone has a call for it."""
    found = ours.ask("claim", int(_READY_JOBS * scale))
    for name, took_ms in found.items():
        out.samples(f"claim_{name}", took_ms)
    return {f"claim_{name}": percentile(took_ms, 0.5) for name, took_ms in found.items()}


def stale_writes(ours: Contender, out: Report, scale: float) -> Figures:
    """Every kind of write with tokens that are not the newest: how many were refused."""
    found = ours.ask("stale", max(500, int(STALE_WRITES * scale)))
    tried, refused = sum(found["tried"].values()), sum(found["refused"].values())
    out.note(f"stale writes: refused {found['refused']} of {found['tried']}")
    whole = found["rows_untouched"] and found["newest_tokens_accepted"]
    return {"stale_writes": tried, "stale_refused": refused if whole else 0}


def idle(contenders: Sequence[Contender], stack: Stack, out: Report) -> dict[str, Figures]:
    """(f) Statements that the server logs for each database in 30 s while one worker waits in each, side by side."""
    with stack.postgres.connect() as connection:
        connection.execute("ALTER SYSTEM SET log_line_prefix = '[%d] '")
        connection.execute("SELECT pg_reload_conf()")
    databases = {stack.postgres.name_of(contender.url): contender for contender in contenders}
    for database, contender in databases.items():
        contender.run(f'ALTER DATABASE "{database}" SET log_min_duration_statement = 0')
    log = stack.directory / "postgres.log"
    with ExitStack() as asked:
        workers = [asked.enter_context(contender.asking("idle", IDLE_S + 60)) for contender in contenders]
        settled = [worker.stdout is not None and worker.stdout.readline() == "settled\n" for worker in workers]
        before = log.stat().st_size
        time.sleep(IDLE_S)
        matches = list(_STATEMENT.finditer(log.read_bytes()[before:]))
    counts = Counter(match["database"].decode() for match in matches)
    ours = {database for database, contender in databases.items() if contender.ours}
    kinds = Counter(_kind(match["text"]) for match in matches if match["database"].decode() in ours)
    out.note(f"idle statements of ours in {IDLE_S} s: {dict(kinds)}")
    found: dict[str, Figures] = {}
    for (database, contender), up in zip(databases.items(), settled, strict=True):
        if up:
            found[contender.name] = {"idle_statements": counts[database]}
        else:
            out.note(f"{contender.name}: its idle worker broke")
    return found


def killed(contenders: Sequence[Contender], stack: Stack, out: Report) -> dict[str, Figures]:
    """(h) From SIGKILL of a worker to the start of its job elsewhere: the longest of three for ours, one for peers."""
    lives = [(one.afresh(stack), life_s) for one in contenders for life_s in (_LIVES_S if one.ours else _LIVES_S[:1])]
    with ThreadPoolExecutor(len(lives)) as threads:
        waits_s = list(threads.map(lambda pair: _kill(*pair), lives))
    found: dict[str, Figures] = {}
    for name in dict.fromkeys(contender.name for contender, _ in lives):
        of_name = [wait_s for (contender, _), wait_s in zip(lives, waits_s, strict=True) if contender.name == name]
        known_s = [wait_s for wait_s in of_name if wait_s is not None]
        if len(known_s) < len(of_name):
            out.note(f"{name}: a worker broke before it could be killed")
            continue
        out.samples(f"{name}_sigkill_s", known_s)
        longest_s = max(known_s)
        found[name] = {"sigkill_to_running_s": longest_s if longest_s < _PATIENCE_S else f"> {_PATIENCE_S:.0f}"}
    return found


def _kill(contender: Contender, life_s: float) -> float | None:
    """Return how long it took, or the end of our patience; None when a worker broke."""
    with ExitStack() as asked:
        first = asked.enter_context(contender.asking("hang", 1))
        if first.stdout is None or first.stdout.readline() != "started\n":
            return None
        second = asked.enter_context(contender.asking("hang", 0))  # only now, so that the first has the job
        if second.stdout is None or second.stdout.readline() != "waiting\n":
            return None
        time.sleep(life_s)
        first.kill()
        began_s = time.perf_counter()
        patience = threading.Timer(_PATIENCE_S, second.kill)
        patience.start()
        started = second.stdout.readline() == "started\n"
        patience.cancel()
        return time.perf_counter() - began_s if started else _PATIENCE_S


def _wal_bytes(contender: Contender) -> int:
    return int(contender.value("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn"))


def _kind(text: bytes) -> str:
    """Return the first words of a statement."""
    return " ".join(text.decode(errors="replace").split()[:3])


def _mean(values: Sequence[float]) -> float:
    return sum(values) / max(1, len(values))
