"""The one protocol for object stores. Objects are immutable: a name is written once.

Names are made by the services from ids (`raw/…`, `clean/…`, `uploads/…`); nothing a client says gets into one.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class ObjectInfo:
    """An object as its store describes it; `crc32c` is the Castagnoli checksum of all its bytes."""

    name: str
    size_bytes: int
    crc32c: int


@dataclass(frozen=True)
class ListedObject:
    """An object as a listing tells it; `created_at` is by the store's clock."""

    name: str
    created_at: datetime


class StoreError(Exception):
    """The store cannot be reached or refused; trying again later may help."""


class ObjectMissing(StoreError):
    """There is no object of that name."""


class ObjectDiffers(StoreError):
    """An object of that name exists with other content, or bytes changed on the way."""


class CannotSign(Exception):
    """This store makes no signed URLs; the message says why."""


class ObjectStore(Protocol):
    """Immutable objects by name. All methods raise StoreError when the store is away."""

    async def put(self, name: str, pieces: Sequence[bytes], crc32c: int) -> None:
        """Store the joined `pieces`, whose checksum is `crc32c`; durable on return. Holds no copy of them.

        Writing the same bytes to the same name again is fine. Raises ObjectDiffers otherwise.
        """

    async def put_part(self, base: str, offset_bytes: int, pieces: Sequence[bytes], crc32c: int) -> str:
        """Store the joined `pieces`, whose checksum is `crc32c`, as a part of a file; durable on return.

        The part begins at `offset_bytes` of the file.

        Returns the part's name, for `compose` and `delete`. Only one writer may use `base`.
        """

    async def put_file(self, name: str, path: Path) -> ObjectInfo:
        """Store the file at `path`, in constant memory. Raises ObjectDiffers."""

    async def compose(self, parts: Sequence[str], name: str, written_crc32c: int | None) -> ObjectInfo:
        """Store the concatenation of `parts` (at least one) and say what was stored. Raises ObjectMissing.

        `written_crc32c`, when given, says that the caller has just written all of them itself under one base, what
        checksum they have together, and that it writes nothing more there: then a directory needs no second copy.
        """

    def read(self, name: str, offset: int = 0) -> AsyncIterator[bytes]:
        """Yield the bytes from `offset` to the end in pieces of at most 1 MiB. Raises ObjectMissing."""

    async def read_range(self, name: str, offset: int, size_bytes: int) -> bytes:
        """Return the `size_bytes` bytes from `offset` on, fewer only at the end. Raises ObjectMissing."""

    async def get_file(self, name: str, path: Path) -> None:
        """Write the object to `path`, in constant memory. Raises ObjectMissing."""

    async def sign_url(self, name: str, ttl_s: float, *, media_type: str, file_name: str) -> str:
        """Return a URL that gives the object to anybody who has it, for `ttl_s` seconds, as a file to be saved.

        Raises CannotSign.
        """

    async def delete(self, names: Sequence[str]) -> None:
        """Remove objects; those that do not exist are fine."""

    def list_objects(self, prefix: str) -> AsyncIterator[Sequence[ListedObject]]:
        """Yield all objects whose names begin with `prefix` ("raw/"), in pages of at most 1000."""

    async def check(self) -> None:
        """Return when the store answers; raise StoreError when it does not."""

    async def close(self) -> None:
        """Release threads and connections."""
