"""What a caller of ExportRecord asks for, checked."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from ingest_service import fields
from shared.errors import invalid_field
from shared.exports import ExportFormat, ExportOptions
from tablemill.v1 import data_service_pb2 as pb

_FORMATS = {
    pb.EXPORT_FORMAT_XLSX: ExportFormat.XLSX,
    pb.EXPORT_FORMAT_CSV: ExportFormat.CSV,
    pb.EXPORT_FORMAT_PARQUET: ExportFormat.PARQUET,
}
_FLAGS = {
    "split_sheets": ExportFormat.XLSX,
    "byte_order_mark": ExportFormat.CSV,
    "keep_formulas": ExportFormat.CSV,
}


@dataclass(frozen=True)
class ExportRequest:
    """An export; `revision` 0 stands for whatever is current at the first call."""

    request_id: UUID
    record_id: UUID
    revision: int
    options: ExportOptions

    def to_json(self) -> dict[str, Any]:
        """Return what any other request with this `request_id` has to ask for, too."""
        return {"record_id": str(self.record_id), "revision": self.revision, **self.options.to_json()}


def checked_export(request: pb.ExportRecordRequest) -> ExportRequest:
    """Return what is asked for. Raises InvalidArgument, also for a flag that the format does not have."""
    chosen = _FORMATS.get(request.format)
    if chosen is None:
        raise invalid_field("format", "must be xlsx, csv or parquet")
    flags = {flag: getattr(request, flag) for flag in _FLAGS}
    for flag, given in flags.items():
        if given and chosen is not _FLAGS[flag]:
            raise invalid_field(flag, f"is for {_FLAGS[flag]} only")
    return ExportRequest(
        request_id=fields.uuid_field("request_id", request.request_id),
        record_id=fields.uuid_field("record_id", request.record_id),
        revision=fields.not_negative("revision", request.revision),
        options=ExportOptions(chosen, **flags),
    )
