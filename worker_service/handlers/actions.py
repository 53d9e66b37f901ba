"""The job type "actions": one version of a record's clean data becomes the next, or a dry run tells what would."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from shared.database import Connection
from shared.jobs.model import ClaimedJob, JobFailure
from shared.records.changes import store_report
from shared.records.model import CleanData, Origin, RevisionConflict
from shared.records.records import publish_clean_data
from shared.storage import ObjectStore
from worker_service.job_type import JobContext, JobFailed, JobResult, JobType, Resources, RetryPolicy
from worker_service.objects import delete_objects, fetch_object, store_files
from worker_service.settings import WorkerSettings

_CLEAN_OBJECT_MISSING = JobFailure(
    "CLEAN_OBJECT_MISSING",
    "The clean data of this version is no longer in the object store: somebody removed it there.",
    retryable=False,
)
_CONFLICT = JobFailure(
    "VERSION_CONFLICT",
    "Another change came first: the record points at a newer version. Look at it, and apply the actions to that one.",
    retryable=False,
)


class ActionsArgs(BaseModel):
    """What a job is enqueued with; its record and owner are the job's own. `actions` are messages in JSON form."""

    model_config = ConfigDict(hide_input_in_errors=True)

    base_revision: int
    clean_object: str
    clean_size_bytes: int
    actions: list[dict[str, Any]]
    dry_run: bool


@dataclass(frozen=True)
class NewVersion:
    """Stored clean data that no record points at yet."""

    store: ObjectStore
    owner: str
    record_id: UUID
    clean: CleanData
    origin: Origin

    async def commit(self, connection: Connection) -> None:
        """Make it the version that the record points at. Raises JobFailed when another one came first."""
        try:
            await publish_clean_data(connection, self.owner, self.record_id, self.clean, self.origin)
        except RevisionConflict:
            raise JobFailed(_CONFLICT) from None

    async def discard(self) -> None:
        """Remove the object, as far as the store answers."""
        await delete_objects(self.store, [self.clean.clean.name])


@dataclass(frozen=True)
class DryRunReport:
    """What a dry run found."""

    job: ClaimedJob
    record_id: UUID
    report: dict[str, Any]

    async def commit(self, connection: Connection) -> None:
        """Put it where GetDryRun finds it."""
        await store_report(connection, self.job.owner, self.record_id, self.job.lease.job_id, self.report)

    async def discard(self) -> None:
        """Nothing was stored."""


async def run(context: JobContext, args: ActionsArgs) -> JobResult:
    """Download, act in isolation, store. Raises JobFailed, StoreError."""
    job = context.job
    if job.record_id is None:
        raise JobFailed(JobFailure("ARGS_INVALID", "An actions job needs a record.", retryable=False))
    source, target = context.scratch / "source.parquet", context.scratch / "clean.parquet"
    await fetch_object(context, args.clean_object, args.clean_size_bytes, source, if_missing=_CLEAN_OBJECT_MISSING)
    isolated_args = {
        "source": str(source),
        "target": str(target),
        "actions": args.actions,
        "max_rows": context.settings.max_rows,
    }
    if args.dry_run:
        report = await context.isolated("worker_service.actions.applying:try_actions", isolated_args)
        return DryRunReport(job, job.record_id, report)
    found = await context.isolated("worker_service.actions.applying:apply_actions", isolated_args)
    name = f"clean/{job.record_id}/{job.lease.job_id}-{job.lease.token}.parquet"
    (stored,) = await store_files(context, {name: target})
    clean = CleanData(format=None, clean=stored, rejects=None, warnings=None, **found)
    origin = Origin(job.lease.job_id, args.base_revision, args.actions)
    return NewVersion(context.store, job.owner, job.record_id, clean, origin)


def _resources(settings: WorkerSettings) -> Resources:
    return Resources(settings.concurrency, settings.conversion_timeout_s, settings.conversion_memory_bytes)


JOB_TYPE = JobType(
    queue="actions", args=ActionsArgs, run=run, resources=_resources, retry=RetryPolicy(base_s=2, cap_s=300)
)
