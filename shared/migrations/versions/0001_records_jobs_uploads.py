"""Records and their versions, jobs, queues, uploads and exports."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

RECORDS = """
CREATE TABLE records (
    record_id        uuid PRIMARY KEY,
    owner            text NOT NULL,
    file_name        text NOT NULL,
    labels           jsonb NOT NULL DEFAULT '{}',
    raw_object       text NOT NULL,
    raw_size_bytes   bigint NOT NULL,
    raw_crc32c       bigint NOT NULL,
    format           text,
    -- How the raw file was read.
    reading          jsonb,
    -- The version that readers get; NULL while there is none.
    revision         bigint,
    created_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- When the record and its objects may be removed; NULL keeps them.
    expires_at       timestamptz,

    CONSTRAINT records_owner_not_empty CHECK (owner <> ''),
    CONSTRAINT records_file_name_length CHECK (octet_length(file_name) BETWEEN 1 AND 255),
    CONSTRAINT records_raw_size_not_negative CHECK (raw_size_bytes >= 0),
    CONSTRAINT records_crc32c_is_32_bit CHECK (raw_crc32c BETWEEN 0 AND 4294967295),
    CONSTRAINT records_format_known_once_read CHECK ((format IS NULL) = (revision IS NULL))
);
CREATE INDEX records_by_owner ON records (owner, record_id DESC);
CREATE INDEX records_by_expiry ON records (expires_at) WHERE expires_at IS NOT NULL;
"""

# Clean data, whole or absent. A row is written once; two rows name the same objects when one went back to the other.
VERSIONS = """
CREATE TABLE versions (
    record_id        uuid NOT NULL REFERENCES records (record_id) ON DELETE CASCADE,
    revision         bigint NOT NULL,
    -- The version it was made from; 0: the raw file.
    base_revision    bigint NOT NULL,
    -- What made it of its base, in the order of execution; none when it is the raw file's or its base's own data.
    actions          jsonb NOT NULL,
    -- NULL: no job was needed. Not a reference, because versions outlive jobs.
    job_id           uuid,
    clean_object     text NOT NULL,
    clean_size_bytes bigint NOT NULL,
    clean_crc32c     bigint NOT NULL,
    rejects_object   text,
    rejects_size_bytes bigint,
    rejects_crc32c   bigint,
    row_count        bigint NOT NULL,
    column_count     integer NOT NULL,
    columns          jsonb NOT NULL,
    profile          jsonb NOT NULL,
    warnings         jsonb NOT NULL,
    created_at       timestamptz NOT NULL DEFAULT clock_timestamp(),

    CONSTRAINT versions_revision_unique PRIMARY KEY (record_id, revision),
    CONSTRAINT versions_base_is_older CHECK (base_revision >= 0 AND base_revision < revision),
    CONSTRAINT versions_counts_not_negative CHECK (
        clean_size_bytes >= 0 AND rejects_size_bytes >= 0 AND row_count >= 0 AND column_count >= 0),
    CONSTRAINT versions_crc32c_is_32_bit CHECK (
        clean_crc32c BETWEEN 0 AND 4294967295 AND rejects_crc32c BETWEEN 0 AND 4294967295),
    CONSTRAINT versions_rejects_complete CHECK (
        num_nonnulls(rejects_object, rejects_size_bytes, rejects_crc32c) IN (0, 3))
);
ALTER TABLE records ADD CONSTRAINT records_revision_exists
    FOREIGN KEY (record_id, revision) REFERENCES versions (record_id, revision);
"""

QUEUES = """
CREATE TABLE queues (
    queue        text PRIMARY KEY,
    paused_at    timestamptz,
    pause_reason text,
    -- Jobs of this queue that may run at once on all workers together, in all and of one owner; NULL: no cap.
    max_running  integer,
    max_running_per_owner integer,
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),

    CONSTRAINT queues_caps_positive CHECK (max_running > 0 AND max_running_per_owner > 0),
    CONSTRAINT queues_name_format CHECK (queue ~ '^[A-Za-z0-9_-]{1,64}$'),
    CONSTRAINT queues_pause_reason_needs_pause CHECK (pause_reason IS NULL OR paused_at IS NOT NULL)
);
"""

# Half of each page is left free for the later versions of its rows, so that a job stays on its page from the claim to
# the end, and columns stand in the order of how rarely they change: such an update logs only what differs. No index
# holds lease or progress columns, which makes heartbeats heap-only updates.
JOBS = """
CREATE TABLE jobs (
    job_id           uuid PRIMARY KEY,
    created_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    record_id        uuid REFERENCES records (record_id) ON DELETE CASCADE,
    owner            text NOT NULL,
    queue            text NOT NULL,
    args             jsonb NOT NULL DEFAULT '{}',

    -- Set anew at every requeue. Place in the claim order of its queue:
    pos              bigint NOT NULL,
    -- A scheduled job becomes ready at this time.
    run_at           timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- When the job last became ready.
    ready_at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    max_attempts     integer NOT NULL,
    crash_count      integer NOT NULL DEFAULT 0,
    error            jsonb,
    -- The newest attempts that did not succeed, oldest first: attempt, worker_id, started_at, ended_at, outcome, error.
    history          jsonb NOT NULL DEFAULT '[]',

    -- Set by a claim, and some by heartbeats.
    attempt          integer NOT NULL DEFAULT 0,
    worker_id        text,
    started_at       timestamptz,
    progress_stage   text,
    progress_unit    text,
    progress_done    bigint NOT NULL DEFAULT 0,
    progress_total   bigint NOT NULL DEFAULT 0,

    -- Change most often. Fencing token: rises when a lease begins and when it ends, never falls, and is never given
    -- twice. Who holds it may write.
    lease_token      bigint NOT NULL DEFAULT 0,
    lease_expires_at timestamptz,
    deadline_at      timestamptz,
    -- Rises at every change that a watcher can see.
    version          bigint NOT NULL DEFAULT 1,
    updated_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at         timestamptz,
    -- The transaction that ended the job: what a watch resumes by, since it tells what a snapshot did not see yet.
    ended_xid        xid8,
    cancel_requested boolean NOT NULL DEFAULT false,
    state            text NOT NULL,

    CONSTRAINT jobs_owner_not_empty CHECK (owner <> ''),
    CONSTRAINT jobs_queue_name_format CHECK (queue ~ '^[A-Za-z0-9_-]{1,64}$'),
    CONSTRAINT jobs_state_known CHECK (
        state IN ('scheduled', 'ready', 'running', 'succeeded', 'failed', 'cancelled')),
    CONSTRAINT jobs_attempts_in_bounds CHECK (
        max_attempts >= 1 AND attempt BETWEEN 0 AND max_attempts AND crash_count BETWEEN 0 AND attempt),
    CONSTRAINT jobs_leased_iff_running CHECK (
        (state = 'running') = (lease_expires_at IS NOT NULL)
        AND (state = 'running') = (deadline_at IS NOT NULL)),
    CONSTRAINT jobs_running_has_worker CHECK (state <> 'running' OR (worker_id IS NOT NULL AND attempt >= 1)),
    CONSTRAINT jobs_ended_iff_final CHECK (
        (state IN ('succeeded', 'failed', 'cancelled')) = (ended_at IS NOT NULL)
        AND (ended_at IS NULL) = (ended_xid IS NULL)),
    CONSTRAINT jobs_failed_has_error CHECK (state <> 'failed' OR error IS NOT NULL),
    CONSTRAINT jobs_cancel_ends_or_runs CHECK (NOT cancel_requested OR state IN ('running', 'cancelled')),
    CONSTRAINT jobs_history_bounded CHECK (jsonb_array_length(history) <= 20),
    CONSTRAINT jobs_progress_not_negative CHECK (progress_done >= 0 AND progress_total >= 0)
) WITH (
    fillfactor = 50,
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0,
    autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 10000
);
CREATE INDEX jobs_ready ON jobs (queue, pos) WHERE state = 'ready';
CREATE INDEX jobs_ready_by_owner ON jobs (queue, owner, pos) WHERE state = 'ready';
CREATE INDEX jobs_scheduled ON jobs (run_at) WHERE state = 'scheduled';
CREATE INDEX jobs_running ON jobs (queue, owner) WHERE state = 'running';
CREATE INDEX jobs_ended ON jobs (queue, state, ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX jobs_ended_by_owner ON jobs (owner, ended_xid) WHERE ended_xid IS NOT NULL;
CREATE INDEX jobs_by_owner ON jobs (owner, state, job_id) WHERE state <> 'running';
CREATE INDEX jobs_by_record ON jobs (record_id, job_id DESC) WHERE record_id IS NOT NULL;
"""

# Whichever statement ends a job, or takes its end back: none can forget it.
JOB_END = """
CREATE FUNCTION note_job_end() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.ended_xid := CASE WHEN NEW.ended_at IS NOT NULL THEN pg_current_xact_id() END;
    RETURN NEW;
END
$$;
CREATE TRIGGER jobs_note_end BEFORE UPDATE OF ended_at ON jobs FOR EACH ROW
    WHEN (OLD.ended_at IS DISTINCT FROM NEW.ended_at) EXECUTE FUNCTION note_job_end();
CREATE TRIGGER jobs_note_ended BEFORE INSERT ON jobs FOR EACH ROW
    WHEN (NEW.ended_at IS NOT NULL) EXECUTE FUNCTION note_job_end();
"""

# Start-time fair queueing (Goyal, Vin, Cheng 1996) with equal weights: a job starts at the later of the queue's
# virtual time and the end of its owner's last waiting job. Virtual time is the position at which the claim order of
# the queue begins, `head`. Two concurrent calls may give the same position: a tie, not an error.
JOB_POSITION = """
CREATE FUNCTION job_position(for_queue text, for_owner text, head bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
BEGIN
    RETURN greatest(head, 1 + (
        SELECT pos FROM jobs
        WHERE queue = for_queue AND owner = for_owner AND state = 'ready' AND pos >= head
        ORDER BY pos DESC LIMIT 1));
END
$$;
"""

# The history of a job with one more attempt, which ends now; it keeps the newest 20.
PAST_ATTEMPTS = """
CREATE FUNCTION past_attempts(
    history jsonb, attempt integer, worker_id text, started_at timestamptz, outcome text, error jsonb
) RETURNS jsonb LANGUAGE sql AS $$
    SELECT CASE WHEN jsonb_array_length(history) < 20 THEN history ELSE history - 0 END || jsonb_build_object(
        'attempt', attempt, 'worker_id', worker_id, 'started_at', started_at, 'ended_at', clock_timestamp(),
        'outcome', outcome, 'error', error)
$$;
"""

UPLOADS = """
CREATE TABLE uploads (
    upload_id           uuid PRIMARY KEY,
    owner               text NOT NULL,
    request_id          uuid NOT NULL,
    state               text NOT NULL DEFAULT 'active',
    file_name           text NOT NULL,
    declared_size_bytes bigint,
    labels              jsonb NOT NULL DEFAULT '{}',
    options             jsonb NOT NULL DEFAULT '{}',
    -- How long the record is to live; NULL for ever.
    ttl_s               double precision,
    -- Rises with every stream that names this upload; only the newest stream's epoch may write.
    epoch               bigint NOT NULL DEFAULT 1,
    committed_bytes     bigint NOT NULL DEFAULT 0,
    -- CRC32C of the committed bytes: all that is needed to go on with the checksum elsewhere.
    committed_crc32c    bigint NOT NULL DEFAULT 0,
    -- Names of the stored segments, in order.
    segments            text[] NOT NULL DEFAULT '{}',
    record_id           uuid NOT NULL,
    job_id              uuid NOT NULL,
    error               jsonb,
    created_at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at          timestamptz NOT NULL,

    CONSTRAINT uploads_request_id_unique UNIQUE (owner, request_id),
    CONSTRAINT uploads_owner_not_empty CHECK (owner <> ''),
    CONSTRAINT uploads_state_known CHECK (state IN ('active', 'committed', 'refused')),
    CONSTRAINT uploads_error_iff_refused CHECK ((state = 'refused') = (error IS NOT NULL)),
    CONSTRAINT uploads_file_name_length CHECK (octet_length(file_name) BETWEEN 1 AND 255),
    CONSTRAINT uploads_ttl_positive CHECK (ttl_s > 0),
    CONSTRAINT uploads_sizes_not_negative CHECK (declared_size_bytes >= 0 AND committed_bytes >= 0),
    CONSTRAINT uploads_crc32c_is_32_bit CHECK (committed_crc32c BETWEEN 0 AND 4294967295)
);
CREATE INDEX uploads_by_expiry ON uploads (expires_at) WHERE state <> 'committed';
CREATE INDEX uploads_by_record ON uploads (record_id) WHERE state = 'committed';
"""

# Requests to change a record, and what came of them.
CHANGES = """
CREATE TABLE changes (
    owner         text NOT NULL,
    request_id    uuid NOT NULL,
    record_id     uuid NOT NULL REFERENCES records (record_id) ON DELETE CASCADE,
    base_revision bigint NOT NULL,
    -- Of all that was asked, to tell a repeated request from another one.
    digest        bytea NOT NULL,
    -- The job that makes the change, or the version that was made at once.
    job_id        uuid,
    revision      bigint,
    -- What a dry run found, once its job has succeeded.
    report        jsonb,
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),

    CONSTRAINT changes_request_id_unique PRIMARY KEY (owner, request_id),
    CONSTRAINT changes_owner_not_empty CHECK (owner <> ''),
    CONSTRAINT changes_job_or_revision CHECK (num_nonnulls(job_id, revision) = 1),
    CONSTRAINT changes_report_of_a_job CHECK (report IS NULL OR job_id IS NOT NULL)
);
CREATE INDEX changes_by_record ON changes (record_id);
CREATE UNIQUE INDEX changes_by_job ON changes (job_id) WHERE job_id IS NOT NULL;
"""

# Files made of versions by jobs.
EXPORTS = """
CREATE TABLE exports (
    -- Not a reference, because exports may outlive jobs.
    job_id     uuid PRIMARY KEY,
    owner      text NOT NULL,
    record_id  uuid NOT NULL,
    revision   bigint NOT NULL,
    request_id uuid NOT NULL,
    -- What was asked for, to tell a repeated request from another one.
    request    jsonb NOT NULL,
    media_type text NOT NULL,
    file_name  text NOT NULL,
    -- All of these or none: the file that the job made.
    object     text,
    size_bytes bigint,
    crc32c     bigint,
    -- How long the file is to live once it is there.
    ttl_s      double precision NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz NOT NULL,

    CONSTRAINT exports_request_id_unique UNIQUE (owner, request_id),
    CONSTRAINT exports_version_exists FOREIGN KEY (record_id, revision)
        REFERENCES versions (record_id, revision) ON DELETE CASCADE,
    CONSTRAINT exports_owner_not_empty CHECK (owner <> ''),
    CONSTRAINT exports_file_complete CHECK (num_nonnulls(object, size_bytes, crc32c) IN (0, 3)),
    CONSTRAINT exports_size_not_negative CHECK (size_bytes >= 0),
    CONSTRAINT exports_crc32c_is_32_bit CHECK (crc32c BETWEEN 0 AND 4294967295),
    CONSTRAINT exports_ttl_positive CHECK (ttl_s > 0)
);
CREATE INDEX exports_by_expiry ON exports (expires_at);
CREATE INDEX exports_by_version ON exports (record_id, revision);
"""

# When a duty that all processes share was last done by one of them.
DUTIES = """
CREATE TABLE duties (
    duty    text PRIMARY KEY,
    done_at timestamptz NOT NULL
);
"""


def upgrade() -> None:
    jobs = (QUEUES, JOBS, JOB_END, JOB_POSITION, PAST_ATTEMPTS)
    for statement in (RECORDS, VERSIONS, *jobs, UPLOADS, CHANGES, EXPORTS, DUTIES):
        op.execute(statement)
