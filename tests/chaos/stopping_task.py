"""The conversion as it runs in a sandbox, but it stops its worker, and itself, in the middle of reading."""

import os
import signal
from collections.abc import Mapping
from typing import Any

from worker_service.conversion import convert_file as convert
from worker_service.sandbox.task import Report

_STAGE = "read"


def convert_file(args: Mapping[str, Any], report: Report) -> dict[str, Any]:
    """Do what the real one does; at its first report of what was read, send the worker the signal `args["stop_by"]`."""
    met = False

    def reporting(stage: str, done: int, total: int, unit: str) -> None:
        nonlocal met
        report(stage, done, total, unit)
        if stage == _STAGE and not met:
            met = True
            os.kill(os.getppid(), args["stop_by"])
            os.kill(os.getpid(), signal.SIGSTOP)

    return convert(args, reporting)
