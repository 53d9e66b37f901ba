"""Changes of records: checked, made idempotent by their request id, and handed to a job or done at once."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from uuid_utils.compat import uuid7

from shared.actions import ActionErrors, Column, Plan, check_actions
from shared.database import Pool
from shared.errors import Aborted, AlreadyExists, invalid_fields
from shared.jobs.model import NewJob
from shared.jobs.notify import Notifier
from shared.jobs.queue import JobQueue
from shared.records.changes import Change, Changes, insert_change, insert_revert
from shared.records.model import Record, RevisionConflict
from tablemill.v1 import action_pb2

ACTIONS_QUEUE = "actions"


@dataclass(frozen=True)
class Asked:
    """A change somebody asks for: whose, under which id, of what, and a digest of all that was asked."""

    owner: str
    request_id: UUID
    record_id: UUID
    base_revision: int
    digest: bytes


def digest_of(request: Message) -> bytes:
    """Return a digest that tells a repeated request from another one."""
    return hashlib.sha256(request.SerializeToString(deterministic=True)).digest()


def planned(record: Record, actions: Sequence[action_pb2.Action]) -> Plan:
    """Return the plan of the actions on the record's columns. Raises InvalidArgument with all that is wrong."""
    columns = {
        column["name"]: Column(column["type"], column["source_name"], column["name"]) for column in record.columns or ()
    }
    try:
        return check_actions(actions, columns)
    except ActionErrors as errors:
        raise invalid_fields([(wrong.field, wrong.description) for wrong in errors.violations]) from None


def conflict(current: int) -> Aborted:
    """Return the error for a base that is no longer what the record points at."""
    return Aborted(
        "VERSION_CONFLICT",
        "the record points at another version; look at it, and ask again with its revision",
        {"current_revision": str(current)},
    )


class Changer:
    """Makes changes, each once."""

    def __init__(
        self, pool: Pool, changes: Changes, jobs: JobQueue, notifier: Notifier, *, job_max_attempts: int
    ) -> None:
        self._pool = pool
        self._changes = changes
        self._jobs = jobs
        self._notifier = notifier
        self._job_max_attempts = job_max_attempts

    async def made_before(self, asked: Asked) -> Change | None:
        """Return the change that this request made when it came before. Raises AlreadyExists for another request."""
        change = await self._changes.read(asked.owner, asked.request_id)
        if change is not None and change.digest != asked.digest:
            raise AlreadyExists(
                "REQUEST_ID_REUSED",
                "this request_id was used for another change; make a new one",
                {"request_id": str(asked.request_id)},
            )
        return change

    async def apply(
        self, asked: Asked, record: Record, actions: Sequence[action_pb2.Action], *, dry_run: bool
    ) -> Change:
        """Enqueue a job for the actions; return the change with its id. Raises AlreadyExists."""
        args: Mapping[str, Any] = {
            "base_revision": asked.base_revision,
            "clean_object": record.clean_object,
            "clean_size_bytes": record.clean_size_bytes,
            "actions": [MessageToDict(action, preserving_proto_field_name=True) for action in actions],
            "dry_run": dry_run,
        }
        change = Change(**vars(asked), job_id=uuid7())
        job_id = change.job_id or uuid7()
        job = NewJob(job_id, asked.owner, ACTIONS_QUEUE, asked.record_id, args, self._job_max_attempts)
        async with self._pool.connection() as connection, connection.transaction():
            inserted = await insert_change(connection, change)
            if inserted:
                await self._jobs.enqueue(connection, job)
        if inserted:
            self._notifier.ready([ACTIONS_QUEUE])
        return change if inserted else await self.made_before(asked) or change

    async def revert(self, asked: Asked, revision: int) -> Change:
        """Make the version that goes back to `revision`, which exists. Raises Aborted, AlreadyExists."""
        change = Change(**vars(asked), revision=asked.base_revision + 1)
        try:
            async with self._pool.connection() as connection, connection.transaction():
                inserted = await insert_change(connection, change)
                if inserted:
                    await insert_revert(connection, change, revision)
        except RevisionConflict:
            (newest,) = await self._changes.list_versions(asked.owner, asked.record_id, limit=1)
            raise conflict(newest.revision) from None
        return change if inserted else await self.made_before(asked) or change
