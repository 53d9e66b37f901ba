"""The job type "export": the clean data of one version becomes a file to open elsewhere."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict

from shared.database import Connection
from shared.exports import ExportOptions, ExportRefused, write_export
from shared.jobs.model import JobFailure
from shared.records.exports import complete_export
from shared.storage import ObjectInfo, ObjectStore
from worker_service.job_type import JobContext, JobType, Resources, RetryPolicy
from worker_service.objects import delete_objects, fetch_object, store_files
from worker_service.sandbox.task import Refused, Report
from worker_service.settings import WorkerSettings

_BATCH_CELLS = 1 << 17
_CLEAN_OBJECT_MISSING = JobFailure(
    "CLEAN_OBJECT_MISSING", "The clean data is no longer in the object store.", retryable=False
)


class ExportArgs(BaseModel):
    """What an export job is enqueued with; its record and owner are the job's own."""

    model_config = ConfigDict(hide_input_in_errors=True)

    clean_object: str
    clean_size_bytes: int
    options: ExportOptions


@dataclass(frozen=True)
class ExportResult:
    """A stored file that no export points at yet."""

    store: ObjectStore
    owner: str
    job_id: UUID
    file: ObjectInfo

    async def commit(self, connection: Connection) -> None:
        """Point the export at the file."""
        await complete_export(connection, self.owner, self.job_id, self.file)

    async def discard(self) -> None:
        """Remove the file, as far as the store answers."""
        await delete_objects(self.store, [self.file.name])


async def run(context: JobContext, args: ExportArgs) -> ExportResult:
    """Download, write in isolation, store. Raises JobFailed, StoreError."""
    job, source, target = context.job, context.scratch / "clean.parquet", context.scratch / "export"
    await fetch_object(context, args.clean_object, args.clean_size_bytes, source, if_missing=_CLEAN_OBJECT_MISSING)
    options = args.options.to_json()
    await context.isolated(
        "worker_service.handlers.export:write", {"source": str(source), "target": str(target), "options": options}
    )
    name = f"exports/{job.record_id}/{job.lease.job_id}-{job.lease.token}.{args.options.format}"
    (file,) = await store_files(context, {name: target})
    return ExportResult(context.store, job.owner, job.lease.job_id, file)


def write(args: Mapping[str, Any], report: Report) -> dict[str, Any]:
    """Runs in the sandbox: write the Parquet file `source` as `target`, batch by batch."""
    with pq.ParquetFile(Path(args["source"])) as file:
        schema, total = file.schema_arrow, file.metadata.num_rows
        batches = file.iter_batches(batch_size=max(1, _BATCH_CELLS // len(schema)), use_threads=False)
        try:
            write_export(
                batches,
                schema,
                Path(args["target"]),
                ExportOptions.from_json(args["options"]),
                lambda rows: report("write", rows, total, "rows"),
            )
        except ExportRefused as refused:
            raise Refused(refused.reason, refused.message, metadata=refused.metadata) from None
    return {}


def _resources(settings: WorkerSettings) -> Resources:
    return Resources(settings.concurrency, settings.conversion_timeout_s, settings.conversion_memory_bytes)


JOB_TYPE = JobType(
    queue="export", args=ExportArgs, run=run, resources=_resources, retry=RetryPolicy(base_s=2, cap_s=300)
)
