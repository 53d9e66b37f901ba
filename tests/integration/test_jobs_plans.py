"""On a table of 100,000 jobs, with and without statistics, every statement of a worker walks the index it names.

Plans are those of prepared statements, made for any values, since that is what workers run after a few calls.
"""

from collections.abc import Iterator
from typing import Any, LiteralString
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from shared.jobs import changes, order, statements
from tests.conftest import Servers

ROWS = 100_000
FILL = """
INSERT INTO jobs (job_id, owner, queue, state, pos, max_attempts, attempt, worker_id, run_at,
                  lease_expires_at, deadline_at, ended_at, error)
SELECT gen_random_uuid(), 'o' || mod(n, 50), CASE WHEN mod(n, 10) = 0 THEN 'rare' ELSE 'toy' END, state, n, 5, 1, 'w',
       now(), CASE WHEN state = 'running' THEN now() END, CASE WHEN state = 'running' THEN now() END,
       CASE WHEN state IN ('succeeded', 'failed') THEN now() END, '{}'
FROM generate_series(1, %s) AS n, LATERAL (SELECT CASE
    WHEN mod(n, 1000) = 7 THEN 'running' WHEN mod(n, 5) = 1 THEN 'ready' WHEN mod(n, 50) = 2 THEN 'scheduled'
    WHEN mod(n, 50) = 3 THEN 'failed' ELSE 'succeeded' END AS state) AS given
"""
KEYS = {"job_ids": "uuid[]", "tokens": "bigint[]"}
CLAIM = {
    "queue": "text", "worker_id": "text", "lease_s": "float8", "timeout_s": "float8", "limit": "smallint",
}  # fmt: skip


@pytest.fixture(scope="module")
def table(servers: Servers, template_database: str) -> Iterator[psycopg.Connection]:
    url = servers.databases.create_database(template_database)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ALTER TABLE jobs SET (autovacuum_enabled = false)")
        connection.execute("INSERT INTO queues (queue) VALUES ('toy'), ('rare')")
        connection.execute(FILL, [ROWS])
        connection.execute("SET plan_cache_mode = force_generic_plan")
        yield connection
    servers.databases.drop_database(url)


@pytest.fixture(scope="module", params=["no statistics", "analyzed"])
def filled(request: pytest.FixtureRequest, table: psycopg.Connection) -> psycopg.Connection:
    if request.param == "analyzed":
        table.execute("VACUUM ANALYZE jobs")
    return table


def _plan(connection: psycopg.Connection, statement: LiteralString, types: dict[str, str]) -> str:
    """Return the generic plan of a statement whose parameters have these types."""
    numbers = {name: sql.SQL(f"${number}") for number, name in enumerate(types, 1)}
    text = statement.replace("{", "{{").replace("}", "}}").replace("%%", "%")
    for name, number in numbers.items():
        text = text.replace(f"%({name})s", number.as_string())
    connection.execute(f"PREPARE walked ({', '.join(types.values())}) AS {text}".encode())
    arguments = ", ".join(["NULL"] * len(types))
    rows = connection.execute(f"EXPLAIN EXECUTE walked ({arguments})".encode()).fetchall()
    connection.execute("DEALLOCATE walked")
    return "\n".join(str(row[0]) for row in rows)


ROW_BY_KEY: dict[str, tuple[LiteralString, dict[str, str]]] = {
    "succeed": (statements.SUCCEED, KEYS),
    "succeeded with": (statements.SUCCEEDED_WITH, KEYS),
    "release": (statements.RELEASE, {**KEYS, "error": "jsonb"}),
    "heartbeat": (
        statements.HEARTBEAT,
        {
            **KEYS, "lease_s": "float8", "stages": "text[]", "dones": "bigint[]", "totals": "bigint[]",
            "units": "text[]",
        },
    ),
    "fail": (
        statements.FAIL,
        {
            "job_id": "uuid", "token": "bigint", "crash": "boolean", "retryable": "boolean", "max_crashes": "integer",
            "backoff_s": "float8", "error": "jsonb",
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ROW_BY_KEY)
def test_a_leased_job_is_found_by_its_primary_key(filled: psycopg.Connection, name: str) -> None:
    plan = _plan(filled, *ROW_BY_KEY[name])
    assert "jobs_pkey" in plan
    assert "jobs_running" not in plan
    assert "Seq Scan" not in plan


def test_a_claim_walks_ready_jobs_in_order_and_updates_by_key(filled: psycopg.Connection) -> None:
    plan = _plan(filled, order.CLAIM, {**CLAIM, "low_water": "bigint"})
    assert "Index Scan using jobs_ready on" in plan
    assert "Scan using jobs_pkey" in plan or "Bitmap Index Scan on jobs_pkey" in plan
    assert "Seq Scan on jobs" not in plan
    assert "Sort" not in plan


def test_a_claim_under_a_cap_walks_ready_jobs_in_order(filled: psycopg.Connection) -> None:
    plan = _plan(filled, order.CLAIM_CAPPED, CLAIM)
    assert "Index Scan using jobs_ready on" in plan
    assert "jobs_running" in plan
    assert "Seq Scan on jobs" not in plan


def test_what_a_worker_holds_is_found_among_what_runs(filled: psycopg.Connection) -> None:
    plan = _plan(filled, statements.HELD_BY, {"worker_id": "text"})
    assert "jobs_running" in plan
    assert "Seq Scan" not in plan


def test_a_claim_under_an_owners_cap_skips_from_owner_to_owner(filled: psycopg.Connection) -> None:
    plan = _plan(filled, order.CLAIM_PER_OWNER, CLAIM)
    assert plan.count("jobs_ready_by_owner") == 2
    assert "using jobs_ready on" not in plan
    assert "jobs_running" in plan
    assert "Seq Scan on jobs" not in plan


def test_a_rescue_walks_what_runs(filled: psycopg.Connection) -> None:
    plan = _plan(filled, statements.RESCUE, {"limit": "bigint", "max_crashes": "integer", "error": "jsonb"})
    assert "jobs_running" in plan
    assert "Seq Scan on jobs" not in plan


def test_a_promotion_walks_what_is_scheduled(filled: psycopg.Connection) -> None:
    plan = _plan(filled, statements.PROMOTE, {"limit": "bigint"})
    assert "Index Scan using jobs_scheduled" in plan
    assert "Seq Scan on jobs" not in plan


def test_an_outlook_looks_at_the_head_of_each_index(filled: psycopg.Connection) -> None:
    plan = _plan(filled, statements.OUTLOOK, {"unused": "text"})
    assert all(index in plan for index in ("jobs_scheduled", "jobs_running", "jobs_ready"))
    assert "Seq Scan on jobs" not in plan


def test_an_enqueueing_of_many_looks_for_the_head_of_the_queue_once(filled: psycopg.Connection) -> None:
    """And not once for each owner: beside a long transaction it is a walk over all that was claimed meanwhile."""
    jobs = 20
    values: dict[str, Any] = {
        "job_ids": [uuid4() for _ in range(jobs)], "owners": [f"o{number}" for number in range(jobs)],
        "queues": ["toy"] * jobs, "record_ids": [None] * jobs, "args": ["{}"] * jobs, "max_attempts": [5] * jobs,
        "low_waters": [0] * jobs,
    }  # fmt: skip
    with filled.transaction(force_rollback=True):
        explain = "EXPLAIN (ANALYZE, FORMAT JSON) "
        row = filled.execute(explain.encode() + order.ENQUEUE_MANY.encode(), values).fetchone()
    assert row is not None
    heads = [node for node in _nodes(row[0][0]["Plan"]) if node.get("Index Name") == "jobs_ready"]
    assert [node["Actual Loops"] for node in heads] == [1]


PAGE = {"owner": "text", "states": "text[]", "queues": "text[]", "after_id": "uuid", "limit": "bigint"}
OF_WATCHERS: dict[str, tuple[LiteralString, dict[str, str], set[str]]] = {
    "read": (changes._READ, {"job_ids": "uuid[]"}, {"jobs_pkey"}),
    "read of": (
        changes._READ_OF, {"job_ids": "uuid[]", "owners": "text[]", "record_ids": "uuid[]"}, {"jobs_pkey"}
    ),
    "records": (changes._READ_OF_RECORDS, {"owner": "text", "record_ids": "uuid[]"}, {"jobs_by_record"}),
    "open": (changes._OPEN_PAGE, PAGE, {"jobs_by_owner", "jobs_running"}),
    "ended": (changes._ENDED_PAGE, {**PAGE, "horizon": "bigint", "after_xid": "bigint"}, {"jobs_ended_by_owner"}),
    "risen": (changes._RISEN, {"job_ids": "uuid[]", "versions": "bigint[]"}, {"jobs_pkey"}),
    "unknown": (
        changes._UNKNOWN,
        {"job_ids": "uuid[]", "owners": "text[]", "horizons": "bigint[]", "record_ids": "uuid[]"},
        {"jobs_by_owner", "jobs_running", "jobs_ended_by_owner", "jobs_by_record"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OF_WATCHERS)
def test_what_watchers_ask_walks_indexes(filled: psycopg.Connection, name: str) -> None:
    statement, types, indexes = OF_WATCHERS[name]
    plan = _plan(filled, statement, types)
    assert "Seq Scan on jobs" not in plan
    assert {index for index in indexes if index in plan} == indexes


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", []):
        yield from _nodes(child)


@pytest.mark.parametrize("limit", [1, 200])
def test_a_claim_touches_no_more_than_it_takes(filled: psycopg.Connection, limit: int) -> None:
    values: dict[str, Any] = {
        "queue": "toy", "worker_id": "w", "lease_s": 60.0, "timeout_s": 60.0, "limit": limit, "low_water": 0,
    }  # fmt: skip
    with filled.transaction(force_rollback=True):
        explain = "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) "
        row = filled.execute(explain.encode() + order.CLAIM.encode(), values).fetchone()
    assert row is not None
    plan = row[0][0]["Plan"]
    assert plan["Actual Rows"] == limit
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 60 * limit + 100
