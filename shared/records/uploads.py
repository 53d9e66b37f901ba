"""The uploads table: the manifest of what has been stored of each file, and the commit point of every upload.

`epoch` is the fencing token of the stream that may write: it rises whenever a new stream names the upload.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, LiteralString
from uuid import UUID

from psycopg.rows import kwargs_row
from psycopg.types.json import Jsonb
from uuid_utils.compat import uuid7

from shared.database import Connection, Pool

_COLUMNS: LiteralString = """
    upload_id, owner, request_id, state, file_name, declared_size_bytes, labels, options, ttl_s, epoch, committed_bytes,
    committed_crc32c, segments, record_id, job_id, error, expires_at
"""

# Makes the row, or takes it over from an older stream when it is the same upload and still active.
_BEGIN: LiteralString = (
    """
INSERT INTO uploads (upload_id, owner, request_id, file_name, declared_size_bytes, labels, options, ttl_s,
                     record_id, job_id, expires_at)
VALUES (%(upload_id)s, %(owner)s, %(request_id)s, %(file_name)s, %(declared_size_bytes)s, %(labels)s, %(options)s,
        %(ttl_s)s, %(record_id)s, %(job_id)s, clock_timestamp() + make_interval(secs => %(idle_ttl_s)s))
ON CONFLICT ON CONSTRAINT uploads_request_id_unique DO UPDATE SET
    epoch = uploads.epoch + 1, expires_at = excluded.expires_at
WHERE uploads.state = 'active'
  AND (uploads.file_name, uploads.labels, uploads.options, uploads.declared_size_bytes, uploads.ttl_s)
    IS NOT DISTINCT FROM
      (excluded.file_name, excluded.labels, excluded.options, excluded.declared_size_bytes, excluded.ttl_s)
RETURNING"""
    + _COLUMNS
)

# Guard: epoch and state.
_COMMIT_SEGMENTS: LiteralString = """
UPDATE uploads SET
    committed_bytes = %(committed_bytes)s, committed_crc32c = %(committed_crc32c)s,
    segments = segments || %(segments)s::text[], updated_at = clock_timestamp(),
    expires_at = clock_timestamp() + make_interval(secs => %(idle_ttl_s)s)
WHERE upload_id = %(upload_id)s AND epoch = %(epoch)s AND state = 'active'
"""

_COMPLETE: LiteralString = """
UPDATE uploads SET
    state = 'committed', committed_bytes = %(committed_bytes)s, committed_crc32c = %(committed_crc32c)s,
    updated_at = clock_timestamp()
WHERE upload_id = %(upload_id)s AND epoch = %(epoch)s AND state = 'active'
"""

_REFUSE: LiteralString = """
UPDATE uploads SET state = 'refused', error = %(error)s, updated_at = clock_timestamp()
WHERE upload_id = %(upload_id)s AND epoch = %(epoch)s AND state = 'active'
"""

_READ: LiteralString = "SELECT" + _COLUMNS + "FROM uploads WHERE owner = %(owner)s AND request_id = %(request_id)s"


_BEGIN_ATTEMPTS = 3


class UploadState(StrEnum):
    """States of the uploads table."""

    ACTIVE = "active"  # → committed, → refused
    COMMITTED = "committed"  # final
    REFUSED = "refused"  # final


@dataclass(frozen=True)
class UploadHeader:
    """What the client says of the file. Two headers that differ are not the same upload."""

    request_id: UUID
    file_name: str
    declared_size_bytes: int | None
    labels: Mapping[str, str]
    options: Mapping[str, Any]
    ttl_s: float | None


@dataclass(frozen=True)
class Upload:
    """A row of the uploads table."""

    upload_id: UUID
    owner: str
    request_id: UUID
    state: UploadState
    file_name: str
    declared_size_bytes: int | None
    labels: Mapping[str, str]
    options: Mapping[str, Any]
    ttl_s: float | None
    epoch: int
    committed_bytes: int
    committed_crc32c: int
    segments: list[str]
    record_id: UUID
    job_id: UUID
    error: Mapping[str, Any] | None
    expires_at: datetime

    @classmethod
    def from_row(cls, **row: Any) -> "Upload":
        """Make an upload of a row as psycopg reads it."""
        return cls(**{**row, "state": UploadState(row["state"])})

    def describes(self, header: UploadHeader) -> bool:
        """Return whether this upload was begun with the same header."""
        mine = (self.file_name, self.declared_size_bytes, self.labels, self.options, self.ttl_s)
        return mine == (header.file_name, header.declared_size_bytes, header.labels, header.options, header.ttl_s)


class EpochLost(Exception):
    """A newer stream took the upload over, or it is closed: write nothing more."""


class Uploads:
    """Reads and writes of the uploads table."""

    def __init__(self, pool: Pool, *, idle_ttl_s: float) -> None:
        self._pool = pool
        self._idle_ttl_s = idle_ttl_s

    async def begin(self, owner: str, header: UploadHeader) -> Upload:
        """Return the upload of this header, new or taken over; check its state and `describes()` before writing."""
        values = {
            "upload_id": uuid7(),
            "owner": owner,
            "request_id": header.request_id,
            "file_name": header.file_name,
            "declared_size_bytes": header.declared_size_bytes,
            "labels": Jsonb(dict(header.labels)),
            "options": Jsonb(dict(header.options)),
            "record_id": uuid7(),
            "job_id": uuid7(),
            "ttl_s": header.ttl_s,
            "idle_ttl_s": self._idle_ttl_s,
        }
        # Nothing comes back when the row is closed or another upload's; it may be swept before it is read.
        for _ in range(_BEGIN_ATTEMPTS):
            upload = await self._one(_BEGIN, values) or await self.read(owner, header.request_id)
            if upload is not None:
                return upload
        raise RuntimeError("an upload appears and vanishes again and again")

    async def read(self, owner: str, request_id: UUID) -> Upload | None:
        """Return the upload that `owner` named `request_id`, or None."""
        return await self._one(_READ, {"owner": owner, "request_id": request_id})

    async def commit_segments(
        self, upload: Upload, segments: Sequence[str], committed_bytes: int, committed_crc32c: int
    ) -> None:
        """Add stored segments to the manifest. Raises EpochLost."""
        values = {
            "upload_id": upload.upload_id,
            "epoch": upload.epoch,
            "segments": list(segments),
            "committed_bytes": committed_bytes,
            "committed_crc32c": committed_crc32c,
            "idle_ttl_s": self._idle_ttl_s,
        }
        async with self._pool.connection() as connection:
            cursor = await connection.execute(_COMMIT_SEGMENTS, values)
        if cursor.rowcount != 1:
            raise EpochLost

    async def complete(self, connection: Connection, upload: Upload, size_bytes: int, crc32c: int) -> None:
        """Close the upload as committed, in the caller's transaction. Raises EpochLost: let it roll back."""
        values = {
            "upload_id": upload.upload_id,
            "epoch": upload.epoch,
            "committed_bytes": size_bytes,
            "committed_crc32c": crc32c,
        }
        cursor = await connection.execute(_COMPLETE, values)
        if cursor.rowcount != 1:
            raise EpochLost

    async def refuse(self, upload: Upload, error: Mapping[str, Any]) -> None:
        """Close the upload as refused for good; does nothing when a newer stream has it."""
        values = {"upload_id": upload.upload_id, "epoch": upload.epoch, "error": Jsonb(dict(error))}
        async with self._pool.connection() as connection:
            await connection.execute(_REFUSE, values)

    async def _one(self, query: LiteralString, values: Mapping[str, Any]) -> Upload | None:
        async with (
            self._pool.connection() as connection,
            connection.cursor(row_factory=kwargs_row(Upload.from_row)) as cursor,
        ):
            await cursor.execute(query, values)
            return await cursor.fetchone()
