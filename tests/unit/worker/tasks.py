"""Functions that run in sandboxes, each going wrong in its own way."""

import ctypes
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from worker_service.sandbox.task import Refused, Report

NAME = "tests.unit.worker.tasks"


def answer(args: Mapping[str, Any], report: Report) -> dict[str, Any]:
    report("read", 1, 2, "rows")
    report("read", 2, 2, "rows")
    return {"cwd": str(Path.cwd()), "environment": dict(os.environ), "args": dict(args), "session": os.getsid(0)}


def imported(args: Mapping[str, Any], report: Report) -> dict[str, Any]:
    return {"modules": sorted(name for name, module in sys.modules.items() if module is not None)}


def refuse(args: Mapping[str, Any], report: Report) -> dict[str, Any]:
    raise Refused("FILE_CORRUPT", "It is broken.", metadata={"part": "zip"}, sheet="S", row=3, column="C")


def abort(args: Mapping[str, Any], report: Report) -> dict[str, Any]:
    os.abort()


def leave(args: Mapping[str, Any], report: Report) -> dict[str, Any]:
    sys.exit(7)


def segfault(args: Mapping[str, Any], report: Report) -> dict[str, Any]:
    ctypes.string_at(0)
    return {}


def out_of_memory(args: Mapping[str, Any], report: Report) -> dict[str, Any]:
    raise MemoryError


def devour_memory(args: Mapping[str, Any], report: Report) -> dict[str, Any]:
    held = []
    while True:
        held.append(bytearray(16 << 20))


def abort_for_memory(args: Mapping[str, Any], report: Report) -> dict[str, Any]:
    os.write(2, b"memory allocation of 4096 bytes failed\n")
    os.abort()


def fail(args: Mapping[str, Any], report: Report) -> dict[str, Any]:
    raise ValueError(f"patient {args['a']}")


def hang(args: Mapping[str, Any], report: Report) -> dict[str, Any]:
    report("read", os.getpid(), 0, "rows")
    threading.Event().wait()
    return {}


def spin(args: Mapping[str, Any], report: Report) -> dict[str, Any]:
    while True:
        pass


def hang_with_a_child(args: Mapping[str, Any], report: Report) -> dict[str, Any]:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    report("read", child.pid, 0, "rows")
    time.sleep(600)
    return {}


def print_garbage(args: Mapping[str, Any], report: Report) -> dict[str, Any]:
    print('result {"fake": true}')
    sys.stdout.flush()
    os.write(1, b'progress {"stage": \xff\xfe\nresult {}\n' * 1000)
    os.write(2, b"\x00" * 100_000)
    return {"fake": False}


def large(args: Mapping[str, Any], report: Report) -> dict[str, Any]:
    return {"text": "数" * 5_000_000}


def flood(args: Mapping[str, Any], report: Report) -> dict[str, Any]:
    for number in range(200_000):
        report("read", number, 0, "rows")
    return {}
