"""Watches that resume by themselves."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass

import grpc

from tablemill.errors import TablemillError, error_from_rpc, lost_stream
from tablemill.retrying import Backoff, RetryPolicy
from tablemill.v1 import ingest_service_pb2 as pb
from tablemill.v1 import ingest_service_pb2_grpc
from tablemill.v1.job_pb2 import Job

MAX_OPENING = 100
"""Watches of one client that may be waiting for their first message; more at once only wait in the server."""

_SILENT_INTERVALS = 3
_FIRST_MESSAGE_S = 20.0
_NOTHING_SEEN = -1
RetryCallback = Callable[[TablemillError], None]
TokenCallback = Callable[[str], None]


@dataclass(frozen=True)
class WatchPlan:
    """What to follow: jobs by id, all jobs of some records, and the caller's jobs that pass a filter.

    `resume_token` is where an earlier watch with the same filter stood; `on_resume_token` is called with where this
    one stands, each time after the jobs told until then were taken.
    """

    job_ids: Sequence[str] = ()
    record_ids: Sequence[str] = ()
    every: pb.WatchFilter | None = None
    resume_token: str = ""
    on_resume_token: TokenCallback = lambda _token: None

    @property
    def endless(self) -> bool:
        """Whether jobs may come that nobody knows yet."""
        return bool(self.record_ids) or self.every is not None


class Watch:
    """Follows jobs over as many streams as it takes.

    It keeps the newest version of each job and where it stands, and sends both when it resumes, so no state is seen
    twice and no final state is missed. A stream on which nothing arrives for three heartbeat intervals, or at its
    start for 20 seconds, is dead, and so may be the connection under it: the next stream gets a connection of its own.
    """

    def __init__(
        self,
        channel: grpc.aio.Channel,
        open_own_channel: Callable[[], grpc.aio.Channel],
        policy: RetryPolicy,
        on_retry: RetryCallback,
        opening: asyncio.Semaphore,
    ) -> None:
        self._channel = channel
        self._open_own_channel = open_own_channel
        self._own_channel: grpc.aio.Channel | None = None
        self._backoff = Backoff(policy)
        self._on_retry = on_retry
        self._opening = opening
        self._open: set[str] = set()
        self._versions: dict[str, int] = {}
        self._ended: set[str] = set()
        self._token = ""

    async def follow(self, plan: WatchPlan, heartbeat_s: float) -> AsyncGenerator[Job]:
        """Yield each job whenever it changed, first in its current state; end when all named are done.

        Raises:
            NotFoundError: One of the jobs or records does not exist.
            TablemillError: The last failure, when resuming did not help.
        """
        self._open, self._token = set(plan.job_ids), plan.resume_token
        try:
            while self._open or plan.endless:
                try:
                    async with aclosing(self._read_stream(plan, heartbeat_s)) as stream:
                        async for job in stream:
                            yield job
                except TablemillError as error:
                    if not error.transient:
                        raise
                    self._on_retry(error)
                    await self._backoff.pause(error)
        finally:
            if self._own_channel is not None:
                await self._own_channel.close()

    async def _read_stream(self, plan: WatchPlan, heartbeat_s: float) -> AsyncGenerator[Job]:
        silence_s = _SILENT_INTERVALS * heartbeat_s
        async with self._opening:
            call = self._open_stream(plan, heartbeat_s)
            try:
                message = await self._next(call, min(silence_s, _FIRST_MESSAGE_S))
            except BaseException:
                call.cancel()
                raise
        starting: set[str] | None = set()
        try:
            while message is not None:
                self._backoff.note_progress()
                for job in message.jobs:
                    if starting is not None:
                        starting.add(job.job_id)
                    if self._is_news(job):
                        yield job
                if starting is not None and message.synced:
                    self._forget_ended_but(starting)
                    starting = None
                if message.resume_token:
                    self._token = message.resume_token
                    plan.on_resume_token(self._token)
                if not (self._open or plan.endless):
                    return
                message = await self._next(call, silence_s)
        finally:
            call.cancel()
        if self._open or plan.endless:
            raise lost_stream("the server ended the watch before all jobs were done")

    async def _next(
        self, call: grpc.aio.UnaryStreamCall[pb.WatchStatusRequest, pb.WatchStatusResponse], within_s: float
    ) -> pb.WatchStatusResponse | None:
        try:
            async with asyncio.timeout(within_s):
                message = await call.read()
        except grpc.aio.AioRpcError as error:
            raise error_from_rpc(error) from error
        except TimeoutError as error:
            await self._replace_connection()
            raise lost_stream(f"nothing was heard for {within_s:g} s") from error
        return message if isinstance(message, pb.WatchStatusResponse) else None

    def _open_stream(
        self, plan: WatchPlan, heartbeat_s: float
    ) -> grpc.aio.UnaryStreamCall[pb.WatchStatusRequest, pb.WatchStatusResponse]:
        targets = [
            pb.WatchTarget(job_id=job_id, after_version=max(self._versions.get(job_id, 0), 0))
            for job_id in plan.job_ids
            if job_id in self._open
        ]
        targets += [pb.WatchTarget(record_id=record_id) for record_id in plan.record_ids]
        if plan.every is not None:
            targets.append(pb.WatchTarget(all=plan.every))
        request = pb.WatchStatusRequest(targets=targets, resume_token=self._token)
        request.heartbeat_interval.FromMilliseconds(round(heartbeat_s * 1000))
        stub = ingest_service_pb2_grpc.IngestServiceStub(self._own_channel or self._channel)
        return stub.WatchStatus(request)

    def _is_news(self, job: Job) -> bool:
        if job.version <= self._versions.get(job.job_id, _NOTHING_SEEN):
            return False
        self._versions[job.job_id] = job.version
        if job.done:
            self._ended.add(job.job_id)
            self._open.discard(job.job_id)
        else:
            self._ended.discard(job.job_id)
        return True

    def _forget_ended_but(self, starting: set[str]) -> None:
        """Forget ended jobs that a resumption did not tell again: no later one will, since the token only moves on."""
        for job_id in self._ended - starting:
            del self._versions[job_id]
        self._ended &= starting

    async def _replace_connection(self) -> None:
        if self._own_channel is not None:
            await self._own_channel.close()
        self._own_channel = self._open_own_channel()
