"""ActionService: changes of clean data and the versions they make."""

from collections.abc import Mapping
from typing import Any

from google.protobuf.json_format import ParseDict

from ingest_service import fields, messages
from ingest_service.auth import owner_of
from ingest_service.changing import Asked, Changer, conflict, digest_of, planned
from ingest_service.found import found_version, not_ready
from ingest_service.paging import decode_token, encode_token
from shared.errors import FailedPrecondition, NotFound, invalid_field
from shared.records.changes import Changes, Version
from shared.records.model import Record
from shared.records.records import Records
from tablemill.v1 import action_pb2, data_service_pb2
from tablemill.v1 import action_service_pb2 as pb
from tablemill.v1 import action_service_pb2_grpc as pb_grpc

_VERSIONS, _MAX_VERSIONS = 20, 50
_MAX_ACTIONS_BYTES = 64 << 10


class ActionServicer(pb_grpc.ActionServiceServicer):
    """Answers tablemill.v1.ActionService; the protos say what each method promises."""

    def __init__(self, records: Records, changes: Changes, changer: Changer) -> None:
        self._records = records
        self._changes = changes
        self._changer = changer

    async def ApplyActions(self, request: pb.ApplyActionsRequest, context: Any) -> pb.ApplyActionsResponse:  # noqa: D102, N802
        if sum(action.ByteSize() for action in request.actions) > _MAX_ACTIONS_BYTES:
            raise invalid_field("actions", f"must be at most {_MAX_ACTIONS_BYTES:,} bytes together")
        asked = None if request.validate_only else _asked(request, context)
        before = asked and await self._changer.made_before(asked)
        if before:
            return pb.ApplyActionsResponse(job_id=str(before.job_id))
        record = await self._record_at(request, context)
        plan = planned(record, request.actions)
        response = pb.ApplyActionsResponse()
        if not plan.open_ended:
            for name, column in plan.columns.items():
                facts = {"name": name, "type": column.dtype, "source_name": column.source_name, "null_count": 0}
                response.columns.append(messages.column_message(facts))
        if asked:
            change = await self._changer.apply(asked, record, request.actions, dry_run=request.dry_run)
            response.job_id = str(change.job_id)
        return response

    async def GetDryRun(self, request: pb.GetDryRunRequest, context: Any) -> pb.GetDryRunResponse:  # noqa: D102, N802
        found = await self._changes.read_dry_run(owner_of(context), fields.uuid_field("job_id", request.job_id))
        if found is None:
            raise NotFound("JOB_NOT_FOUND", "no such dry run")
        if found.report is None:
            raise FailedPrecondition("DRY_RUN_NOT_READY", "the job has not succeeded, or was no dry run; watch the job")
        report = found.report
        return pb.GetDryRunResponse(
            base_revision=found.base_revision,
            rows_after=report["rows_after"],
            columns=[messages.column_message(column) for column in report["columns"]],
            rows=[data_service_pb2.Row(cells=map(_cell, row)) for row in report["rows"]],
            row_count=report["row_count"],
        )

    async def ListVersions(self, request: pb.ListVersionsRequest, context: Any) -> pb.ListVersionsResponse:  # noqa: D102, N802
        limit = fields.page_limit("page_size", request.page_size, default=_VERSIONS, most=_MAX_VERSIONS)
        record_id, before = fields.uuid_field("record_id", request.record_id), None
        if request.page_token:
            position = decode_token("versions", request.page_token)
            if not position.isdecimal() or len(position) > 18:
                raise invalid_field("page_token", "is not a next_page_token of this method")
            before = int(position)
        versions = await self._changes.list_versions(owner_of(context), record_id, before=before, limit=limit + 1)
        if not versions:
            raise not_ready(found_version(await self._records.read(owner_of(context), record_id), 0))
        response = pb.ListVersionsResponse(versions=map(_version, versions[:limit]))
        if len(versions) > limit:
            response.next_page_token = encode_token("versions", str(versions[limit - 1].revision))
        return response

    async def RevertRecord(self, request: pb.RevertRecordRequest, context: Any) -> pb.RevertRecordResponse:  # noqa: D102, N802
        asked = _asked(request, context)
        change = await self._changer.made_before(asked)
        if change is None:
            await self._record_at(request, context)
            if not 1 <= request.revision < request.base_revision:
                raise invalid_field("revision", "must be that of an older version")
            change = await self._changer.revert(asked, request.revision)
        before = (change.revision or 0) + 1
        (version,) = await self._changes.list_versions(asked.owner, asked.record_id, before=before, limit=1)
        return pb.RevertRecordResponse(version=_version(version))

    async def _record_at(self, request: pb.ApplyActionsRequest | pb.RevertRecordRequest, context: Any) -> Record:
        """Return the record, which has clean data and points at the base. Raises NotFound, Aborted and so on."""
        record_id = fields.uuid_field("record_id", request.record_id)
        record = found_version(await self._records.read(owner_of(context), record_id), 0)
        if not record.revision:
            raise not_ready(record)
        if request.base_revision < 1:
            raise invalid_field("base_revision", "must be the revision that the change is made from, at least 1")
        if record.revision != request.base_revision:
            raise conflict(record.revision)
        return record


def _asked(request: pb.ApplyActionsRequest | pb.RevertRecordRequest, context: Any) -> Asked:
    return Asked(
        owner=owner_of(context),
        request_id=fields.uuid_field("request_id", request.request_id),
        record_id=fields.uuid_field("record_id", request.record_id),
        base_revision=request.base_revision,
        digest=digest_of(request),
    )


def _cell(cell: Mapping[str, Any]) -> data_service_pb2.Cell:
    kinds = {"int64": int, "float64": float}
    return data_service_pb2.Cell(**{kind: kinds.get(kind, lambda value: value)(value) for kind, value in cell.items()})


def _action(action: Mapping[str, Any]) -> action_pb2.Action:
    # A newer server may have stored fields that this one does not know.
    return ParseDict(dict(action), action_pb2.Action(), ignore_unknown_fields=True)


def _version(version: Version) -> pb.Version:
    return pb.Version(
        revision=version.revision,
        base_revision=version.base_revision,
        actions=[_action(action) for action in version.actions],
        job_id=str(version.job_id or ""),
        row_count=version.row_count,
        column_count=version.column_count,
        size_bytes=version.clean_size_bytes,
        create_time=messages.time_message(version.created_at),
        current=version.current,
    )
