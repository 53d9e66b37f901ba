"""Runs the handler of an attempt with all that it may use, and names what went wrong."""

import logging
import os
from collections.abc import Mapping
from functools import partial
from typing import Any

from pydantic import ValidationError

from shared import telemetry
from shared.jobs.model import ClaimedJob, JobFailure
from shared.storage import ObjectStore, StoreError
from worker_service.attempt import Attempt
from worker_service.heartbeats import Heartbeats
from worker_service.job_type import JobContext, JobFailed, JobResult
from worker_service.sandbox.pool import SandboxPool
from worker_service.sandbox.process import Limits
from worker_service.scratch import Scratch
from worker_service.settings import WorkerSettings

_CORES = os.cpu_count() or 1

logger = logging.getLogger(__name__)


class Runner:
    """Runs handlers."""

    def __init__(
        self,
        settings: WorkerSettings,
        store: ObjectStore,
        sandbox: SandboxPool,
        scratch: Scratch,
        heartbeats: Heartbeats,
    ) -> None:
        self._settings = settings
        self._store = store
        self._sandbox = sandbox
        self._scratch = scratch
        self._heartbeats = heartbeats

    async def run(self, attempt: Attempt) -> JobResult | None:
        """Run the handler of `attempt`; return what it made. Raises Stopped, and whatever the handler raises."""
        directory = self._scratch.directory()
        limits = Limits(attempt.resources.memory_bytes, cpu_s=attempt.resources.timeout_s * _CORES)
        report = partial(self._heartbeats.take_progress, attempt)

        async def isolated(target: str, args: Mapping[str, Any]) -> dict[str, Any]:
            return await self._sandbox.run_task(target, args, scratch=directory.path, limits=limits, on_progress=report)

        async def work() -> JobResult | None:
            args = attempt.job_type.args.model_validate(attempt.job.args)
            context = JobContext(attempt.job, directory, self._store, self._settings, report, isolated)
            return await attempt.job_type.run(context, args)

        try:
            return await attempt.run(work)
        finally:
            await directory.remove()


def failure_of(error: Exception, job: ClaimedJob) -> JobFailure:
    """Return what the job's row and its watchers get to know of `error`."""
    if isinstance(error, JobFailed):
        return error.failure
    if isinstance(error, ValidationError):
        return JobFailure("ARGS_INVALID", "The job's arguments do not fit its queue.", retryable=False)
    if isinstance(error, StoreError):
        logger.warning("the object store is away", exc_info=error, extra=telemetry.facts(job_id=job.lease.job_id))
        return JobFailure("STORE_UNAVAILABLE", "The object store did not answer.", retryable=True)
    logger.error("an attempt failed", exc_info=error, extra=telemetry.facts(job_id=job.lease.job_id))
    return JobFailure("INTERNAL", "Something went wrong in the worker; its log tells more.", retryable=True)
