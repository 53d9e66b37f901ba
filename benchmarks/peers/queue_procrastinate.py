"""procrastinate, through App and run_worker_async."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Any

import procrastinate  # type: ignore[import-not-found]
import uvloop

from benchmarks.peers.queue_protocol import Meter, answer, vital

_BEST = {"concurrency": 50}


class Procrastinate:
    """An app with one task."""

    def __init__(self, app: Any) -> None:
        self.meter = Meter()
        self._app = app

        async def noop() -> None:
            self.meter.started()

        self._task = app.task(queue="noop", name="noop")(noop)

    async def install(self) -> None:
        await self._app.schema_manager.apply_schema_async()

    async def enqueue(self) -> None:
        await self._task.defer_async()

    async def enqueue_many(self, jobs: int) -> None:
        await self._task.batch_defer_async(*({} for _ in range(jobs)))

    @contextlib.asynccontextmanager
    async def working(self, *, best: bool) -> AsyncIterator[None]:
        options: dict[str, Any] = _BEST if best else {}
        worker = vital(self._app.run_worker_async(queues=["noop"], install_signal_handlers=False, **options))
        try:
            yield
        finally:
            worker.cancel()
            await asyncio.gather(worker, return_exceptions=True)


@contextlib.asynccontextmanager
async def _open(url: str) -> AsyncIterator[Procrastinate]:
    app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=url, max_size=10))
    async with app.open_async():
        yield Procrastinate(app)


if __name__ == "__main__":
    logging.basicConfig(level="ERROR")
    uvloop.run(answer(_open))
