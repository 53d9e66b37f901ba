"""The real job engine for histories that are driven step by step, and races that come out the way they are set up."""

import asyncio
import contextlib
import copy
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, LiteralString, TypeVar, cast

from shared.database import Connection, Pool, make_pool
from shared.jobs.operations import Operations
from shared.jobs.queue import JobQueue
from tests.integration import jobs_rows
from tests.integration.jobs_model import Model

_Answer = TypeVar("_Answer")


class Process:
    """One process that uses the engine: it has its own queue object, with all that this remembers."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.queue = JobQueue(pool)
        self.operations = Operations(pool)


@dataclass(frozen=True)
class Step:
    """Something done to the engine: `agree(model, answer, alone)` does the same to the model and compares."""

    name: str
    run: Callable[[Process], Awaitable[Any]]
    agree: Callable[[Model, Any, bool], None]


class Engine:
    """A database, and the one event loop that drives everything that is done to it."""

    def __init__(self, runner: asyncio.Runner, pool: Pool) -> None:
        self._runner = runner
        self.pool = pool

    def run(self, work: Awaitable[_Answer]) -> _Answer:
        async def wait() -> _Answer:
            return await work

        return self._runner.run(wait())

    def rows(self, query: LiteralString, *values: Any) -> list[dict[str, Any]]:
        async def run() -> list[dict[str, Any]]:
            async with self.pool.connection() as connection:
                cursor = await connection.execute(query, values)
                return await cursor.fetchall() if cursor.description else []

        return self.run(run())

    def rows_of_jobs(self) -> jobs_rows.Rows:
        return {row["job_id"]: row for row in self.rows(jobs_rows.READ)}


@contextlib.contextmanager
def driven_engine(database_url: str) -> Iterator[Engine]:
    """Drive the engine on a migrated database, with a table for the effects of jobs."""
    with asyncio.Runner() as runner:
        pool = make_pool(database_url, "test", max_size=6)
        runner.run(pool.open())
        engine = Engine(runner, pool)
        engine.rows(jobs_rows.MAKE_EFFECTS)
        try:
            yield engine
        finally:
            runner.run(pool.close())


class HeldPool:
    """A pool of one connection that somebody holds a transaction open on."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        yield self._connection


async def race(pool: Pool, first: Step, others: Sequence[Step], *, commits: bool) -> list[tuple[Step, Any]]:
    """Run `first`, keep its transaction open until each of `others` is done or waits for a lock, then let it end.

    So the others' statements see the rows as they were before, and meet them as they are after. Returns the steps
    that took place, with their answers.
    """
    async with pool.connection() as held:
        process = Process(cast(Pool, HeldPool(held)))
        await process.queue.outlook()  # from which it learns of the caps
        async with held.transaction(force_rollback=not commits):
            done = [(first, await first.run(process))]
            tasks = [asyncio.create_task(_run_informed(pool, step)) for step in others]
            await _until_stuck(pool, tasks)
    answers = await asyncio.gather(*tasks)
    return done * commits + list(zip(others, answers, strict=True))


async def _run_informed(pool: Pool, step: Step) -> Any:
    process = Process(pool)
    await process.queue.outlook()
    return await step.run(process)


async def _until_stuck(pool: Pool, tasks: Sequence[asyncio.Task[Any]]) -> None:
    async with pool.connection() as connection:
        while True:
            cursor = await connection.execute(
                "SELECT count(*) AS waiting FROM pg_stat_activity"
                " WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            row = await cursor.fetchone()
            if row and row["waiting"] >= sum(not task.done() for task in tasks):
                return


def agree_in_some_order(model: Model, done: Sequence[tuple[Step, Any]]) -> list[Model]:
    """Return what `model` becomes by the steps in every order that explains their answers."""
    found = []
    for order in itertools.permutations(done):
        candidate = copy.deepcopy(model)
        with contextlib.suppress(AssertionError):
            for step, answer in order:
                step.agree(candidate, answer, False)
            found.append(candidate)
    assert found, f"no order of the steps explains {[(step.name, answer) for step, answer in done]}"
    return found
