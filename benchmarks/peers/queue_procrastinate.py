"""procrastinate, through App and run_worker_async."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Any

import procrastinate  # type: ignore[import-not-found]
import uvloop

from benchmarks.peers.queue_protocol import CLIENTS, Meter, Settings, answer, vital

# https://procrastinate.readthedocs.io/en/stable/howto/production/concurrency.html
_SETTINGS: dict[Settings, dict[str, Any]] = {"default": {}, "prompt": {}, "best": {"concurrency": 30}}


class Procrastinate:
    """An app with one task. A trigger wakes the workers; there is no switch for it."""

    switches = False

    def __init__(self, app: Any) -> None:
        self.meter = Meter()
        self._app = app
        self._task = app.task(queue="noop", name="noop")(self.meter.handle)

    async def install(self) -> None:
        await self._app.schema_manager.apply_schema_async()

    async def enqueue(self, *, wake: bool = True) -> None:
        del wake
        await self._task.defer_async()

    async def enqueue_many(self, jobs: int) -> None:
        await self._task.batch_defer_async(*({} for _ in range(jobs)))

    @contextlib.asynccontextmanager
    async def working(self, settings: Settings) -> AsyncIterator[None]:
        worker = vital(
            self._app.run_worker_async(queues=["noop"], install_signal_handlers=False, **_SETTINGS[settings])
        )
        try:
            yield
        finally:
            worker.cancel()
            await asyncio.gather(worker, return_exceptions=True)


@contextlib.asynccontextmanager
async def _open(url: str) -> AsyncIterator[Procrastinate]:
    app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=url, max_size=CLIENTS))
    async with app.open_async():
        yield Procrastinate(app)


if __name__ == "__main__":
    logging.basicConfig(level="ERROR")
    uvloop.run(answer(_open, procrastinate.__version__))
