"""What every queue is asked, in the same words: each adapter is a process, `ADAPTER URL QUESTION N`.

It prints one JSON object. The process holds the producer and the worker, so that one clock times both: from the call
that enqueues to the first line of the handler. Nothing here needs more than the standard library: peers run in
environments of their own. peers/node/protocol.mjs and peers/go_river/protocol.go ask the same in other languages.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager
from types import MappingProxyType
from typing import Any, Literal, Protocol

# What a worker is given: what it does without being told anything, what its documentation advises for a quick start
# of jobs (where that is not the default), and for throughput.
Settings = Literal["default", "prompt", "best"]

CLIENTS = 32
_WARM_UPS = 5
_PAUSE_S = 0.05
_SETTLE_S = 2.0
_BATCH = 1000
_WARM_UP_S = 0.5
# With wake-ups or without, so that whatever drifts meanwhile falls on both alike.
_ROUNDS = (True, False, False, True, False, True, True, False)


def vital(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Run `work` beside the measurement; the process ends when it breaks, since nothing would ever be done."""

    def ended(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()):
            sys.stderr.write(f"the worker broke: {error!r}\n")
            sys.stderr.flush()
            os._exit(1)

    task = asyncio.create_task(work)
    task.add_done_callback(ended)
    return task


def say(word: str) -> None:
    """Tell whoever asked how far it is."""
    sys.stdout.write(word + "\n")
    sys.stdout.flush()


class Meter:
    """Counts handlers as they start; `handle` is the whole handler of every job."""

    def __init__(self) -> None:
        self.count = 0
        self.at_s = 0.0
        self.hangs = False
        self._moved = asyncio.Event()

    async def handle(self) -> None:
        """Take note that a handler has begun; it ends at once unless it is to hang."""
        self.count += 1
        self.at_s = time.perf_counter()
        self._moved.set()
        if self.hangs:
            say("started")
            await asyncio.Event().wait()

    async def reach(self, count: int) -> None:
        """Return when so many have begun."""
        while self.count < count:
            self._moved.clear()
            await self._moved.wait()


class Subject(Protocol):
    """A queue, through its public interface alone."""

    meter: Meter
    switches: bool  # whether it can enqueue without waking workers

    async def install(self) -> None:
        """Make the schema."""

    async def enqueue(self, *, wake: bool = True) -> None:
        """Enqueue one no-op job in a transaction of its own; may be called by many clients at once."""

    async def enqueue_many(self, jobs: int) -> None:
        """Enqueue many in the fastest way there is."""

    def working(self, settings: Settings) -> AbstractAsyncContextManager[None]:
        """Run one worker."""


async def latency(subject: Subject, samples: int) -> dict[str, Any]:
    """Time from the call that enqueues to the start of the handler, one at a time on an idle worker."""
    waits_ms = []
    async with subject.working("prompt"):
        await asyncio.sleep(_SETTLE_S)
        for _ in range(_WARM_UPS + samples):
            wanted, sent_s = subject.meter.count + 1, time.perf_counter()
            await subject.enqueue()
            await subject.meter.reach(wanted)
            waits_ms.append((subject.meter.at_s - sent_s) * 1000)
            await asyncio.sleep(_PAUSE_S)
    return {"waits_ms": waits_ms[_WARM_UPS:]}


async def fill(subject: Subject, jobs: int) -> dict[str, Any]:
    """Enqueue a backlog."""
    for start in range(0, jobs, _BATCH):
        await subject.enqueue_many(min(_BATCH, jobs - start))
    return {}


async def _drain(subject: Subject, jobs: int, settings: Settings) -> dict[str, Any]:
    began_s = time.perf_counter()
    async with subject.working(settings):
        await subject.meter.reach(jobs)
        seconds = subject.meter.at_s - began_s
        await asyncio.sleep(_SETTLE_S)  # to let the last ones end
    return {"seconds": seconds}


async def drain_default(subject: Subject, jobs: int) -> dict[str, Any]:
    """Work off a backlog of so many with default settings; the time is that from the worker's start."""
    return await _drain(subject, jobs, "default")


async def drain_best(subject: Subject, jobs: int) -> dict[str, Any]:
    """Work off a backlog of so many with the best documented settings."""
    return await _drain(subject, jobs, "best")


async def sustain(subject: Subject, seconds: int) -> dict[str, Any]:
    """Keep a backlog of about two batches and count what is begun in each second."""
    done: list[int] = []
    async with subject.working("best"):
        await subject.enqueue_many(_BATCH)
        await subject.meter.reach(_BATCH)
        sent = _BATCH
        for _ in range(seconds):
            until_s, before = time.perf_counter() + 1, subject.meter.count
            while time.perf_counter() < until_s:
                if sent - subject.meter.count < 2 * _BATCH:
                    await subject.enqueue_many(_BATCH)
                    sent += _BATCH
                else:
                    await asyncio.sleep(0.005)
            done.append(subject.meter.count - before)
    return {"done_per_s": done}


async def enqueue(subject: Subject, round_ms: int) -> dict[str, Any]:
    """Enqueue from 32 clients at once, one job a transaction, in rounds with and without wake-ups; nobody works."""
    rates: dict[str, list[float]] = {"waking": [], "silent": []}
    await _enqueue_for(subject, _WARM_UP_S, wake=True)
    for wake in _ROUNDS:
        if wake or subject.switches:
            rates["waking" if wake else "silent"].append(await _enqueue_for(subject, round_ms / 1000, wake=wake))
    return rates


async def _enqueue_for(subject: Subject, seconds: float, *, wake: bool) -> float:
    began_s = time.perf_counter()

    async def client() -> int:
        jobs = 0
        while time.perf_counter() - began_s < seconds:
            await subject.enqueue(wake=wake)
            jobs += 1
        return jobs

    jobs = sum(await asyncio.gather(*(client() for _ in range(CLIENTS))))
    return jobs / (time.perf_counter() - began_s)


async def idle(subject: Subject, seconds: int) -> dict[str, Any]:
    """Do nothing with a worker that waits; say when it has settled."""
    async with subject.working("prompt"):
        await asyncio.sleep(_SETTLE_S)
        say("settled")
        await asyncio.sleep(seconds)
    return {}


async def hang(subject: Subject, jobs: int) -> dict[str, Any]:
    """Work on a job that never ends, and say when it has begun; without one, say that the worker waits for it."""
    subject.meter.hangs = True
    async with subject.working("prompt"):
        if jobs:
            await subject.enqueue()
        else:
            await asyncio.sleep(_SETTLE_S)
            say("waiting")
        await asyncio.Event().wait()
    return {}


_QUESTIONS: dict[str, Callable[[Subject, int], Awaitable[dict[str, Any]]]] = {
    "latency": latency,
    "fill": fill,
    "drain_default": drain_default,
    "drain_best": drain_best,
    "sustain": sustain,
    "enqueue": enqueue,
    "idle": idle,
    "hang": hang,
}


async def answer(
    open_subject: Callable[[str], AbstractAsyncContextManager[Any]],
    version: str,
    more_questions: Mapping[str, Callable[[Any, int], Awaitable[Any]]] = MappingProxyType({}),
) -> None:
    """Answer the question on the command line; a subject may know more of them than all do."""
    url, question, number = sys.argv[1:]
    async with open_subject(url) as subject:
        found: dict[str, Any] = {"version": version}
        if question == "install":
            await subject.install()
        else:
            found = await {**_QUESTIONS, **more_questions}[question](subject, int(number))
    say(json.dumps(found))
