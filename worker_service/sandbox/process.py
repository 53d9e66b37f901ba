"""One sandbox process, as its parent sees it."""

import asyncio
import contextlib
import json
import logging
import math
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from shared import telemetry
from shared.jobs.model import JobFailure, JobProgress
from worker_service.job_type import JobFailed
from worker_service.sandbox.task import OUTPUT_NAME

_MAX_LINE_BYTES = 64 << 20
_START_TIMEOUT_S = 60.0
_EVIDENCE_BYTES = 4096
_KEPT_TRACE_LINES = 40
# What C++ and Rust print when an allocation fails, before they abort.
_MEMORY_WORDS = (b"bad_alloc", b"memory allocation of", b"MemoryError", b"Cannot allocate memory", b"out of memory")
# With these, what allocators hold is close to what is used: a limit on memory then means what it says.
_ALLOCATORS = {"MIMALLOC_ARENA_EAGER_COMMIT": "0", "MALLOC_ARENA_MAX": "2"}

logger = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True)
class Limits:
    """What the process may take: private memory, and processor time over all its threads."""

    memory_bytes: int
    cpu_s: float


class SpareDied(Exception):
    """The process was dead before it got its request: take another one."""


class SandboxProcess:
    """A process that has imported what it needs and waits for its one request."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._trace: list[str] = []

    @classmethod
    async def start(cls, preload: Sequence[str]) -> "SandboxProcess":
        """Start a process and wait until it is ready. Raises RuntimeError or TimeoutError when it is not."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "worker_service.sandbox.child", str(os.getpid()), *preload),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=_environment(),
            start_new_session=True,
            limit=_MAX_LINE_BYTES,
        )
        started, ready = cls(process), False
        try:
            async with asyncio.timeout(_START_TIMEOUT_S):
                ready = await _pipe(process.stdout).readline() == b"ready {}\n"
        finally:
            if not ready:
                await started.close()
        if not ready:
            raise RuntimeError("a sandbox process did not start; its error is in this service's log")
        return started

    @property
    def pid(self) -> int:
        """Its process id, which is also the id of its process group."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.returncode is None

    async def run(
        self,
        target: str,
        args: Mapping[str, Any],
        *,
        scratch: Path,
        limits: Limits,
        on_progress: Callable[[JobProgress], None],
    ) -> dict[str, Any]:
        """Run "module:function" on `args`; return its result. The process is gone afterwards, also when cancelled.

        Raises JobFailed with what went wrong, SpareDied when nothing was begun.
        """
        request = {
            "target": target,
            "args": args,
            "scratch": str(scratch),
            "memory_bytes": limits.memory_bytes,
            "cpu_s": math.ceil(limits.cpu_s),
        }
        try:
            stdin = _pipe(self._process.stdin)
            # A process that died meanwhile is found out by reading from it.
            with contextlib.suppress(ConnectionError):
                stdin.write(json.dumps(request).encode() + b"\n")
                await stdin.drain()
            return await self._outcome(scratch, on_progress)
        finally:
            await self.close()

    async def close(self) -> None:
        """Kill the process and all it started, if it still runs, and reap it."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        _pipe(self._process.stdin).close()
        await self._process.wait()

    async def _outcome(self, scratch: Path, on_progress: Callable[[JobProgress], None]) -> dict[str, Any]:
        if await _pipe(self._process.stdout).readline() != b"begun {}\n":
            raise SpareDied
        while line := await _pipe(self._process.stdout).readline():
            kind, _, content = line.partition(b" ")
            match kind:
                case b"progress":
                    on_progress(JobProgress(**json.loads(content)))
                case b"result":
                    result: dict[str, Any] = await asyncio.to_thread(json.loads, content)
                    return result
                case b"refused":
                    raise JobFailed(JobFailure(**json.loads(content), retryable=False))
                case b"memory":
                    raise JobFailed(_OUT_OF_MEMORY)
                case b"broken":
                    raise JobFailed(_broken(json.loads(content)))
                case _ if len(self._trace) < _KEPT_TRACE_LINES:
                    self._trace.append(line.decode(errors="replace").rstrip())
        code = await self._process.wait()
        evidence = await asyncio.to_thread(_tail, scratch / OUTPUT_NAME)
        logger.warning("a sandbox process died", extra=telemetry.facts(exit_code=code, trace=self._trace))
        raise JobFailed(_death(code, evidence))


_OUT_OF_MEMORY = JobFailure(
    "OUT_OF_MEMORY",
    "The file needs more memory than a job may use; split it, or ask for a larger limit.",
    retryable=True,
    crash=True,
)
_OUT_OF_TIME = JobFailure(
    "TIME_LIMIT_EXCEEDED", "The file takes more time than a job may use; split it.", retryable=True, crash=True
)


def _death(code: int, evidence: bytes) -> JobFailure:
    if code == -signal.SIGXCPU:
        return _OUT_OF_TIME
    # SIGKILL that was not ours: the kernel's out-of-memory killer, as a rule.
    if code == -signal.SIGKILL or any(word in evidence for word in _MEMORY_WORDS):
        return _OUT_OF_MEMORY
    how = {"signal": signal.Signals(-code).name} if code < 0 else {"exit_code": str(code)}
    return JobFailure(
        "PROCESS_CRASHED", "The process that worked on the file died.", retryable=True, crash=True, metadata=how
    )


def _broken(report: Mapping[str, Any]) -> JobFailure:
    logger.error(
        "a task in a sandbox failed", extra=telemetry.facts(error=report["type"], trace="".join(report["trace"]))
    )
    return JobFailure(
        "INTERNAL",
        "Something went wrong while the file was worked on; the worker's log tells more.",
        retryable=True,
        metadata={"error": report["type"]},
    )


def _environment() -> dict[str, str]:
    """Return all that the process learns of its surroundings: where its code is, and no secrets."""
    return {"PATH": os.defpath, "LANG": "C.UTF-8", "TZ": "UTC", "PYTHONPATH": os.pathsep.join(sys.path), **_ALLOCATORS}


def _tail(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _EVIDENCE_BYTES))
            return file.read()
    except FileNotFoundError:
        return b""


def _pipe(pipe: T | None) -> T:
    if pipe is None:
        raise RuntimeError("the process was started without pipes")
    return pipe
