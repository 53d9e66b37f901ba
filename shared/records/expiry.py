"""What may be forgotten: the statements of the sweeper, and the lock that makes one process do it at a time.

Rows go first, then objects: a record that can be read has its objects. What a crash leaves in between is an object
that no row names, which the search for those finds later.
"""

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, LiteralString
from uuid import UUID

from shared.database import Pool
from shared.storage import ListedObject

# Locks until the transaction ends, also when its process dies.
_LEAD: LiteralString = "SELECT pg_try_advisory_xact_lock(hashtextextended('tablemill duty ' || %(duty)s, 0)) AS leads"

_IS_DUE: LiteralString = """
SELECT NOT EXISTS (
    SELECT FROM duties WHERE duty = %(duty)s AND done_at > clock_timestamp() - make_interval(secs => %(every_s)s)
) AS due
"""

_DONE: LiteralString = """
INSERT INTO duties (duty, done_at) VALUES (%(duty)s, clock_timestamp())
ON CONFLICT (duty) DO UPDATE SET done_at = excluded.done_at
"""

# Guard: row locks, skipping those that others hold. Walks uploads_by_expiry; touches the rows it returns.
_FORGET_UPLOADS: LiteralString = """
WITH due AS MATERIALIZED (
    SELECT upload_id FROM uploads WHERE state <> 'committed' AND expires_at < clock_timestamp()
    ORDER BY expires_at LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
)
DELETE FROM uploads USING due WHERE uploads.upload_id = due.upload_id
RETURNING segments AS objects
"""

# Guard: row locks, skipping those that others hold. Walks records_by_expiry; touches the rows it returns, their
# versions, jobs, uploads and exports: a repeated upload must not name a record that is gone.
_FORGET_RECORDS: LiteralString = """
WITH due AS MATERIALIZED (
    SELECT record_id FROM records WHERE expires_at < clock_timestamp()
    ORDER BY expires_at LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
), their_uploads AS (
    DELETE FROM uploads USING due WHERE uploads.record_id = due.record_id AND state = 'committed'
)
DELETE FROM records USING due WHERE records.record_id = due.record_id
RETURNING raw_object || ARRAY(
    SELECT object FROM versions, unnest(ARRAY[clean_object, rejects_object]) AS object
    WHERE versions.record_id = records.record_id AND object IS NOT NULL
    GROUP BY object
    UNION ALL
    SELECT object FROM exports WHERE exports.record_id = records.record_id AND object IS NOT NULL
) AS objects
"""

# Guard: row locks, skipping those that others hold. Walks exports_by_expiry; touches the rows it returns. One whose
# job is not over stays.
_FORGET_EXPORTS: LiteralString = """
WITH due AS MATERIALIZED (
    SELECT job_id FROM exports WHERE expires_at < clock_timestamp() AND NOT EXISTS (
        SELECT FROM jobs WHERE jobs.job_id = exports.job_id AND ended_at IS NULL)
    ORDER BY expires_at LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
)
DELETE FROM exports USING due WHERE exports.job_id = due.job_id
RETURNING array_remove(ARRAY[object], NULL) AS objects
"""

# Guard: the row's own end. Walks the primary key from `after` on, `limit` rows a call. The newest job of a record
# stays as long as the record: it tells the record's state.
_FORGET_JOBS: LiteralString = """
WITH page AS MATERIALIZED (
    SELECT job_id, record_id FROM jobs WHERE job_id > %(after)s ORDER BY job_id LIMIT %(limit)s
), gone AS (
    DELETE FROM jobs USING page
    WHERE jobs.job_id = page.job_id AND jobs.ended_at < clock_timestamp() - make_interval(secs => %(keep_s)s)
      AND (page.record_id IS NULL OR EXISTS (
          SELECT FROM jobs AS newer WHERE newer.record_id = page.record_id AND newer.job_id > page.job_id))
    RETURNING jobs.job_id
), their_changes AS (
    DELETE FROM changes USING gone WHERE changes.job_id = gone.job_id
)
SELECT (SELECT count(*) FROM gone) AS gone, (SELECT job_id FROM page ORDER BY job_id DESC LIMIT 1) AS last
"""

# An attempt that still runs may be about to publish what it stored, so its record's objects stay.
_UNREFERENCED: LiteralString = """
SELECT name FROM unnest(%(names)s::text[], %(ids)s::uuid[], %(created)s::timestamptz[]) AS found (name, id, created_at)
WHERE created_at < clock_timestamp() - make_interval(secs => %(grace_s)s)
  AND NOT EXISTS (SELECT FROM records WHERE record_id = id AND name = raw_object)
  AND NOT EXISTS (SELECT FROM versions WHERE record_id = id AND name IN (clean_object, rejects_object))
  AND NOT EXISTS (SELECT FROM exports WHERE record_id = id AND name = object)
  AND NOT EXISTS (SELECT FROM jobs WHERE record_id = id AND state = 'running')
  AND NOT EXISTS (
      SELECT FROM uploads, unnest(segments) AS segment
      WHERE upload_id = id AND state = 'active' AND (segment = name OR starts_with(segment, name || '/')))
"""

# What the services name: the id after the folder is that of the record or of the upload.
_NAMED_BY_US = re.compile(r"(?:raw|clean|rejects|exports|uploads)/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})[-/].+")
_UNFINISHED = re.compile(r"partial/[0-9a-f]{32}")
_FIRST_ID = UUID(int=0)


class Expiry:
    """Forgets what is over. Every call touches at most `limit` rows; all may run on many processes at once."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @asynccontextmanager
    async def leading(self, duty: str, *, every_s: float) -> AsyncIterator[bool]:
        """Give True when it is this process's turn: nobody else is at it, and it was not done for `every_s`.

        Holds one connection. The duty counts as done when the block ends without an error.
        """
        async with self._pool.connection() as connection, connection.transaction():
            await connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
            values = {"duty": duty, "every_s": every_s}
            leads = await (await connection.execute(_LEAD, values)).fetchone()
            due = await (await connection.execute(_IS_DUE, values)).fetchone()
            turn = bool(leads and leads["leads"] and due and due["due"])
            yield turn
            if turn:
                await connection.execute(_DONE, values)

    async def forget_uploads(self, limit: int) -> Sequence[Sequence[str]]:
        """Delete unfinished and refused uploads that have expired; return the objects of each."""
        return await self._objects_of(_FORGET_UPLOADS, limit)

    async def forget_records(self, limit: int) -> Sequence[Sequence[str]]:
        """Delete expired records with their versions, jobs, uploads and exports; return the objects of each."""
        return await self._objects_of(_FORGET_RECORDS, limit)

    async def forget_exports(self, limit: int) -> Sequence[Sequence[str]]:
        """Delete exports that have expired and whose job is over; return the objects of each."""
        return await self._objects_of(_FORGET_EXPORTS, limit)

    async def forget_jobs(self, after: UUID | None, *, keep_s: float, limit: int) -> tuple[int, UUID | None]:
        """Delete jobs that ended `keep_s` ago; return how many, and the id to go on after (None: that was all)."""
        rows = await self._rows(_FORGET_JOBS, {"after": after or _FIRST_ID, "keep_s": keep_s, "limit": limit})
        return rows[0]["gone"], rows[0]["last"]

    async def unreferenced(self, found: Sequence[ListedObject], *, grace_s: float) -> Sequence[str]:
        """Return the names of those objects that are older than `grace_s` and that no row names.

        `grace_s` must exceed the time between storing an object and committing the row that names it. Names that
        are not ours are left alone.
        """
        ours = [
            (entry, match and match[1])
            for entry in found
            if (match := _NAMED_BY_US.fullmatch(entry.name)) or _UNFINISHED.fullmatch(entry.name)
        ]
        values = {
            "names": [entry.name for entry, _ in ours],
            "ids": [text and UUID(text) for _, text in ours],
            "created": [entry.created_at for entry, _ in ours],
            "grace_s": grace_s,
        }
        return [row["name"] for row in await self._rows(_UNREFERENCED, values)] if ours else []

    async def _objects_of(self, query: LiteralString, limit: int) -> Sequence[Sequence[str]]:
        return [row["objects"] for row in await self._rows(query, {"limit": limit})]

    async def _rows(self, query: LiteralString, values: dict[str, Any]) -> Sequence[dict[str, Any]]:
        async with self._pool.connection() as connection:
            return await (await connection.execute(query, values)).fetchall()
