"""What the rows say about what was asked for: it is there, or the error that tells what is not."""

from ingest_service import messages
from shared.errors import FailedPrecondition, NotFound
from shared.records.model import Record


def found_version(record: Record | None, revision: int) -> Record:
    """Return `record` as read with `revision`. Raises NotFound when the record or its version is not there."""
    if record is None:
        raise NotFound("RECORD_NOT_FOUND", "no such record")
    if revision and record.revision != revision:
        raise NotFound("VERSION_NOT_FOUND", f"this record has no revision {revision}")
    return record


def not_ready(record: Record) -> FailedPrecondition:
    """Return the error for a record without clean data: it names the job to watch."""
    job = record.latest_job
    return FailedPrecondition(
        "RECORD_NOT_READY",
        "this record has no clean data; its job tells why",
        {"job_id": str(job.job_id), "job_state": messages.job_state_name(job.state)} if job else {},
    )
