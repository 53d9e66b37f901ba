"""What operators ask of the queues: look into them, pause and resume them; list, cancel and retry jobs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, LiteralString
from uuid import UUID

from psycopg.rows import DictRow

from shared.database import Pool
from shared.errors import FailedPrecondition, NotFound
from shared.jobs.model import Job, JobState
from shared.jobs.order import HEADS
from shared.jobs.statements import JOB_COLUMNS

MAX_COUNTED = 100_000
_NEWEST = UUID(int=2**128 - 1)

# Counts stop at %(most)s, so that a look into a deep queue stays cheap. Walks jobs_ready, jobs_scheduled, jobs_running
# and jobs_ended; touches nothing. Each count asks for its index's order, without which the planner may read the table
# up to the limit; and for statement_timestamp(), since no index serves a volatile clock_timestamp().
_LIST_QUEUES: LiteralString = """
WITH scheduled AS MATERIALIZED (
    SELECT queue, count(*) AS jobs
    FROM (SELECT queue FROM jobs WHERE state = 'scheduled' ORDER BY run_at LIMIT %(most)s) AS counted GROUP BY queue
), running AS MATERIALIZED (
    SELECT queue, count(*) AS jobs
    FROM (SELECT queue FROM jobs WHERE state = 'running' LIMIT %(most)s) AS counted GROUP BY queue
)
SELECT queue, paused_at, coalesce(pause_reason, '') AS pause_reason, max_running, max_running_per_owner,
    (SELECT count(*) FROM (SELECT FROM jobs WHERE jobs.queue = queues.queue AND state = 'ready'
        ORDER BY pos LIMIT %(most)s) AS counted) AS ready,
    coalesce(scheduled.jobs, 0) AS scheduled,
    coalesce(running.jobs, 0) AS running,
    (SELECT count(*) FROM (SELECT FROM jobs WHERE jobs.queue = queues.queue AND state = 'succeeded'
        AND ended_at > statement_timestamp() - interval '1 hour'
        ORDER BY ended_at DESC LIMIT %(most)s) AS counted) AS succeeded_last_hour,
    (SELECT count(*) FROM (SELECT FROM jobs WHERE jobs.queue = queues.queue AND state = 'failed'
        AND ended_at > statement_timestamp() - interval '1 hour'
        ORDER BY ended_at DESC LIMIT %(most)s) AS counted) AS failed_last_hour,
    (SELECT clock_timestamp() - ready_at FROM jobs WHERE jobs.queue = queues.queue AND state = 'ready'
        ORDER BY pos LIMIT 1) AS oldest_ready_age
FROM queues LEFT JOIN scheduled USING (queue) LEFT JOIN running USING (queue)
WHERE %(queue)s::text IS NULL OR queue = %(queue)s
ORDER BY queue
"""

# Guard: the row's key. Touches at most one row.
_PAUSE: LiteralString = """
UPDATE queues SET paused_at = coalesce(paused_at, clock_timestamp()), pause_reason = nullif(%(reason)s, '')
WHERE queue = %(queue)s
"""

# Guard: the row's key. Touches at most one row.
_RESUME: LiteralString = "UPDATE queues SET paused_at = NULL, pause_reason = NULL WHERE queue = %(queue)s"

# Newest first, since ids are UUID v7. Takes one page of each state, so that rare ones are found at once among many
# others. Walks jobs_by_owner, which spares running jobs an entry, and jobs_running for those; or jobs_by_record when a
# record is named. Touches nothing.
_LIST_JOBS: LiteralString = (
    "SELECT"  # noqa: S608  # made of constants
    + JOB_COLUMNS
    + """
FROM unnest(%(states)s::text[]) AS wanted (wanted_state) CROSS JOIN LATERAL (
    SELECT * FROM jobs
    WHERE owner = %(owner)s AND state = wanted_state AND state <> 'running' AND job_id < %(before)s
      AND (%(queue)s::text IS NULL OR queue = %(queue)s)
      AND (%(record_id)s::uuid IS NULL OR record_id = %(record_id)s)
    ORDER BY job_id DESC LIMIT %(limit)s
) AS page
UNION ALL
SELECT"""
    + JOB_COLUMNS
    + """
FROM jobs
WHERE owner = %(owner)s AND state = 'running' AND 'running' = ANY(%(states)s) AND job_id < %(before)s
  AND (%(queue)s::text IS NULL OR queue = %(queue)s)
  AND (%(record_id)s::uuid IS NULL OR record_id = %(record_id)s)
ORDER BY job_id DESC LIMIT %(limit)s
"""
)

# Goes before a change, in its transaction: a statement that had to wait for the row would put together its change from
# the row as it was before, and the checks of the table would see that.
_LOCK: LiteralString = "SELECT FROM jobs WHERE job_id = %(job_id)s AND owner = %(owner)s FOR UPDATE"

# The row as it is under its lock, and the end of a statement that may change it: `changed` tells whether it did.
_FOUND: LiteralString = """
WITH found AS MATERIALIZED (
    SELECT * FROM jobs WHERE job_id = %(job_id)s AND owner = %(owner)s FOR UPDATE
), """
_ANSWER: LiteralString = (
    """
    RETURNING jobs.*
)
SELECT true AS changed,"""  # noqa: S608  # made of constants
    + JOB_COLUMNS
    + "FROM changed UNION ALL SELECT false,"
    + JOB_COLUMNS
    + "FROM found WHERE NOT EXISTS (SELECT FROM changed)"
)

# Guard: owner, and state under the row lock. Walks the primary key; touches at most one row. A running job only gets
# the flag: its worker ends it. The version of a ready job rises by two: watchers may have seen it rise by one through a
# claim that a crash of the server took back.
_CANCEL: LiteralString = (
    _FOUND
    + """changed AS (
    UPDATE jobs SET
        cancel_requested = true,
        state = CASE WHEN jobs.state = 'running' THEN jobs.state ELSE 'cancelled' END,
        ended_at = CASE WHEN jobs.state = 'running' THEN NULL ELSE clock_timestamp() END,
        updated_at = clock_timestamp(), version = jobs.version + 1 + (found.state = 'ready')::integer
    FROM found
    WHERE jobs.job_id = found.job_id AND found.state IN ('scheduled', 'ready', 'running')
      AND NOT found.cancel_requested"""
    + _ANSWER
)

# Guard: owner, and state under the row lock. Walks the primary key; touches at most one row. The attempts made stay
# counted, so max_attempts grows by what a new job would get.
_RETRY: LiteralString = (
    _FOUND  # noqa: S608  # made of constants
    + HEADS.format(given="found", low_water="0")
    + """, changed AS (
    UPDATE jobs SET
        state = 'ready', pos = job_position(found.queue, found.owner, (SELECT pos FROM heads)),
        run_at = clock_timestamp(), ready_at = clock_timestamp(),
        max_attempts = found.attempt + %(attempts)s, crash_count = 0, cancel_requested = false,
        ended_at = NULL, updated_at = clock_timestamp(), version = jobs.version + 1
    FROM found
    WHERE jobs.job_id = found.job_id AND found.state IN ('failed', 'cancelled')
      AND (%(version)s::bigint = 0 OR found.version <= %(version)s)"""
    + _ANSWER
)


@dataclass(frozen=True)
class QueueStatus:
    """A queue and how it fares. Counts stop at MAX_COUNTED.

    `oldest_ready_age` is that of the job at the head of the claim order; caps of None mean that there is none.
    """

    queue: str
    paused_at: datetime | None
    pause_reason: str
    max_running: int | None
    max_running_per_owner: int | None
    ready: int
    scheduled: int
    running: int
    succeeded_last_hour: int
    failed_last_hour: int
    oldest_ready_age: timedelta | None


class Operations:
    """The operators' side of the jobs and queues tables, used through a pool. Every method commits by itself.

    Nothing here sends wake-ups: callers do, after the method returned.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def list_queues(self) -> list[QueueStatus]:
        """Return all queues by name."""
        return await self._queues(None)

    async def pause(self, queue: str, reason: str) -> QueueStatus:
        """Keep workers from claiming jobs of `queue`; return how it fares. Raises NotFound."""
        return await self._change_queue(_PAUSE, queue, reason=reason)

    async def resume(self, queue: str) -> QueueStatus:
        """Let workers claim again; return how the queue fares. Wake workers afterwards. Raises NotFound."""
        return await self._change_queue(_RESUME, queue)

    async def list_jobs(
        self,
        owner: str,
        *,
        queue: str | None,
        states: Sequence[JobState],
        record_id: UUID | None,
        before: UUID | None,
        limit: int,
    ) -> list[Job]:
        """Return up to `limit` of `owner`'s jobs, newest first: those older than `before` that pass all filters.

        No states mean all states.
        """
        values = {
            "owner": owner,
            "queue": queue,
            "states": [str(state) for state in states or JobState],
            "record_id": record_id,
            "before": before or _NEWEST,
            "limit": limit,
        }
        return [Job.from_row(**row) for row in await self._rows(_LIST_JOBS, values)]

    async def cancel(self, owner: str, job_id: UUID) -> Job:
        """Stop a job: one that waits at once, one that runs through its worker, which has to be told.

        A job that was cancelled before is returned as it is. Raises NotFound, and FailedPrecondition for a job
        that succeeded or failed.
        """
        job, _ = await self._change_job(_CANCEL, owner, job_id)
        if not job.cancel_requested:
            raise _wrong_state(job, "cannot be cancelled any more")
        return job

    async def retry(self, owner: str, job_id: UUID, *, attempts: int, version: int = 0) -> Job:
        """Make a failed or cancelled job ready for `attempts` more attempts. Wake workers afterwards.

        With a `version` a job that has changed since is returned as it is. Raises NotFound, and FailedPrecondition for
        a job in any other state.
        """
        job, changed = await self._change_job(_RETRY, owner, job_id, attempts=attempts, version=version)
        if not changed and not 0 < version < job.version:
            raise _wrong_state(job, "can be retried only once it has failed or was cancelled")
        return job

    async def _queues(self, queue: str | None) -> list[QueueStatus]:
        rows = await self._rows(_LIST_QUEUES, {"queue": queue, "most": MAX_COUNTED})
        return [QueueStatus(**row) for row in rows]

    async def _change_queue(self, query: LiteralString, queue: str, **values: str) -> QueueStatus:
        await self._rows(query, {"queue": queue, **values})
        found = await self._queues(queue)
        if not found:
            raise NotFound("QUEUE_NOT_FOUND", "no such queue")
        return found[0]

    async def _change_job(self, query: LiteralString, owner: str, job_id: UUID, **values: int) -> tuple[Job, bool]:
        values_of_all = {"owner": owner, "job_id": job_id, **values}
        async with self._pool.connection() as connection, connection.transaction():
            await connection.execute(_LOCK, values_of_all)
            row = await (await connection.execute(query, values_of_all)).fetchone()
        if row is None:
            raise NotFound("JOB_NOT_FOUND", "no such job")
        changed = row.pop("changed")
        return Job.from_row(**row), changed

    async def _rows(self, query: LiteralString, values: Mapping[str, Any]) -> list[DictRow]:
        async with self._pool.connection() as connection:
            # Not prepared, so that every plan is made for the filters that are given.
            cursor = await connection.execute(query, values, prepare=False)
            return await cursor.fetchall() if cursor.description else []


def _wrong_state(job: Job, message: str) -> FailedPrecondition:
    return FailedPrecondition("JOB_STATE", f"this job is {job.state}: it {message}", {"state": str(job.state)})
