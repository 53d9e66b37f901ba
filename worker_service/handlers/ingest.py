"""The job type "ingest": a raw file becomes the clean data of its record."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from shared import telemetry
from shared.database import Connection
from shared.jobs.model import JobFailure, JobProgress
from shared.records.model import CleanData, Origin
from shared.records.records import publish_clean_data
from shared.storage import ObjectInfo, ObjectMissing, ObjectStore, StoreError
from worker_service.job_type import JobContext, JobFailed, JobType, Resources, RetryPolicy
from worker_service.settings import WorkerSettings

_DISCARD_TIMEOUT_S = 5.0
_LIMITS = {
    *("max_rows", "max_columns", "max_cells", "max_cell_chars", "max_eager_cells"),
    *("max_uncompressed_bytes", "max_inflation"),
}

logger = logging.getLogger(__name__)


class IngestArgs(BaseModel):
    """What an ingest job is enqueued with; its record and owner are the job's own."""

    model_config = ConfigDict(hide_input_in_errors=True)

    file_name: str
    raw_object: str
    raw_size_bytes: int
    options: dict[str, Any] = {}


@dataclass(frozen=True)
class IngestResult:
    """Stored clean data that no record points at yet."""

    store: ObjectStore
    owner: str
    record_id: UUID
    clean: CleanData
    origin: Origin

    async def commit(self, connection: Connection) -> None:
        """Point the record at the clean data."""
        await publish_clean_data(connection, self.owner, self.record_id, self.clean, self.origin)

    async def discard(self) -> None:
        """Remove the objects, as far as the store answers."""
        await _delete(self.store, [info.name for info in (self.clean.clean, self.clean.rejects) if info])


async def run(context: JobContext, args: IngestArgs) -> IngestResult:
    """Download, convert in isolation, store. Raises JobFailed, StoreError."""
    job = context.job
    if job.record_id is None:
        raise JobFailed(JobFailure("ARGS_INVALID", "An ingest job needs a record.", retryable=False))
    source, out_dir = context.scratch / "source", context.scratch / "out"
    out_dir.mkdir()
    await _download(context, args, source)
    found = await context.isolated(
        "worker_service.conversion:convert_file",
        {
            "source": str(source),
            "out_dir": str(out_dir),
            "file_name": args.file_name,
            "options": args.options,
            "limits": context.settings.model_dump(include=_LIMITS),
        },
    )
    # Names that only this attempt uses: whoever lost the lease cannot touch what a record points at.
    name = f"{job.record_id}/{job.lease.job_id}-{job.lease.token}.parquet"
    files = {f"clean/{name}": out_dir / "clean.parquet"}
    if found["has_rejects"]:
        files[f"rejects/{name}"] = out_dir / "rejects.parquet"
    clean, *rejects = await _upload(context, files)
    stored = _clean_data(found, clean=clean, rejects=rejects[0] if rejects else None)
    return IngestResult(context.store, job.owner, job.record_id, stored, Origin(job.lease.job_id))


async def _download(context: JobContext, args: IngestArgs, target: Path) -> None:
    context.progress(JobProgress("download", 0, args.raw_size_bytes, "bytes"))
    try:
        await context.store.get_file(args.raw_object, target)
    except ObjectMissing:
        message = "The uploaded file is no longer in the object store; upload it again."
        raise JobFailed(JobFailure("RAW_OBJECT_MISSING", message, retryable=False)) from None
    context.progress(JobProgress("download", args.raw_size_bytes, args.raw_size_bytes, "bytes"))


async def _upload(context: JobContext, files: Mapping[str, Path]) -> list[ObjectInfo]:
    """Store all of `files` or, as far as the store answers, none: also when this is cancelled."""
    total_bytes = sum(path.stat().st_size for path in files.values())
    context.progress(JobProgress("upload", 0, total_bytes, "bytes"))
    try:
        return [await context.store.put_file(name, path) for name, path in files.items()]
    except BaseException:
        await _delete(context.store, list(files))
        raise


async def _delete(store: ObjectStore, names: Sequence[str]) -> None:
    """Remove objects that no record points at; what is left when that fails is never read by anybody."""
    try:
        async with asyncio.timeout(_DISCARD_TIMEOUT_S):
            await store.delete(names)
    except (StoreError, TimeoutError):
        logger.warning("objects were left behind", extra=telemetry.facts(objects=list(names)))


def _clean_data(found: Mapping[str, Any], **objects: Any) -> CleanData:
    return CleanData(**{name: value for name, value in found.items() if name != "has_rejects"}, **objects)


def _resources(settings: WorkerSettings) -> Resources:
    return Resources(settings.concurrency, settings.conversion_timeout_s, settings.conversion_memory_bytes)


JOB_TYPE = JobType(
    queue="ingest", args=IngestArgs, run=run, resources=_resources, retry=RetryPolicy(base_s=2, cap_s=300)
)
