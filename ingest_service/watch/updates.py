"""What a watch says, in bytes. A job is put into bytes once, however many streams tell of it.

A message of protobuf may be put together of the bytes of its parts: those of each job, and a tail.
"""

from collections.abc import Iterable
from functools import cached_property

from ingest_service import messages
from ingest_service.watch.targets import resume_token
from shared.jobs.model import Job
from tablemill.v1 import ingest_service_pb2 as pb


class Update:
    """A job in its newest state."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.job_id = job.job_id
        self.final = job.state.final

    @cached_property
    def encoded(self) -> bytes:
        """The bytes of a WatchStatusResponse with this job alone."""
        return pb.WatchStatusResponse(
            jobs=[messages.job_message(self.job)], server_time=messages.time_message(self.job.read_at)
        ).SerializeToString()


def encode(updates: Iterable[Update], *, synced: bool, degraded: bool, horizon: int | None) -> bytes:
    """Return the bytes of a WatchStatusResponse with these updates; without any it is a heartbeat."""
    tail = _TAILS[synced, degraded]
    if horizon is not None:
        tail += pb.WatchStatusResponse(resume_token=resume_token(horizon)).SerializeToString()
    return b"".join([update.encoded for update in updates]) + tail


_TAILS = {
    (synced, degraded): pb.WatchStatusResponse(synced=synced, degraded=degraded).SerializeToString()
    for synced in (False, True)
    for degraded in (False, True)
}
