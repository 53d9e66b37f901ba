"""The one table from domain errors to gRPC status codes, and how an error is told to a caller."""

from collections.abc import Sequence

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from shared import errors

DOMAIN = "tablemill"
_MAX_MESSAGE_CHARS = 1000  # details above 8 KiB in all do not arrive reliably
_MAX_VIOLATIONS, _MAX_VIOLATION_CHARS = 20, 1500

_CODES: dict[type[errors.TablemillError], int] = {
    errors.InvalidArgument: code_pb2.INVALID_ARGUMENT,
    errors.NotFound: code_pb2.NOT_FOUND,
    errors.AlreadyExists: code_pb2.ALREADY_EXISTS,
    errors.OutOfRange: code_pb2.OUT_OF_RANGE,
    errors.Aborted: code_pb2.ABORTED,
    errors.DataLoss: code_pb2.DATA_LOSS,
    errors.FailedPrecondition: code_pb2.FAILED_PRECONDITION,
    errors.ResourceExhausted: code_pb2.RESOURCE_EXHAUSTED,
    errors.Unavailable: code_pb2.UNAVAILABLE,
}


def code_name(error: errors.TablemillError) -> str:
    """Return the name of the status code that `error` is told as."""
    return str(code_pb2.Code.Name(_CODES[type(error)]))


def to_grpc_status(error: errors.TablemillError) -> grpc.Status:
    """Return `error` as a gRPC status with google.rpc.ErrorInfo, BadRequest and RetryInfo where they apply."""
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata)
    details: list[Message] = [info]
    message = error.message[:_MAX_MESSAGE_CHARS]
    violations = error.violations if isinstance(error, errors.InvalidArgument) else ()
    if not violations and "field" in error.metadata:
        violations = [(error.metadata["field"], message)]
    if violations:
        details.append(_bad_request(violations))
    if error.retry_after_s is not None:
        delay = Duration()
        delay.FromMilliseconds(int(error.retry_after_s * 1000))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    return _status(_CODES[type(error)], f"{error.reason}: {message}", details)


def _bad_request(violations: Sequence[tuple[str, str]]) -> error_details_pb2.BadRequest:
    request, left_chars = error_details_pb2.BadRequest(), _MAX_VIOLATION_CHARS
    for field, description in violations[:_MAX_VIOLATIONS]:
        left_chars -= len(field) + len(description)
        if left_chars < 0 and request.field_violations:
            break
        request.field_violations.add(field=field, description=description[:_MAX_MESSAGE_CHARS])
    return request


def internal_status(error_id: str) -> grpc.Status:
    """Return the status for a bug: fixed words and the id under which the log tells more."""
    info = error_details_pb2.ErrorInfo(reason="INTERNAL", domain=DOMAIN, metadata={"error_id": error_id})
    text = f"INTERNAL: something went wrong on the server; its log tells more under error id {error_id}"
    return _status(code_pb2.INTERNAL, text, [info])


def _status(code: int, text: str, details: list[Message]) -> grpc.Status:
    packed = []
    for detail in details:
        wrapped = AnyMessage()
        wrapped.Pack(detail)
        packed.append(wrapped)
    status: grpc.Status = rpc_status.to_status(status_pb2.Status(code=code, message=text, details=packed))
    return status
