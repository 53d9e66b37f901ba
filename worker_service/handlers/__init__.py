"""The job types: one file each, holding a JOB_TYPE. A file put here is found at the next start."""

import importlib
import pkgutil
from collections.abc import Iterable

from worker_service.job_type import JobType


def load_job_types() -> dict[str, JobType]:
    """Import every handler; return the job types by queue. Raises ValueError when two claim the same queue."""
    modules = [importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__)]
    return by_queue(module.JOB_TYPE for module in modules)


def by_queue(job_types: Iterable[JobType]) -> dict[str, JobType]:
    """Return the job types by queue. Raises ValueError when two claim the same queue."""
    found: dict[str, JobType] = {}
    for job_type in job_types:
        if job_type.queue in found:
            raise ValueError(f"two job types claim the queue {job_type.queue!r}")
        found[job_type.queue] = job_type
    return found
