"""pgqueuer, through QueueManager, with the asyncpg driver that its documentation puts first."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from importlib import metadata
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg  # type: ignore[import-not-found]
import uvloop
from pgqueuer.db import AsyncpgDriver, AsyncpgPoolDriver  # type: ignore[import-not-found]
from pgqueuer.qm import QueueManager  # type: ignore[import-not-found]
from pgqueuer.queries import Queries  # type: ignore[import-not-found]

from benchmarks.peers.queue_protocol import CLIENTS, Meter, Settings, answer, vital

# https://janbjorge.github.io/pgqueuer/guides/performance-tuning: large batches for short jobs. A pool for the worker,
# which it names too, made no measurable difference.
_SETTINGS: dict[Settings, dict[str, Any]] = {"default": {}, "prompt": {}, "best": {"batch_size": 500}}


class PgQueuer:
    """A manager with one entrypoint. A trigger wakes the workers; there is no switch for it."""

    switches = False

    def __init__(self, enqueuing: Any, working: Any) -> None:
        self.meter = Meter()
        self._queries = Queries(AsyncpgPoolDriver(enqueuing))
        self._working = Queries(AsyncpgDriver(working))

    async def install(self) -> None:
        await self._queries.install()

    async def enqueue(self, *, wake: bool = True) -> None:
        del wake
        await self._queries.enqueue("noop", None)

    async def enqueue_many(self, jobs: int) -> None:
        await self._queries.enqueue(["noop"] * jobs, [None] * jobs, [0] * jobs)

    @contextlib.asynccontextmanager
    async def working(self, settings: Settings) -> AsyncIterator[None]:
        manager = QueueManager(self._working)

        @manager.entrypoint("noop")  # type: ignore[untyped-decorator]
        async def noop(job: Any) -> None:
            del job
            await self.meter.handle()

        worker = vital(manager.run(**_SETTINGS[settings]))
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
    working = await asyncpg.connect(**where)
    async with asyncpg.create_pool(**where, min_size=1, max_size=CLIENTS) as enqueuing:
        try:
            yield PgQueuer(enqueuing, working)
        finally:
            await working.close()


if __name__ == "__main__":
    logging.basicConfig(level="ERROR")
    uvloop.run(answer(_open, metadata.version("pgqueuer")))
