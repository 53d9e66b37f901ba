"""What the rows of the jobs table tell: as facts to compare with the model, and as changes that keep the rules."""

from collections.abc import Mapping, Sequence
from typing import Any, LiteralString
from uuid import UUID

from shared.jobs.model import JobProgress, JobState, Outlook
from shared.jobs.operations import QueueStatus
from tests.integration.jobs_model import Model

Rows = Mapping[UUID, Mapping[str, Any]]

READ: LiteralString = """
SELECT *, coalesce(lease_expires_at < clock_timestamp(), false) AS expired,
       state = 'scheduled' AND run_at <= clock_timestamp() AS due,
       ARRAY(SELECT token FROM effects WHERE effects.job_id = jobs.job_id ORDER BY token) AS effects
FROM jobs
"""
MAKE_EFFECTS: LiteralString = (
    "CREATE TABLE effects (job_id uuid NOT NULL REFERENCES jobs ON DELETE CASCADE, token bigint NOT NULL)"
)
_HIDDEN = {"pos", "ready_at", "args", "crash_count", "lease_token", "lease_expires_at", "deadline_at", "worker_id"}
_HIDDEN |= {"expired", "due", "effects"}  # of which the first two are no columns
_SAME_NAME = ("owner", "queue", "max_attempts", "state", "attempt", "crash_count", "worker_id", "expired", "due")


def facts(rows: Rows) -> dict[UUID, dict[str, Any]]:
    """Return what the model knows too."""
    return {job_id: _facts(row) for job_id, row in rows.items()}


def _facts(row: Mapping[str, Any]) -> dict[str, Any]:
    progress = (row["progress_stage"], row["progress_done"], row["progress_total"], row["progress_unit"])
    return {name: row[name] for name in (*_SAME_NAME, "cancel_requested", "version", "effects")} | {
        "token": row["lease_token"],
        "progress": progress,
        "error": row["error"] and row["error"]["reason"],
        "history": [(past["attempt"], past["outcome"]) for past in row["history"]],
    }


def expected(model: Model) -> dict[UUID, dict[str, Any]]:
    """Return what `facts` should be."""
    found = {}
    for job_id, job in model.jobs.items():
        shown = job.progress or JobProgress("")
        progress = (shown.stage or None, shown.done, shown.total, shown.unit or None)
        found[job_id] = vars(job) | {"progress": progress}
        del found[job_id]["succeeded_by"], found[job_id]["retries"]
    return found


def check_facts(model: Model, rows: Rows) -> None:
    """Raise AssertionError when rows are not as the model has them; it names what is wrong."""
    found, wanted = facts(rows), expected(model)
    assert found.keys() == wanted.keys()
    wrong = [
        f"{name} of job {job_id} is {found[job_id][name]}, but should be {value}"
        for job_id, job in wanted.items()
        for name, value in job.items()
        if found[job_id][name] != value
    ]
    assert not wrong, wrong


def check_changes(before: Rows, after: Rows, retried: frozenset[UUID]) -> None:
    """Raise AssertionError when a row changed as no row may, whatever happened, except that `retried` began anew."""
    assert before.keys() <= after.keys()
    for job_id, old in before.items():
        new = after[job_id]
        assert new["lease_token"] >= old["lease_token"]
        assert old["effects"] == new["effects"][: len(old["effects"])], "effects stay"
        assert len(new["effects"]) <= 1, "an effect counts once"
        assert not new["effects"] or new["state"] == JobState.SUCCEEDED
        if old["state"] == new["state"] == JobState.RUNNING and old["lease_token"] != new["lease_token"]:
            assert new["lease_token"] >= old["lease_token"] + 2, "one lease ended before the next began"
        if any(old[name] != new[name] for name in old.keys() - _HIDDEN):
            assert new["version"] > old["version"], "what watchers can see changed"
        else:
            assert new["version"] == old["version"]
        if JobState(old["state"]).final and old["state"] != new["state"]:
            assert job_id in retried, "the end is the end"


def check_outlook(model: Model, outlook: Outlook) -> None:
    """Raise AssertionError when a look at the queues tells something else than the model."""
    jobs = model.jobs.values()
    assert outlook.ready == {job.queue for job in jobs if job.state is JobState.READY} - model.paused
    waits = [job.due or job.expired for job in jobs if job.state in {JobState.SCHEDULED, JobState.RUNNING}]
    assert (outlook.due_s is None) == (not waits)
    assert outlook.due_s is None or (outlook.due_s <= 0) == any(waits)


def check_queues(model: Model, queues: Sequence[QueueStatus]) -> None:
    """Raise AssertionError when operators are told something else than the model."""
    assert {queue.queue for queue in queues} == set(model.caps)
    for queue in queues:
        states = [job.state for job in model.jobs.values() if job.queue == queue.queue]
        counts = [states.count(state) for state in (JobState.READY, JobState.SCHEDULED, JobState.RUNNING)]
        assert [queue.ready, queue.scheduled, queue.running] == counts
        assert (queue.paused_at is not None) == (queue.queue in model.paused)
