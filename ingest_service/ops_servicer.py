"""OpsService: the operators' side of the queues."""

from typing import Any
from uuid import UUID

from google.protobuf.duration_pb2 import Duration

from ingest_service import fields, messages
from ingest_service.auth import owner_of
from ingest_service.paging import decode_token, encode_token
from shared.jobs.model import JobState
from shared.jobs.notify import Notifier
from shared.jobs.operations import Operations, QueueStatus
from tablemill.v1 import ops_service_pb2 as pb
from tablemill.v1 import ops_service_pb2_grpc

_PAGE, _MAX_PAGE = 50, 500
_MAX_REASON_CHARS = 200


class OpsServicer(ops_service_pb2_grpc.OpsServiceServicer):
    """Answers tablemill.v1.OpsService; the protos say what each method promises.

    A retried job gets `attempts` more attempts.
    """

    def __init__(self, operations: Operations, notifier: Notifier, *, attempts: int) -> None:
        self._operations = operations
        self._notifier = notifier
        self._attempts = attempts

    async def ListQueues(self, request: pb.ListQueuesRequest, context: Any) -> pb.ListQueuesResponse:  # noqa: ARG002, D102, N802
        return pb.ListQueuesResponse(queues=[_queue_message(queue) for queue in await self._operations.list_queues()])

    async def PauseQueue(self, request: pb.PauseQueueRequest, context: Any) -> pb.PauseQueueResponse:  # noqa: ARG002, D102, N802
        queue = fields.queue_name("queue", request.queue)
        reason = fields.printable("reason", request.reason, most_chars=_MAX_REASON_CHARS)
        return pb.PauseQueueResponse(queue=_queue_message(await self._operations.pause(queue, reason)))

    async def ResumeQueue(self, request: pb.ResumeQueueRequest, context: Any) -> pb.ResumeQueueResponse:  # noqa: ARG002, D102, N802
        resumed = await self._operations.resume(fields.queue_name("queue", request.queue))
        self._notifier.ready([resumed.queue])
        return pb.ResumeQueueResponse(queue=_queue_message(resumed))

    async def ListJobs(self, request: pb.ListJobsRequest, context: Any) -> pb.ListJobsResponse:  # noqa: D102, N802
        limit = fields.page_limit("page_size", request.page_size, default=_PAGE, most=_MAX_PAGE)
        # One more than asked for tells whether a next page exists.
        found = await self._operations.list_jobs(
            owner_of(context),
            queue=fields.queue_name("queue", request.queue) if request.queue else None,
            states=sorted(fields.job_states("states", request.states)),
            record_id=fields.uuid_field("record_id", request.record_id) if request.record_id else None,
            before=_before(request),
            limit=limit + 1,
        )
        page = found[:limit]
        return pb.ListJobsResponse(
            jobs=[messages.job_message(job) for job in page],
            next_page_token=encode_token("jobs", str(page[-1].job_id)) if len(found) > limit else "",
        )

    async def CancelJob(self, request: pb.CancelJobRequest, context: Any) -> pb.CancelJobResponse:  # noqa: D102, N802
        job = await self._operations.cancel(owner_of(context), fields.uuid_field("job_id", request.job_id))
        self._notifier.changed([job.job_id])
        if job.state is JobState.RUNNING:
            self._notifier.cancel(job.job_id)
        return pb.CancelJobResponse(job=messages.job_message(job))

    async def RetryJob(self, request: pb.RetryJobRequest, context: Any) -> pb.RetryJobResponse:  # noqa: D102, N802
        job_id = fields.uuid_field("job_id", request.job_id)
        version = fields.not_negative("version", request.version)
        job = await self._operations.retry(owner_of(context), job_id, attempts=self._attempts, version=version)
        self._notifier.changed([job.job_id])
        self._notifier.ready([job.queue])
        return pb.RetryJobResponse(job=messages.job_message(job))


def _before(request: pb.ListJobsRequest) -> UUID | None:
    if not request.page_token:
        return None
    return fields.uuid_field("page_token", decode_token("jobs", request.page_token))


def _queue_message(queue: QueueStatus) -> pb.Queue:
    oldest_ready_age = None
    if queue.oldest_ready_age is not None:
        oldest_ready_age = Duration()
        oldest_ready_age.FromTimedelta(queue.oldest_ready_age)
    return pb.Queue(
        queue=queue.queue,
        pause_time=messages.time_message(queue.paused_at),
        pause_reason=queue.pause_reason,
        ready_count=queue.ready,
        scheduled_count=queue.scheduled,
        running_count=queue.running,
        succeeded_last_hour_count=queue.succeeded_last_hour,
        failed_last_hour_count=queue.failed_last_hour,
        oldest_ready_age=oldest_ready_age,
        max_running=queue.max_running or 0,
        max_running_per_owner=queue.max_running_per_owner or 0,
    )
