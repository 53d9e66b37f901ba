"""The errors a caller can be told about.

::

    TablemillError              reason, message, metadata, retry_after_s
    ├── InvalidArgument         the request itself is wrong
    ├── NotFound                unknown id, or somebody else's
    ├── AlreadyExists           the name is taken by something different
    ├── OutOfRange              a position or size that does not fit
    ├── Aborted                 lost against something newer; start from the current state
    ├── DataLoss                bytes arrived changed
    ├── FailedPrecondition      right request, wrong moment
    ├── ResourceExhausted       over a limit for now
    └── Unavailable             this server or what it needs is away for now

`shared.rpc.status` holds the one table from these classes to gRPC codes. Everything else that is raised is
a bug and reaches the caller as INTERNAL with an error id and no details.
"""

from collections.abc import Mapping, Sequence


class TablemillError(Exception):
    """An error whose `reason` (stable, UPPER_SNAKE), `message` and `metadata` are meant for the caller.

    `retry_after_s` tells how long to wait before trying again, when that may help.
    """

    def __init__(
        self,
        reason: str,
        message: str,
        metadata: Mapping[str, str] | None = None,
        *,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.message = message
        self.metadata = dict(metadata or {})
        self.retry_after_s = retry_after_s


class InvalidArgument(TablemillError):
    """The request itself is wrong. `violations` tells of each field that is, and what is wrong with it."""

    violations: Sequence[tuple[str, str]] = ()


class NotFound(TablemillError):
    """Unknown id, or somebody else's: callers cannot tell which."""


class AlreadyExists(TablemillError):
    """The name is taken by something different."""


class OutOfRange(TablemillError):
    """A position or size that does not fit."""


class Aborted(TablemillError):
    """Lost against something newer; start again from the current state."""


class DataLoss(TablemillError):
    """Bytes arrived changed."""


class FailedPrecondition(TablemillError):
    """Right request, wrong moment."""


class ResourceExhausted(TablemillError):
    """Over a limit for now."""


class Unavailable(TablemillError):
    """This server, or something it needs, is away for now."""


def invalid_field(field: str, message: str) -> InvalidArgument:
    """Return the error for a request field that breaks its rule."""
    return invalid_fields([(field, message)])


def invalid_fields(violations: Sequence[tuple[str, str]]) -> InvalidArgument:
    """Return the error for request fields that break their rules: (field, message), at least one."""
    text = "; ".join(f"{field}: {message}" for field, message in violations)
    error = InvalidArgument("FIELD_INVALID", text, {"field": violations[0][0]})
    error.violations = violations
    return error
