"""What every reader hands over: a grid of text cells, before anyone knows where the table is."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from .arrow import Array

HEAD_ROWS = 200


@dataclass(frozen=True)
class Merge:
    """A merged range: 1-based source rows, 0-based columns, all inclusive."""

    first_row: int
    last_row: int
    first_column: int
    last_column: int


@dataclass(frozen=True)
class Batch:
    """Some consecutive rows: one string array a column (null = empty cell) and the 1-based source rows."""

    columns: list[Array]
    rows: Array

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class Overflow:
    """A cell beyond the last column of a text file's table."""

    row: int
    raw: str


class Irregular(Exception):  # a signal to change readers, never shown to a user
    """The fast reader met something only the tolerant reader can read."""


class Head(Protocol):
    """The first ``HEAD_ROWS`` rows of a sheet or text file, and its merged ranges."""

    @property
    def width(self) -> int:
        """Number of columns."""
        ...

    @property
    def head(self) -> list[list[str]]:
        """The first rows; an empty cell is an empty text."""
        ...

    @property
    def head_rows(self) -> list[int]:
        """Source rows of ``head``, 1-based."""
        ...

    @property
    def merges(self) -> list[Merge]:
        """Merged ranges, in any order."""
        ...


class Grid(Head, Protocol):
    """A sheet or text file as text cells."""

    def body(self, first_row: int) -> Iterator[Batch]:
        """All rows from source row ``first_row`` on, in order."""
        ...
