"""What a job is, as the engine and its callers see it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID


class JobState(StrEnum):
    """States of the jobs table."""

    SCHEDULED = "scheduled"  # → ready when run_at has come, → cancelled
    READY = "ready"  # → running by a claim, → cancelled
    RUNNING = "running"  # → one of the final states, → scheduled (retry), → ready (drain, rescue)
    SUCCEEDED = "succeeded"  # final
    FAILED = "failed"  # final
    CANCELLED = "cancelled"  # final

    @property
    def final(self) -> bool:
        """Whether nothing follows."""
        return self in {JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED}


@dataclass(frozen=True)
class JobFailure:
    """Why an attempt ended without success.

    `retryable` is False for what another attempt cannot mend, such as a bad file. `crash` is True when the
    attempt's process died or broke a limit: three of those end the job even if it is retryable. `sheet`,
    `row` (from 1) and `column` tell the place in the file when it is known.
    """

    reason: str
    message: str
    retryable: bool
    crash: bool = False
    metadata: Mapping[str, str] = field(default_factory=dict)
    sheet: str = ""
    row: int = 0
    column: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return what the error column stores."""
        return {
            "reason": self.reason,
            "message": self.message,
            "retryable": self.retryable,
            "metadata": dict(self.metadata),
            "sheet": self.sheet,
            "row": self.row,
            "column": self.column,
        }


@dataclass(frozen=True)
class JobProgress:
    """How far an attempt is: `done` of `total` (0: unknown) in `unit` ("bytes", "rows" or "columns")."""

    stage: str
    done: int = 0
    total: int = 0
    unit: str = ""


@dataclass(frozen=True)
class NewJob:
    """A job to enqueue."""

    job_id: UUID
    owner: str
    queue: str
    record_id: UUID | None = None
    args: Mapping[str, Any] = field(default_factory=dict)
    max_attempts: int = 5


@dataclass(frozen=True)
class Lease:
    """The right to work on a job and to write its outcome, until somebody else holds a newer token."""

    job_id: UUID
    token: int


@dataclass(frozen=True)
class ClaimedJob:
    """A job as its worker gets it."""

    lease: Lease
    owner: str
    queue: str
    record_id: UUID | None
    args: Mapping[str, Any]
    attempt: int
    max_attempts: int


@dataclass(frozen=True)
class Outlook:
    """What there is to do: `ready` names the queues with work that are not paused; in `due_s` seconds (None: never,
    as far as is known) a scheduled job falls due or a lease expires.
    """

    due_s: float | None
    ready: frozenset[str]


class AttemptOutcome(StrEnum):
    """How an attempt ended that did not succeed."""

    FAILED = "failed"  # its handler gave up, or raised
    CRASHED = "crashed"  # its process died or broke a limit
    LOST = "lost"  # its worker stopped answering
    CANCELLED = "cancelled"  # somebody asked for it


@dataclass(frozen=True)
class PastAttempt:
    """An attempt that did not succeed. `error` has the fields of JobFailure."""

    attempt: int
    worker_id: str
    started_at: datetime
    ended_at: datetime
    outcome: AttemptOutcome
    error: Mapping[str, Any]

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "PastAttempt":
        """Make it of what the history column stores."""
        return cls(
            attempt=stored["attempt"],
            worker_id=stored["worker_id"],
            started_at=datetime.fromisoformat(stored["started_at"]),
            ended_at=datetime.fromisoformat(stored["ended_at"]),
            outcome=AttemptOutcome(stored["outcome"]),
            error=stored["error"],
        )


@dataclass(frozen=True)
class Job:
    """A row of the jobs table, as read.

    `history` holds the newest attempts that did not succeed, oldest first; `ended_xid` is the transaction that ended
    the job; `read_at` is when this was read.
    """

    job_id: UUID
    owner: str
    record_id: UUID | None
    queue: str
    state: JobState
    run_at: datetime
    attempt: int
    max_attempts: int
    cancel_requested: bool
    progress_stage: str | None
    progress_done: int
    progress_total: int
    progress_unit: str | None
    version: int
    error: Mapping[str, Any] | None
    history: Sequence[PastAttempt]
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    ended_xid: int | None
    read_at: datetime

    @classmethod
    def from_row(cls, **row: Any) -> "Job":
        """Make a job of a row as psycopg reads it."""
        history = tuple(PastAttempt.from_json(stored) for stored in row["history"])
        return cls(**{**row, "state": JobState(row["state"]), "history": history})
