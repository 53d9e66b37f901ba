"""What a record is, as its readers and writers see it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from shared.storage import ObjectInfo


@dataclass(frozen=True)
class NewRecord:
    """A record to insert: the file as it was stored, and how many seconds it is to live (None: for ever)."""

    record_id: UUID
    owner: str
    file_name: str
    labels: Mapping[str, str]
    raw_object: str
    raw_size_bytes: int
    raw_crc32c: int
    ttl_s: float | None = None


@dataclass(frozen=True)
class CleanData:
    """What a job made: a version to be.

    `format` is what the raw file turned out to be and `reading` how it was read, as fields of ReadChoice with origin
    "given", "declared" or "detected"; None when they were told before. The rest is JSON with the field names
    of the messages in record.proto: `columns` holds per column name, type ("string", "int64", "float64", "bool", "date"
    or "timestamp"), source_name and null_count; `profile` per column, in the same order, the fields of ColumnProfile
    except `column` (absent where unset), or {"base": i} for entry i of the base version; `warnings` the fields of
    Warning. Rejects and warnings tell of the uploaded file: None takes those of the base version.
    """

    format: str | None
    clean: ObjectInfo
    rejects: ObjectInfo | None
    row_count: int
    columns: Sequence[Mapping[str, Any]]
    profile: Sequence[Mapping[str, Any]]
    warnings: Sequence[Mapping[str, Any]] | None
    reading: Sequence[Mapping[str, Any]] | None = None


@dataclass(frozen=True)
class Origin:
    """Where a version comes from: the job that made it, the version it was made from (0: the raw file), and how."""

    job_id: UUID
    base_revision: int = 0
    actions: Sequence[Mapping[str, Any]] = ()


class RevisionConflict(Exception):
    """The record points at another version by now: what was made of the base must not replace it."""


@dataclass(frozen=True)
class LatestJob:
    """The newest job of a record, as far as its record's state depends on it."""

    job_id: UUID
    state: str
    error: Mapping[str, Any] | None


@dataclass(frozen=True)
class Record:
    """A record with one of its versions, without the profile, and with its latest job.

    `revision` 0, and None in what belongs to the version, stand for "no such clean data".
    """

    record_id: UUID
    owner: str
    file_name: str
    labels: Mapping[str, str]
    raw_object: str
    raw_size_bytes: int
    raw_crc32c: int
    revision: int
    format: str | None
    clean_object: str | None
    clean_size_bytes: int | None
    clean_crc32c: int | None
    rejects_object: str | None
    rejects_size_bytes: int | None
    rejects_crc32c: int | None
    row_count: int | None
    column_count: int | None
    columns: Sequence[Mapping[str, Any]] | None
    warnings: Sequence[Mapping[str, Any]] | None
    reading: Sequence[Mapping[str, Any]] | None
    created_at: datetime
    updated_at: datetime
    expires_at: datetime | None
    latest_job: LatestJob | None
