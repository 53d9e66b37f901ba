"""Checks of request fields, one function a kind of field. All raise InvalidArgument with reason FIELD_INVALID."""

import codecs
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from google.protobuf.duration_pb2 import Duration

from ingest_service import messages
from shared.errors import invalid_field
from shared.jobs.model import JobState
from shared.records.uploads import UploadHeader
from tablemill.v1 import data_service_pb2, job_pb2
from tablemill.v1 import ingest_service_pb2 as pb

_QUEUE_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_LABEL_KEY = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_MAX_LABELS = 16
_MAX_LABEL_VALUE_BYTES = 256
_MAX_FILE_NAME_BYTES = 255
_MAX_SHEET_NAME_CHARS = 255
_MAX_SHEET_NUMBER = 10_000
_MAX_HEADER_ROW = 200
_MAX_DELIMITER_CHARS = 4
_MAX_NULL_TOKENS = 50
_MAX_NULL_TOKEN_CHARS = 64
# The names that Python gives them. Closed, since Python also knows codecs that are no text encodings.
_ENCODINGS = frozenset(
    (
        *("ascii", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"),
        *("gb2312", "gbk", "gb18030", "big5", "big5hkscs", "cp950", "shift_jis", "cp932", "euc_jp", "euc_kr", "cp949"),
        *(f"iso8859-{part}" for part in (*range(1, 12), 13, 14, 15, 16)),
        *(f"cp{page}" for page in (437, 850, 852, 866, 874, *range(1250, 1259))),
        *("koi8-r", "koi8-u", "mac-roman"),
    )
)
_DATE_ORDERS = {pb.DATE_ORDER_DAY_FIRST: "day_first", pb.DATE_ORDER_MONTH_FIRST: "month_first"}
_MIN_TTL_S, _MAX_TTL_S = 1.0, 10 * 366 * 86_400.0
_URL_TTL_S, _MAX_URL_TTL_S = 900.0, 3600.0
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


def job_states(field: str, asked: Iterable[job_pb2.JobState.ValueType]) -> set[JobState]:
    """Return the states that are told as those `asked` for."""
    states: set[JobState] = set()
    for state in asked:
        known = messages.job_states_of(state)
        if not known:
            raise invalid_field(field, "must name states that jobs have")
        states.update(known)
    return states


def printable(field: str, text: str, *, most_chars: int) -> str:
    """Return `text` when it is short enough and holds no control characters; it may be empty."""
    if len(text) > most_chars or _has_control(text):
        raise invalid_field(field, f"must have at most {most_chars} printable characters")
    return text


def upload_header(header: pb.UploadHeader) -> UploadHeader:
    """Return what the header says, checked."""
    size_bytes = not_negative("header.size_bytes", header.size_bytes) if header.HasField("size_bytes") else None
    return UploadHeader(
        request_id=uuid_field("header.request_id", header.request_id),
        file_name=_file_name(header.file_name),
        declared_size_bytes=size_bytes,
        labels=_labels(header.labels),
        options=_read_options(header.options),
        ttl_s=_ttl_s(header.ttl) if header.HasField("ttl") else None,
    )


def _read_options(asked: pb.ReadOptions) -> dict[str, Any]:
    """Return what was asked for, by the field names of the message; what was not is left out."""
    options: dict[str, Any] = {
        "sheet": printable("header.options.sheet", asked.sheet, most_chars=_MAX_SHEET_NAME_CHARS),
        "sheet_number": _within("header.options.sheet_number", asked.sheet_number, _MAX_SHEET_NUMBER),
        "delimiter": _delimiter(asked.delimiter),
        "encoding": _encoding(asked.encoding),
        "null_tokens": _null_tokens(asked.null_tokens),
        "date_order": _date_order(asked.date_order),
    }
    options = {name: value for name, value in options.items() if value}
    if asked.sheet and asked.sheet_number:
        raise invalid_field("header.options.sheet_number", "must not be set beside sheet")
    if asked.HasField("header_row"):
        options["header_row"] = _within("header.options.header_row", asked.header_row, _MAX_HEADER_ROW)
    if asked.HasField("quote"):
        options["quote"] = _quote(asked.quote, asked.delimiter)
    return options


def _within(field: str, number: int, most: int) -> int:
    if not 0 <= number <= most:
        raise invalid_field(field, f"must be 0 to {most}")
    return number


def _delimiter(text: str) -> str:
    if len(text) > _MAX_DELIMITER_CHARS or any(char.isalnum() or char in "\r\n\"'" or char > "\uffff" for char in text):
        raise invalid_field(
            "header.options.delimiter", "must be 1 to 4 characters, no quote, line end, letter or digit"
        )
    return text


def _quote(text: str, delimiter: str) -> str:
    if len(text) > 1 or text.isalnum() or text.isspace() or (text and text in delimiter):
        raise invalid_field(
            "header.options.quote", "must be empty or one character, no letter, digit, white space or delimiter"
        )
    return text


def _encoding(name: str) -> str:
    if not name:
        return ""
    try:
        found = codecs.lookup(name).name
    except (LookupError, ValueError):
        found = ""
    if found not in _ENCODINGS:
        raise invalid_field(
            "header.options.encoding", "must be a text encoding like utf-8, gb18030, big5 or windows-1252"
        )
    return found


def _null_tokens(tokens: Sequence[str]) -> list[str]:
    if len(tokens) > _MAX_NULL_TOKENS:
        raise invalid_field("header.options.null_tokens", f"must be at most {_MAX_NULL_TOKENS}")
    if not all(1 <= len(token) <= _MAX_NULL_TOKEN_CHARS and not _has_control(token) for token in tokens):
        raise invalid_field(
            "header.options.null_tokens", f"every one must have 1 to {_MAX_NULL_TOKEN_CHARS} printable characters"
        )
    return sorted({token.strip() for token in tokens})


def _date_order(order: pb.DateOrder.ValueType) -> str:
    if order not in pb.DateOrder.values():
        raise invalid_field("header.options.date_order", "must be a value of DateOrder")
    return _DATE_ORDERS.get(order, "")


def url_ttl_s(request: data_service_pb2.CreateDownloadUrlRequest) -> float:
    """Return how many seconds a URL is to work."""
    if not request.HasField("ttl"):
        return _URL_TTL_S
    seconds = _seconds(request.ttl)
    if not _MIN_TTL_S <= seconds <= _MAX_URL_TTL_S:
        raise invalid_field("ttl", "must be 1 second to 1 hour")
    return seconds


def _seconds(duration: Duration) -> float:
    return duration.seconds + duration.nanos / 1e9


def _ttl_s(ttl: Duration) -> float:
    seconds = _seconds(ttl)
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
