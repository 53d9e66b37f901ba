"""WorkerService: what this worker is doing, and how to make it go away in peace."""

import asyncio
from collections import Counter
from importlib.metadata import version
from typing import Any

from google.protobuf.duration_pb2 import Duration

from tablemill.v1 import job_pb2, worker_service_pb2_grpc
from tablemill.v1 import worker_service_pb2 as pb
from worker_service.attempt import Attempt
from worker_service.worker import Worker


class WorkerServicer(worker_service_pb2_grpc.WorkerServiceServicer):
    """Answers tablemill.v1.WorkerService; the protos say what each method promises. Draining sets `stop`."""

    def __init__(self, worker: Worker, stop: asyncio.Event) -> None:
        self._worker = worker
        self._stop = stop
        self._software_version = version("tablemill")
        self._up_since_s = asyncio.get_running_loop().time()

    async def GetWorker(self, request: pb.GetWorkerRequest, context: Any) -> pb.GetWorkerResponse:  # noqa: ARG002, D102, N802
        return pb.GetWorkerResponse(worker=self._message())

    async def Drain(self, request: pb.DrainRequest, context: Any) -> pb.DrainResponse:  # noqa: ARG002, D102, N802
        self._stop.set()
        return pb.DrainResponse(worker=self._message())

    def _message(self) -> pb.Worker:
        now_s = asyncio.get_running_loop().time()
        running = self._worker.running
        counts = Counter(attempt.job.queue for attempt in running)
        return pb.Worker(
            worker_id=self._worker.worker_id,
            draining=self._stop.is_set(),
            queues=[
                pb.WorkerQueue(queue=queue, capacity=capacity, running_count=counts[queue])
                for queue, capacity in sorted(self._worker.capacity.items())
            ],
            running=[_running_message(attempt, now_s) for attempt in running],
            uptime=_duration(now_s - self._up_since_s),
            software_version=self._software_version,
        )


def _running_message(attempt: Attempt, now_s: float) -> pb.RunningJob:
    job, progress = attempt.job, attempt.progress
    message = pb.RunningJob(
        job_id=str(job.lease.job_id),
        queue=job.queue,
        attempt=job.attempt,
        running_for=_duration(now_s - attempt.started_s),
    )
    if progress is not None:
        shown = job_pb2.Progress(stage=progress.stage, done=progress.done, total=progress.total, unit=progress.unit)
        message.progress.CopyFrom(shown)
    return message


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromMilliseconds(round(seconds * 1000))
    return duration
