"""Changes of records: what was asked under a request id, the versions there are, and the way back to one.

A row of the changes table makes a repeated request a question for its answer. It is remembered as long as its job, one
without a job as long as its record.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString
from uuid import UUID

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from shared.database import Connection, Pool
from shared.records.model import RevisionConflict

# Waits for a transaction that inserts the same request id.
_INSERT: LiteralString = """
INSERT INTO changes (owner, request_id, record_id, base_revision, digest, job_id, revision)
VALUES (%(owner)s, %(request_id)s, %(record_id)s, %(base_revision)s, %(digest)s, %(job_id)s, %(revision)s)
ON CONFLICT ON CONSTRAINT changes_request_id_unique DO NOTHING
"""

_COLUMNS: LiteralString = "SELECT owner, request_id, record_id, base_revision, digest, job_id, revision FROM changes "

_OF_REQUEST: LiteralString = _COLUMNS + "WHERE owner = %(owner)s AND request_id = %(request_id)s"

# Walks changes_by_job.
_DRY_RUN: LiteralString = "SELECT base_revision, report FROM changes WHERE owner = %(owner)s AND job_id = %(job_id)s"

# Runs in the transaction that ends the job, after its lease was checked: the fence covers this write too.
_REPORT: LiteralString = """
UPDATE changes SET report = %(report)s
WHERE owner = %(owner)s AND record_id = %(record_id)s AND job_id = %(job_id)s
"""

# Guard: the record still points at the version the caller has seen.
_REVERT: LiteralString = """
WITH pointed AS (
    UPDATE records SET revision = %(base_revision)s + 1, updated_at = clock_timestamp()
    WHERE record_id = %(record_id)s AND owner = %(owner)s AND revision = %(base_revision)s
    RETURNING record_id, revision
)
INSERT INTO versions (
    record_id, revision, base_revision, actions, clean_object, clean_size_bytes, clean_crc32c,
    rejects_object, rejects_size_bytes, rejects_crc32c, row_count, column_count, columns, profile, warnings)
SELECT pointed.record_id, pointed.revision, old.revision, '[]', clean_object, clean_size_bytes, clean_crc32c,
       rejects_object, rejects_size_bytes, rejects_crc32c, row_count, column_count, columns, profile, warnings
FROM pointed JOIN versions AS old ON old.record_id = pointed.record_id AND old.revision = %(revision)s
"""

_VERSIONS: LiteralString = """
SELECT versions.revision, base_revision, actions, job_id, row_count, column_count, clean_size_bytes,
       versions.created_at, versions.revision = records.revision AS current
FROM records JOIN versions ON versions.record_id = records.record_id
WHERE records.record_id = %(record_id)s AND owner = %(owner)s AND versions.revision < %(before)s
ORDER BY versions.revision DESC LIMIT %(limit)s
"""

_AFTER_ALL = 2**63 - 1


@dataclass(frozen=True)
class Change:
    """A change that was asked for: by the job that makes it, or the version that it made at once.

    `digest` stands for all that was asked: another request under the same id has another one.
    """

    owner: str
    request_id: UUID
    record_id: UUID
    base_revision: int
    digest: bytes
    job_id: UUID | None = None
    revision: int | None = None


@dataclass(frozen=True)
class DryRun:
    """What a dry run found; no report until its job has succeeded."""

    base_revision: int
    report: Mapping[str, Any] | None


@dataclass(frozen=True)
class Version:
    """A version as a list of them shows it. `actions` are messages in their JSON form."""

    revision: int
    base_revision: int
    actions: Sequence[Mapping[str, Any]]
    job_id: UUID | None
    row_count: int
    column_count: int
    clean_size_bytes: int
    created_at: datetime
    current: bool


async def insert_change(connection: Connection, change: Change) -> bool:
    """Insert `change` in the caller's transaction; return False when its request id is taken."""
    return (await connection.execute(_INSERT, vars(change))).rowcount == 1


async def insert_revert(connection: Connection, change: Change, revision: int) -> None:
    """Make the version that goes back to `revision`, which exists, in the caller's transaction.

    Raises RevisionConflict: let it roll back.
    """
    cursor = await connection.execute(_REVERT, {**vars(change), "revision": revision})
    if cursor.rowcount != 1:
        raise RevisionConflict


async def store_report(
    connection: Connection, owner: str, record_id: UUID, job_id: UUID, report: Mapping[str, Any]
) -> None:
    """Store what a dry run found in the caller's transaction, which must hold the fence of the job's lease."""
    values = {"owner": owner, "record_id": record_id, "job_id": job_id, "report": Jsonb(dict(report))}
    await connection.execute(_REPORT, values)


class Changes:
    """Reads of changes and versions."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def read(self, owner: str, request_id: UUID) -> Change | None:
        """Return what `owner` asked for under this request id, or None."""
        async with self._pool.connection() as connection, connection.cursor(row_factory=class_row(Change)) as cursor:
            await cursor.execute(_OF_REQUEST, {"owner": owner, "request_id": request_id})
            return await cursor.fetchone()

    async def read_dry_run(self, owner: str, job_id: UUID) -> DryRun | None:
        """Return what is known of the change that this job makes, or None when there is none for `owner`."""
        async with self._pool.connection() as connection, connection.cursor(row_factory=class_row(DryRun)) as cursor:
            await cursor.execute(_DRY_RUN, {"owner": owner, "job_id": job_id})
            return await cursor.fetchone()

    async def list_versions(
        self, owner: str, record_id: UUID, *, before: int | None = None, limit: int
    ) -> Sequence[Version]:
        """Return up to `limit` versions older than `before` (None: from the newest), newest first."""
        values = {"owner": owner, "record_id": record_id, "before": before or _AFTER_ALL, "limit": limit}
        async with self._pool.connection() as connection, connection.cursor(row_factory=class_row(Version)) as cursor:
            await cursor.execute(_VERSIONS, values)
            return await cursor.fetchall()
