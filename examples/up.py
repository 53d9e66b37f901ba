"""`make up`: everything Tablemill needs, in the foreground until Ctrl-C or `make down`.

It starts empty every time, and what it holds goes when it stops; only the logs stay, in .run/logs. The file
.run/up.json is locked while it is up: that is how `make down`, or a second `make up`, knows.
"""

import fcntl
import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from tests.stack import CHECKOUT, Service, Stack

_RUN = CHECKOUT / ".run"
_LOGS = _RUN / "logs"
_STATE = _RUN / "up.json"
_STOP_SIGNALS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}

_BANNER = """
Tablemill is up. It began empty, and forgets everything when it stops: Ctrl-C in its terminal, or make down.

  ingest service   {ingest}   metrics http://{ingest_metrics}/metrics
  worker service   {worker}   metrics http://{worker_metrics}/metrics
  PostgreSQL       {database_url}
  object store     {store_url} at {emulator_url}
  logs             {logs}

Try in another terminal:

  export TABLEMILL_SERVER={ingest}
  {bin}/python -m examples.sample sample.xlsx
  {bin}/tablemill upload sample.xlsx --watch
  {bin}/tablemill ls

or, with grpcurl:

  grpcurl -plaintext {ingest} list
  grpcurl -plaintext -d '{{"page_size": 5}}' {ingest} tablemill.v1.IngestService/ListRecords
"""


def main() -> int:
    """Start everything, or with --stop, stop what another process of this checkout started."""
    if sys.argv[1:] not in ([], ["--stop"]):
        print("Usage: python -m examples.up [--stop]", file=sys.stderr)
        return 2
    _RUN.mkdir(exist_ok=True)
    with _STATE.open("a+") as state:
        if sys.argv[1:]:
            return _stop(state)
        if not _lock(state):
            _tell_already_up(state)
            return 0
        return _up(state)


def _up(state: IO[str]) -> int:
    for number in _STOP_SIGNALS:
        signal.signal(number, _exit)
    _save(state, {"pid": os.getpid()})
    shutil.rmtree(_LOGS, ignore_errors=True)
    _LOGS.mkdir()
    print("Starting PostgreSQL, fake-gcs-server and the services …", flush=True)
    try:
        with Stack(durable=True, log_directory=_LOGS) as stack:
            stack.services.start_ingest({"TABLEMILL_LISTEN": os.environ.get("TABLEMILL_LISTEN", "127.0.0.1:0")})
            stack.services.start_worker()
            banner = _banner(stack)
            _save(state, {"pid": os.getpid(), "banner": banner})
            print(banner, flush=True)
            dead = _wait(stack.services.all)
            print("Stopping …", flush=True)
    except RuntimeError as error:
        print(f"It could not be started: {error}", file=sys.stderr)
        return 1
    finally:
        _save(state, {})
    if dead:
        print(f"{dead.module} ended by itself with {dead.returncode}. The end of its log:\n{dead.log_tail()}")
        return 1
    print("Stopped: no process and no file is left but the logs.")
    return 0


def _wait(services: list[Service]) -> Service | None:
    """Return when a signal asks to stop, or with the first service that ended by itself."""
    with _blocked(_STOP_SIGNALS | {signal.SIGCHLD}) as signals:
        while True:
            dead = next((service for service in services if not service.alive), None)
            if dead or signal.sigwait(signals) != signal.SIGCHLD:
                return dead


@contextmanager
def _blocked(signals: set[signal.Signals]) -> Iterator[set[signal.Signals]]:
    """Hold signals back, so that none slips through between a look at the services and the wait for the next."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield signals
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _stop(state: IO[str]) -> int:
    if _lock(state):
        print("Nothing is up in this checkout.")
        return 0
    pid = _load(state).get("pid")
    if pid is None:
        print("It is stopping already; waiting for it.")
    else:
        os.kill(pid, signal.SIGTERM)
    fcntl.flock(state, fcntl.LOCK_EX)
    print("Stopped.")
    return 0


def _tell_already_up(state: IO[str]) -> None:
    banner = _load(state).get("banner")
    if banner:
        print(f"It is already up in this checkout, in another terminal.\n{banner}")
    else:
        print("It is just starting or stopping in this checkout, in another terminal, which will tell more.")


def _banner(stack: Stack) -> str:
    services = stack.services
    return _BANNER.format(
        ingest=services.address,
        ingest_metrics=services.ingest.metrics_address,
        worker=services.worker_address,
        worker_metrics=services.worker.metrics_address,
        database_url=services.database_url,
        store_url=services.store_url,
        emulator_url=stack.gcs.url,
        logs=_LOGS.relative_to(CHECKOUT),
        bin=".venv/bin",
    )


def _exit(_number: int, _frame: object) -> None:
    raise SystemExit(0)


def _lock(state: IO[str]) -> bool:
    try:
        fcntl.flock(state, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _save(state: IO[str], facts: dict[str, Any]) -> None:
    state.truncate(0)
    state.write(json.dumps(facts))
    state.flush()


def _load(state: IO[str]) -> dict[str, Any]:
    state.seek(0)
    facts: dict[str, Any] = json.loads(state.read() or "{}")
    return facts


if __name__ == "__main__":
    sys.exit(main())
