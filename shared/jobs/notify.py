"""Wake-ups through LISTEN / NOTIFY. They are hints: losing all of them costs latency, never correctness.

Hints are sent outside the data transactions, since NOTIFY takes a lock through commit that would line up every
writer of the database, and coalesced, so that a burst of changes is one statement.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable
from uuid import UUID, uuid4

import psycopg

from shared import telemetry
from shared.database import Connection, connect
from shared.jobs.backoff import full_jitter_s

READY_CHANNEL = "tablemill_ready"  # payload: a queue that has work
CHANGED_CHANNEL = "tablemill_changed"  # payload: job ids, separated by commas
CANCEL_CHANNEL = "tablemill_cancel"  # payload: ids of running jobs that have to stop, separated by commas
_COALESCE_S = 0.005
_IDS_PER_PAYLOAD = 200  # a payload holds less than 8000 bytes, an id takes 37
_PROBE_EVERY_S = 10.0
_PROBE_TIMEOUT_S = 5.0

logger = logging.getLogger(__name__)


class Notifier:
    """Sends hints, coalesced, over a connection of its own. Run `run()` beside the service."""

    def __init__(self, database_url: str, application: str) -> None:
        self._database_url = database_url
        self._application = application
        self._queues: set[str] = set()
        self._job_ids: set[UUID] = set()
        self._cancelled_ids: set[UUID] = set()
        self._pending = asyncio.Event()
        self._settled = asyncio.Event()
        self._settled.set()

    def ready(self, queues: Iterable[str]) -> None:
        """Tell workers that `queues` have work. Call it after the commit."""
        self._queues.update(queues)
        self._note()

    def changed(self, job_ids: Iterable[UUID]) -> None:
        """Tell watchers that jobs changed. Call it after the commit."""
        self._job_ids.update(job_ids)
        self._note()

    def cancel(self, job_id: UUID) -> None:
        """Tell the worker of a running job that it has to stop. Call it after the commit."""
        self._cancelled_ids.add(job_id)
        self._note()

    def _note(self) -> None:
        self._settled.clear()
        self._pending.set()

    async def run(self) -> None:
        """Send until cancelled; reconnect as needed. Hints that meet a broken connection are dropped."""
        failures = 0
        while True:
            try:
                async with await connect(self._database_url, f"{self._application}-notify") as connection:
                    failures = 0
                    while True:
                        await self._pending.wait()
                        await self._flush(connection)
                        await asyncio.sleep(_COALESCE_S)
            except psycopg.OperationalError as error:
                failures += 1
                logger.warning("notifier reconnects", extra=telemetry.facts(error=type(error).__name__))
                await asyncio.sleep(full_jitter_s(failures, base_s=0.2, cap_s=5))

    async def settle(self, timeout_s: float) -> None:
        """Wait until all hints are out, at most `timeout_s`: before the process ends."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._settled.wait()

    async def _flush(self, connection: Connection) -> None:
        # Critical section: taken and cleared without an await between, so that no hint falls through.
        self._pending.clear()
        queues, self._queues = self._queues, set()
        job_ids, self._job_ids = self._job_ids, set()
        cancelled_ids, self._cancelled_ids = self._cancelled_ids, set()
        payloads = [(READY_CHANNEL, queue) for queue in queues]
        payloads += _id_payloads(CHANGED_CHANNEL, job_ids) + _id_payloads(CANCEL_CHANNEL, cancelled_ids)
        await connection.execute(
            "SELECT pg_notify(channel, payload) FROM unnest(%s::text[], %s::text[]) AS hint (channel, payload)",
            [[channel for channel, _ in payloads], [payload for _, payload in payloads]],
        )
        if not self._pending.is_set():
            self._settled.set()


def _id_payloads(channel: str, job_ids: Iterable[UUID]) -> list[tuple[str, str]]:
    texts = [str(job_id) for job_id in job_ids]
    return [
        (channel, ",".join(texts[start : start + _IDS_PER_PAYLOAD])) for start in range(0, len(texts), _IDS_PER_PAYLOAD)
    ]


def job_ids_in(payload: str) -> list[UUID]:
    """Return the job ids that a hint names; what is none is left out."""
    job_ids = []
    for text in payload.split(","):
        with contextlib.suppress(ValueError):
            job_ids.append(UUID(text))
    return job_ids


class Listener:
    """Receives hints over one session, and proves every 10 seconds that they still arrive.

    `on_hint(channel, payload)` is called for each; `on_gap()` after every (re)connect, once LISTEN is in force:
    what happened before may have been missed, so re-read. `up` is set while the session is proven alive.
    """

    def __init__(
        self,
        database_url: str,
        application: str,
        channels: Iterable[str],
        *,
        on_hint: Callable[[str, str], None],
        on_gap: Callable[[], Awaitable[None]],
    ) -> None:
        self._database_url = database_url
        self._application = application
        self._channels = tuple(channels)
        self._on_hint = on_hint
        self._on_gap = on_gap
        self._probe_channel = f"tablemill_probe_{uuid4().hex}"
        self.up = asyncio.Event()

    async def run(self) -> None:
        """Listen until cancelled; reconnect as needed."""
        failures = 0
        while True:
            try:
                async with await connect(self._database_url, f"{self._application}-listen") as connection:
                    await self._listen(connection)
                    failures = 0
                    await self._receive(connection)
            except (psycopg.OperationalError, TimeoutError) as error:
                failures += 1
                logger.warning("listener reconnects", extra=telemetry.facts(error=type(error).__name__))
            finally:
                self.up.clear()
                telemetry.LISTENER_UP.set(0)
            await asyncio.sleep(full_jitter_s(failures, base_s=0.1, cap_s=5))

    async def _listen(self, connection: Connection) -> None:
        for channel in (*self._channels, self._probe_channel):
            await connection.execute(psycopg.sql.SQL("LISTEN {}").format(psycopg.sql.Identifier(channel)))
        self.up.set()
        telemetry.LISTENER_UP.set(1)
        await self._on_gap()

    async def _receive(self, connection: Connection) -> None:
        probed = False
        while True:
            heard_probe = False
            wait_s = _PROBE_TIMEOUT_S if probed else _PROBE_EVERY_S
            async with contextlib.aclosing(connection.notifies(timeout=wait_s)) as hints:
                async for hint in hints:
                    if hint.channel == self._probe_channel:
                        heard_probe = True
                        break
                    telemetry.NOTIFICATIONS.labels(hint.channel).inc()
                    self._on_hint(hint.channel, hint.payload)
            if probed and not heard_probe:
                raise TimeoutError("the probe did not come back")
            probed = not heard_probe
            if probed:
                async with asyncio.timeout(_PROBE_TIMEOUT_S):
                    await connection.execute("SELECT pg_notify(%s, '')", [self._probe_channel])
