"""What the schema itself promises, read from the catalog or tried against it."""

from uuid import uuid4

import psycopg
import pytest

from shared.migrations.run import migrate

JOB_STATE_WORDS = ("state", "status", "progress", "error", "attempt", "lease", "worker")


def test_record_table_holds_no_job_state(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        columns = [
            name
            for (name,) in connection.execute(
                "SELECT column_name FROM information_schema.columns WHERE table_name = 'records'"
            )
        ]
    assert columns, "the catalog knows the records table"
    assert [name for name in columns if any(word in name for word in JOB_STATE_WORDS)] == []


@pytest.mark.parametrize("table", ["records", "jobs", "uploads"])
def test_every_row_has_an_owner(database_url: str, table: str) -> None:
    with psycopg.connect(database_url) as connection:
        row = connection.execute(
            "SELECT is_nullable FROM information_schema.columns WHERE table_name = %s AND column_name = 'owner'",
            [table],
        ).fetchone()
    assert row == ("NO",)


def test_every_check_constraint_has_a_name_of_its_own(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        names = [
            name
            for (name,) in connection.execute(
                "SELECT conname FROM pg_constraint WHERE contype = 'c' AND connamespace = 'public'::regnamespace"
            )
        ]
    assert len(names) >= 20
    assert [name for name in names if name.endswith("_check")] == [], "generated names say nothing in an error"


def test_migrating_twice_changes_nothing(database_url: str) -> None:
    assert migrate(database_url) == migrate(database_url)


@pytest.mark.parametrize("queue", ["", "a" * 65, "with space", "ünïcode", "semi;colon", "new\nline"])
def test_bad_queue_names_are_refused(database_url: str, queue: str) -> None:
    with psycopg.connect(database_url) as connection:
        with pytest.raises(psycopg.errors.CheckViolation, match="queues_name_format"), connection.transaction():
            connection.execute("INSERT INTO queues (queue) VALUES (%s)", [queue])
        with pytest.raises(psycopg.errors.CheckViolation, match="jobs_queue_name_format"), connection.transaction():
            connection.execute(
                "INSERT INTO jobs (job_id, owner, queue, state, pos, max_attempts) VALUES (%s, 'o', %s, 'ready', 0, 1)",
                [uuid4(), queue],
            )


BROKEN_JOBS = {
    "jobs_state_known": "state = 'asleep'",
    "jobs_leased_iff_running": "state = 'running', worker_id = 'w', attempt = 1",
    "jobs_running_has_worker": "state = 'running', lease_expires_at = now(), deadline_at = now()",
    "jobs_ended_iff_final": "state = 'succeeded'",
    "jobs_failed_has_error": "state = 'failed', ended_at = now()",
    "jobs_attempts_in_bounds": "attempt = 2",
    "jobs_cancel_ends_or_runs": "cancel_requested = true",
    "jobs_owner_not_empty": "owner = ''",
    "jobs_progress_not_negative": "progress_done = -1",
}


@pytest.mark.parametrize("constraint", BROKEN_JOBS)
def test_jobs_refuse_impossible_rows(database_url: str, constraint: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "INSERT INTO jobs (job_id, owner, queue, state, pos, max_attempts) VALUES (%s, 'o', 'q', 'ready', 0, 1)",
            [uuid4()],
        )
        with pytest.raises(psycopg.errors.CheckViolation, match=constraint):
            connection.execute(f"UPDATE jobs SET {BROKEN_JOBS[constraint]}".encode())


BROKEN_VERSIONS = {
    "versions_base_is_older": "base_revision = 1",
    "versions_counts_not_negative": "row_count = -1",
    "versions_crc32c_is_32_bit": "clean_crc32c = -1",
    "versions_rejects_complete": "rejects_object = 'rejects/x'",
}


def _record_with_a_version(connection: psycopg.Connection) -> None:
    record_id = uuid4()
    connection.execute(
        "INSERT INTO records (record_id, owner, file_name, raw_object, raw_size_bytes, raw_crc32c)"
        " VALUES (%s, 'o', 'f', 'raw/x', 1, 1)",
        [record_id],
    )
    connection.execute(
        "INSERT INTO versions (record_id, revision, base_revision, actions, clean_object, clean_size_bytes,"
        " clean_crc32c, row_count, column_count, columns, profile, warnings)"
        " VALUES (%s, 1, 0, '[]', 'clean/x', 1, 0, 1, 1, '[]', '[]', '[]')",
        [record_id],
    )


@pytest.mark.parametrize("constraint", BROKEN_VERSIONS)
def test_versions_refuse_impossible_rows(database_url: str, constraint: str) -> None:
    with psycopg.connect(database_url) as connection:
        _record_with_a_version(connection)
        with pytest.raises(psycopg.errors.CheckViolation, match=constraint):
            connection.execute(f"UPDATE versions SET {BROKEN_VERSIONS[constraint]}".encode())


def test_clean_data_is_whole_or_absent(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        _record_with_a_version(connection)
        with pytest.raises(psycopg.errors.NotNullViolation), connection.transaction():
            connection.execute("UPDATE versions SET profile = NULL")
        with (
            pytest.raises(psycopg.errors.ForeignKeyViolation, match="records_revision_exists"),
            connection.transaction(),
        ):
            connection.execute("UPDATE records SET revision = 2, format = 'csv'")
        with pytest.raises(psycopg.errors.CheckViolation, match="records_format_known"), connection.transaction():
            connection.execute("UPDATE records SET revision = 1")
