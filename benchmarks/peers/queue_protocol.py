"""What every queue is asked, in the same words: each runs as `python -m benchmarks.peers.queue_NAME URL QUESTION N`.

One process holds the producer and the worker, so that one clock times both. It prints one JSON object. Nothing here
needs more than the standard library: peers run in environments of their own.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager
from types import MappingProxyType
from typing import Any, Protocol

_PAUSE_S = 0.02
_SETTLE_S = 2.0
_BATCH = 1000


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
    """Counts handlers as they start; give `started` to the queue as its handler."""

    def __init__(self) -> None:
        self.count = 0
        self.at_s = 0.0
        self._moved = asyncio.Event()

    def started(self) -> None:
        """Take note that a handler has begun."""
        self.count += 1
        self.at_s = time.perf_counter()
        self._moved.set()

    async def reach(self, count: int) -> None:
        """Return when so many have begun."""
        while self.count < count:
            self._moved.clear()
            await self._moved.wait()


class Subject(Protocol):
    """A queue, through its public interface alone."""

    meter: Meter

    async def install(self) -> None:
        """Make the schema."""

    async def enqueue(self) -> None:
        """Enqueue one no-op job and wake the workers."""

    async def enqueue_many(self, jobs: int) -> None:
        """Enqueue many in the fastest way there is."""

    def working(self, *, best: bool) -> AbstractAsyncContextManager[None]:
        """Run one worker, with default or with the best documented settings."""


async def latency(subject: Subject, samples: int) -> dict[str, Any]:
    """Time from the call that enqueues to the start of the handler, one at a time on an idle worker."""
    waits_ms = []
    async with subject.working(best=False):
        await asyncio.sleep(_SETTLE_S)
        for _ in range(samples):
            wanted, sent_s = subject.meter.count + 1, time.perf_counter()
            await subject.enqueue()
            await subject.meter.reach(wanted)
            waits_ms.append((subject.meter.at_s - sent_s) * 1000)
            await asyncio.sleep(_PAUSE_S)
    return {"waits_ms": waits_ms}


async def fill(subject: Subject, jobs: int) -> dict[str, Any]:
    """Enqueue a backlog."""
    began_s = time.perf_counter()
    for start in range(0, jobs, _BATCH):
        await subject.enqueue_many(min(_BATCH, jobs - start))
    return {"jobs": jobs, "seconds": time.perf_counter() - began_s}


async def _drain(subject: Subject, jobs: int, *, best: bool) -> dict[str, Any]:
    began_s = time.perf_counter()
    async with subject.working(best=best):
        await subject.meter.reach(jobs)
        seconds = subject.meter.at_s - began_s
        await asyncio.sleep(_SETTLE_S)  # to let the last ones end
    return {"jobs": jobs, "seconds": seconds}


async def drain_default(subject: Subject, jobs: int) -> dict[str, Any]:
    """Work off a backlog of so many with default settings."""
    return await _drain(subject, jobs, best=False)


async def drain_best(subject: Subject, jobs: int) -> dict[str, Any]:
    """Work off a backlog of so many with the best documented settings."""
    return await _drain(subject, jobs, best=True)


async def sustain(subject: Subject, seconds: int) -> dict[str, Any]:
    """Keep a backlog of about two batches and count what is done in each second."""
    done: list[int] = []
    async with subject.working(best=True):
        sent = 0
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


async def idle(subject: Subject, seconds: int) -> dict[str, Any]:
    """Do nothing with a worker that waits; say when it has settled."""
    async with subject.working(best=False):
        await asyncio.sleep(_SETTLE_S)
        say("settled")
        await asyncio.sleep(seconds)
    return {}


_QUESTIONS: dict[str, Callable[[Subject, int], Awaitable[dict[str, Any]]]] = {
    "latency": latency,
    "fill": fill,
    "drain_default": drain_default,
    "drain_best": drain_best,
    "sustain": sustain,
    "idle": idle,
}


async def answer(
    open_subject: Callable[[str], AbstractAsyncContextManager[Any]],
    more_questions: Mapping[str, Callable[[Any, int], Awaitable[Any]]] = MappingProxyType({}),
) -> None:
    """Answer the question on the command line; a subject may know more of them than all do."""
    url, question, number = sys.argv[1:]
    async with open_subject(url) as subject:
        found: dict[str, Any] = {}
        if question == "install":
            await subject.install()
        else:
            found = await {**_QUESTIONS, **more_questions}[question](subject, int(number))
    sys.stdout.write(json.dumps(found) + "\n")
