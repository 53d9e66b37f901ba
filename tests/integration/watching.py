"""Watch hubs as replicas without a network, and clients that keep what the contract tells them to keep."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import replace
from uuid import UUID

from uuid_utils.compat import uuid7

from ingest_service.watch.hub import WatchHub
from ingest_service.watch.targets import Targets, targets_of
from shared.database import Pool
from shared.errors import Unavailable
from shared.jobs.changes import JobFilter
from shared.jobs.notify import CHANGED_CHANNEL
from shared.records.model import NewRecord
from shared.records.records import insert_record
from tablemill.v1 import ingest_service_pb2 as pb
from tablemill.v1.job_pb2 import Job

DEADLINE_S = 30.0
_HEARTBEAT_S = 0.05


class Replica:
    """One process's hub. It hears what it is told to hear, and polls when it is told to."""

    def __init__(self, pool: Pool, *, poll_s: float = 3600, max_age_s: float = 3600, max_watches: int = 100) -> None:
        self.hub = WatchHub(pool, poll_s=poll_s, max_watches=max_watches, max_age_s=max_age_s)
        self._listener_up = asyncio.Event()
        self._listener_up.set()
        self._task = asyncio.create_task(self.hub.run(self._listener_up))

    def hint(self, job_ids: Iterable[UUID]) -> None:
        self.hub.on_hint(CHANGED_CHANNEL, ",".join(map(str, job_ids)))

    async def poll(self) -> None:
        await self.hub.on_gap()

    async def stop(self) -> None:
        await self.hub.drain()
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task


class Client:
    """A watching client: it keeps the newest version of each job and its resume token, over any number of streams.

    It asserts that no stream tells a version of a job that does not rise, and that none is lower than one told before.
    """

    def __init__(
        self,
        owner: str,
        *,
        job_ids: Iterable[UUID] = (),
        record_ids: Iterable[UUID] = (),
        every: JobFilter | None = None,
        include_ended: bool = False,
    ) -> None:
        self.owner = owner
        self._targets = Targets(
            dict.fromkeys(job_ids, 0), frozenset(record_ids), every, 0 if every and include_ended else None
        )
        self.told: dict[UUID, Job] = {}
        self.messages: list[pb.WatchStatusResponse] = []
        self.synced = asyncio.Event()
        self.reads = asyncio.Event()
        self.reads.set()
        self.token = ""
        self.begun_at: int | None = None
        self.end: Exception | None = None
        self._task: asyncio.Task[None] | None = None

    def targets(self) -> Targets:
        """Return what to ask for now: what is not done, from where it stands."""
        open_ids = [job_id for job_id in self._targets.after_versions if not self.done(job_id)]
        versions = {job_id: self.told[job_id].version if job_id in self.told else 0 for job_id in open_ids}
        since = horizon_of(self.token) if self.token else self._targets.since
        return replace(self._targets, after_versions=versions, since=since)

    def wants(self, row: Mapping[str, object]) -> bool:
        """Return whether a row of the jobs table is among what it asked for."""
        every = self._targets.every
        return row["owner"] == self.owner and (
            row["job_id"] in self._targets.after_versions
            or row["record_id"] in self._targets.record_ids
            or (every is not None and (every.queues is None or row["queue"] in every.queues))
        )

    @property
    def all_of_history(self) -> bool:
        """Whether it asked for what ended before."""
        return self._targets.since == 0 or bool(self._targets.record_ids)

    def named(self, job_id: UUID) -> bool:
        return job_id in self._targets.after_versions

    def done(self, job_id: UUID) -> bool:
        return job_id in self.told and self.told[job_id].done

    @property
    def satisfied(self) -> bool:
        """Whether there is nothing left to ask for."""
        return not self._targets.endless and all(map(self.done, self._targets.after_versions))

    @property
    def connected(self) -> bool:
        return self._task is not None and not self._task.done()

    def connect(self, replica: Replica) -> None:
        assert not self.connected
        self.synced.clear()
        self.end = None
        self._task = asyncio.create_task(self._follow(replica))

    async def disconnect(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def ended(self) -> Exception | None:
        """Wait for the end of the stream; return the error it ended with."""
        assert self._task is not None
        async with asyncio.timeout(DEADLINE_S):
            await self._task
        return self.end

    async def _follow(self, replica: Replica) -> None:
        stream: dict[str, int] = {}
        try:
            async with contextlib.aclosing(replica.hub.watch(self.owner, self.targets(), _HEARTBEAT_S)) as messages:
                async for encoded in messages:
                    await self.reads.wait()
                    self._take(pb.WatchStatusResponse.FromString(encoded), stream)
        except Exception as error:  # noqa: BLE001  # for the test to look at
            self.end = error
            if not isinstance(error, Unavailable):
                self.synced.set()

    def _take(self, message: pb.WatchStatusResponse, stream: dict[str, int]) -> None:
        self.messages.append(message)
        for job in message.jobs:
            job_id = UUID(job.job_id)
            assert job.version > stream.get(job.job_id, 0), "versions rise within a stream"
            stream[job.job_id] = job.version
            if job_id in self.told:
                assert job.version >= self.told[job_id].version, "no event goes backwards"
            self.told[job_id] = job
        if message.resume_token:
            self.token = message.resume_token
            if self.begun_at is None:
                self.begun_at = horizon_of(self.token)
        if message.synced:
            self.synced.set()


def horizon_of(token: str) -> int:
    """Return where a token stands."""
    asked = pb.WatchStatusRequest(targets=[pb.WatchTarget(all=pb.WatchFilter())], resume_token=token)
    since = targets_of(asked).since
    assert since is not None
    return since


async def until_true(holds: Callable[[], object]) -> None:
    """Wait until `holds()` is true."""
    async with asyncio.timeout(DEADLINE_S):
        while not holds():
            await asyncio.sleep(0.005)


async def add_record(pool: Pool, owner: str) -> UUID:
    """Store a record without clean data."""
    record_id = uuid7()
    record = NewRecord(record_id, owner, "x.csv", {}, "raw/x", 1, 0, None)
    async with pool.connection() as connection:
        await insert_record(connection, record)
    return record_id


@contextlib.asynccontextmanager
async def replica_of(pool: Pool, **options: float) -> AsyncIterator[Replica]:
    replica = Replica(pool, **options)  # type: ignore[arg-type]
    try:
        yield replica
    finally:
        await replica.stop()
