"""The operators' side: look into the queues, steer them, and talk to a worker."""

from collections.abc import AsyncGenerator, Sequence
from types import TracebackType
from typing import Self

import grpc

from tablemill.channel import open_channel
from tablemill.errors import answer_of
from tablemill.v1 import ops_service_pb2, ops_service_pb2_grpc, worker_service_pb2, worker_service_pb2_grpc
from tablemill.v1.job_pb2 import Job, JobState
from tablemill.v1.ops_service_pb2 import Queue
from tablemill.v1.worker_service_pb2 import Worker


class Operations:
    """What a `TablemillClient` offers to operators. Every method raises a `TablemillError` as the client does."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._ops = ops_service_pb2_grpc.OpsServiceStub(channel)

    async def list_queues(self) -> list[Queue]:
        """Return all queues by name, and how they fare."""
        return list((await answer_of(self._ops.ListQueues(ops_service_pb2.ListQueuesRequest()))).queues)

    async def pause(self, queue: str, *, reason: str = "") -> Queue:
        """Keep workers from claiming jobs of a queue; running jobs go on. Raises NotFoundError."""
        request = ops_service_pb2.PauseQueueRequest(queue=queue, reason=reason)
        return (await answer_of(self._ops.PauseQueue(request))).queue

    async def resume(self, queue: str) -> Queue:
        """Let workers claim again. Raises NotFoundError."""
        return (await answer_of(self._ops.ResumeQueue(ops_service_pb2.ResumeQueueRequest(queue=queue)))).queue

    async def list_jobs(
        self,
        *,
        queue: str = "",
        states: "Sequence[JobState.ValueType]" = (),
        record_id: str = "",
        page_size: int = 100,
    ) -> AsyncGenerator[Job]:
        """Yield the jobs that pass all filters, newest first; fetched page by page as needed."""
        request = ops_service_pb2.ListJobsRequest(queue=queue, states=states, record_id=record_id, page_size=page_size)
        while True:
            page = await answer_of(self._ops.ListJobs(request))
            for job in page.jobs:
                yield job
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def cancel(self, job_id: str) -> Job:
        """Stop a job; one that runs is stopped by its worker within a second: watch it.

        Raises NotFoundError, and RefusedError for a job that succeeded or failed.
        """
        return (await answer_of(self._ops.CancelJob(ops_service_pb2.CancelJobRequest(job_id=job_id)))).job

    async def retry(self, job_id: str, *, version: int = 0) -> Job:
        """Give a failed or cancelled job a fresh set of attempts. Raises NotFoundError and RefusedError.

        With the `version` of the job as it was read this may be repeated: a job that has changed since is returned as
        it is.
        """
        request = ops_service_pb2.RetryJobRequest(job_id=job_id, version=version)
        return (await answer_of(self._ops.RetryJob(request))).job


class WorkerClient:
    """A connection to one worker, on the worker's own port. Use it as a context manager, in one event loop."""

    def __init__(self, address: str) -> None:
        self._address = address

    async def __aenter__(self) -> Self:
        self._channel = open_channel(self._address)
        self._worker = worker_service_pb2_grpc.WorkerServiceStub(self._channel)
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        await self._channel.close()

    async def get_worker(self) -> Worker:
        """Return what the worker is doing."""
        return (await answer_of(self._worker.GetWorker(worker_service_pb2.GetWorkerRequest()))).worker

    async def drain(self) -> Worker:
        """Make the worker finish or give back what it runs, and exit; returns at once."""
        return (await answer_of(self._worker.Drain(worker_service_pb2.DrainRequest()))).worker
