"""The services as the chaos tests run them, and what they leave behind."""

import asyncio
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, LiteralString

import psutil
import psycopg
from psycopg.rows import dict_row

from shared.database import make_pool
from shared.records.expiry import Expiry
from shared.storage import ObjectStore, open_store
from tests.chaos.steps import Step
from tests.stack import Service, Services
from tests.stack.service import Environment
from worker_service.sweeper import Retention, Sweeper

DEADLINE_S = 60.0
_FOLDERS = ("raw/", "clean/", "rejects/", "uploads/", "partial/")
_AT_ONCE = Retention(every_s=0.0001, orphan_grace_s=0.0001, job_retention_s=86_400)


class Mill(Services):
    """Services that tests do anything to."""

    _closed_workers = 0

    async def start_stopping_worker(self, how: signal.Signals, *steps: Step, env: Environment | None = None) -> Service:
        """Start a worker with one slot that stops itself at each of `steps` once."""
        told = {"CHAOS_STEPS": ",".join(steps), "CHAOS_SIGNAL": how.name, "TABLEMILL_CONCURRENCY": "1"}
        service = self._launch("tests.chaos.stopping_worker", self._workers, {**told, **(env or {})})
        await asyncio.to_thread(service.wait_until_serving)
        return service

    async def start_another_worker(self, env: Environment | None = None) -> Service:
        """Start a worker, with `env` on top of the usual settings, while the event loop goes on."""
        return await asyncio.to_thread(self.start_worker, env)

    def close_workers(self) -> None:
        """Kill all workers."""
        for worker in self._workers:
            worker.close()
        self._closed_workers = len(self._workers)

    def log_tails(self, lines: int = 40) -> dict[str, str]:
        """The end of every log but those of workers that were closed."""
        shown = [*self._ingests, *self._workers[self._closed_workers :]]
        return {service.log_path.stem: service.log_tail(lines) for service in shown}

    async def rows(self, query: LiteralString, *values: Any) -> list[dict[str, Any]]:
        """Return what a query finds."""
        connection = await psycopg.AsyncConnection.connect(self.database_url, autocommit=True, row_factory=dict_row)
        async with connection:
            return await (await connection.execute(query, values)).fetchall()

    async def stored_objects(self) -> set[str]:
        """Return the names of all objects in the store."""
        async with self._store() as store:
            return {e.name for folder in _FOLDERS async for page in store.list_objects(folder) for e in page}

    async def named_objects(self) -> set[str]:
        """Return the names that records have for their objects."""
        rows = await self.rows(
            "SELECT raw_object, clean_object, rejects_object FROM records LEFT JOIN versions USING (record_id)"
        )
        return {name for row in rows for name in row.values() if name}

    async def sweep(self) -> None:
        """Do at once what the workers' sweeper does in its time."""
        async with self._store() as store, make_pool(self.database_url, "test-sweep", max_size=4) as pool:
            assert await Sweeper(Expiry(pool), store, _AT_ONCE).sweep()

    @asynccontextmanager
    async def _store(self) -> AsyncIterator[ObjectStore]:
        store = open_store(self.store_url, emulator_url=self.emulator_url)
        try:
            yield store
        finally:
            await store.close()


async def until_stopped(worker: Service, processes: int = 1) -> None:
    """Wait until so many processes of a worker are stopped, itself among them."""
    root = psutil.Process(worker.pid)
    async with asyncio.timeout(DEADLINE_S):
        while not _are_stopped(root, processes):
            assert worker.alive, "it ended before it stopped"
            await asyncio.sleep(0.02)


def _are_stopped(root: psutil.Process, processes: int) -> bool:
    states: Sequence[str] = [process.status() for process in [root, *root.children(recursive=True)]]
    return states[0] == psutil.STATUS_STOPPED and states.count(psutil.STATUS_STOPPED) >= processes


async def until_killed(worker: Service) -> None:
    """Wait until a worker has killed itself."""
    assert await asyncio.to_thread(worker.wait, DEADLINE_S) == -signal.SIGKILL


async def until_logged(service: Service, text: str, *, times: int = 1) -> None:
    """Wait until a service has logged `text` so many times."""
    async with asyncio.timeout(DEADLINE_S):
        while service.log_text().count(text) < times:
            await asyncio.sleep(0.02)


def attempt_directories(scratch: Path) -> list[Path]:
    """Return the directories of attempts below a scratch directory."""
    return list(scratch.glob("*/attempt-*"))
