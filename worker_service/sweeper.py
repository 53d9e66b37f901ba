"""Removes what is over: abandoned uploads, expired records and exports, old jobs, and objects that no row names.

Safe to run on every worker: one at a time does it, and every step may be done twice.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from shared import telemetry
from shared.records.expiry import Expiry
from shared.storage import ObjectStore, StoreError
from worker_service.outages import OUTAGE, pause_for_outage

_DUTY = "sweep"
_BATCH = 100
_JOBS_BATCH = 1000
_LOOKS_A_PERIOD = 10
_DELETES_AT_ONCE = 4
_FOLDERS = ("uploads/", "raw/", "clean/", "rejects/", "exports/", "partial/")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Retention:
    """How often to sweep, how old an object without a row must be, and how long an ended job stays; in seconds."""

    every_s: float
    orphan_grace_s: float
    job_retention_s: float


class Sweeper:
    """Run `run()` beside the worker."""

    def __init__(self, expiry: Expiry, store: ObjectStore, retention: Retention) -> None:
        self._expiry = expiry
        self._store = store
        self._retention = retention

    async def run(self) -> None:
        """Sweep whenever it is time, until cancelled."""
        failures = 0
        while True:
            try:
                await self.sweep()
                failures = 0
            except OUTAGE as error:
                failures += 1
                await pause_for_outage(_DUTY, failures, error)
                continue
            except StoreError:
                logger.warning("the object store is away; the sweep goes on later", exc_info=True)
            pause_s = self._retention.every_s / _LOOKS_A_PERIOD
            await asyncio.sleep(random.uniform(0.8, 1.2) * pause_s)  # noqa: S311  # spreads load, guards no secret

    async def sweep(self) -> bool:
        """Sweep once if it is this process's turn; return whether it was. Raises StoreError."""
        async with self._expiry.leading(_DUTY, every_s=self._retention.every_s) as turn:
            if turn:
                await self._forget("uploads", self._expiry.forget_uploads)
                await self._forget("records", self._expiry.forget_records)
                await self._forget("exports", self._expiry.forget_exports)
                await self._forget_jobs()
                for folder in _FOLDERS:
                    await self._delete_orphans(folder)
            return turn

    async def _forget(self, kind: str, forget: Callable[[int], Awaitable[Sequence[Sequence[str]]]]) -> None:
        while gone := await forget(_BATCH):
            telemetry.SWEPT.labels(kind).inc(len(gone))
            await self._delete([name for objects in gone for name in objects])

    async def _forget_jobs(self) -> None:
        after = None
        while True:
            gone, after = await self._expiry.forget_jobs(
                after, keep_s=self._retention.job_retention_s, limit=_JOBS_BATCH
            )
            telemetry.SWEPT.labels("jobs").inc(gone)
            if after is None:
                return

    async def _delete_orphans(self, folder: str) -> None:
        async for page in self._store.list_objects(folder):
            orphans = await self._expiry.unreferenced(page, grace_s=self._retention.orphan_grace_s)
            if orphans:
                logger.info("objects that no row names", extra=telemetry.facts(folder=folder, objects=len(orphans)))
                await self._delete(orphans)
                telemetry.SWEPT.labels("orphans").inc(len(orphans))

    async def _delete(self, names: Sequence[str]) -> None:
        shares = [names[start::_DELETES_AT_ONCE] for start in range(_DELETES_AT_ONCE)]
        await asyncio.gather(*(self._store.delete(share) for share in shares))
