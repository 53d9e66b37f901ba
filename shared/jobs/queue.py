"""The job engine on Postgres: enqueue, claim, heartbeat, and the fenced end of an attempt.

Semantics: an attempt runs at least once, its effect counts exactly once. A claim is a lease with a fencing
token; whoever's token is no longer the newest can write nothing that counts.
"""

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any, LiteralString
from uuid import UUID

from psycopg.rows import DictRow, kwargs_row
from psycopg.types.json import Jsonb
from psycopg.types.numeric import Int8

from shared.database import Connection, Pool
from shared.jobs import order, statements
from shared.jobs.low_water import LowWater
from shared.jobs.model import ClaimedJob, Job, JobFailure, JobProgress, JobState, Lease, NewJob, Outlook

MAX_CRASHES = 3
_MAINTENANCE_BATCH_ROWS = 500
_WORKER_LOST = JobFailure(
    "WORKER_LOST",
    "The worker that ran this job stopped answering; its lease expired.",
    retryable=True,
    crash=True,
)
CANCELLED = JobFailure("CANCELLED", "Somebody asked for the job to stop.", retryable=True)


class LeaseLost(Exception):
    """The lease is somebody else's or nobody's by now: stop, and write nothing."""

    def __init__(self, lease: Lease) -> None:
        super().__init__(f"lease {lease.token} of job {lease.job_id} is lost")
        self.lease = lease


class JobQueue:
    """The jobs table, used through a pool. Every method commits by itself unless it takes a connection."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._low_water = LowWater()
        self._capped: frozenset[str] = frozenset()
        self._passed_over: set[str] = set()

    async def register(
        self, queue: str, *, max_running: int | None = None, max_running_per_owner: int | None = None
    ) -> None:
        """Make `queue` known and set its caps over all workers together: the last to register decides.

        Raises psycopg CheckViolation for a bad name or a cap below 1.
        """
        caps = {"max_running": max_running, "max_running_per_owner": max_running_per_owner}
        await self._rows(statements.REGISTER_QUEUE, {"queue": queue, **caps})
        if max_running is not None or max_running_per_owner is not None:
            self._capped |= {queue}

    def capped(self, queue: str) -> bool:
        """Return whether `queue` has a cap, as far as this process knows: the end of a job makes room elsewhere."""
        return queue in self._capped

    async def enqueue(self, connection: Connection, job: NewJob) -> None:
        """Insert `job` as ready, in the caller's transaction. Wake workers only after the commit."""
        values: dict[str, Any] = {
            "job_id": job.job_id,
            "owner": job.owner,
            "record_id": job.record_id,
            "queue": job.queue,
            "args": Jsonb(dict(job.args)),
            "max_attempts": job.max_attempts,
        }
        low_water = self._low_water.of(job.queue)
        await self._enqueue(connection, order.ENQUEUE, {**values, "low_water": Int8(low_water)}, {job.queue: low_water})

    async def enqueue_many(self, connection: Connection, jobs: Sequence[NewJob]) -> None:
        """Insert `jobs` as ready with one statement, in the caller's transaction. Wake workers after the commit."""
        low_waters = {queue: self._low_water.of(queue) for queue in {job.queue for job in jobs}}
        values = {
            "job_ids": [job.job_id for job in jobs],
            "owners": [job.owner for job in jobs],
            "record_ids": [job.record_id for job in jobs],
            "queues": [job.queue for job in jobs],
            "args": [Jsonb(dict(job.args)) for job in jobs],
            "max_attempts": [job.max_attempts for job in jobs],
            "low_waters": [low_waters[job.queue] for job in jobs],
        }
        await self._enqueue(connection, order.ENQUEUE_MANY, values, low_waters)

    async def _enqueue(
        self, connection: Connection, query: LiteralString, values: Mapping[str, Any], low_waters: Mapping[str, int]
    ) -> None:
        with self._low_water.walk(*(queue for queue, low_water in low_waters.items() if not low_water)):
            heads = await (await connection.execute(query, values)).fetchall()
        for head in heads:
            self._low_water.saw(head["queue"], head["pos"])

    async def claim(
        self, queue: str, *, limit: int, worker_id: str, lease_s: float, timeout_s: float
    ) -> list[ClaimedJob]:
        """Take up to `limit` ready jobs of `queue` in claim order; the attempts begin with this."""
        values = {
            "queue": queue, "limit": limit, "worker_id": worker_id, "lease_s": lease_s, "timeout_s": timeout_s
        }  # fmt: skip
        rows = await (self._claim_capped(values) if queue in self._capped else self._claim_uncapped(values))
        rows.sort(key=itemgetter("pos"))
        return [_claimed(row) for row in rows]

    def passed_over_s(self, queue: str) -> float | None:
        """Return in how many seconds a claim should look at `queue` again, because the last one left out its start.

        None: it did not. Beside a long transaction a walk from the start may take long.
        """
        return self._low_water.rest_s(queue) if queue in self._passed_over else None

    async def _claim_uncapped(self, values: Mapping[str, Any]) -> list[DictRow]:
        queue, limit = values["queue"], values["limit"]
        low_water = self._low_water.of(queue)
        rows = await self._claim_from(low_water, values) if low_water else []
        if len(rows) == limit:
            return rows
        if low_water and self._low_water.rest_s(queue):
            self._passed_over.add(queue)
            return rows
        # What lies below the mark must not wait for the next wake-up.
        self._passed_over.discard(queue)
        with self._low_water.walk(queue):
            return rows + await self._claim_from(0, {**values, "limit": limit - len(rows)})

    async def _claim_from(self, low_water: int, values: Mapping[str, Any]) -> list[DictRow]:
        rows = await self._rows(order.CLAIM, {**values, "low_water": Int8(low_water)})
        if rows:
            self._low_water.saw(values["queue"], max(row["pos"] for row in rows))
        return rows

    async def _claim_capped(self, values: Mapping[str, Any]) -> list[DictRow]:
        async with self._pool.connection() as connection, connection.transaction():
            locked = await (await connection.execute(order.LOCK_QUEUE, values)).fetchone()
            per_owner = locked is not None and locked["max_running_per_owner"] is not None
            query = order.CLAIM_PER_OWNER if per_owner else order.CLAIM_CAPPED
            cursor = await connection.execute(query, values)
            return await cursor.fetchall()

    async def heartbeat(self, beats: Sequence[tuple[Lease, JobProgress | None]], *, lease_s: float) -> dict[UUID, bool]:
        """Extend leases and store progress in one statement.

        Returns for each job whose lease still holds whether it was asked to stop; the others' leases are lost.
        """
        beats = sorted(beats, key=lambda beat: beat[0].job_id.int)  # rows are locked in the same order everywhere
        shown = [progress or JobProgress("") for _, progress in beats]
        rows = await self._rows(
            statements.HEARTBEAT,
            {
                "lease_s": lease_s,
                "job_ids": [lease.job_id for lease, _ in beats],
                "tokens": [lease.token for lease, _ in beats],
                "stages": [progress.stage or None for progress in shown],
                "dones": [progress.done for progress in shown],
                "totals": [progress.total for progress in shown],
                "units": [progress.unit or None for progress in shown],
            },
        )
        return {row["job_id"]: row["cancel_requested"] for row in rows}

    async def succeed(self, connection: Connection, lease: Lease) -> None:
        """End the job as succeeded, in the caller's transaction, before anything else in it.

        Raises LeaseLost when the token is not the newest: let it roll the transaction back.
        """
        cursor = await connection.execute(statements.SUCCEED, _keys([lease]))
        if cursor.rowcount != 1:
            raise LeaseLost(lease)

    async def succeed_many(self, leases: Sequence[Lease]) -> set[UUID]:
        """End jobs as succeeded that have nothing else to commit; return those whose lease still held."""
        return {row["job_id"] for row in await self._rows(statements.SUCCEED, _keys(leases))}

    async def fail(self, lease: Lease, failure: JobFailure, *, backoff_s: float) -> JobState:
        """End the attempt; return the job's state: scheduled again in `backoff_s`, failed, or cancelled.

        Raises LeaseLost.
        """
        rows = await self._rows(
            statements.FAIL,
            {
                "job_id": lease.job_id,
                "token": lease.token,
                "retryable": failure.retryable,
                "crash": failure.crash,
                "max_crashes": MAX_CRASHES,
                "error": Jsonb(failure.to_json()),
                "backoff_s": backoff_s,
            },
        )
        if not rows:
            raise LeaseLost(lease)
        return JobState(rows[0]["state"])

    async def release(self, leases: Sequence[Lease]) -> list[UUID]:
        """Give jobs back unfinished, without using up an attempt; return those whose lease still held."""
        rows = await self._rows(
            statements.RELEASE,
            {**_keys(leases), "error": Jsonb(CANCELLED.to_json())},
        )
        return [row["job_id"] for row in rows]

    async def promote(self) -> list[tuple[UUID, str]]:
        """Make scheduled jobs ready whose time has come; return (job_id, queue) of each."""
        rows = await self._rows(statements.PROMOTE, {"limit": _MAINTENANCE_BATCH_ROWS})
        return [(row["job_id"], row["queue"]) for row in rows]

    async def rescue(self) -> list[tuple[UUID, str]]:
        """Take back jobs whose lease expired; return (job_id, queue) of each."""
        rows = await self._rows(
            statements.RESCUE,
            {
                "limit": _MAINTENANCE_BATCH_ROWS,
                "max_crashes": MAX_CRASHES,
                "error": Jsonb(_WORKER_LOST.to_json()),
            },
        )
        return [(row["job_id"], row["queue"]) for row in rows]

    async def outlook(self) -> Outlook:
        """Look, in one statement, at what the queues have to do and when something falls due."""
        row = (await self._rows(statements.OUTLOOK, {}))[0]
        self._capped = frozenset(row["capped"])
        return Outlook(due_s=row["due_s"], ready=frozenset(row["ready"]))

    async def succeeded_with(self, leases: Sequence[Lease]) -> set[UUID]:
        """Return the jobs that these very leases ended as succeeded: for when a connection died on the way."""
        return {row["job_id"] for row in await self._rows(statements.SUCCEEDED_WITH, _keys(leases))}

    async def held_by(self, worker_id: str) -> set[Lease]:
        """Return the leases that a worker holds: more than it knows of when the answer to a claim was lost."""
        rows = await self._rows(statements.HELD_BY, {"worker_id": worker_id})
        return {Lease(row["job_id"], row["lease_token"]) for row in rows}

    async def read(self, owner: str, job_ids: Sequence[UUID]) -> list[Job]:
        """Return the jobs among `job_ids` that are `owner`'s, in no order."""
        return await self._read(statements.READ_MANY, {"job_ids": list(job_ids), "owner": owner})

    async def _read(self, query: LiteralString, values: Mapping[str, Any]) -> list[Job]:
        async with (
            self._pool.connection() as connection,
            connection.cursor(row_factory=kwargs_row(Job.from_row)) as cursor,
        ):
            await cursor.execute(query, values)
            return await cursor.fetchall()

    async def _rows(self, query: LiteralString, values: Mapping[str, Any]) -> list[DictRow]:
        async with self._pool.connection() as connection:
            cursor = await connection.execute(query, values)
            return await cursor.fetchall() if cursor.description else []


def _keys(leases: Sequence[Lease]) -> dict[str, str]:
    """Return what the guards of statements compare, in the order in which all of them lock rows.

    As array literals: much cheaper to make than the driver's adaptation of long lists.
    """
    ordered = sorted((str(lease.job_id), lease.token) for lease in leases)
    job_ids, tokens = (",".join(map(str, values)) for values in zip(*ordered, strict=True))
    return {"job_ids": f"{{{job_ids}}}", "tokens": f"{{{tokens}}}"}


def _claimed(row: DictRow) -> ClaimedJob:
    return ClaimedJob(
        lease=Lease(row["job_id"], row["lease_token"]),
        owner=row["owner"],
        queue=row["queue"],
        record_id=row["record_id"],
        args=row["args"],
        attempt=row["attempt"],
        max_attempts=row["max_attempts"],
    )
