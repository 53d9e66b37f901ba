"""The records and versions tables. Every query names the owner it is for."""

from collections.abc import Mapping, Sequence
from typing import Any, LiteralString
from uuid import UUID

from psycopg.types.json import Jsonb

from shared.database import Connection, Pool
from shared.records.model import CleanData, LatestJob, NewRecord, Origin, Record, RevisionConflict
from shared.storage import ObjectInfo

_INSERT: LiteralString = """
INSERT INTO records (record_id, owner, file_name, labels, raw_object, raw_size_bytes, raw_crc32c, expires_at)
VALUES (%(record_id)s, %(owner)s, %(file_name)s, %(labels)s, %(raw_object)s, %(raw_size_bytes)s, %(raw_crc32c)s,
        clock_timestamp() + make_interval(secs => %(ttl_s)s::double precision))
"""

# Runs in the transaction that ends the job, after its lease was checked: the fence covers this write too. Guard: the
# record still points at the base.
_PUBLISH: LiteralString = """
WITH pointed AS (
    UPDATE records SET
        revision = %(base_revision)s + 1, format = coalesce(%(format)s, format),
        reading = coalesce(%(reading)s, reading), updated_at = clock_timestamp()
    WHERE record_id = %(record_id)s AND owner = %(owner)s AND coalesce(revision, 0) = %(base_revision)s
    RETURNING record_id, revision
)
INSERT INTO versions (
    record_id, revision, base_revision, actions, job_id, clean_object, clean_size_bytes, clean_crc32c,
    rejects_object, rejects_size_bytes, rejects_crc32c, row_count, column_count, columns, profile, warnings)
SELECT pointed.record_id, pointed.revision, %(base_revision)s, %(actions)s, %(job_id)s, %(clean_object)s,
       %(clean_size_bytes)s, %(clean_crc32c)s, coalesce(%(rejects_object)s, base.rejects_object),
       coalesce(%(rejects_size_bytes)s, base.rejects_size_bytes), coalesce(%(rejects_crc32c)s, base.rejects_crc32c),
       %(row_count)s, %(column_count)s, %(columns)s, (
           SELECT coalesce(jsonb_agg(coalesce(base.profile -> (entry ->> 'base')::int, entry) ORDER BY place), '[]')
           FROM jsonb_array_elements(%(profile)s) WITH ORDINALITY AS given (entry, place)
       ), coalesce(%(warnings)s, base.warnings)
FROM pointed LEFT JOIN versions AS base
    ON base.record_id = pointed.record_id AND base.revision = %(base_revision)s
"""

_READ: LiteralString = """
SELECT records.record_id, owner, file_name, labels, raw_object, raw_size_bytes, raw_crc32c,
       coalesce(versions.revision, 0) AS revision, format, clean_object, clean_size_bytes, clean_crc32c,
       rejects_object, rejects_size_bytes, rejects_crc32c, row_count, column_count, columns, warnings, reading,
       records.created_at, updated_at, expires_at, latest.job_id, job_state, job_error
FROM records
LEFT JOIN versions ON versions.record_id = records.record_id
    AND versions.revision = CASE %(revision)s WHEN 0 THEN records.revision ELSE %(revision)s END
LEFT JOIN LATERAL (
    SELECT job_id, jobs.state AS job_state, jobs.error AS job_error FROM jobs
    WHERE jobs.record_id = records.record_id ORDER BY job_id DESC LIMIT 1
) AS latest ON true
WHERE records.record_id = %(record_id)s AND owner = %(owner)s
"""

# Newest first: ids are UUID v7, so their order is that of time. Walks records_by_owner.
_LIST: LiteralString = """
SELECT records.record_id, owner, file_name, labels, raw_object, raw_size_bytes, raw_crc32c,
       coalesce(versions.revision, 0) AS revision, format, clean_object, clean_size_bytes, clean_crc32c,
       rejects_object, rejects_size_bytes, rejects_crc32c, row_count, column_count,
       NULL AS columns, NULL AS warnings, NULL AS reading,
       records.created_at, updated_at, expires_at, latest.job_id, job_state, job_error
FROM records
LEFT JOIN versions ON versions.record_id = records.record_id AND versions.revision = records.revision
LEFT JOIN LATERAL (
    SELECT job_id, jobs.state AS job_state, jobs.error AS job_error FROM jobs
    WHERE jobs.record_id = records.record_id ORDER BY job_id DESC LIMIT 1
) AS latest ON true
WHERE owner = %(owner)s AND records.record_id < %(before)s
ORDER BY records.record_id DESC LIMIT %(limit)s
"""

_PROFILE: LiteralString = """
SELECT coalesce(versions.revision, 0) AS revision, columns, (
    SELECT coalesce(jsonb_agg(entry ORDER BY place), '[]')
    FROM jsonb_array_elements(profile) WITH ORDINALITY AS entries (entry, place)
    WHERE place > %(offset)s AND place <= %(offset)s + %(limit)s
) AS profile
FROM records
LEFT JOIN versions ON versions.record_id = records.record_id
    AND versions.revision = CASE %(revision)s WHEN 0 THEN records.revision ELSE %(revision)s END
WHERE records.record_id = %(record_id)s AND owner = %(owner)s
"""

_LAST_ID = UUID(int=2**128 - 1)


async def insert_record(connection: Connection, record: NewRecord) -> None:
    """Insert `record` in the caller's transaction."""
    await connection.execute(_INSERT, {**vars(record), "labels": Jsonb(dict(record.labels))})


async def publish_clean_data(
    connection: Connection, owner: str, record_id: UUID, clean: CleanData, origin: Origin
) -> None:
    """Make `clean` the next version and point the record at it, if it still points at the version that `clean` was
    made from. Runs in the caller's transaction, which must hold the fence of the job's lease.

    Raises RevisionConflict: let the transaction roll back.
    """
    values = {
        "record_id": record_id,
        "owner": owner,
        "base_revision": origin.base_revision,
        "actions": Jsonb(list(origin.actions)),
        "job_id": origin.job_id,
        "format": clean.format,
        "row_count": clean.row_count,
        **_object_values("clean", clean.clean),
        **_object_values("rejects", clean.rejects),
        "column_count": len(clean.columns),
        "columns": Jsonb(list(clean.columns)),
        "profile": Jsonb(list(clean.profile)),
        "warnings": None if clean.warnings is None else Jsonb(list(clean.warnings)),
        "reading": None if clean.reading is None else Jsonb(list(clean.reading)),
    }
    cursor = await connection.execute(_PUBLISH, values)
    if cursor.rowcount != 1:
        raise RevisionConflict


class Records:
    """Reads of records and their versions. `revision` 0 means the one that the record points at."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def read(self, owner: str, record_id: UUID, revision: int = 0) -> Record | None:
        """Return the record with that version, or None when `owner` has no such record.

        When there is no such version, the record returned has revision 0.
        """
        rows = await self._rows(_READ, {"owner": owner, "record_id": record_id, "revision": revision})
        return _record(rows[0]) if rows else None

    async def list(self, owner: str, *, before: UUID | None, limit: int) -> Sequence[Record]:
        """Return up to `limit` records older than `before` (None: from the newest), newest first, without columns."""
        rows = await self._rows(_LIST, {"owner": owner, "before": before or _LAST_ID, "limit": limit})
        return [_record(row) for row in rows]

    async def read_profile(
        self, owner: str, record_id: UUID, *, revision: int, offset: int, limit: int
    ) -> tuple[int, Sequence[Mapping[str, Any]], Sequence[Mapping[str, Any]]] | None:
        """Return (revision, columns, profile) of columns `offset` to `offset + limit`; None when there is no record.

        Revision 0 and no columns stand for "no such clean data".
        """
        values = {"owner": owner, "record_id": record_id, "revision": revision, "offset": offset, "limit": limit}
        rows = await self._rows(_PROFILE, values)
        if not rows:
            return None
        columns = (rows[0]["columns"] or [])[offset : offset + limit]
        return rows[0]["revision"], columns, rows[0]["profile"]

    async def _rows(self, query: LiteralString, values: Mapping[str, Any]) -> Sequence[dict[str, Any]]:
        async with self._pool.connection() as connection:
            return await (await connection.execute(query, values)).fetchall()


def _object_values(prefix: str, info: ObjectInfo | None) -> dict[str, Any]:
    return {
        f"{prefix}_object": info and info.name,
        f"{prefix}_size_bytes": info and info.size_bytes,
        f"{prefix}_crc32c": info and info.crc32c,
    }


def _record(row: dict[str, Any]) -> Record:
    job_id, state, error = row.pop("job_id"), row.pop("job_state"), row.pop("job_error")
    return Record(**row, latest_job=LatestJob(job_id, state, error) if job_id else None)
