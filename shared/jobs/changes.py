"""What the watch hub asks of the jobs table: starting states, what hints name, and what no hint told of.

A *horizon* is the smallest transaction id that was not over when it was asked for. Whatever ended a job before it is
seen by every statement that begins later; whatever it leaves open has an id at or above it. So "all jobs that ended at
or above a horizon" misses nothing, in whatever order transactions commit; a sequence or a time would.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, LiteralString
from uuid import UUID

from psycopg.rows import DictRow

from shared.database import Pool
from shared.jobs.model import Job, JobState
from shared.jobs.statements import JOB_COLUMNS

OPEN_STATES = tuple(state for state in JobState if not state.final)
_FIRST = UUID(int=0)
_PAGE_ROWS = 500

# The message makes a transaction of this that is flushed to disk, and with it all that are below the horizon: else a
# crash of the server could give their ids again.
_HORIZON: LiteralString = """
SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS horizon,
       pg_logical_emit_message(true, 'tablemill.horizon', '')
"""

# Walks the primary key; touches nothing.
_READ: LiteralString = (
    "SELECT" + JOB_COLUMNS + "FROM jobs WHERE job_id = ANY(%(job_ids)s::uuid[])"  # made of constants
)

# Of ids that hints named, those somebody watches by owner or record. Walks the primary key; touches nothing.
_READ_OF: LiteralString = (
    _READ
    + """
AND (owner IN (SELECT unnest(%(owners)s::text[])) OR record_id IN (SELECT unnest(%(record_ids)s::uuid[])))
"""
)

# Walks jobs_by_record; touches nothing.
_READ_OF_RECORDS: LiteralString = (
    "SELECT"  # made of constants
    + JOB_COLUMNS
    + "FROM jobs WHERE record_id = ANY(%(record_ids)s::uuid[]) AND owner = %(owner)s"
)

# A page of an owner's jobs that have not ended, by id: a job that changes its state meanwhile keeps its place. Walks
# jobs_by_owner, a page for each state, and jobs_running; touches nothing.
_OPEN_PAGE: LiteralString = (
    "SELECT"  # noqa: S608  # made of constants
    + JOB_COLUMNS
    + """
FROM unnest(%(states)s::text[]) AS wanted (wanted_state) CROSS JOIN LATERAL (
    SELECT * FROM jobs
    WHERE owner = %(owner)s AND state = wanted_state AND state <> 'running' AND job_id > %(after_id)s
      AND (%(queues)s::text[] IS NULL OR queue = ANY(%(queues)s))
    ORDER BY job_id LIMIT %(limit)s
) AS page
UNION ALL
SELECT"""
    + JOB_COLUMNS
    + """
FROM jobs
WHERE owner = %(owner)s AND state = 'running' AND 'running' = ANY(%(states)s) AND job_id > %(after_id)s
  AND (%(queues)s::text[] IS NULL OR queue = ANY(%(queues)s))
ORDER BY job_id LIMIT %(limit)s
"""
)

# A page of an owner's jobs that ended at a horizon or later. Walks jobs_ended_by_owner; touches nothing.
_ENDED_PAGE: LiteralString = (
    "SELECT"  # made of constants
    + JOB_COLUMNS
    + """
FROM jobs WHERE owner = %(owner)s AND ended_xid >= %(horizon)s::text::xid8
  AND (ended_xid, job_id) > (%(after_xid)s::text::xid8, %(after_id)s::uuid)
  AND state = ANY(%(states)s) AND (%(queues)s::text[] IS NULL OR queue = ANY(%(queues)s))
ORDER BY ended_xid, job_id LIMIT %(limit)s
"""
)

# What became of jobs whose versions are known: those that rose, and the ids of those that are gone. Walks the primary
# key; touches nothing.
_RISEN: LiteralString = (
    "SELECT known_id,"  # made of constants
    + JOB_COLUMNS
    + """
FROM unnest(%(job_ids)s::uuid[], %(versions)s::bigint[]) AS known (known_id, known_version)
LEFT JOIN jobs ON job_id = known_id
WHERE job_id IS NULL OR version > known_version
"""
)

# Jobs of watched owners and records that nobody told of: not ended, or ended at the owner's horizon or later. Walks
# jobs_by_owner, jobs_running, jobs_ended_by_owner and jobs_by_record; touches nothing. OFFSET 0 has each owner looked
# up: the planner, who cannot know how few they are, would read the table.
_UNKNOWN: LiteralString = (
    """
WITH known AS MATERIALIZED (SELECT unnest(%(job_ids)s::uuid[]) AS known_id),
found AS (
    SELECT waiting.* FROM unnest(%(owners)s::text[]) AS watched (watched_owner) CROSS JOIN LATERAL (
        SELECT * FROM jobs WHERE owner = watched_owner AND state IN ('scheduled', 'ready') OFFSET 0
    ) AS waiting
    UNION ALL
    SELECT jobs.* FROM jobs WHERE state = 'running' AND owner IN (SELECT unnest(%(owners)s::text[]))
    UNION ALL
    SELECT ended.* FROM unnest(%(owners)s::text[], %(horizons)s::bigint[]) AS watched (watched_owner, horizon)
    CROSS JOIN LATERAL (
        SELECT * FROM jobs WHERE owner = watched_owner AND ended_xid >= horizon::text::xid8 OFFSET 0
    ) AS ended
    UNION ALL
    SELECT jobs.* FROM jobs WHERE record_id = ANY(%(record_ids)s::uuid[])
)
SELECT"""  # noqa: S608  # made of constants
    + JOB_COLUMNS
    + "FROM found WHERE NOT EXISTS (SELECT FROM known WHERE known_id = job_id)"
)


@dataclass(frozen=True)
class JobFilter:
    """Which of an owner's jobs: those of `queues` in one of `states`; None and empty mean all."""

    queues: frozenset[str] | None = None
    states: frozenset[JobState] = frozenset(JobState)

    def takes(self, job: Job) -> bool:
        """Return whether the job passes."""
        return job.state in self.states and (self.queues is None or job.queue in self.queues)


class Changes:
    """Reads of the jobs table for watchers, used through a pool, of whose connections it takes `at_once` at most."""

    def __init__(self, pool: Pool, *, at_once: int) -> None:
        self._pool = pool
        self._turns = asyncio.Semaphore(at_once)

    async def horizon(self) -> int:
        """Return the horizon of now."""
        return int((await self._rows(_HORIZON, {}))[0]["horizon"])

    async def read(self, job_ids: Iterable[UUID]) -> list[Job]:
        """Return jobs whoever's they are: whose they may be told to is for the caller to check."""
        return await self._jobs(_READ, {"job_ids": _array(job_ids)})

    async def read_of(self, job_ids: Iterable[UUID], owners: Iterable[str], record_ids: Iterable[UUID]) -> list[Job]:
        """Return those of the jobs that are one of `owners`' or of one of the records."""
        values = {"job_ids": _array(job_ids), "owners": list(owners), "record_ids": _array(record_ids)}
        return await self._jobs(_READ_OF, values)

    async def read_of_records(self, owner: str, record_ids: Iterable[UUID]) -> list[Job]:
        """Return all of `owner`'s jobs of the records."""
        return await self._jobs(_READ_OF_RECORDS, {"owner": owner, "record_ids": _array(record_ids)})

    async def open_pages(self, owner: str, wanted: JobFilter) -> AsyncIterator[list[Job]]:
        """Yield `owner`'s jobs that have not ended, page by page; what changes meanwhile may be in no page."""
        states = [str(state) for state in OPEN_STATES if state in wanted.states]
        values = {"owner": owner, "states": states, "queues": _queues(wanted), "limit": _PAGE_ROWS}
        after_id = _FIRST
        while states:
            page = await self._jobs(_OPEN_PAGE, {**values, "after_id": after_id})
            if page:
                yield page
            if len(page) < _PAGE_ROWS:
                return
            after_id = page[-1].job_id

    async def ended_pages(self, owner: str, wanted: JobFilter, horizon: int) -> AsyncIterator[list[Job]]:
        """Yield `owner`'s jobs that ended at `horizon` or later, page by page."""
        states = [str(state) for state in wanted.states if state.final]
        values = {"owner": owner, "states": states, "queues": _queues(wanted), "limit": _PAGE_ROWS, "horizon": horizon}
        after_xid, after_id = 0, _FIRST
        while states:
            page = await self._jobs(_ENDED_PAGE, {**values, "after_xid": after_xid, "after_id": after_id})
            if page:
                yield page
            if len(page) < _PAGE_ROWS:
                return
            after_xid, after_id = page[-1].ended_xid or 0, page[-1].job_id

    async def risen(self, versions: Mapping[UUID, int]) -> tuple[list[Job], list[UUID]]:
        """Return the jobs whose version is above the one given, and the ids of jobs that are gone."""
        values = {"job_ids": _array(versions), "versions": _array(versions.values())}
        rows = await self._rows(_RISEN, values)
        gone = [row["known_id"] for row in rows if row["job_id"] is None]
        for row in rows:
            del row["known_id"]
        return [Job.from_row(**row) for row in rows if row["job_id"] is not None], gone

    async def unknown(
        self, known: Iterable[UUID], horizons: Mapping[str, int], record_ids: Iterable[UUID]
    ) -> list[Job]:
        """Return jobs that are not `known`: of the owners, not ended or ended at their horizon or later; and of the
        records.
        """
        values = {
            "job_ids": _array(known),
            "owners": list(horizons),
            "horizons": list(horizons.values()),
            "record_ids": _array(record_ids),
        }
        return await self._jobs(_UNKNOWN, values)

    async def _jobs(self, query: LiteralString, values: Mapping[str, Any]) -> list[Job]:
        return [Job.from_row(**row) for row in await self._rows(query, values)]

    async def _rows(self, query: LiteralString, values: Mapping[str, Any]) -> Sequence[DictRow]:
        async with self._turns, self._pool.connection() as connection:
            cursor = await connection.execute(query, values)
            return await cursor.fetchall()


def _array(values: Iterable[object]) -> str:
    """Return an array literal: much cheaper to make than the driver's adaptation of long lists."""
    return f"{{{','.join(map(str, values))}}}"


def _queues(wanted: JobFilter) -> list[str] | None:
    return None if wanted.queues is None else sorted(wanted.queues)
