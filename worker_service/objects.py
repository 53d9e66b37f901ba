"""Files of an attempt on their way from and to the object store."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from shared import telemetry
from shared.jobs.model import JobFailure, JobProgress
from shared.storage import ObjectInfo, ObjectMissing, ObjectStore, StoreError
from worker_service.job_type import JobContext, JobFailed

_DISCARD_TIMEOUT_S = 5.0

logger = logging.getLogger(__name__)


async def fetch_object(
    context: JobContext, name: str, size_bytes: int, target: Path, *, if_missing: JobFailure
) -> None:
    """Write the object to `target`. Raises JobFailed with `if_missing`, StoreError."""
    context.progress(JobProgress("download", 0, size_bytes, "bytes"))
    try:
        await context.store.get_file(name, target)
    except ObjectMissing:
        raise JobFailed(if_missing) from None
    context.progress(JobProgress("download", size_bytes, size_bytes, "bytes"))


async def store_files(context: JobContext, files: Mapping[str, Path]) -> list[ObjectInfo]:
    """Store all of `files` or, as far as the store answers, none: also when this is cancelled. Raises StoreError.

    The names, which are the keys, must be this attempt's own: whoever lost the lease must not touch what a row names.
    """
    total_bytes = sum(path.stat().st_size for path in files.values())
    context.progress(JobProgress("upload", 0, total_bytes, "bytes"))
    try:
        return [await context.store.put_file(name, path) for name, path in files.items()]
    except BaseException:
        await delete_objects(context.store, list(files))
        raise


async def delete_objects(store: ObjectStore, names: Sequence[str]) -> None:
    """Remove objects that no row names; what is left when that fails is never read by anybody."""
    try:
        async with asyncio.timeout(_DISCARD_TIMEOUT_S):
            await store.delete(names)
    except (StoreError, TimeoutError):
        logger.warning("objects were left behind", extra=telemetry.facts(objects=list(names)))
