"""The job type "ingest": a raw file becomes the clean data of its record."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from shared.database import Connection
from shared.jobs.model import JobFailure
from shared.records.model import CleanData, Origin
from shared.records.records import publish_clean_data
from shared.storage import ObjectStore
from worker_service.job_type import JobContext, JobFailed, JobType, Resources, RetryPolicy
from worker_service.objects import delete_objects, fetch_object, store_files
from worker_service.settings import WorkerSettings

_LIMITS = {
    *("max_rows", "max_columns", "max_cells", "max_cell_chars", "max_eager_cells"),
    *("max_uncompressed_bytes", "max_inflation"),
}
_RAW_OBJECT_MISSING = JobFailure(
    "RAW_OBJECT_MISSING",
    "The uploaded file is no longer in the object store; upload it again.",
    retryable=False,
)


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
        await delete_objects(self.store, [info.name for info in (self.clean.clean, self.clean.rejects) if info])


async def run(context: JobContext, args: IngestArgs) -> IngestResult:
    """Download, convert in isolation, store. Raises JobFailed, StoreError."""
    job = context.job
    if job.record_id is None:
        raise JobFailed(JobFailure("ARGS_INVALID", "An ingest job needs a record.", retryable=False))
    source, out_dir = context.scratch / "source", context.scratch / "out"
    out_dir.mkdir()
    await fetch_object(context, args.raw_object, args.raw_size_bytes, source, if_missing=_RAW_OBJECT_MISSING)
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
    clean, *rejects = await store_files(context, files)
    stored = _clean_data(found, clean=clean, rejects=rejects[0] if rejects else None)
    return IngestResult(context.store, job.owner, job.record_id, stored, Origin(job.lease.job_id))


def _clean_data(found: Mapping[str, Any], **objects: Any) -> CleanData:
    return CleanData(**{name: value for name, value in found.items() if name != "has_rejects"}, **objects)


def _resources(settings: WorkerSettings) -> Resources:
    return Resources(settings.concurrency, settings.conversion_timeout_s, settings.conversion_memory_bytes)


JOB_TYPE = JobType(
    queue="ingest", args=IngestArgs, run=run, resources=_resources, retry=RetryPolicy(base_s=2, cap_s=300)
)
