"""Every change of every job, kept by the database itself: what watchers may have skipped is there too."""

from itertools import groupby, pairwise
from typing import Any

import psycopg

from tests.chaos.mill import Mill

_FINAL = {"succeeded", "failed", "cancelled"}
_SEEN = ("state", "attempt", "progress_stage", "progress_done", "progress_total", "error", "cancel_requested")
_KEEP = """
CREATE TABLE job_changes (change bigserial PRIMARY KEY, job_id uuid, job jsonb);
CREATE FUNCTION keep_job_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO job_changes (job_id, job) VALUES (NEW.job_id, to_jsonb(NEW));
    RETURN NULL;
END $$;
CREATE TRIGGER keep_job_change AFTER INSERT OR UPDATE ON jobs FOR EACH ROW EXECUTE FUNCTION keep_job_change();
"""


def keep_history(database_url: str) -> None:
    """Have the database keep every change from now on."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(_KEEP)


async def check_history(mill: Mill) -> None:
    """Check that no job ever went back: versions, attempts and tokens rise, and nothing follows a success."""
    changes = await mill.rows("SELECT job_id, job FROM job_changes ORDER BY job_id, change")
    assert changes
    for _, of_one in groupby(changes, key=lambda change: change["job_id"]):
        for before, after in pairwise(change["job"] for change in of_one):
            _check_change(before, after)


def _check_change(before: dict[str, Any], after: dict[str, Any]) -> None:
    told = f"\n{before}\n{after}"
    assert before["state"] != "succeeded", f"something followed a success:{told}"
    assert before["lease_token"] <= after["lease_token"], f"the token fell:{told}"
    assert before["version"] <= after["version"], f"the version fell:{told}"
    if any(before[name] != after[name] for name in _SEEN):
        assert before["version"] < after["version"], f"watchers would miss this:{told}"
    if before["state"] != after["state"]:
        assert before["lease_token"] <= after["lease_token"] - ("running" in (before["state"], after["state"])), told
    if before["state"] not in _FINAL and before["attempt"] > after["attempt"]:
        assert (before["state"], after["state"]) == ("running", "ready"), f"an attempt was un-counted:{told}"
