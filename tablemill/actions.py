"""The changing side: actions, dry runs, versions and the way back."""

import uuid
from collections.abc import AsyncGenerator, Iterable, Mapping
from typing import Any

import grpc
from google.protobuf.json_format import ParseDict, ParseError

from tablemill.errors import answer_of
from tablemill.v1 import action_service_pb2, action_service_pb2_grpc
from tablemill.v1.action_pb2 import Action
from tablemill.v1.action_service_pb2 import ApplyActionsResponse, GetDryRunResponse, Version


class Actions:
    """What a `TablemillClient` offers to change clean data. Every method raises a `TablemillError` as the client does.

    `actions` are messages, or mappings in their JSON form such as {"filter_rows": {"condition": "age >= 65"}}; a
    mapping that is no action raises ValueError. Calls that change something may be repeated with the same
    `request_id`, a UUID; without one each call is a change of its own.
    """

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = action_service_pb2_grpc.ActionServiceStub(channel)

    async def check(
        self, record_id: str, base_revision: int, actions: Iterable[Action | Mapping[str, Any]]
    ) -> ApplyActionsResponse:
        """Check actions against the columns of a record and return the columns there would be."""
        request = action_service_pb2.ApplyActionsRequest(
            record_id=record_id, base_revision=base_revision, actions=map(_message, actions), validate_only=True
        )
        return await answer_of(self._stub.ApplyActions(request))

    async def apply(
        self,
        record_id: str,
        base_revision: int,
        actions: Iterable[Action | Mapping[str, Any]],
        *,
        dry_run: bool = False,
        request_id: str | None = None,
    ) -> str:
        """Begin a change of the version that the caller has seen; return the id of its job, to be watched."""
        request = action_service_pb2.ApplyActionsRequest(
            record_id=record_id,
            base_revision=base_revision,
            request_id=request_id or str(uuid.uuid4()),
            actions=map(_message, actions),
            dry_run=dry_run,
        )
        return (await answer_of(self._stub.ApplyActions(request))).job_id

    async def dry_run(self, job_id: str) -> GetDryRunResponse:
        """Return what a dry run found, once its job has succeeded."""
        return await answer_of(self._stub.GetDryRun(action_service_pb2.GetDryRunRequest(job_id=job_id)))

    async def versions(self, record_id: str, *, page_size: int = 20) -> AsyncGenerator[Version]:
        """Yield the versions of a record, newest first; fetched page by page as needed."""
        request = action_service_pb2.ListVersionsRequest(record_id=record_id, page_size=page_size)
        while True:
            page = await answer_of(self._stub.ListVersions(request))
            for version in page.versions:
                yield version
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def revert(
        self, record_id: str, base_revision: int, revision: int, *, request_id: str | None = None
    ) -> Version:
        """Go back to `revision` by a new version that is equal to it, and return that."""
        request = action_service_pb2.RevertRecordRequest(
            record_id=record_id,
            base_revision=base_revision,
            revision=revision,
            request_id=request_id or str(uuid.uuid4()),
        )
        return (await answer_of(self._stub.RevertRecord(request))).version


def _message(action: Action | Mapping[str, Any]) -> Action:
    if isinstance(action, Action):
        return action
    try:
        return ParseDict(dict(action), Action())
    except ParseError as error:
        raise ValueError(f"not an action: {error}") from None
