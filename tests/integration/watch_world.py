"""A world for random histories of watching: two replicas, clients that come and go, jobs that change, hints that get
lost or come late, transactions that commit long after they began.
"""

import asyncio
import contextlib
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from shared.database import Pool
from shared.jobs.changes import JobFilter
from shared.jobs.model import JobProgress, Lease, NewJob
from shared.jobs.operations import Operations
from shared.jobs.queue import JobQueue
from tests.integration.operating import BAD_FILE, PASSING
from tests.integration.watching import Client, Replica, add_record

QUEUES = ("a", "b")
OWNERS = ("o", "p")
_MOST_HELD = 3
DEADLINE_S = 10.0


class World:
    """Every method that is a step takes a few numbers, which choose among what there is."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.queue = JobQueue(pool)
        self.operations = Operations(pool)
        self.replicas = [Replica(pool), Replica(pool)]
        self.clients: list[Client] = []
        self.records: dict[str, UUID] = {}
        self.jobs: list[tuple[UUID, str]] = []
        self.leases: dict[UUID, Lease] = {}
        self.held: list[tuple[contextlib.AsyncExitStack, UUID | None]] = []
        self.late: list[tuple[int, UUID]] = []

    async def begin(self) -> None:
        async with self.pool.connection() as connection:
            await connection.execute("DELETE FROM jobs")
            await connection.execute("DELETE FROM records")
        for name in QUEUES:
            await self.queue.register(name)
        for owner in OWNERS:
            self.records[owner] = await add_record(self.pool, owner)
            await self.enqueue(OWNERS.index(owner), 0, 1, 0)
        self.clients = [
            Client("o", every=JobFilter()),
            Client("o", every=JobFilter(queues=frozenset({"b"}))),
            Client("o", record_ids=[self.records["o"]]),
            Client("p", every=JobFilter(), include_ended=True),
        ]

    async def end(self) -> None:
        for client in self.clients:
            client.reads.set()
            await client.disconnect()
        for stack, _ in self.held:
            await stack.aclose()
        for replica in self.replicas:
            await replica.stop()

    # Jobs change.

    async def enqueue(self, owner: int, queue: int, of_record: int, fate: int) -> None:
        name, job_id = OWNERS[owner % 2], uuid7()
        record_id = self.records[name] if of_record % 2 else None
        async with self.pool.connection() as connection:
            await self.queue.enqueue(connection, NewJob(job_id, name, QUEUES[queue % 2], record_id))
        self.jobs.append((job_id, name))
        self._hint([job_id], fate)

    async def claim(self, queue: int, limit: int, _: int, fate: int) -> None:
        claimed = await self.queue.claim(
            QUEUES[queue % 2], limit=1 + limit % 4, worker_id="w", lease_s=600, timeout_s=600
        )
        self.leases |= {job.lease.job_id: job.lease for job in claimed}
        self._hint([job.lease.job_id for job in claimed], fate)

    async def progress(self, which: int, done: int, _: int, fate: int) -> None:
        if lease := self._lease(which, keep=True):
            await self.queue.heartbeat([(lease, JobProgress("read", done, 99, "rows"))], lease_s=600)
            self._hint([lease.job_id], fate)

    async def finish(self, which: int, how: int, _: int, fate: int) -> None:
        if lease := self._lease(which):
            match how % 4:
                case 0:
                    await self.queue.fail(lease, BAD_FILE, backoff_s=0)
                case 1:
                    await self.queue.fail(lease, PASSING, backoff_s=0)
                case 2:
                    await self.queue.release([lease])
                case _:
                    await self.queue.succeed_many([lease])
            self._hint([lease.job_id], fate)

    async def promote(self, *_: int) -> None:
        await self.queue.promote()

    async def cancel_or_retry(self, which: int, how: int, _: int, fate: int) -> None:
        held = {job_id for _, job_id in self.held}
        free = [(job_id, owner) for job_id, owner in self.jobs if job_id not in held]
        if free:
            job_id, owner = free[which % len(free)]
            with contextlib.suppress(Exception):  # its state may not allow it
                if how % 2:
                    await self.operations.cancel(owner, job_id)
                else:
                    await self.operations.retry(owner, job_id, attempts=2)
            self._hint([job_id], fate)

    async def hold(self, which: int, how: int, *_: int) -> None:
        """Open a transaction that ends a job, or that only takes an id; it is over later."""
        if len(self.held) == _MOST_HELD:
            return
        stack = contextlib.AsyncExitStack()
        connection = await stack.enter_async_context(self.pool.connection())
        await stack.enter_async_context(connection.transaction())
        lease = self._lease(which) if how % 3 else None
        if lease:
            await self.queue.succeed(connection, lease)
        else:
            await connection.execute("SELECT pg_current_xact_id()")
        self.held.append((stack, lease.job_id if lease else None))

    async def commit(self, which: int, _a: int, _b: int, fate: int) -> None:
        if self.held:
            stack, job_id = self.held.pop(which % len(self.held))
            await stack.aclose()
            if job_id:
                self._hint([job_id], fate)

    def _lease(self, which: int, *, keep: bool = False) -> Lease | None:
        if not self.leases:
            return None
        job_id = list(self.leases)[which % len(self.leases)]
        return self.leases[job_id] if keep else self.leases.pop(job_id)

    # Hints arrive, or do not.

    def _hint(self, job_ids: Iterable[UUID], fate: int) -> None:
        for number, replica in enumerate(self.replicas):
            if fate >> number & 1:
                replica.hint(job_ids)
            if fate >> number & 4:
                self.late += [(number, job_id) for job_id in job_ids]

    async def deliver_late(self, *_: int) -> None:
        for number, job_id in self.late:
            self.replicas[number].hint([job_id])
        self.late.clear()

    async def poll(self, which: int, *_: int) -> None:
        await self.replicas[which % 2].poll()

    async def breathe(self, length: int, *_: int) -> None:
        await asyncio.sleep(0.001 * (length % 8))

    # Clients and replicas come and go.

    async def come(self, which: int, replica: int, *_: int) -> None:
        client = self.clients[which % len(self.clients)]
        if not client.connected and not client.satisfied:
            await client.disconnect()
            client.connect(self.replicas[replica % 2])

    async def go(self, which: int, *_: int) -> None:
        await self.clients[which % len(self.clients)].disconnect()

    async def slow_down(self, which: int, how: int, *_: int) -> None:
        reads = self.clients[which % len(self.clients)].reads
        if how % 2:
            reads.clear()
        else:
            reads.set()

    async def newcomer(self, which: int, count: int, kind: int, _: int) -> None:
        if len(self.clients) >= 8:
            return
        owner = OWNERS[which % 2]
        own = [job_id for job_id, of in self.jobs if of == owner]
        if kind % 3 and own:
            self.clients.append(Client(owner, job_ids=own[-1 - count % 4 :]))
        else:
            self.clients.append(Client(owner, every=JobFilter()))

    async def restart(self, which: int, *_: int) -> None:
        await self.replicas[which % 2].stop()
        self.replicas[which % 2] = Replica(self.pool)

    # What has to come of it.

    async def rows(self) -> list[dict[str, Any]]:
        async with self.pool.connection() as connection:
            return await (await connection.execute("SELECT * FROM jobs")).fetchall()

    async def check(self) -> None:
        """Let all transactions commit and all clients come back: each has to learn the newest state of each job."""
        while self.held:
            await self.commit(0, 0, 0, 0)
        for client in self.clients:
            client.reads.set()
        await self._all_come()
        for replica in self.replicas:
            await replica.poll()
        rows = await self.rows()
        try:
            async with asyncio.timeout(DEADLINE_S):
                while any(self._missed(client, rows) for client in self.clients):
                    await asyncio.sleep(0.005)
                    await self._all_come()  # also those whose replica was restarted while they did not read
        except TimeoutError:
            missed = [(self._missed(client, rows), client.end) for client in self.clients]
            raise AssertionError(f"missed: {missed}") from None

    async def _all_come(self) -> None:
        for number in range(len(self.clients)):
            await self.come(number, number)

    def _missed(self, client: Client, rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        return [row for row in rows if client.wants(row) and not self._knows(client, row)]

    def _knows(self, client: Client, row: dict[str, Any]) -> bool:
        told = client.told.get(row["job_id"])
        if told is None:  # then it ended before the watch began, unless such jobs were asked for
            over = row["ended_xid"] and client.begun_at is not None and int(row["ended_xid"]) < client.begun_at
            return bool(over) and not client.all_of_history and not client.named(row["job_id"])
        # Once a job that was named is done, nobody asks for it any more.
        return told.version == row["version"] or (told.done and client.named(row["job_id"]))
