"""The SQL of leases and of what ends them; shared/jobs/order.py has that of enqueueing and claiming.

Every statement names its guard, the index it walks and the rows it touches. Times come from the database clock. A lease
ends by raising `lease_token`, so (job_id, lease_token) alone guards every write of a worker: the planner can only take
the primary key for it.
"""

from typing import LiteralString

from shared.jobs.order import HEADS, REQUEUED

JOB_COLUMNS: LiteralString = """
    job_id, owner, record_id, queue, state, run_at, attempt, max_attempts, cancel_requested, progress_stage,
    progress_done, progress_total, progress_unit, version, error, history, created_at, updated_at, started_at, ended_at,
    ended_xid::text::bigint AS ended_xid, clock_timestamp() AS read_at
"""

# Guard: job_id and lease_token. Walks the primary key; touches the rows it returns, heap-only.
# A lease that does not come back is lost. A cancel or progress that changes what watchers see raises the version.
HEARTBEAT: LiteralString = """
UPDATE jobs SET
    lease_expires_at = clock_timestamp() + make_interval(secs => %(lease_s)s),
    progress_stage = beat.stage, progress_done = beat.done, progress_total = beat.total, progress_unit = beat.unit,
    version = version + ((progress_stage, progress_done, progress_total, progress_unit)
        IS DISTINCT FROM (beat.stage, beat.done, beat.total, beat.unit))::integer,
    updated_at = CASE WHEN (progress_stage, progress_done, progress_total, progress_unit)
        IS DISTINCT FROM (beat.stage, beat.done, beat.total, beat.unit) THEN clock_timestamp() ELSE updated_at END
FROM unnest(%(job_ids)s::uuid[], %(tokens)s::bigint[], %(stages)s::text[], %(dones)s::bigint[],
            %(totals)s::bigint[], %(units)s::text[]) AS beat (job_id, token, stage, done, total, unit)
WHERE jobs.job_id = beat.job_id AND jobs.lease_token = beat.token
RETURNING jobs.job_id, jobs.cancel_requested
"""

# Guard: job_id and lease_token. Walks the primary key; touches the rows it returns: a lease that does not come back
# is lost.
SUCCEED: LiteralString = """
UPDATE jobs SET
    state = 'succeeded', lease_token = lease_token + 1, lease_expires_at = NULL, deadline_at = NULL,
    cancel_requested = false, error = NULL,
    ended_at = clock_timestamp(), updated_at = clock_timestamp(), version = version + 1
FROM unnest(%(job_ids)s::uuid[], %(tokens)s::bigint[]) AS given (job_id, token)
WHERE jobs.job_id = given.job_id AND jobs.lease_token = given.token
RETURNING jobs.job_id
"""

# Guard: job_id and lease_token. Walks the primary key; touches one row. Final when asked to stop, when another
# attempt cannot help, when attempts are spent, or at the third crash; else scheduled after the backoff.
FAIL: LiteralString = """
UPDATE jobs SET
    state = outcome.state, crash_count = crash_count + %(crash)s::integer,
    lease_token = lease_token + 1, lease_expires_at = NULL, deadline_at = NULL,
    cancel_requested = cancel_requested AND outcome.state = 'cancelled',
    error = CASE WHEN outcome.state = 'cancelled' THEN jobs.error ELSE %(error)s END,
    history = past_attempts(history, attempt, worker_id, started_at, CASE
        WHEN outcome.state = 'cancelled' THEN 'cancelled' WHEN %(crash)s THEN 'crashed' ELSE 'failed' END, %(error)s),
    run_at = CASE WHEN outcome.state = 'scheduled'
        THEN clock_timestamp() + make_interval(secs => %(backoff_s)s) ELSE run_at END,
    ended_at = CASE WHEN outcome.state = 'scheduled' THEN NULL ELSE clock_timestamp() END,
    updated_at = clock_timestamp(), version = version + 1
FROM (SELECT job_id, CASE
          WHEN cancel_requested THEN 'cancelled'
          WHEN %(retryable)s AND attempt < max_attempts
               AND crash_count + %(crash)s::integer < %(max_crashes)s THEN 'scheduled'
          ELSE 'failed' END AS state
      FROM jobs WHERE job_id = %(job_id)s AND lease_token = %(token)s FOR UPDATE) AS outcome
WHERE jobs.job_id = outcome.job_id
RETURNING jobs.state
"""

# Guard: job_id and lease_token. Walks the primary key; touches the rows it returns. The attempt does not count.
# A job that was asked to stop stops here.
RELEASE: LiteralString = (
    """
WITH given AS MATERIALIZED (
    SELECT job_id, token, queue
    FROM unnest(%(job_ids)s::uuid[], %(tokens)s::bigint[]) AS given (job_id, token) JOIN jobs USING (job_id)
), """  # noqa: S608  # constant texts
    + HEADS.format(given="(SELECT DISTINCT queue FROM given)", low_water="0")
    + """
UPDATE jobs SET"""
    + REQUEUED
    + """
    state = CASE WHEN cancel_requested THEN 'cancelled' ELSE 'ready' END,
    attempt = attempt - (NOT cancel_requested)::integer,
    history = CASE WHEN cancel_requested
        THEN past_attempts(history, attempt, worker_id, started_at, 'cancelled', %(error)s) ELSE history END,
    lease_token = lease_token + 1, lease_expires_at = NULL, deadline_at = NULL,
    ended_at = CASE WHEN cancel_requested THEN clock_timestamp() END,
    updated_at = clock_timestamp(), version = version + 1
FROM given
WHERE jobs.job_id = given.job_id AND jobs.lease_token = given.token
RETURNING jobs.job_id
"""
)

# Guard: run_at under the row lock. Walks jobs_scheduled; touches the rows it returns.
PROMOTE: LiteralString = (
    """
WITH due AS MATERIALIZED (
    SELECT job_id, queue FROM jobs
    WHERE state = 'scheduled' AND run_at <= clock_timestamp()
    ORDER BY run_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
), """  # noqa: S608  # constant texts
    + HEADS.format(given="(SELECT DISTINCT queue FROM due)", low_water="0")
    + """
UPDATE jobs SET"""
    + REQUEUED
    + """
    state = 'ready', updated_at = clock_timestamp(), version = version + 1
FROM due WHERE jobs.job_id = due.job_id
RETURNING jobs.job_id, jobs.queue
"""
)

# Guard: the lease's expiry, checked again under the row lock. Walks jobs_running; touches the rows it returns.
# The worker is gone, which counts as a crash: the file may have killed it.
RESCUE: LiteralString = (
    """
WITH expired AS MATERIALIZED (
    SELECT job_id, queue, CASE
        WHEN cancel_requested THEN 'cancelled'
        WHEN attempt < max_attempts AND crash_count + 1 < %(max_crashes)s THEN 'ready'
        ELSE 'failed' END AS next_state
    FROM jobs
    WHERE state = 'running' AND lease_expires_at < clock_timestamp()
    LIMIT %(limit)s FOR UPDATE SKIP LOCKED
), """  # noqa: S608  # constant texts
    + HEADS.format(given="(SELECT DISTINCT queue FROM expired)", low_water="0")
    + """
UPDATE jobs SET"""
    + REQUEUED
    + """
    state = next_state, crash_count = crash_count + 1,
    lease_token = lease_token + 1, lease_expires_at = NULL, deadline_at = NULL,
    cancel_requested = next_state = 'cancelled',
    error = CASE WHEN next_state = 'cancelled' THEN error ELSE %(error)s END,
    history = past_attempts(history, attempt, worker_id, started_at, 'lost', %(error)s),
    ended_at = CASE WHEN next_state = 'ready' THEN NULL ELSE clock_timestamp() END,
    updated_at = clock_timestamp(), version = version + 1
FROM expired WHERE jobs.job_id = expired.job_id
RETURNING jobs.job_id, jobs.queue
"""
)

# Reads the head of jobs_scheduled, all of jobs_running, and the head of jobs_ready for each queue; touches nothing.
OUTLOOK: LiteralString = """
SELECT extract(epoch FROM least(
    (SELECT min(run_at) FROM jobs WHERE state = 'scheduled'),
    (SELECT min(lease_expires_at) FROM jobs WHERE state = 'running')
) - clock_timestamp())::double precision AS due_s,
ARRAY(SELECT queue FROM queues
      WHERE paused_at IS NULL AND EXISTS (
          SELECT FROM jobs WHERE jobs.queue = queues.queue AND jobs.state = 'ready')) AS ready,
ARRAY(SELECT queue FROM queues WHERE num_nonnulls(max_running, max_running_per_owner) > 0) AS capped
"""

# The jobs among those given whose lease ended as succeeded by its holder: the token rose by one, and nobody raises it
# after that. Walks the primary key; touches nothing.
SUCCEEDED_WITH: LiteralString = """
SELECT jobs.job_id
FROM jobs JOIN unnest(%(job_ids)s::uuid[], %(tokens)s::bigint[]) AS given (job_id, token) USING (job_id)
WHERE lease_token = token + 1 AND state = 'succeeded'
"""

# Walks jobs_running; touches nothing.
HELD_BY: LiteralString = """
SELECT job_id, lease_token FROM jobs WHERE state = 'running' AND worker_id = %(worker_id)s
"""

# Walks the primary key; touches nothing.
READ_MANY: LiteralString = (
    "SELECT" + JOB_COLUMNS + "FROM jobs WHERE job_id = ANY(%(job_ids)s::uuid[]) AND owner = %(owner)s"
)

# Touches one row, only when it is new or its caps changed.
REGISTER_QUEUE: LiteralString = """
INSERT INTO queues (queue, max_running, max_running_per_owner)
VALUES (%(queue)s, %(max_running)s, %(max_running_per_owner)s)
ON CONFLICT (queue) DO UPDATE SET
    max_running = excluded.max_running, max_running_per_owner = excluded.max_running_per_owner
WHERE (queues.max_running, queues.max_running_per_owner)
    IS DISTINCT FROM (excluded.max_running, excluded.max_running_per_owner)
"""
