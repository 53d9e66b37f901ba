"""Watches of a record or of everything of an owner, at the hub itself: what is told, when, and from where on."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import psycopg
import pytest
from uuid_utils.compat import uuid7

from shared import telemetry
from shared.database import Pool, make_pool
from shared.errors import NotFound, ResourceExhausted, Unavailable
from shared.jobs.changes import JobFilter
from shared.jobs.model import JobState, NewJob
from shared.jobs.operations import Operations
from shared.jobs.queue import JobQueue
from tests.integration.operating import BAD_FILE, PASSING, claim, end
from tests.integration.watching import DEADLINE_S, Client, Replica, add_record, horizon_of, replica_of, until_true
from tests.integration.worker_harness import QUEUE, Jobs

ALL = JobFilter()


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    async with make_pool(database_url, "test", max_size=8) as pool:
        yield pool


@pytest.fixture
async def jobs(pool: Pool) -> Jobs:
    queue = JobQueue(pool)
    for name in (QUEUE, "other"):
        await queue.register(name)
    return Jobs(pool, queue)


@pytest.fixture
async def replica(pool: Pool) -> AsyncIterator[Replica]:
    async with replica_of(pool) as replica:
        yield replica


async def _synced(client: Client, replica: Replica) -> Client:
    client.connect(replica)
    await client.synced.wait()
    assert client.end is None, client.end
    return client


async def _add_to_record(jobs: Jobs, record_id: UUID, owner: str = "o") -> UUID:
    job_id = uuid7()
    async with jobs.pool.connection() as connection:
        await jobs.queue.enqueue(connection, NewJob(job_id, owner, QUEUE, record_id))
    return job_id


async def test_everything_of_an_owner_is_told_now_and_later(jobs: Jobs, replica: Replica) -> None:
    ended, waiting, foreign = await jobs.add(), await jobs.add(), await jobs.add("somebody else")
    (claimed,) = await claim(jobs)
    await end(jobs, claimed)
    client = await _synced(Client("o", every=ALL), replica)
    assert claimed.lease.job_id == ended
    assert waiting in client.told
    assert foreign not in client.told
    ended_xid = int((await jobs.row(ended))["ended_xid"])
    assert client.begun_at is not None
    assert (ended in client.told) == (ended_xid >= client.begun_at), "what ended before is left out"

    new = await jobs.add()
    replica.hint([new, foreign])
    await until_true(lambda: new in client.told)
    claimed_next = await claim(jobs, 3)
    for each in claimed_next:
        await end(jobs, each)
    replica.hint([each.lease.job_id for each in claimed_next])
    await until_true(lambda: client.done(new) and client.done(waiting))
    assert foreign not in client.told
    await client.disconnect()


async def test_with_ended_jobs_asked_for_all_are_told(jobs: Jobs, replica: Replica) -> None:
    await jobs.add_many(803, ["o"])
    for claimed in await claim(jobs, 702):
        await end(jobs, claimed, None if claimed.lease.job_id.int % 2 else BAD_FILE)
    client = await _synced(Client("o", every=ALL, include_ended=True), replica)
    assert len(client.told) == 803
    assert [message.synced for message in client.messages].count(True) == 1
    assert sum(client.done(job_id) for job_id in client.told) == 702
    await client.disconnect()


async def test_filters_by_queue_and_state(jobs: Jobs, replica: Replica) -> None:
    failures = await _synced(Client("o", every=JobFilter(states=frozenset({JobState.FAILED}))), replica)
    others = await _synced(Client("o", every=JobFilter(queues=frozenset({"other"}))), replica)
    good, bad, elsewhere = await jobs.add(), await jobs.add(), await jobs.add(queue="other")
    for claimed in await claim(jobs, 2):
        await end(jobs, claimed, BAD_FILE if claimed.lease.job_id == bad else None)
    replica.hint([good, bad, elsewhere])
    await until_true(lambda: failures.done(bad) and elsewhere in others.told)
    assert set(failures.told) == {bad}
    assert set(others.told) == {elsewhere}
    for each in (failures, others):
        await each.disconnect()


async def test_a_record_tells_its_jobs_those_to_come_too(jobs: Jobs, replica: Replica) -> None:
    record_id, other_record = await add_record(jobs.pool, "o"), await add_record(jobs.pool, "o")
    first, foreign = await _add_to_record(jobs, record_id), await _add_to_record(jobs, other_record)
    (claimed,) = await claim(jobs)
    await end(jobs, claimed)
    client = await _synced(Client("o", record_ids=[record_id]), replica)
    assert client.done(first)
    second = await _add_to_record(jobs, record_id)
    replica.hint([second, foreign])
    await until_true(lambda: second in client.told)
    assert foreign not in client.told

    third = await _add_to_record(jobs, record_id)
    await replica.poll()  # and without any hint
    await until_true(lambda: third in client.told)
    await jobs.rows("DELETE FROM records WHERE record_id = %s", record_id)
    await replica.poll()
    gone = await client.ended()
    assert isinstance(gone, NotFound)
    assert gone.reason == "RECORD_NOT_FOUND"


async def test_unknown_records_and_those_of_others_look_the_same(jobs: Jobs, replica: Replica) -> None:
    theirs = await add_record(jobs.pool, "somebody else")
    await _add_to_record(jobs, theirs, "somebody else")
    refusals = []
    for record_id in (theirs, uuid7()):
        client = Client("o", record_ids=[record_id])
        client.connect(replica)
        refusals.append(str(await client.ended()))
    assert refusals == ["RECORD_NOT_FOUND: no such record"] * 2


async def test_a_job_that_is_removed_ends_its_watch(jobs: Jobs, replica: Replica) -> None:
    job_id = await jobs.add()
    client = await _synced(Client("o", job_ids=[job_id]), replica)
    await jobs.rows("DELETE FROM jobs WHERE job_id = %s", job_id)
    await replica.poll()
    gone = await client.ended()
    assert isinstance(gone, NotFound)
    assert gone.reason == "JOB_NOT_FOUND"


async def test_what_ended_in_between_is_told_by_any_replica(jobs: Jobs, replica: Replica) -> None:
    lasting, failing, waiting = await jobs.add(), await jobs.add(), await jobs.add()
    client = await _synced(Client("o", every=ALL), replica)
    await client.disconnect()
    for claimed, failure in zip(await claim(jobs, 2), (None, BAD_FILE), strict=True):
        await end(jobs, claimed, failure)
    new = await jobs.add()
    (claimed,) = [each for each in await claim(jobs, 2) if each.lease.job_id == waiting]
    await end(jobs, claimed, PASSING)
    async with replica_of(jobs.pool) as other:
        await _synced(client, other)
        assert client.done(lasting)
        assert client.done(failing)
        assert {new, waiting} <= set(client.told)
        await client.disconnect()


async def test_a_commit_that_is_seen_late_is_told_after_a_resumption(jobs: Jobs, replica: Replica) -> None:
    """A job ends in a transaction that began first and commits last: a sequence or a time would pass it over."""
    first, second = await jobs.add(), await jobs.add()
    leases = {each.lease.job_id: each.lease for each in await claim(jobs, 2)}
    async with jobs.pool.connection() as connection:
        async with connection.transaction():
            await jobs.queue.succeed(connection, leases[first])
            await jobs.queue.succeed_many([leases[second]])  # over another connection, at once
            client = await _synced(Client("o", every=ALL), replica)
            await replica.poll()
            await until_true(lambda: len(client.messages) > 2)
            token = client.token
            assert token
            await client.disconnect()
        assert not client.done(first)
    async with replica_of(jobs.pool) as other:
        await _synced(client, other)
        assert client.done(first)
        await client.disconnect()


async def test_the_token_moves_on_with_polls(jobs: Jobs, replica: Replica) -> None:
    client = await _synced(Client("o", every=ALL), replica)
    token = client.token
    job_id = await jobs.add()
    for claimed in await claim(jobs):
        await end(jobs, claimed)
    replica.hint([job_id])
    await until_true(lambda: client.done(job_id))
    ended_xid = int((await jobs.row(job_id))["ended_xid"])
    async with asyncio.timeout(DEADLINE_S):
        while horizon_of(client.token) <= ended_xid:  # transactions of other tests may hold it back
            await replica.poll()
            await asyncio.sleep(0.01)
    assert client.token != token
    await client.disconnect()
    client.told.clear()
    await _synced(client, replica)
    assert client.told == {}, "it was told before the token"
    await client.disconnect()


async def test_a_retried_job_is_told_again(jobs: Jobs, replica: Replica) -> None:
    job_id = await jobs.add()
    for claimed in await claim(jobs):
        await end(jobs, claimed, BAD_FILE)
    client = await _synced(Client("o", every=ALL), replica)
    await Operations(jobs.pool).retry("o", job_id, attempts=1)
    await replica.poll()
    await until_true(lambda: job_id in client.told and not client.done(job_id))
    for claimed in await claim(jobs):
        await end(jobs, claimed)
    late = telemetry.WATCH_LATE._value.get()
    await replica.poll()
    await until_true(lambda: client.done(job_id))
    assert telemetry.WATCH_LATE._value.get() == late + 1, "an operator sees that no event told of it"
    await client.disconnect()


async def test_a_slow_reader_holds_one_state_a_job_and_gets_the_last(jobs: Jobs, replica: Replica) -> None:
    job_ids = list(await jobs.add_many(30, ["o"]))
    client = await _synced(Client("o", every=ALL), replica)
    client.reads.clear()
    claimed = await claim(jobs, 30)
    for done in range(20):
        await jobs.rows("UPDATE jobs SET progress_done = %s, version = version + 1", done)
        replica.hint(job_ids)
        await replica.poll()
        (watcher,) = replica.hub._watchers
        assert len(watcher.pending) <= len(job_ids)
    for each in claimed:
        await end(jobs, each)
    replica.hint(job_ids)
    told_before = len(client.messages)
    await until_true(lambda: all(update.job.state.final for update in watcher.pending.values()) and watcher.pending)
    client.reads.set()
    await until_true(lambda: all(map(client.done, job_ids)))
    assert len(client.messages) - told_before <= 4, "states in between are skipped"
    await client.disconnect()


async def test_a_stream_ends_when_it_is_old_and_goes_on_elsewhere(jobs: Jobs) -> None:
    job_id = await jobs.add()
    async with replica_of(jobs.pool, max_age_s=0.2) as replica:
        client = Client("o", every=ALL)
        client.connect(replica)
        old = await client.ended()
        assert isinstance(old, Unavailable)
        assert old.reason == "STREAM_MAX_AGE"
        assert job_id in client.told
        for claimed in await claim(jobs):
            await end(jobs, claimed)
        await _synced(client, replica)
        assert client.done(job_id)
        await client.disconnect()


async def test_watches_above_the_limit_are_refused(jobs: Jobs) -> None:
    async with replica_of(jobs.pool, max_watches=1) as replica:
        client = await _synced(Client("o", every=ALL), replica)
        refused = Client("o", every=ALL)
        refused.connect(replica)
        assert isinstance(await refused.ended(), ResourceExhausted)
        await client.disconnect()


async def test_idle_watchers_cost_no_statements(jobs: Jobs, replica: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    """Watchers that have started make no statement between polls; a poll makes three, and so many hints one."""
    job_ids = list(await jobs.add_many(40, ["o"]))
    clients = [Client("o", job_ids=[job_id]) for job_id in job_ids] + [Client("o", every=ALL) for _ in range(10)]
    for client in clients:
        client.connect(replica)
    for client in clients:
        await client.synced.wait()
    asked: list[object] = []
    execute = psycopg.AsyncConnection.execute

    async def count(self: psycopg.AsyncConnection[Any], query: Any, *args: Any, **options: Any) -> Any:
        asked.append(query)
        return await execute(self, query, *args, **options)

    monkeypatch.setattr(psycopg.AsyncConnection, "execute", count)
    heard = [len(client.messages) for client in clients]
    counts = list(zip(clients, heard, strict=True))
    await until_true(lambda: all(len(client.messages) > before + 3 for client, before in counts))
    assert asked == []
    await replica.poll()
    await until_true(lambda: len(asked) >= 3)
    assert len(asked) == 3, "the horizon, what rose, what is new"
    await jobs.rows("UPDATE jobs SET version = version + 1")
    del asked[:]
    replica.hint(job_ids)
    await until_true(lambda: all(client.told[job_id].version == 2 for client in clients for job_id in client.told))
    assert len(asked) == 1, "one for all that hints named"
    for client in clients:
        await client.disconnect()
