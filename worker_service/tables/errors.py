"""What can go wrong with a user's file, and what can only be our own fault.

``TableError`` is the user's to fix: its ``code`` is stable, its ``message`` one plain sentence. ``InvariantError``
is a bug in this package and says so: a conversion that cannot account for every cell never hands out a result.
"""

from enum import StrEnum


class ErrorCode(StrEnum):
    """Stable reasons a file cannot be converted; every one is explained in docs/cleaning.md."""

    FILE_ENCRYPTED = "FILE_ENCRYPTED"
    FILE_CORRUPT = "FILE_CORRUPT"
    FILE_TOO_LARGE = "FILE_TOO_LARGE"
    LIMIT_EXCEEDED = "LIMIT_EXCEEDED"
    UNSAFE_XML = "UNSAFE_XML"
    NOT_TABULAR = "NOT_TABULAR"
    EMPTY_FILE = "EMPTY_FILE"
    FILE_FORMAT_UNSUPPORTED = "FILE_FORMAT_UNSUPPORTED"


class TableError(Exception):
    """The file cannot become a table.

    ``message`` says what, where and how to fix it; ``metadata`` holds machine-readable details such as
    ``detected`` (a format) or ``limit`` (the name of the limit that was hit). ``row`` is 1-based.
    """

    def __init__(
        self,
        code: ErrorCode,
        message: str,
        *,
        metadata: dict[str, str] | None = None,
        sheet: str | None = None,
        row: int | None = None,
        column: str | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.metadata = metadata or {}
        self.sheet = sheet
        self.row = row
        self.column = column


class InvariantError(Exception):
    """Cells went in that did not come out: a bug in Tablemill, never the user's fault."""


def encrypted() -> TableError:
    """The error for a workbook with a password."""
    return TableError(
        ErrorCode.FILE_ENCRYPTED,
        "The workbook is protected by a password; remove the password in the spreadsheet program and upload again.",
    )


def limit_exceeded(limit: str, allowed: int, found: int | str, advice: str) -> TableError:
    """A LIMIT_EXCEEDED error that names the limit, what was found and what to do."""
    return TableError(
        ErrorCode.LIMIT_EXCEEDED,
        f"The file has {found}; {limit} allows {allowed:,}: {advice}",
        metadata={"limit": limit, "allowed": str(allowed)},
    )
