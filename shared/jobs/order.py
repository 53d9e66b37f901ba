"""The SQL of the claim order: how jobs come into it, fair between their owners, and how they are taken from its head.

Every statement names its guard, the index it walks and the rows it touches. Times come from the database clock.
"""

from typing import LiteralString

# Where the claim order of each queue begins that `{given}` names: the position of its first ready job, or the clock in
# microseconds when none waits, which is ahead of every position given before as long as fewer than a million jobs
# arrive a second. Nothing ready lies below `{low_water}`, as far as is known. Found once for a whole statement, since
# the walk may lead over many entries of jobs that are gone.
HEADS: LiteralString = """heads AS MATERIALIZED (
    SELECT queue, coalesce(
        (SELECT pos FROM jobs WHERE jobs.queue = wanted.queue AND state = 'ready' AND pos >= {low_water}
         ORDER BY pos LIMIT 1),
        (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) AS pos
    FROM {given} AS wanted
)"""

# Where a job that is ready again comes in.
REQUEUED: LiteralString = """
    pos = job_position(jobs.queue, jobs.owner, (SELECT pos FROM heads WHERE heads.queue = jobs.queue)),
    ready_at = clock_timestamp(),
"""

# Touches one new row. Walks jobs_ready from low_water on, and jobs_ready_by_owner. Returns the head.
ENQUEUE: LiteralString = (
    "WITH "  # noqa: S608  # constant texts
    + HEADS.format(given="(SELECT %(queue)s::text AS queue)", low_water="%(low_water)s")
    + """, added AS (
    INSERT INTO jobs (job_id, owner, record_id, queue, state, pos, args, max_attempts)
    SELECT %(job_id)s, %(owner)s, %(record_id)s, queue, 'ready',
           job_position(queue, %(owner)s, heads.pos), %(args)s, %(max_attempts)s
    FROM heads
)
SELECT queue, pos FROM heads
"""
)

# The same for many; each owner's jobs follow each other in the order given.
ENQUEUE_MANY: LiteralString = (
    """
WITH given AS MATERIALIZED (
    SELECT * FROM unnest(
        %(job_ids)s::uuid[], %(owners)s::text[], %(record_ids)s::uuid[], %(queues)s::text[], %(args)s::jsonb[],
        %(max_attempts)s::integer[], %(low_waters)s::bigint[]
    ) WITH ORDINALITY AS job (job_id, owner, record_id, queue, args, max_attempts, low_water, ordinal)
), """  # noqa: S608  # constant texts
    + HEADS.format(
        given="(SELECT queue, min(low_water) AS low_water FROM given GROUP BY queue)", low_water="wanted.low_water"
    )
    + """, starts AS MATERIALIZED (
    SELECT queue, owner, job_position(queue, owner, heads.pos) AS pos
    FROM (SELECT DISTINCT queue, owner FROM given) AS of_owner JOIN heads USING (queue)
), added AS (
    INSERT INTO jobs (job_id, owner, record_id, queue, state, pos, args, max_attempts)
    SELECT job_id, owner, record_id, queue, 'ready',
           starts.pos + row_number() OVER (PARTITION BY queue, owner ORDER BY ordinal) - 1, args, max_attempts
    FROM given JOIN starts USING (queue, owner)
)
SELECT queue, pos FROM heads
"""
)

# A claim commits without waiting for the disk: should a crash of the server take it back, the job is ready again, and
# this lease's token is never given again, since tokens follow the clock: what its holder writes is refused.
_BEGIN_ATTEMPT: LiteralString = """, asynchronous AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))
UPDATE jobs SET
    state = 'running', attempt = attempt + 1, worker_id = %(worker_id)s,
    lease_token = greatest(lease_token + 1, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint),
    lease_expires_at = clock_timestamp() + make_interval(secs => %(lease_s)s),
    deadline_at = clock_timestamp() + make_interval(secs => %(timeout_s)s),
    progress_stage = NULL, progress_done = 0, progress_total = 0, progress_unit = NULL,
    started_at = clock_timestamp(), updated_at = clock_timestamp(), version = version + 1
WHERE job_id = ANY(ARRAY(SELECT job_id FROM candidates CROSS JOIN asynchronous))
RETURNING job_id, owner, queue, record_id, args, attempt, max_attempts, lease_token, pos
"""

# Guard: row locks, skipping those that others hold; nothing of a queue that is paused or capped. Walks jobs_ready from
# low_water on; touches the rows it returns.
CLAIM: LiteralString = (
    """
WITH candidates AS MATERIALIZED (
    SELECT job_id FROM jobs
    WHERE queue = %(queue)s AND state = 'ready' AND pos >= %(low_water)s
    ORDER BY pos
    LIMIT least(%(limit)s::bigint, (
        SELECT 0 FROM queues
        WHERE queue = %(queue)s AND (paused_at IS NOT NULL OR num_nonnulls(max_running, max_running_per_owner) > 0)))
    FOR UPDATE SKIP LOCKED
)"""  # noqa: S608  # constant texts
    + _BEGIN_ATTEMPT
)

# First of the two statements that claim from a capped queue in one transaction: whoever holds this lock alone adds
# to what runs, and the next statement's snapshot sees all that was added before. Touches one row.
LOCK_QUEUE: LiteralString = """
SELECT max_running_per_owner FROM queues WHERE queue = %(queue)s FOR NO KEY UPDATE
"""

# Guard: the lock of the queue's row, and row locks as above. Walks jobs_ready, and what jobs_running has of the queue;
# touches the rows it returns.
CLAIM_CAPPED: LiteralString = (
    """
WITH candidates AS MATERIALIZED (
    SELECT job_id FROM jobs
    WHERE queue = %(queue)s AND state = 'ready'
    ORDER BY pos
    LIMIT least(%(limit)s::bigint, (SELECT CASE
        WHEN paused_at IS NOT NULL THEN 0
        WHEN max_running IS NOT NULL THEN greatest(0, max_running - (
            SELECT count(*) FROM jobs WHERE queue = %(queue)s AND state = 'running'))
        END FROM queues WHERE queue = %(queue)s))
    FOR UPDATE SKIP LOCKED
)"""  # noqa: S608  # constant texts
    + _BEGIN_ATTEMPT
)

# Guard: the lock of the queue's row, and row locks as above. Skips from owner to owner through jobs_ready_by_owner,
# takes as many of each as its cap leaves room for, counted in jobs_running, and of those the first in claim order.
# Reads a row for each owner that waits; touches the rows it returns.
CLAIM_PER_OWNER: LiteralString = (
    """
WITH RECURSIVE owners AS (
    (SELECT owner FROM jobs WHERE queue = %(queue)s AND state = 'ready' ORDER BY owner LIMIT 1)
    UNION ALL
    SELECT (SELECT jobs.owner FROM jobs
            WHERE queue = %(queue)s AND state = 'ready' AND jobs.owner > owners.owner ORDER BY jobs.owner LIMIT 1)
    FROM owners WHERE owners.owner IS NOT NULL
), cap AS MATERIALIZED (
    SELECT max_running_per_owner AS per_owner,
           CASE WHEN paused_at IS NOT NULL THEN 0
                WHEN max_running IS NOT NULL THEN greatest(0, max_running - (
                    SELECT count(*) FROM jobs WHERE queue = %(queue)s AND state = 'running'))
           END AS room
    FROM queues WHERE queue = %(queue)s
), chosen AS MATERIALIZED (
    SELECT job_id FROM cap CROSS JOIN owners CROSS JOIN LATERAL (
        SELECT job_id, pos FROM jobs
        WHERE queue = %(queue)s AND state = 'ready' AND jobs.owner = owners.owner
        ORDER BY pos
        LIMIT greatest(0, least(%(limit)s::bigint, cap.per_owner - (
            SELECT count(*) FROM jobs AS busy
            WHERE busy.queue = %(queue)s AND busy.state = 'running' AND busy.owner = owners.owner)))
    ) AS next_of_owner
    ORDER BY pos
    LIMIT least(%(limit)s::bigint, (SELECT room FROM cap))
), candidates AS MATERIALIZED (
    SELECT job_id FROM jobs WHERE job_id = ANY(ARRAY(SELECT job_id FROM chosen)) AND state = 'ready'
    FOR UPDATE SKIP LOCKED
)"""  # noqa: S608  # constant texts
    + _BEGIN_ATTEMPT
)
