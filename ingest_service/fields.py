"""Checks of request fields, one function a kind of field. All raise InvalidArgument with reason FIELD_INVALID."""

import re
from collections.abc import Mapping
from uuid import UUID

from google.protobuf.duration_pb2 import Duration

from shared.errors import invalid_field
from shared.records.uploads import UploadHeader
from tablemill.v1 import ingest_service_pb2 as pb

_QUEUE_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_LABEL_KEY = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_MAX_LABELS = 16
_MAX_LABEL_VALUE_BYTES = 256
_MAX_FILE_NAME_BYTES = 255
_MAX_SHEET_NAME_CHARS = 255
_MIN_TTL_S, _MAX_TTL_S = 1.0, 10 * 366 * 86_400.0
_FIRST_PRINTABLE = 0x20
_DELETE = 0x7F


def uuid_field(field: str, text: str) -> UUID:
    """Return the UUID written in `text`."""
    try:
        return UUID(text)
    except ValueError:
        raise invalid_field(field, "must be a UUID like 0198a5b2-4f6e-7d10-9c3a-5a1f0c2b7e44") from None


def page_limit(field: str, asked: int, *, default: int, most: int) -> int:
    """Return how many items a page has: `default` for 0, never more than `most`."""
    if asked < 0:
        raise invalid_field(field, "must not be negative")
    return min(asked or default, most)


def not_negative(field: str, number: int) -> int:
    """Return `number` when it is 0 or more."""
    if number < 0:
        raise invalid_field(field, "must not be negative")
    return number


def queue_name(field: str, name: str) -> str:
    """Return `name` when a queue may have it."""
    if not _QUEUE_NAME.fullmatch(name):
        raise invalid_field(field, "must match [A-Za-z0-9_-]{1,64}")
    return name


def printable(field: str, text: str, *, most_chars: int) -> str:
    """Return `text` when it is short enough and holds no control characters; it may be empty."""
    if len(text) > most_chars or _has_control(text):
        raise invalid_field(field, f"must have at most {most_chars} printable characters")
    return text


def upload_header(header: pb.UploadHeader) -> UploadHeader:
    """Return what the header says, checked."""
    size_bytes = not_negative("header.size_bytes", header.size_bytes) if header.HasField("size_bytes") else None
    sheet = printable("header.options.sheet", header.options.sheet, most_chars=_MAX_SHEET_NAME_CHARS)
    return UploadHeader(
        request_id=uuid_field("header.request_id", header.request_id),
        file_name=_file_name(header.file_name),
        declared_size_bytes=size_bytes,
        labels=_labels(header.labels),
        options={"sheet": sheet} if sheet else {},
        ttl_s=_ttl_s(header.ttl) if header.HasField("ttl") else None,
    )


def _ttl_s(ttl: Duration) -> float:
    seconds = ttl.seconds + ttl.nanos / 1e9
    if not _MIN_TTL_S <= seconds <= _MAX_TTL_S:
        raise invalid_field("header.ttl", "must be 1 second to 10 years")
    return seconds


def _file_name(name: str) -> str:
    if not 1 <= len(name.encode()) <= _MAX_FILE_NAME_BYTES or _has_control(name):
        raise invalid_field("header.file_name", "must be 1 to 255 bytes of UTF-8 without control characters")
    return name


def _labels(labels: Mapping[str, str]) -> dict[str, str]:
    if len(labels) > _MAX_LABELS:
        raise invalid_field("header.labels", f"must be at most {_MAX_LABELS}")
    for key, value in labels.items():
        if not _LABEL_KEY.fullmatch(key):
            raise invalid_field("header.labels", "every key must match [a-z][a-z0-9_-]{0,62}")
        if len(value.encode()) > _MAX_LABEL_VALUE_BYTES or "\0" in value:
            raise invalid_field(
                "header.labels", f"every value must have at most {_MAX_LABEL_VALUE_BYTES} bytes, no NUL"
            )
    return dict(labels)


def _has_control(text: str) -> bool:
    return any(ord(character) < _FIRST_PRINTABLE or ord(character) == _DELETE for character in text)
