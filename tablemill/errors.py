"""What can go wrong, as a small tree of exceptions.

    TablemillError
    ├── NotFoundError        no such record, job, upload or queue (or it is somebody else's)
    ├── RefusedError         the server understood and said no: mend the request or the file
    ├── UnavailableError     the server cannot be reached or asks to come back later
    ├── ServerError          the server made a mistake: report it with `metadata["error_id"]`
    └── DamagedFileError     what was downloaded is not what the server holds

A job that fails is no exception: it is data, see `Job.error`.
"""

from collections.abc import Awaitable, Mapping
from typing import TypeVar

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

T = TypeVar("T")
_DETAILS_KEY = "grpc-status-details-bin"


class TablemillError(Exception):
    """A call that did not succeed.

    Attributes:
        reason: Stable UPPER_SNAKE reason, listed in docs/api.md; empty when no Tablemill server gave one,
            for example because the connection broke.
        message: One sentence for people.
        code: The gRPC status code.
        metadata: Facts for programs, for example the limit that was exceeded.
        retry_after_s: How long the server asks to wait before another try; None when it does not say.
    """

    def __init__(
        self,
        reason: str,
        message: str,
        code: grpc.StatusCode,
        metadata: Mapping[str, str] | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(f"{reason}: {message}" if reason else message)
        self.reason = reason
        self.message = message
        self.code = code
        self.metadata = dict(metadata or {})
        self.retry_after_s = retry_after_s

    @property
    def transient(self) -> bool:
        """True when the same call may succeed a little later.

        A status without a reason was made on the way and not by the server: whatever its code, the stream
        was lost. (Python's aio client even reports INTERNAL when a server refuses a stream that is still
        being written, see grpc/grpc#36066.)
        """
        if self.retry_after_s is not None or self.code is grpc.StatusCode.UNAVAILABLE:
            return True
        return not self.reason and self.code in _LOST


class NotFoundError(TablemillError):
    """There is no such record, job, upload or queue."""


class RefusedError(TablemillError):
    """The server understood the request and refuses it."""


class UnavailableError(TablemillError):
    """The server cannot be reached, or cannot answer now."""


class ServerError(TablemillError):
    """The server made a mistake."""


class DamagedFileError(TablemillError):
    """The bytes received differ from those the server holds."""


_LOST = frozenset(
    {
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
    }
)
_CLASSES = {
    grpc.StatusCode.NOT_FOUND: NotFoundError,
    grpc.StatusCode.UNAVAILABLE: UnavailableError,
    grpc.StatusCode.DEADLINE_EXCEEDED: UnavailableError,
    grpc.StatusCode.CANCELLED: UnavailableError,
    grpc.StatusCode.INTERNAL: ServerError,
    grpc.StatusCode.UNKNOWN: ServerError,
    grpc.StatusCode.UNIMPLEMENTED: ServerError,
}


def error_from_rpc(error: grpc.aio.AioRpcError) -> TablemillError:
    """Return the exception that tells what a failed call's status and its details say."""
    info = error_details_pb2.ErrorInfo()
    retry = error_details_pb2.RetryInfo()
    retry_after_s = None
    for detail in _details_of(error):
        detail.Unpack(info)
        if detail.Unpack(retry):
            retry_after_s = retry.retry_delay.ToTimedelta().total_seconds()
    # The status says the reason again in front of its words, for clients that show nothing else.
    message = (error.details() or error.code().name).removeprefix(f"{info.reason}: ")
    return _CLASSES.get(error.code(), RefusedError)(info.reason, message, error.code(), info.metadata, retry_after_s)


async def answer_of(call: Awaitable[T]) -> T:
    """Return the answer of a unary call; raises the TablemillError that its status tells of."""
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        raise error_from_rpc(error) from error


def lost_stream(message: str) -> UnavailableError:
    """Return the exception for a stream that went silent."""
    return UnavailableError("", message, grpc.StatusCode.UNAVAILABLE)


def _details_of(error: grpc.aio.AioRpcError) -> list[any_pb2.Any]:
    for key, value in error.trailing_metadata() or ():
        if key == _DETAILS_KEY:
            return list(status_pb2.Status.FromString(value).details)
    return []
