"""The program inside the sandbox: `python -m worker_service.sandbox.child PARENT_PID [MODULE...]`.

Imports the modules, says ready, takes one request, works on it, answers and ends.
"""

import ctypes
import faulthandler
import importlib
import json
import os
import resource
import signal
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path
from typing import Any

from worker_service.sandbox.task import OUTPUT_NAME, Refused

_REPORT_EVERY_S = 0.05
_NICENESS = 10  # heartbeats of the worker come before our number crunching
_PR_SET_PDEATHSIG = 1
_NOT_NEEDED = ("numpy", "pandas")  # pyarrow imports them where they are installed: 0.3 s, 60 MiB


class _Channel:
    """The pipe to the parent."""

    def __init__(self) -> None:
        self._file = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
        self._lock = threading.Lock()
        self._stage = ""
        self._sent_s = 0.0
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        faulthandler.enable(self._file)  # places of a crash, no values

    def send(self, kind: str, content: Any) -> None:
        line = memoryview(f"{kind} {json.dumps(content, allow_nan=False)}\n".encode())
        with self._lock:
            while line:
                line = line[self._file.write(line) :]

    def report(self, stage: str, done: int, total: int, unit: str) -> None:
        now_s = time.monotonic()
        if stage == self._stage and done != total and now_s - self._sent_s < _REPORT_EVERY_S:
            return
        self._stage, self._sent_s = stage, now_s
        self.send("progress", {"stage": stage, "done": done, "total": total, "unit": unit})


def main() -> None:
    """Serve one request."""
    channel = _Channel()
    _die_with(int(sys.argv[1]))
    os.nice(_NICENESS)
    for module in _NOT_NEEDED:
        sys.modules[module] = None  # type: ignore[assignment]  # None makes an import fail
    for module in sys.argv[2:]:
        importlib.import_module(module)
    channel.send("ready", {})
    line = sys.stdin.buffer.readline()
    if not line:
        return
    channel.send("begun", {})
    request = json.loads(line)
    threading.Thread(target=_die_when_stdin_closes, daemon=True).start()
    _confine(Path(request["scratch"]), request["memory_bytes"], request["cpu_s"])
    channel.send(*_work(request["target"], request["args"], channel))
    os._exit(0)  # the answer is out: no teardown of native libraries may spoil it


def _work(target: str, args: dict[str, Any], channel: _Channel) -> tuple[str, dict[str, Any]]:
    module, _, function = target.partition(":")
    try:
        return "result", getattr(importlib.import_module(module), function)(args, channel.report)
    except Refused as refusal:
        return "refused", refusal.facts
    except Exception as error:  # noqa: BLE001  # the parent decides what follows
        if _is_out_of_memory(error):
            return "memory", {}
        return "broken", {"type": type(error).__name__, "trace": traceback.format_tb(error.__traceback__)}


def _is_out_of_memory(error: BaseException | None) -> bool:
    while error is not None:
        # DuckDB's own class; its module is not imported by every task.
        if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryException":
            return True
        error = error.__cause__ or error.__context__
    return False


def _confine(scratch: Path, memory_bytes: int, cpu_s: int) -> None:
    """Work in `scratch`, print to a file there, and stay within the limits.

    RLIMIT_DATA counts private memory that may be written. RLIMIT_AS would also count what allocators merely reserve:
    after its imports this process holds 90 MiB, has 65 MiB by RLIMIT_DATA and 1.3 GiB by RLIMIT_AS.
    """
    os.chdir(scratch)
    tempfile.tempdir = str(scratch)
    output = os.open(OUTPUT_NAME, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(output, stream.fileno())
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 5))
    resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))


def _die_with(parent_pid: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        os._exit(1)  # it died before the signal was asked for


def _die_when_stdin_closes() -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os._exit(1)


if __name__ == "__main__":
    main()
