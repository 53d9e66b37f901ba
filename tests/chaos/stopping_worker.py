"""`python -m tests.chaos.stopping_worker`: the worker service, but it stops itself at chosen steps of its work.

CHAOS_STEPS names the steps, separated by commas: at each it stops once, in that order. CHAOS_SIGNAL is what it sends
itself there: SIGKILL or SIGSTOP. A few public methods are wrapped; everything else is the service.
"""

import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

from psycopg import AsyncConnection, AsyncTransaction

from shared.database import Connection
from shared.jobs.model import ClaimedJob, Lease
from shared.jobs.queue import JobQueue
from shared.storage import ObjectInfo
from shared.storage.gcs import GcsStore
from tests.chaos.steps import Step
from worker_service.__main__ import main
from worker_service.handlers.ingest import IngestResult
from worker_service.sandbox.pool import SandboxPool

_steps = [Step(name) for name in os.environ["CHAOS_STEPS"].split(",")]
_signal = signal.Signals[os.environ["CHAOS_SIGNAL"]]
_publishing: set[Connection] = set()  # in a transaction that publishes clean data


def _is_next(step: Step) -> bool:
    if _steps[:1] != [step]:
        return False
    del _steps[0]
    return True


def _at(step: Step) -> None:
    if _is_next(step):
        os.kill(os.getpid(), _signal)


def _wrap(owner: type, name: str) -> Callable[[Callable[[Any], Any]], None]:
    """Replace a method by what the decorated function makes of it."""
    return lambda wrapping: setattr(owner, name, wrapping(getattr(owner, name)))


@_wrap(JobQueue, "claim")
def _(claim: Any) -> Any:
    async def stopping(*args: Any, **values: Any) -> list[ClaimedJob]:
        claimed: list[ClaimedJob] = await claim(*args, **values)
        if claimed:
            _at(Step.CLAIMED)
        return claimed

    return stopping


@_wrap(SandboxPool, "run_task")
def _(run_task: Any) -> Any:
    async def stopping(pool: SandboxPool, target: str, args: Mapping[str, Any], **how: Any) -> dict[str, Any]:
        if _is_next(Step.PARSING):
            target, args = "tests.chaos.stopping_task:convert_file", {**args, "stop_by": _signal}
        result: dict[str, Any] = await run_task(pool, target, args, **how)
        return result

    return stopping


@_wrap(GcsStore, "put_file")
def _(put_file: Any) -> Any:
    async def stopping(store: GcsStore, name: str, path: Path) -> ObjectInfo:
        info: ObjectInfo = await put_file(store, name, path)
        if name.startswith("clean/"):
            _at(Step.STORED)
        return info

    return stopping


@_wrap(JobQueue, "succeed")
def _(succeed: Any) -> Any:
    async def stopping(queue: JobQueue, connection: Connection, lease: Lease) -> None:
        _at(Step.FINISHING)
        await succeed(queue, connection, lease)

    return stopping


@_wrap(IngestResult, "commit")
def _(commit: Any) -> Any:
    async def stopping(result: IngestResult, connection: Connection) -> None:
        await commit(result, connection)
        _at(Step.COMMITTING)
        _publishing.add(connection)

    return stopping


@_wrap(AsyncConnection, "transaction")
def _(transaction: Any) -> Any:
    @contextlib.asynccontextmanager
    async def stopping(connection: Connection, *args: Any, **how: Any) -> AsyncIterator[AsyncTransaction]:
        _publishing.discard(connection)
        async with transaction(connection, *args, **how) as entered:
            yield entered
        if connection in _publishing:
            _at(Step.COMMITTED)

    return stopping


if __name__ == "__main__":
    sys.exit(main())
