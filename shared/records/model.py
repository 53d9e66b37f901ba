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
    """What a conversion made of a record's file.

    All JSON, with the field names of the messages in record.proto: `columns` holds per column name, type ("string",
    "int64", "float64", "bool", "date" or "timestamp"), source_name and null_count; `profile` per column, in the same
    order, the fields of ColumnProfile except `column` (absent where unset); `warnings` the fields of Warning.
    """

    format: str
    clean: ObjectInfo
    rejects: ObjectInfo | None
    row_count: int
    columns: Sequence[Mapping[str, Any]]
    profile: Sequence[Mapping[str, Any]]
    warnings: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class LatestJob:
    """The newest job of a record, as far as its record's state depends on it."""

    job_id: UUID
    state: str
    error: Mapping[str, Any] | None


@dataclass(frozen=True)
class Record:
    """A row of the records table without its profile, with its latest job. None stands for "no clean data yet"."""

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
    created_at: datetime
    updated_at: datetime
    expires_at: datetime | None
    latest_job: LatestJob | None
