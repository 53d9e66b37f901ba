"""What an outage of Postgres looks like, and how to sit it out."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

import psycopg
from psycopg_pool import PoolTimeout

from shared import telemetry
from shared.jobs.backoff import full_jitter_s

OUTAGE = (psycopg.OperationalError, PoolTimeout, TimeoutError)
_BASE_S = 0.2
_CAP_S = 3.0
T = TypeVar("T")

logger = logging.getLogger(__name__)


async def pause_for_outage(duty: str, failures: int, error: BaseException) -> None:
    """Log that Postgres is away and wait before the next try, longer with every failure."""
    logger.warning("the database is away", extra=telemetry.facts(duty=duty, error=type(error).__name__))
    await asyncio.sleep(full_jitter_s(failures, base_s=_BASE_S, cap_s=_CAP_S))


async def through_outages(duty: str, call: Callable[[], Awaitable[T]]) -> T:
    """Await `call()` again and again until Postgres answers. Only for what may be done twice."""
    failures = 0
    while True:
        try:
            return await call()
        except OUTAGE as error:
            failures += 1
            await pause_for_outage(duty, failures, error)
