"""Everything that can go wrong around some workers, at random, by a seed."""

import asyncio
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import psutil
import psycopg

from tests.chaos.mill import Mill
from tests.chaos.steps import Step
from tests.proxy import Gate, Proxy, cut_after, open_gate
from tests.stack import FakeGcs, Postgres, Service

PLACES = 3
_TICK_S = (0.1, 1.0)
_WORKER = {
    "TABLEMILL_LEASE_S": "3",
    "TABLEMILL_HEARTBEAT_S": "1",
    "TABLEMILL_POLL_S": "1",
    "TABLEMILL_SWEEP_EVERY_S": "2",
    "TABLEMILL_ORPHAN_GRACE_S": "45",
}
_MOST_CUT_BYTES = 20_000
_RECOVERY_S = 60.0


class Place:
    """Where one worker at a time runs, with a network to Postgres of its own."""

    def __init__(self, mill: Mill, socket: Path) -> None:
        self._mill = mill
        self.budgets_bytes: list[int] = []  # how far the next connections get
        self.proxy = Proxy(socket, self._gate)
        self.worker: Service | None = None

    async def start(self, how: signal.Signals | None = None, *steps: Step) -> None:
        """Start a worker; with `how`, one that does that to itself at `steps`."""
        database = urlsplit(self._mill.database_url).path
        env = _WORKER | {"TABLEMILL_DATABASE_URL": f"postgresql://postgres@{self.proxy.address}{database}"}
        if how is None:
            self.worker = await self._mill.start_another_worker(env)
        else:
            self.worker = await self._mill.start_stopping_worker(how, *steps, env=env)

    def check(self) -> None:
        """Check that its worker, if it has ended, was killed: none gives up by itself."""
        if self.worker is not None:
            assert self.worker.returncode in {None, -signal.SIGKILL}, self.worker.log_tail()

    def _gate(self) -> Gate:
        return cut_after(self.budgets_bytes.pop()) if self.budgets_bytes else open_gate()


class Storm:
    """A context manager around some workers; `rage` lets everything happen to them, `calm` mends all."""

    def __init__(self, mill: Mill, postgres: Postgres, gcs: FakeGcs, seed: int) -> None:
        self._mill = mill
        self._postgres = postgres
        self._gcs = gcs
        self._chance = random.Random(seed)
        self._places = [Place(mill, postgres.socket_directory / ".s.PGSQL.5432") for _ in range(PLACES)]
        self._later: list[tuple[int, Callable[[], Awaitable[None]]]] = []  # what ends at which tick
        self._tick = 0
        self._away: set[str] = set()
        self._held = AsyncExitStack()
        self._began_s = time.monotonic()
        self._events: dict[Callable[[Place], Awaitable[None]], int] = {  # and how likely they are
            self._kill: 2,
            self._start: 6,
            self._freeze: 3,
            self._cut: 2,
            self._nibble: 2,
            self._restart_postgres: 1,
            self._crash_postgres: 1,
            self._lose_store: 2,
        }
        self.happened = Counter[str]()

    async def __aenter__(self) -> Self:
        for place in self._places:
            await self._held.enter_async_context(place.proxy)
            await place.start()
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._mill.close_workers()
        await self._held.aclose()

    async def rage(self, seconds: float) -> None:
        """Let one thing after the other happen; some of them last for a while."""
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            await asyncio.sleep(self._chance.uniform(*_TICK_S))
            self._tick += 1
            for due in [entry for entry in self._later if entry[0] <= self._tick]:
                self._later.remove(due)
                await due[1]()
            await self._happen()

    async def calm(self) -> None:
        """Mend everything: all servers up, every place with a worker that runs."""
        for _, end in self._later:
            await end()
        self._later.clear()
        for place in self._places:
            place.budgets_bytes.clear()
            place.proxy.cut()
            await self._kill(place)
            await place.start()

    async def _happen(self) -> None:
        event = self._chance.choices(list(self._events), list(self._events.values()))[0]
        await event(self._chance.choice(self._places))

    def _note(self, event: str, place: Place | None = None) -> None:
        self.happened[event] += 1
        where = f" at {self._places.index(place)}" if place else ""
        print(f"{time.monotonic() - self._began_s:7.2f} s: {event}{where}", flush=True)

    async def _kill(self, place: Place) -> None:
        if place.worker is not None and place.worker.alive:
            self._note("kill", place)
            await asyncio.to_thread(place.worker.close)
        place.check()
        place.worker = None

    async def _start(self, place: Place) -> None:
        how = self._chance.choice([signal.SIGKILL, signal.SIGSTOP, signal.SIGSTOP, None])
        steps = sorted(self._chance.sample(list(Step), k=3), key=list(Step).index)
        if place.worker is not None and place.worker.alive:
            place.worker.resume()  # it may have stopped itself
            return
        place.check()
        self._note(f"start to {how.name}" if how else "start", place)
        await place.start(how, *steps)

    async def _freeze(self, place: Place) -> None:
        worker, ticks = place.worker, self._chance.randint(1, 12)
        if worker is None or not worker.alive:
            return

        async def thaw() -> None:
            if worker.alive:
                worker.resume()

        self._note("freeze", place)
        worker.pause()
        self._later.append((self._tick + ticks, thaw))

    async def _cut(self, place: Place) -> None:
        self._note("cut", place)
        place.proxy.cut()

    async def _nibble(self, place: Place) -> None:
        self._note("nibble", place)
        place.budgets_bytes += [self._chance.randrange(_MOST_CUT_BYTES) for _ in range(8)]
        place.proxy.cut()

    async def _restart_postgres(self, _: Place) -> None:
        await self._take_away("postgres", self._postgres.stop, self._postgres.start)

    async def _lose_store(self, _: Place) -> None:
        if self._chance.random() < 0.5:
            await self._take_away("store", self._gcs.stop, self._gcs.start)
        else:
            await self._take_away("store", self._gcs.pause, self._gcs.resume)

    async def _take_away(self, what: str, away: Callable[[], None], back: Callable[[], None]) -> None:
        ticks = self._chance.randint(1, 5)
        if what in self._away:
            return

        async def end() -> None:
            await asyncio.to_thread(back)
            self._away.remove(what)

        self._note(f"{what} {away.__name__}")
        self._away.add(what)
        await asyncio.to_thread(away)
        self._later.append((self._tick + ticks, end))

    async def _crash_postgres(self, _: Place) -> None:
        """Kill one server process: Postgres then cuts all sessions and recovers from its log."""
        nth, ticks = self._chance.random(), self._chance.randint(1, 3)
        if "postgres" in self._away:
            return
        backends = [child for child in psutil.Process(self._postgres.pid).children() if _is_session(child)]
        if not backends:
            return

        async def recovered() -> None:
            # Only then may it be stopped: a shutdown in the midst of a recovery can hang.
            await asyncio.to_thread(self._wait_for_postgres)
            self._away.remove("postgres")

        self._note("postgres crash")
        self._away.add("postgres")
        os.kill(backends[int(nth * len(backends))].pid, signal.SIGKILL)
        self._later.append((self._tick + ticks, recovered))

    def _wait_for_postgres(self) -> None:
        deadline_s = time.monotonic() + _RECOVERY_S
        while True:
            try:
                self._postgres.connect().close()
            except psycopg.OperationalError:
                if time.monotonic() > deadline_s:
                    raise
                time.sleep(0.05)
            else:
                return


def _is_session(process: psutil.Process) -> bool:
    try:
        return "[local]" in " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return False
