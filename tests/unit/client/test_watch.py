"""Watches: order, resumption, silence."""

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial

import grpc
import pytest

from tablemill.channel import open_channel
from tablemill.client import TablemillClient
from tablemill.errors import NotFoundError, TablemillError, UnavailableError
from tablemill.v1 import ingest_service_pb2 as pb
from tablemill.v1.job_pb2 import JOB_STATE_RUNNING, JOB_STATE_SUCCEEDED, Job
from tablemill.watching import Watch, WatchPlan
from tests.proxy import Proxy
from tests.unit.client.conftest import IMPATIENT
from tests.unit.client.fake import Context, FakeServer, refuse

HEARTBEAT = pb.WatchStatusResponse()
Script = Callable[[Context], AsyncIterator[pb.WatchStatusResponse]]


def running(job_id: str, version: int) -> Job:
    return Job(job_id=job_id, version=version, state=JOB_STATE_RUNNING)


def done(job_id: str, version: int) -> Job:
    return Job(job_id=job_id, version=version, state=JOB_STATE_SUCCEEDED, done=True)


def play(*steps: list[Job] | pb.WatchStatusResponse | grpc.StatusCode, reason: str = "") -> Script:
    """Return a stream that sends these jobs and heartbeats, and ends with a status when one is given."""

    async def script(context: Context) -> AsyncIterator[pb.WatchStatusResponse]:
        for step in steps:
            if isinstance(step, list):
                yield pb.WatchStatusResponse(jobs=step)
            elif isinstance(step, pb.WatchStatusResponse):
                yield step
            else:
                await refuse(context, step, reason)

    return script


def silence_after(*steps: list[Job]) -> Script:
    async def script(context: Context) -> AsyncIterator[pb.WatchStatusResponse]:
        for step in steps:
            yield pb.WatchStatusResponse(jobs=step)
        await asyncio.Event().wait()

    return script


def asked(fake: FakeServer) -> list[dict[str, int]]:
    return [
        {target.job_id: target.after_version for target in request.targets} for request in fake.ingest.watch_requests
    ]


async def test_every_change_is_yielded_until_all_are_done(client: TablemillClient, fake: FakeServer) -> None:
    fake.ingest.watches = [play([running("a", 1), running("b", 4)], HEARTBEAT, [done("b", 5)], [done("a", 2)])]
    seen = [(job.job_id, job.version) async for job in client.watch(["a", "b"])]
    assert seen == [("a", 1), ("b", 4), ("b", 5), ("a", 2)]
    assert asked(fake) == [{"a": 0, "b": 0}]
    assert fake.ingest.watch_requests[0].heartbeat_interval.seconds == 15


async def test_a_first_state_with_version_0_is_yielded(client: TablemillClient, fake: FakeServer) -> None:
    fake.ingest.watches = [play([running("a", 0)], [done("a", 1)])]
    assert [job.version async for job in client.watch(["a"])] == [0, 1]


@pytest.mark.parametrize(
    ("end", "reason"),
    [(grpc.StatusCode.UNAVAILABLE, "SERVER_DRAINING"), (grpc.StatusCode.INTERNAL, ""), (HEARTBEAT, "")],
    ids=["drained", "lost", "ended early with OK"],
)
async def test_a_broken_watch_resumes_after_the_versions_seen(
    client: TablemillClient, fake: FakeServer, end: grpc.StatusCode | pb.WatchStatusResponse, reason: str
) -> None:
    fake.ingest.watches = [
        play([running("a", 3), done("b", 7)], end, reason=reason),
        play([running("a", 3), running("a", 4)], [done("a", 5)]),
    ]
    errors: list[TablemillError] = []
    seen = [(job.job_id, job.version) async for job in client.watch(["a", "b"], on_retry=errors.append)]
    assert seen == [("a", 3), ("b", 7), ("a", 4), ("a", 5)]
    assert asked(fake) == [{"a": 0, "b": 0}, {"a": 3}]
    assert [error.reason for error in errors] == [reason]


async def test_silence_for_three_heartbeats_moves_the_watch_to_a_new_connection(fake: FakeServer) -> None:
    fake.ingest.watches = [silence_after([running("a", 1)]), play([done("a", 2)])]
    async with Proxy(fake.address) as proxy, open_channel(proxy.address) as channel:
        own_channel = partial(open_channel, proxy.address, own_connection=True)
        watch = Watch(channel, own_channel, IMPATIENT, lambda _error: None, asyncio.Semaphore(1))
        seen = []
        async for job in watch.follow(WatchPlan(["a"]), heartbeat_s=0.1):
            seen.append(job.version)
            proxy.freeze()
    assert seen == [1, 2]
    assert proxy.connections == 2
    assert asked(fake) == [{"a": 0}, {"a": 1}]


async def test_heartbeats_keep_a_quiet_watch_alive(fake: FakeServer) -> None:
    async def script(context: Context) -> AsyncIterator[pb.WatchStatusResponse]:
        for _ in range(8):
            yield HEARTBEAT
            await asyncio.sleep(0.1)  # the time itself is what is tested here
        yield pb.WatchStatusResponse(jobs=[done("a", 1)])

    fake.ingest.watches = [script]
    async with open_channel(fake.address) as channel:
        watch = Watch(
            channel, partial(open_channel, fake.address), IMPATIENT, lambda _error: None, asyncio.Semaphore(1)
        )
        assert [job.version async for job in watch.follow(WatchPlan(["a"]), heartbeat_s=0.2)] == [1]
    assert len(asked(fake)) == 1


async def test_an_unknown_job_is_an_error(client: TablemillClient, fake: FakeServer) -> None:
    fake.ingest.watches = [play(grpc.StatusCode.NOT_FOUND, reason="JOB_NOT_FOUND")]
    with pytest.raises(NotFoundError, match="JOB_NOT_FOUND"):
        await anext(client.watch(["a"]))
    assert len(asked(fake)) == 1


async def test_a_watch_that_cannot_be_resumed_raises_the_last_failure(
    client: TablemillClient, fake: FakeServer
) -> None:
    fake.ingest.watches = [play(grpc.StatusCode.UNAVAILABLE, reason="SERVER_DRAINING") for _ in range(10)]
    with pytest.raises(UnavailableError, match="SERVER_DRAINING"):
        await anext(client.watch(["a"]))
    assert len(asked(fake)) == IMPATIENT.attempts


async def test_leaving_a_watch_ends_its_stream(client: TablemillClient, fake: FakeServer) -> None:
    fake.ingest.watches = [silence_after([running("a", 1)])]
    jobs = client.watch(["a"])
    await anext(jobs)
    await jobs.aclose()
    await asyncio.wait_for(fake.ingest.watch_ended.wait(), 5)


async def test_a_heartbeat_that_the_server_would_not_keep_is_refused(client: TablemillClient) -> None:
    with pytest.raises(ValueError, match="5 to 60"):
        await anext(client.watch(["a"], heartbeat_s=1))


def synced(jobs: list[Job], token: str) -> pb.WatchStatusResponse:
    return pb.WatchStatusResponse(jobs=jobs, synced=True, resume_token=token)


async def test_a_watch_of_everything_resumes_where_it_stood(client: TablemillClient, fake: FakeServer) -> None:
    fake.ingest.watches = [
        play(synced([running("a", 1), running("b", 1)], "t1"), [done("b", 2)], grpc.StatusCode.UNAVAILABLE),
        play(synced([running("a", 2), done("b", 2), done("c", 3)], "t2"), grpc.StatusCode.UNAVAILABLE),
        play(synced([running("a", 3)], "t3"), [running("b", 5)], [done("a", 4)]),
    ]
    tokens: list[str] = []
    watch = client.watch_all(
        queues=["q"], states=[JOB_STATE_RUNNING, JOB_STATE_SUCCEEDED], resume_token="t0", on_resume_token=tokens.append
    )
    seen = []
    async for job in watch:
        seen.append((job.job_id, job.version))
        if len(seen) == 8:
            break
    await watch.aclose()
    assert seen == [("a", 1), ("b", 1), ("b", 2), ("a", 2), ("c", 3), ("a", 3), ("b", 5), ("a", 4)]
    assert [request.resume_token for request in fake.ingest.watch_requests] == ["t0", "t1", "t2"]
    assert tokens == ["t1", "t2", "t3"]
    wanted = fake.ingest.watch_requests[2].targets[0].all
    assert (list(wanted.queues), list(wanted.states)) == (["q"], [JOB_STATE_RUNNING, JOB_STATE_SUCCEEDED])


async def test_a_token_is_given_after_the_jobs_before_it_were_taken(client: TablemillClient, fake: FakeServer) -> None:
    fake.ingest.watches = [play(synced([running("a", 1), running("b", 1)], "t1"), [running("a", 2)])]
    tokens: list[str] = []
    watch = client.watch_all(on_resume_token=tokens.append)
    assert (await anext(watch)).job_id == "a"
    assert (await anext(watch)).job_id == "b"
    assert tokens == []
    await anext(watch)
    assert tokens == ["t1"]
    await watch.aclose()


async def test_a_watch_of_records_tells_each_state_once(client: TablemillClient, fake: FakeServer) -> None:
    fake.ingest.watches = [
        play(synced([done("a", 3)], ""), [running("b", 1)], grpc.StatusCode.UNAVAILABLE),
        play(synced([done("a", 3), done("b", 2)], ""), [done("c", 2)]),
    ]
    watch = client.watch_records(["r"])
    assert [((await anext(watch)).job_id) for _ in range(4)] == ["a", "b", "b", "c"]
    assert [target.record_id for target in fake.ingest.watch_requests[1].targets] == ["r"]
    await watch.aclose()


async def test_watches_open_a_few_at_a_time(fake: FakeServer) -> None:
    """Those that wait for their first message are bounded; those that have it are not."""
    begin = asyncio.Event()

    async def script(context: Context) -> AsyncIterator[pb.WatchStatusResponse]:
        await begin.wait()
        yield pb.WatchStatusResponse(jobs=[running("a", 1)], synced=True)
        await asyncio.Event().wait()

    fake.ingest.watches = [script] * 5
    opening = asyncio.Semaphore(2)
    async with open_channel(fake.address) as channel:
        own_channel = partial(open_channel, fake.address)
        watches = [
            Watch(channel, own_channel, IMPATIENT, lambda _error: None, opening).follow(WatchPlan(["a"]), 10)
            for _ in range(5)
        ]
        firsts = [asyncio.create_task(anext(watch)) for watch in watches]
        async with asyncio.timeout(20):
            while len(fake.ingest.watch_requests) < 2:
                await asyncio.sleep(0.01)
        assert opening.locked()
        assert len(fake.ingest.watch_requests) == 2
        begin.set()
        assert [job.version for job in await asyncio.gather(*firsts)] == [1] * 5
        for watch in watches:
            await watch.aclose()
