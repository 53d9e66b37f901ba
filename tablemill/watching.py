"""Watches that resume by themselves."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing

import grpc

from tablemill.errors import TablemillError, error_from_rpc, lost_stream
from tablemill.retrying import Backoff, RetryPolicy
from tablemill.v1 import ingest_service_pb2 as pb
from tablemill.v1 import ingest_service_pb2_grpc
from tablemill.v1.job_pb2 import Job

_SILENT_INTERVALS = 3
_NOTHING_SEEN = -1
RetryCallback = Callable[[TablemillError], None]


class Watch:
    """Follows some jobs until all are done, over as many streams as it takes.

    It keeps the newest version of each job and sends it when it resumes, so no state is seen twice and no final
    state is missed. A stream on which nothing arrives for three heartbeat intervals is dead, and so may be the
    connection under it: the next stream gets a connection of its own.
    """

    def __init__(
        self,
        channel: grpc.aio.Channel,
        open_own_channel: Callable[[], grpc.aio.Channel],
        policy: RetryPolicy,
        on_retry: RetryCallback,
    ) -> None:
        self._channel = channel
        self._open_own_channel = open_own_channel
        self._own_channel: grpc.aio.Channel | None = None
        self._backoff = Backoff(policy)
        self._on_retry = on_retry
        self._versions: dict[str, int] = {}

    async def follow(self, job_ids: Iterable[str], heartbeat_s: float) -> AsyncGenerator[Job]:
        """Yield each job whenever it changed, first in its current state; end when all are done.

        Raises:
            NotFoundError: One of the jobs does not exist.
            TablemillError: The last failure, when resuming did not help.
        """
        self._versions = dict.fromkeys(job_ids, _NOTHING_SEEN)
        try:
            while self._versions:
                try:
                    async with aclosing(self._read_stream(heartbeat_s)) as stream:
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

    async def _read_stream(self, heartbeat_s: float) -> AsyncGenerator[Job]:
        call = self._open_stream(heartbeat_s)
        try:
            while self._versions:
                async with asyncio.timeout(_SILENT_INTERVALS * heartbeat_s):
                    message = await call.read()
                if not isinstance(message, pb.WatchStatusResponse):
                    break
                self._backoff.note_progress()
                for job in message.jobs:
                    if self._is_news(job):
                        yield job
        except grpc.aio.AioRpcError as error:
            raise error_from_rpc(error) from error
        except TimeoutError as error:
            await self._replace_connection()
            raise lost_stream(f"no heartbeat for {_SILENT_INTERVALS * heartbeat_s:g} s") from error
        finally:
            call.cancel()
        if self._versions:
            raise lost_stream("the server ended the watch before all jobs were done")

    def _open_stream(
        self, heartbeat_s: float
    ) -> grpc.aio.UnaryStreamCall[pb.WatchStatusRequest, pb.WatchStatusResponse]:
        targets = [
            pb.WatchTarget(job_id=job_id, after_version=max(version, 0)) for job_id, version in self._versions.items()
        ]
        request = pb.WatchStatusRequest(targets=targets)
        request.heartbeat_interval.FromMilliseconds(round(heartbeat_s * 1000))
        stub = ingest_service_pb2_grpc.IngestServiceStub(self._own_channel or self._channel)
        return stub.WatchStatus(request)

    def _is_news(self, job: Job) -> bool:
        if job.version <= self._versions.get(job.job_id, job.version):
            return False
        if job.done:
            del self._versions[job.job_id]
        else:
            self._versions[job.job_id] = job.version
        return True

    async def _replace_connection(self) -> None:
        if self._own_channel is not None:
            await self._own_channel.close()
        self._own_channel = self._open_own_channel()
