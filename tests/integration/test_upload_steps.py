"""The service is killed before and after every step of an upload: what was answered is whole, the rest vanishes."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from itertools import count
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from ingest_service.upload import segments
from ingest_service.upload.admission import Admission
from ingest_service.upload.commit import Committer
from ingest_service.upload.receiver import UploadLimits, UploadReceiver
from shared.database import Pool, make_pool
from shared.jobs.notify import Notifier
from shared.jobs.queue import JobQueue
from shared.records.expiry import Expiry
from shared.records.uploads import Uploads, UploadState
from shared.storage import ObjectStore, open_store
from tablemill.v1 import ingest_service_pb2 as pb
from tests.rpc import chunk, finish, header, send
from worker_service.sweeper import Retention, Sweeper

SEGMENT_BYTES = 1024
_FOLDERS = ("raw/", "uploads/", "partial/")


class Life:
    """How many steps the service has left; then nothing it asks for ever comes to an end, as after kill -9."""

    def __init__(self, steps: int | None) -> None:
        self._left = steps
        self.over = asyncio.Event()

    async def step(self) -> None:
        if self._left == 0:
            self.over.set()
            await asyncio.Event().wait()
        if self._left:
            self._left -= 1


class Mortal:
    """Passes calls of coroutine functions on, with a step of `life` before and after each."""

    def __init__(self, target: Any, life: Life) -> None:
        self._target = target
        self._life = life

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, name)
        if not asyncio.iscoroutinefunction(found):
            return found

        async def call(*args: Any) -> Any:
            await self._life.step()
            answer = await found(*args)
            await self._life.step()
            return answer

        return call


class House:
    """A database and a store, and services on them that come and go."""

    def __init__(self, url: str, pool: Pool, store: ObjectStore) -> None:
        self._url = url
        self._pool = pool
        self.store = store
        self.database = psycopg.connect(url, autocommit=True)
        self.uploads = Uploads(pool, idle_ttl_s=3600)

    async def receive(
        self, parts: list[pb.UploadFileRequest], steps: int | None = None
    ) -> tuple[pb.UploadFileResponse | None, bool]:
        """Receive an upload in a service that dies after `steps`; return its answer, if any, and whether it died."""
        life = Life(steps)
        uploads, jobs = Mortal(self.uploads, life), Mortal(JobQueue(self._pool), life)
        committer = Committer(self._pool, uploads, jobs, Notifier(self._url, "test"), job_max_attempts=1)  # type: ignore[arg-type]
        receiver = UploadReceiver(
            Mortal(self.store, life),
            uploads,  # type: ignore[arg-type]
            Mortal(committer, life),  # type: ignore[arg-type]
            Admission(max_uploads=9, max_uploads_per_owner=9),
            UploadLimits(1 << 20, 5, 0),
        )
        answer = asyncio.create_task(receiver.receive("o", send(parts)))
        death = asyncio.create_task(life.over.wait())
        await asyncio.wait([answer, death], return_when=asyncio.FIRST_COMPLETED)
        if answer.done():  # it may still die while it tidies up
            await asyncio.wait([death, tidied := asyncio.create_task(receiver.drain(0))], return_when="FIRST_COMPLETED")
            tidied.cancel()
        death.cancel()
        answer.cancel()
        with suppress(asyncio.CancelledError):
            return await answer, life.over.is_set()
        return None, True

    async def sweep(self) -> None:
        self.database.execute("UPDATE uploads SET expires_at = now() WHERE state <> 'committed'")
        assert await Sweeper(Expiry(self._pool), self.store, Retention(0.0001, 0.0001, 3600)).sweep()

    async def names(self) -> set[str]:
        return {e.name for folder in _FOLDERS async for page in self.store.list_objects(folder) for e in page}

    def raw_objects(self) -> dict[UUID, str]:
        return dict(self.database.execute("SELECT record_id, raw_object FROM records").fetchall())

    def unfinished(self) -> int:
        (number,) = self.database.execute("SELECT count(*) FROM uploads WHERE state <> 'committed'").fetchone() or (0,)
        return int(number)

    async def content(self, record_id: str) -> bytes:
        name = self.raw_objects()[UUID(record_id)]
        return b"".join([piece async for piece in self.store.read(name)])


@pytest.fixture
async def house(database_url: str, store_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    monkeypatch.setattr(segments, "SEGMENT_BYTES", SEGMENT_BYTES)
    async with AsyncExitStack() as held:
        store = open_store(store_url, emulator_url=os.environ["STORAGE_EMULATOR_HOST"])
        held.push_async_callback(store.close)
        house = House(database_url, await held.enter_async_context(make_pool(database_url, "test", max_size=4)), store)
        held.callback(house.database.close)
        yield house


def _parts(data: bytes, request_id: str, start: int = 0) -> list[pb.UploadFileRequest]:
    pieces = [chunk(offset, data[offset : offset + 512]) for offset in range(start, len(data), 512)]
    return [header(request_id=request_id), *pieces, finish(len(data))]


@pytest.mark.parametrize("then", ["abandoned", "resumed"])
@pytest.mark.parametrize("size_bytes", [900, 5 * SEGMENT_BYTES + 100])
async def test_killed_at_every_step(house: House, size_bytes: int, then: str) -> None:
    data = (b"%d,text\n" % size_bytes * 900)[:size_bytes]
    for steps in count():
        request_id = str(uuid4())
        answer, died = await house.receive(_parts(data, request_id), steps)
        upload = await house.uploads.read("o", UUID(request_id))
        if then == "resumed":
            start = upload.committed_bytes if upload and upload.state is UploadState.ACTIVE else 0
            second, _ = await house.receive(_parts(data, request_id, start))
            assert second is not None
            assert answer is None or answer == second
            answer = second
        elif answer is not None:
            assert upload is not None
            assert upload.state is UploadState.COMMITTED
        await house.sweep()
        if answer is not None:
            assert await house.content(answer.record_id) == data
        assert await house.names() == set(house.raw_objects().values()), f"after {steps} steps"
        assert house.unfinished() == 0
        if not died:
            break
    assert steps > 8, "every step of an upload was the last one once"
