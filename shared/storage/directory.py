"""An object store in a local directory, for a single machine."""

import asyncio
import itertools
import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, ParamSpec, TypeVar
from uuid import uuid4

from shared.storage import files
from shared.storage.store import CannotSign, ListedObject, ObjectDiffers, ObjectInfo, ObjectMissing, StoreError

_PIECE_BYTES = 1 << 20
_THREADS = 8
_PAGE = 1000
P = ParamSpec("P")
T = TypeVar("T")


class DirectoryStore:
    """Objects as files below a directory. A file gets its name only when it is complete and on disk.

    The parts of one writer are extents of one file, which is then only given a second name: joining them takes no
    second copy and waits for no second write.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._partial = root / "partial"
        self._partial.mkdir(parents=True, exist_ok=True)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="directory-store")

    async def put(self, name: str, pieces: Sequence[bytes], crc32c: int) -> None:
        """Store the joined `pieces`."""

        def write(file: BinaryIO) -> tuple[int, int]:
            return sum(file.write(piece) for piece in pieces), crc32c

        await self._run(self._create, name, write)

    async def put_part(self, base: str, offset_bytes: int, pieces: Sequence[bytes], crc32c: int) -> str:
        """Write the joined `pieces` at their place in the writer's file; `compose` verifies what got there."""
        del crc32c
        size_bytes = await self._run(files.write_at, self._path(base), offset_bytes, pieces)
        return files.part_name(base, offset_bytes, size_bytes)

    async def put_file(self, name: str, path: Path) -> ObjectInfo:
        """Store a copy of the file at `path`."""
        return await self._run(self._create, name, lambda file: files.copy([files.whole(path)], file))

    async def compose(self, parts: Sequence[str], name: str, written_crc32c: int | None) -> ObjectInfo:
        """Give the writer's file its final name, or copy what several writers wrote and maybe long ago."""
        if written_crc32c is None:
            return await self._run(self._join, parts, name)
        return await self._run(self._link, parts, name, written_crc32c)

    async def read(self, name: str, offset: int = 0) -> AsyncIterator[bytes]:
        """Yield the bytes from `offset` on."""
        file = await self._run(self._open, name)
        try:
            await self._run(file.seek, offset)
            while piece := await self._run(file.read, _PIECE_BYTES):
                yield piece
        finally:
            file.close()

    async def read_range(self, name: str, offset: int, size_bytes: int) -> bytes:
        """Return those bytes."""

        def read() -> bytes:
            with self._open(name) as file:
                file.seek(offset)
                return file.read(size_bytes)

        return await self._run(read)

    async def get_file(self, name: str, path: Path) -> None:
        """Copy the object to `path`."""

        def copy() -> None:
            with self._open(name) as source, path.open("wb") as target:
                shutil.copyfileobj(source, target, _PIECE_BYTES)

        await self._run(copy)

    async def sign_url(self, name: str, ttl_s: float, *, media_type: str, file_name: str) -> str:
        """Raise CannotSign: nothing serves a directory."""
        del name, ttl_s, media_type, file_name
        raise CannotSign("a directory has no URLs")

    async def delete(self, names: Sequence[str]) -> None:
        """Remove the objects' files; the parts of one writer go together, with their one file."""
        extents = [(name, files.extent_of(self._root, name)) for name in names]
        paths = {extent.path if extent else self._path(name) for name, extent in extents}

        def remove() -> None:
            for path in paths:
                files.remove(path, self._root)

        await self._run(remove)

    async def list_objects(self, prefix: str) -> AsyncIterator[Sequence[ListedObject]]:
        """Yield the files below the folder `prefix`; the parts of one writer are listed as its one file."""
        found = self._walk(self._path(prefix))
        while page := await self._run(lambda: [*itertools.islice(found, _PAGE)]):
            yield page

    async def check(self) -> None:
        """Raise StoreError unless the directory can be written."""
        if not await self._run(os.access, self._partial, os.W_OK):
            raise StoreError(f"the object directory is missing or not writable: {self._root}")

    async def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _path(self, name: str) -> Path:
        path = self._root / name
        if ".." in path.parts:
            raise StoreError(f"not an object name: {name}")
        return path

    def _open(self, name: str) -> BinaryIO:
        try:
            return self._path(name).open("rb")
        except FileNotFoundError:
            raise ObjectMissing(f"no object {name}") from None

    def _walk(self, folder: Path) -> Iterator[ListedObject]:
        for where, _, names in os.walk(folder):
            for path in (Path(where, name) for name in names):
                try:
                    created_s = path.stat().st_mtime
                except FileNotFoundError:
                    continue
                yield ListedObject(path.relative_to(self._root).as_posix(), datetime.fromtimestamp(created_s, UTC))

    def _extents(self, parts: Sequence[str]) -> list[files.Extent]:
        extents = [files.extent_of(self._root, part) for part in parts]
        return [extent or files.whole(self._path(part)) for part, extent in zip(parts, extents, strict=True)]

    def _join(self, parts: Sequence[str], name: str) -> ObjectInfo:
        return self._create(name, lambda file: files.copy(self._extents(parts), file))

    def _link(self, parts: Sequence[str], name: str, crc32c: int) -> ObjectInfo:
        # To read it back would only read the page cache.
        source = self._extents(parts[:1])[0].path
        files.link(source, self._path(name))
        return ObjectInfo(name, source.stat().st_size, crc32c)

    def _create(self, name: str, write: Callable[[BinaryIO], tuple[int, int]]) -> ObjectInfo:
        path, partial = self._path(name), self._partial / uuid4().hex
        try:
            with partial.open("xb") as file:
                info = ObjectInfo(name, *write(file))
                file.flush()
                os.fsync(file.fileno())
            try:
                files.link(partial, path)
            except FileExistsError:
                if files.copy([files.whole(path)], None) != files.copy([files.whole(partial)], None):
                    raise ObjectDiffers(f"object {name} exists with other content") from None
            return info
        finally:
            partial.unlink(missing_ok=True)

    async def _run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._threads, lambda: function(*args, **kwargs))
        except FileNotFoundError as error:
            raise ObjectMissing(str(error)) from None
        except OSError as error:
            raise StoreError(f"the object directory failed: {error.strerror}") from error
