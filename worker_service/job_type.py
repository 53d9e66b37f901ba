"""What a job type is: the few words that a handler and the engine share."""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel

from shared.database import Connection
from shared.jobs.model import ClaimedJob, JobFailure, JobProgress
from shared.storage import ObjectStore
from worker_service.scratch import ScratchDirectory
from worker_service.settings import WorkerSettings

_QUEUE_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


class JobFailed(Exception):
    """Raise it to end an attempt with a typed failure; any other exception counts as a bug of ours."""

    def __init__(self, failure: JobFailure) -> None:
        super().__init__(failure.reason)
        self.failure = failure


@dataclass(frozen=True)
class Resources:
    """What attempts of one type may take on one worker.

    `concurrency` counts attempts at once; `timeout_s` bounds a whole attempt, `memory_bytes` its isolated process.
    `max_running` and `max_running_per_owner` cap the attempts at once of all workers together, None: no cap.
    """

    concurrency: int
    timeout_s: float
    memory_bytes: int
    max_running: int | None = None
    max_running_per_owner: int | None = None


@dataclass(frozen=True)
class RetryPolicy:
    """Full-jitter backoff after a failure that may pass: below `base_s` at first, doubling up to `cap_s`.

    How many attempts there are is a fact of each job, set when it is enqueued.
    """

    base_s: float
    cap_s: float


class JobResult(Protocol):
    """What an attempt made, to be made to count by the engine. A handler that made nothing returns None."""

    async def commit(self, connection: Connection) -> None:
        """Write the result; runs in the transaction that ends the job, after its lease was checked."""

    async def discard(self) -> None:
        """Remove what was stored for the result; called once it is certain that it was not committed."""


@dataclass(frozen=True)
class JobContext:
    """What a running attempt has: its job, a private directory (`scratch`), the store, settings, and a way to report.

    `progress` only takes note of the newest state, so it may be called at any rate. `scratch` is made at its first use.
    `isolated(target, args)` runs the function named "module:function" in a process of its own; see
    `worker_service.sandbox`.
    """

    job: ClaimedJob
    directory: ScratchDirectory
    store: ObjectStore
    settings: WorkerSettings
    progress: Callable[[JobProgress], None]
    isolated: Callable[[str, Mapping[str, Any]], Awaitable[dict[str, Any]]]

    @property
    def scratch(self) -> Path:
        """A directory of this attempt's own, removed after it."""
        return self.directory.path


@dataclass(frozen=True)
class JobType:
    """One kind of work: the queue it comes from, the model of its arguments, and `run(context, args)`.

    `resources` is asked once, with the settings of the worker. `run` is called with an instance of `args`; it is
    cancelled when the lease is lost, the job is cancelled, the time is up or the worker drains.
    Raises ValueError for a queue name that the schema would refuse.
    """

    queue: str
    args: type[BaseModel]
    run: Callable[[JobContext, Any], Awaitable[JobResult | None]]
    resources: Callable[[WorkerSettings], Resources]
    retry: RetryPolicy

    def __post_init__(self) -> None:
        if not _QUEUE_NAME.fullmatch(self.queue):
            raise ValueError(f"not a queue name: {self.queue!r}")
