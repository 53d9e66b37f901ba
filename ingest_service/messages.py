"""From rows to messages."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from shared.jobs.model import AttemptOutcome, Job, JobState, PastAttempt
from shared.records.model import Record
from shared.records.uploads import Upload, UploadState
from tablemill.v1 import ingest_service_pb2, job_pb2, record_pb2

_JOB_STATES = {
    JobState.SCHEDULED: job_pb2.JOB_STATE_QUEUED,
    JobState.READY: job_pb2.JOB_STATE_QUEUED,
    JobState.RUNNING: job_pb2.JOB_STATE_RUNNING,
    JobState.SUCCEEDED: job_pb2.JOB_STATE_SUCCEEDED,
    JobState.FAILED: job_pb2.JOB_STATE_FAILED,
    JobState.CANCELLED: job_pb2.JOB_STATE_CANCELLED,
}
_OUTCOMES = {
    AttemptOutcome.FAILED: job_pb2.ATTEMPT_OUTCOME_FAILED,
    AttemptOutcome.CRASHED: job_pb2.ATTEMPT_OUTCOME_CRASHED,
    AttemptOutcome.LOST: job_pb2.ATTEMPT_OUTCOME_LOST,
    AttemptOutcome.CANCELLED: job_pb2.ATTEMPT_OUTCOME_CANCELLED,
}
_UPLOAD_STATES = {
    UploadState.ACTIVE: ingest_service_pb2.UPLOAD_STATE_ACTIVE,
    UploadState.COMMITTED: ingest_service_pb2.UPLOAD_STATE_COMMITTED,
    UploadState.REFUSED: ingest_service_pb2.UPLOAD_STATE_REFUSED,
}
_ORIGINS = {
    "given": record_pb2.CHOICE_ORIGIN_GIVEN,
    "declared": record_pb2.CHOICE_ORIGIN_DECLARED,
    "detected": record_pb2.CHOICE_ORIGIN_DETECTED,
}
_DTYPES = {
    "string": record_pb2.DATA_TYPE_STRING,
    "int64": record_pb2.DATA_TYPE_INT64,
    "float64": record_pb2.DATA_TYPE_FLOAT64,
    "bool": record_pb2.DATA_TYPE_BOOL,
    "date": record_pb2.DATA_TYPE_DATE,
    "timestamp": record_pb2.DATA_TYPE_TIMESTAMP,
}


def job_message(job: Job) -> job_pb2.Job:
    """Return the message of a job."""
    state = job.state
    message = job_pb2.Job(
        job_id=str(job.job_id),
        record_id=str(job.record_id or ""),
        queue=job.queue,
        state=_JOB_STATES[state],
        done=state.final,
        version=job.version,
        attempt=job.attempt,
        max_attempts=job.max_attempts,
        error=error_message(job.error),
        create_time=time_message(job.created_at),
        update_time=time_message(job.updated_at),
        start_time=time_message(job.started_at),
        end_time=time_message(job.ended_at),
        next_attempt_time=time_message(job.run_at) if state is JobState.SCHEDULED else None,
        cancel_requested=job.cancel_requested,
    )
    if job.progress_stage:
        message.progress.stage = job.progress_stage
        message.progress.done = job.progress_done
        message.progress.total = job.progress_total
        message.progress.unit = job.progress_unit or ""
    return message


def attempt_message(attempt: PastAttempt) -> job_pb2.Attempt:
    """Return the message of an attempt that did not succeed."""
    return job_pb2.Attempt(
        attempt=attempt.attempt,
        worker_id=attempt.worker_id,
        start_time=time_message(attempt.started_at),
        end_time=time_message(attempt.ended_at),
        outcome=_OUTCOMES[attempt.outcome],
        error=error_message(attempt.error),
    )


def job_state_name(state: str) -> str:
    """Return the name under which clients know `state`, for metadata of errors."""
    return job_pb2.JobState.Name(_JOB_STATES[JobState(state)])


def job_states_of(state: job_pb2.JobState.ValueType) -> list[JobState]:
    """Return the states that are told as `state`; none for one that is never told."""
    return [known for known, told in _JOB_STATES.items() if told == state]


def error_message(error: Mapping[str, Any] | None) -> job_pb2.JobError | None:
    """Return the message of a stored failure."""
    if error is None:
        return None
    place = None
    if error["sheet"] or error["row"] or error["column"]:
        place = job_pb2.FilePlace(sheet=error["sheet"], row=error["row"], column=error["column"])
    return job_pb2.JobError(
        reason=error["reason"],
        message=error["message"],
        metadata=error["metadata"],
        place=place,
        retryable=error["retryable"],
    )


def record_message(record: Record) -> record_pb2.Record:
    """Return the message of a record; its state follows from its clean data and its latest job."""
    state = _record_state(record)
    failed = state == record_pb2.RECORD_STATE_FAILED and record.latest_job
    return record_pb2.Record(
        record_id=str(record.record_id),
        state=state,
        file_name=record.file_name,
        format=record.format or "",
        size_bytes=record.raw_size_bytes,
        crc32c=record.raw_crc32c,
        labels=record.labels,
        revision=record.revision,
        row_count=record.row_count or 0,
        column_count=record.column_count or 0,
        columns=[column_message(column) for column in record.columns or ()],
        warnings=[record_pb2.Warning(**warning) for warning in record.warnings or ()],
        reading=[_choice_message(choice) for choice in record.reading or ()],
        clean_size_bytes=record.clean_size_bytes or 0,
        latest_job_id=str(record.latest_job.job_id) if record.latest_job else "",
        error=error_message(record.latest_job.error) if failed and record.latest_job else None,
        create_time=time_message(record.created_at),
        update_time=time_message(record.updated_at),
        expire_time=time_message(record.expires_at),
    )


def _choice_message(choice: Mapping[str, Any]) -> record_pb2.ReadChoice:
    return record_pb2.ReadChoice(**{**choice, "origin": _ORIGINS[choice["origin"]]})


def _record_state(record: Record) -> record_pb2.RecordState.ValueType:
    if record.revision:
        return record_pb2.RECORD_STATE_READY
    if record.latest_job and JobState(record.latest_job.state).final:
        return record_pb2.RECORD_STATE_FAILED
    return record_pb2.RECORD_STATE_PROCESSING


def column_message(column: Mapping[str, Any]) -> record_pb2.Column:
    """Return the message of a stored column."""
    return record_pb2.Column(
        name=column["name"],
        type=_DTYPES[column["type"]],
        source_name=column["source_name"],
        null_count=column["null_count"],
    )


def profile_message(column: Mapping[str, Any], profile: Mapping[str, Any]) -> record_pb2.ColumnProfile:
    """Return the message of a stored column and its profile, whose keys are the message's fields."""
    return record_pb2.ColumnProfile(column=column_message(column), **profile)


def upload_message(upload: Upload) -> ingest_service_pb2.Upload:
    """Return the message of an upload."""
    committed = upload.state == UploadState.COMMITTED
    active = upload.state == UploadState.ACTIVE
    return ingest_service_pb2.Upload(
        request_id=str(upload.request_id),
        state=_UPLOAD_STATES[upload.state],
        committed_size_bytes=upload.committed_bytes,
        record_id=str(upload.record_id) if committed else "",
        job_id=str(upload.job_id) if committed else "",
        error=ingest_service_pb2.UploadError(**upload.error) if upload.error else None,
        expire_time=time_message(upload.expires_at) if active else None,
    )


def time_message(moment: datetime | None) -> Timestamp | None:
    """Return the message of a time, if there is one."""
    if moment is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp
