"""pgqueuer, through QueueManager, with the asyncpg driver that its documentation puts first."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg  # type: ignore[import-not-found]
import uvloop
from pgqueuer.db import AsyncpgDriver  # type: ignore[import-not-found]
from pgqueuer.qm import QueueManager  # type: ignore[import-not-found]
from pgqueuer.queries import Queries  # type: ignore[import-not-found]

from benchmarks.peers.queue_protocol import Meter, answer, vital

_BEST = {"batch_size": 100}


class PgQueuer:
    """A manager with one entrypoint."""

    def __init__(self, enqueuing: Any, working: Any) -> None:
        self.meter = Meter()
        self._queries = Queries(AsyncpgDriver(enqueuing))
        self._working = Queries(AsyncpgDriver(working))

    async def install(self) -> None:
        await self._queries.install()

    async def enqueue(self) -> None:
        await self._queries.enqueue("noop", None)

    async def enqueue_many(self, jobs: int) -> None:
        await self._queries.enqueue(["noop"] * jobs, [None] * jobs, [0] * jobs)

    @contextlib.asynccontextmanager
    async def working(self, *, best: bool) -> AsyncIterator[None]:
        manager = QueueManager(self._working)

        @manager.entrypoint("noop")  # type: ignore[untyped-decorator]
        async def noop(job: Any) -> None:
            del job
            self.meter.started()

        options: dict[str, Any] = _BEST if best else {}
        worker = vital(manager.run(**options))
        try:
            yield
        finally:
            manager.shutdown.set()
            worker.cancel()
            await asyncio.gather(worker, return_exceptions=True)


@contextlib.asynccontextmanager
async def _open(url: str) -> AsyncIterator[PgQueuer]:
    parts = urlsplit(url)
    where = {"host": parse_qs(parts.query)["host"][0], "user": "postgres", "database": parts.path[1:]}
    enqueuing, working = await asyncpg.connect(**where), await asyncpg.connect(**where)
    try:
        yield PgQueuer(enqueuing, working)
    finally:
        await enqueuing.close()
        await working.close()


if __name__ == "__main__":
    logging.basicConfig(level="ERROR")
    uvloop.run(answer(_open))
