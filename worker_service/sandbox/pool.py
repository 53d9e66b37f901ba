"""Sandbox processes kept ready, so that a job does not wait for imports."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from shared import telemetry
from shared.jobs.backoff import full_jitter_s
from shared.jobs.model import JobProgress
from worker_service.sandbox.process import Limits, SandboxProcess, SpareDied

logger = logging.getLogger(__name__)


class SandboxPool:
    """Keeps `spares` processes that have imported `preload` and wait for work. Run `run()` beside the service."""

    def __init__(self, *, spares: int, preload: Sequence[str]) -> None:
        self._preload = preload
        self._room = asyncio.Semaphore(spares)
        self._ready: asyncio.Queue[SandboxProcess] = asyncio.Queue()

    async def run(self) -> None:
        """Replace processes as they are taken, until cancelled."""
        failures = 0
        try:
            while True:
                await self._room.acquire()
                try:
                    process = await SandboxProcess.start(self._preload)
                except (RuntimeError, OSError, TimeoutError) as error:
                    failures += 1
                    self._room.release()
                    logger.error("no sandbox process", exc_info=error)  # noqa: TRY400  # only what went wrong counts
                    await asyncio.sleep(full_jitter_s(failures, base_s=0.5, cap_s=15))
                else:
                    failures = 0
                    self._ready.put_nowait(process)
        finally:
            while not self._ready.empty():
                await self._ready.get_nowait().close()

    async def run_task(
        self,
        target: str,
        args: Mapping[str, Any],
        *,
        scratch: Path,
        limits: Limits,
        on_progress: Callable[[JobProgress], None],
    ) -> dict[str, Any]:
        """Run "module:function" on `args` in a fresh process; return its result. Raises JobFailed."""
        while True:
            process = await self._ready.get()
            self._room.release()
            try:
                return await process.run(target, args, scratch=scratch, limits=limits, on_progress=on_progress)
            except SpareDied:
                logger.warning("a spare sandbox process died", extra=telemetry.facts(pid=process.pid))
