"""How a service process lives: its tasks run until a signal asks to stop, or until one of them dies."""

import asyncio
import json
import logging
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from shared import telemetry

logger = logging.getLogger(__name__)


def announce(service: str, address: str, metrics_address: str) -> None:
    """Print the one line on stdout that says where this process serves."""
    line = {"event": "serving", "service": service, "address": address, "metrics_address": metrics_address}
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def stop_on_signals(stop: asyncio.Event) -> None:
    """Set `stop` on SIGTERM and SIGINT from now on. Call it before `announce`: who reads that may send one."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)


async def run_until_stopped(
    background: list[Coroutine[Any, Any, None]], *, drain: Callable[[], Awaitable[None]], stop: asyncio.Event
) -> int:
    """Run `background` until somebody sets `stop`; then await `drain()` and cancel them.

    Return the exit code. `stop` is set in any case before the drain.

    A background task that ends by itself is a failure: the process drains and exits with 1, so that whatever
    supervises it starts a whole one.
    """
    tasks = [asyncio.create_task(coroutine) for coroutine in background]
    stopped = asyncio.create_task(stop.wait())
    done, _ = await asyncio.wait([stopped, *tasks], return_when=asyncio.FIRST_COMPLETED)
    failed = [task for task in done if task is not stopped]
    for task in failed:
        logger.error("a background task ended", exc_info=None if task.cancelled() else task.exception())
    logger.info("draining", extra=telemetry.facts(reason="task ended" if failed else "asked"))
    stop.set()
    await drain()
    stopped.cancel()
    for task in tasks:
        task.cancel()
    await asyncio.gather(stopped, *tasks, return_exceptions=True)
    return 1 if failed else 0
