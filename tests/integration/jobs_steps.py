"""What workers and operators do to the job engine, as steps: each runs on the real engine and then on its model."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from uuid import UUID

from shared.errors import FailedPrecondition
from shared.jobs.model import JobFailure, JobProgress, Lease, NewJob
from shared.jobs.queue import LeaseLost
from tests.integration.jobs_engine import Process, Step
from tests.integration.jobs_model import LOST, REFUSED, Model
from tests.integration.operating import PASSING, POISON

LEASE_S = 3600.0  # no lease runs out by itself
WRITES = ["beat", "finish", "finish many", "fail", "crash", "release"]  # what the holder of a lease may do
OTHERS = ["rescue", "promote", "cancel", "retry", "claim"]
_EFFECT = "INSERT INTO effects (job_id, token) VALUES (%s, %s)"


class CutOffError(Exception):
    """The connection died before its COMMIT."""


def enqueue(jobs: Sequence[NewJob]) -> Step:
    async def run(process: Process) -> None:
        async with process.pool.connection() as connection, connection.transaction():
            if len(jobs) == 1:
                await process.queue.enqueue(connection, jobs[0])
            else:
                await process.queue.enqueue_many(connection, jobs)

    return Step("enqueue", run, lambda model, _answer, _alone: model.enqueue(jobs))


def claim(queue: str, limit: int, worker_id: str) -> Step:
    async def run(process: Process) -> Any:
        async with process.pool.connection() as connection:
            cursor = await connection.execute(
                "SELECT job_id, pos FROM jobs WHERE queue = %s AND state = 'ready'", [queue]
            )
            positions = {row["job_id"]: row["pos"] for row in await cursor.fetchall()}
        claimed = await process.queue.claim(queue, limit=limit, worker_id=worker_id, lease_s=LEASE_S, timeout_s=LEASE_S)
        return positions, claimed

    def agree(model: Model, answer: Any, alone: bool) -> None:
        positions, claimed = answer
        model.claim(queue, limit, worker_id, positions if alone else None, claimed)

    return Step("claim", run, agree)


def heartbeat(beats: Sequence[tuple[Lease, JobProgress | None]]) -> Step:
    return Step(
        "heartbeat",
        lambda process: process.queue.heartbeat(beats, lease_s=LEASE_S),
        lambda model, answer, _alone: model.heartbeat(beats, answer),
    )


def finish(lease: Lease, *, effect_first: bool = False, cut_off: bool = False) -> Step:
    """End a job as succeeded, with an effect in the same transaction."""

    async def write(process: Process) -> None:
        values = [lease.job_id, lease.token]
        async with process.pool.connection() as connection, connection.transaction():
            if effect_first:
                await connection.execute(_EFFECT, values)
            await process.queue.succeed(connection, lease)
            if not effect_first:
                await connection.execute(_EFFECT, values)
            if cut_off:
                raise CutOffError

    async def run(process: Process) -> list[UUID]:
        try:
            await write(process)
        except (LeaseLost, CutOffError):
            return []
        return [lease.job_id]

    def agree(model: Model, answer: Any, _alone: bool) -> None:
        if cut_off:
            assert answer == []
        else:
            model.succeed([lease], answer, effect=True)

    return Step("finish", run, agree)


def finish_many(leases: Sequence[Lease]) -> Step:
    return Step(
        "finish many",
        lambda process: process.queue.succeed_many(leases),
        lambda model, answer, _alone: model.succeed(leases, answer, effect=False),
    )


def ask_who_succeeded(leases: Sequence[Lease]) -> Step:
    return Step(
        "ask who succeeded",
        lambda process: process.queue.succeeded_with(leases),
        lambda model, answer, _alone: model.succeeded_with(leases, answer),
    )


def fail(lease: Lease, failure: JobFailure) -> Step:
    async def run(process: Process) -> str:
        try:
            return await process.queue.fail(lease, failure, backoff_s=LEASE_S)
        except LeaseLost:
            return LOST

    return Step("fail", run, lambda model, answer, _alone: model.fail(lease, failure, answer))


def release(leases: Sequence[Lease]) -> Step:
    return Step(
        "release",
        lambda process: process.queue.release(leases),
        lambda model, answer, _alone: model.release(leases, answer),
    )


def rescue() -> Step:
    return Step(
        "rescue",
        lambda process: process.queue.rescue(),
        lambda model, answer, alone: model.rescue(answer, alone=alone),
    )


def promote() -> Step:
    return Step(
        "promote",
        lambda process: process.queue.promote(),
        lambda model, answer, alone: model.promote(answer, alone=alone),
    )


async def _state_or_refusal(asked: Awaitable[Any]) -> str:
    try:
        return str((await asked).state)
    except FailedPrecondition:
        return REFUSED


def cancel(owner: str, job_id: UUID) -> Step:
    return Step(
        "cancel",
        lambda process: _state_or_refusal(process.operations.cancel(owner, job_id)),
        lambda model, answer, _alone: model.cancel(job_id, answer),
    )


def retry(owner: str, job_id: UUID, attempts: int) -> Step:
    return Step(
        "retry",
        lambda process: _state_or_refusal(process.operations.retry(owner, job_id, attempts=attempts)),
        lambda model, answer, _alone: model.retry(job_id, attempts, answer),
    )


def of_kind(kind: str, lease: Lease, owner: str, queue: str) -> Step:
    """Return the step of WRITES or OTHERS that is called `kind`, done to a job with a lease of it."""
    made: dict[str, Callable[[], Step]] = {
        "beat": lambda: heartbeat([(lease, JobProgress("read", 1, 9, "rows"))]),
        "finish": lambda: finish(lease),
        "finish many": lambda: finish_many([lease]),
        "fail": lambda: fail(lease, PASSING),
        "crash": lambda: fail(lease, POISON),
        "release": lambda: release([lease]),
        "rescue": rescue,
        "promote": promote,
        "cancel": lambda: cancel(owner, lease.job_id),
        "retry": lambda: retry(owner, lease.job_id, 2),
        "claim": lambda: claim(queue, 2, "racer"),
    }
    return made[kind]()
