"""The exports table: files made of clean data by jobs. Every query names the owner it is for.

A row is made with its job and completed with the job's end; its time begins again then. Each names its version, so an
export and the clean data it is of cannot disagree.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, LiteralString
from uuid import UUID

from psycopg.types.json import Jsonb

from shared.database import Connection, Pool
from shared.storage import ObjectInfo

# Touches one new row, or none when the request id is taken.
_INSERT: LiteralString = """
INSERT INTO exports (job_id, owner, record_id, revision, request_id, request, media_type, file_name, ttl_s, expires_at)
VALUES (%(job_id)s, %(owner)s, %(record_id)s, %(revision)s, %(request_id)s, %(request)s, %(media_type)s, %(file_name)s,
        %(ttl_s)s, clock_timestamp() + make_interval(secs => %(ttl_s)s))
ON CONFLICT ON CONSTRAINT exports_request_id_unique DO NOTHING
"""

# Runs in the transaction that ends the job, after its lease was checked: the fence covers this write too.
_COMPLETE: LiteralString = """
UPDATE exports SET
    object = %(object)s, size_bytes = %(size_bytes)s, crc32c = %(crc32c)s,
    expires_at = clock_timestamp() + make_interval(secs => ttl_s)
WHERE job_id = %(job_id)s AND owner = %(owner)s
"""

_COLUMNS: LiteralString = """
SELECT job_id, record_id, revision, request, media_type, file_name, object, size_bytes, crc32c FROM exports
"""
_READ: LiteralString = _COLUMNS + "WHERE job_id = %(job_id)s AND owner = %(owner)s"
_READ_REQUEST: LiteralString = _COLUMNS + "WHERE request_id = %(request_id)s AND owner = %(owner)s"


@dataclass(frozen=True)
class NewExport:
    """An export to make. `request` is what was asked for: another request may not use the same `request_id`."""

    job_id: UUID
    owner: str
    record_id: UUID
    revision: int
    request_id: UUID
    request: Mapping[str, Any]
    media_type: str
    file_name: str
    ttl_s: float


@dataclass(frozen=True)
class Export:
    """A row of the exports table. `object` and what describes it are None until the job has succeeded."""

    job_id: UUID
    record_id: UUID
    revision: int
    request: Mapping[str, Any]
    media_type: str
    file_name: str
    object: str | None
    size_bytes: int | None
    crc32c: int | None


async def insert_export(connection: Connection, export: NewExport) -> bool:
    """Insert `export` in the caller's transaction; return False when its request id is taken."""
    cursor = await connection.execute(_INSERT, {**vars(export), "request": Jsonb(dict(export.request))})
    return cursor.rowcount == 1


async def complete_export(connection: Connection, owner: str, job_id: UUID, info: ObjectInfo) -> None:
    """Point the export at its file in the caller's transaction, which must hold the fence of the job's lease."""
    values = {"job_id": job_id, "owner": owner, "object": info.name, "size_bytes": info.size_bytes}
    cursor = await connection.execute(_COMPLETE, {**values, "crc32c": info.crc32c})
    if cursor.rowcount != 1:
        raise LookupError(f"export {job_id} is gone")


class Exports:
    """Reads of the exports table."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def read(self, owner: str, job_id: UUID) -> Export | None:
        """Return the export that this job makes, or None when there is none for `owner`."""
        return await self._one(_READ, {"owner": owner, "job_id": job_id})

    async def read_request(self, owner: str, request_id: UUID) -> Export | None:
        """Return the export that `owner` asked for with this request id, or None."""
        return await self._one(_READ_REQUEST, {"owner": owner, "request_id": request_id})

    async def _one(self, query: LiteralString, values: Mapping[str, Any]) -> Export | None:
        async with self._pool.connection() as connection:
            row = await (await connection.execute(query, values)).fetchone()
        return Export(**row) if row else None
