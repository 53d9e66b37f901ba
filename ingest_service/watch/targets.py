"""What a watch follows, and from where on."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from ingest_service import fields
from ingest_service.paging import decode_token, encode_token
from shared.errors import invalid_field
from shared.jobs.changes import JobFilter
from shared.jobs.model import Job, JobState
from tablemill.v1 import ingest_service_pb2 as pb

_MAX_TARGETS = 100
_MAX_QUEUES = 100
_TOKEN_KIND = "watch"  # noqa: S105  # no secret


@dataclass(frozen=True)
class Targets:
    """What a watch follows: named jobs with the versions seen of them, records, and what passes a filter.

    `since` is the horizon from which on ended jobs are told at the start; None when none are.
    """

    after_versions: Mapping[UUID, int]
    record_ids: frozenset[UUID] = frozenset()
    every: JobFilter | None = None
    since: int | None = None

    def want(self, job: Job) -> bool:
        """Return whether a job of the owner is among them."""
        return (
            job.job_id in self.after_versions
            or job.record_id in self.record_ids
            or (self.every is not None and self.every.takes(job))
        )

    @property
    def endless(self) -> bool:
        """Whether jobs may come that nobody knows yet."""
        return bool(self.record_ids) or self.every is not None


def targets_of(request: pb.WatchStatusRequest) -> Targets:
    """Return what the request asks for. Raises InvalidArgument."""
    if not 1 <= len(request.targets) <= _MAX_TARGETS:
        raise invalid_field("targets", f"must be 1 to {_MAX_TARGETS}")
    after_versions: dict[UUID, int] = {}
    record_ids: set[UUID] = set()
    filters: list[pb.WatchFilter] = []
    for index, target in enumerate(request.targets):
        field = f"targets[{index}]"
        if bool(target.job_id) + bool(target.record_id) + target.HasField("all") != 1:
            raise invalid_field(field, "must have exactly one of job_id, record_id and all")
        if target.job_id:
            version = fields.not_negative(f"{field}.after_version", target.after_version)
            after_versions[fields.uuid_field(f"{field}.job_id", target.job_id)] = version
        elif target.record_id:
            record_ids.add(fields.uuid_field(f"{field}.record_id", target.record_id))
        else:
            filters.append(target.all)
    if len(after_versions) + len(record_ids) + min(len(filters), 1) < len(request.targets):
        raise invalid_field("targets", "must not name a target twice")
    every = _job_filter(filters[0]) if filters else None
    since = 0 if filters and filters[0].include_ended else None
    if request.resume_token:
        since = _horizon_of(request.resume_token)
    return Targets(after_versions, frozenset(record_ids), every, since)


def resume_token(horizon: int) -> str:
    """Return the token from which `targets_of` learns the horizon again."""
    return encode_token(_TOKEN_KIND, str(horizon))


def _horizon_of(token: str) -> int:
    position = decode_token(_TOKEN_KIND, token, field="resume_token")
    if not (position.isascii() and position.isdecimal() and len(position) <= 18):
        raise invalid_field("resume_token", "is not a token that this method gave")
    return int(position)


def _job_filter(asked: pb.WatchFilter) -> JobFilter:
    if len(asked.queues) > _MAX_QUEUES:
        raise invalid_field("all.queues", f"must be at most {_MAX_QUEUES}")
    queues = frozenset(fields.queue_name("all.queues", queue) for queue in asked.queues)
    states = fields.job_states("all.states", asked.states)
    return JobFilter(queues or None, frozenset(states or JobState))
