"""Clean Parquet files on local disk, fetched once each. Objects never change, so nothing here goes stale."""

import asyncio
import contextlib
import shutil
import tempfile
from collections import OrderedDict
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

from shared.storage import ObjectStore


class CleanDataCache:
    """Least recently used files go first once `max_bytes` is passed; a file in use stays readable until closed."""

    def __init__(self, store: ObjectStore, directory: Path, *, max_bytes: int) -> None:
        self._store = store
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = Path(tempfile.mkdtemp(prefix="process-", dir=directory))
        self._max_bytes = max_bytes
        self._files: OrderedDict[str, Path] = OrderedDict()
        self._sizes_bytes: dict[str, int] = {}
        self._fetching: dict[str, asyncio.Task[Path]] = {}
        self._in_use: dict[Path, int] = {}

    @contextlib.asynccontextmanager
    async def file(self, name: str) -> AsyncIterator[Path]:
        """Give the local file of the object `name`. Raises StoreError."""
        path = self._store.local_path(name) or await self._fetched(name)
        self._in_use[path] = self._in_use.get(path, 0) + 1
        try:
            yield path
        finally:
            self._in_use[path] -= 1
            if not self._in_use[path]:
                del self._in_use[path]

    def close(self) -> None:
        """Remove everything."""
        shutil.rmtree(self._directory, ignore_errors=True)

    async def _fetched(self, name: str) -> Path:
        if name in self._files:
            self._files.move_to_end(name)
            return self._files[name]
        if name not in self._fetching:
            self._fetching[name] = asyncio.create_task(self._fetch(name))
            self._fetching[name].add_done_callback(lambda _: self._fetching.pop(name))
        # Shielded: one reader that gives up does not take the file from the others who wait for it.
        return await asyncio.shield(self._fetching[name])

    async def _fetch(self, name: str) -> Path:
        path = self._directory / uuid4().hex
        try:
            await self._store.get_file(name, path)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        self._files[name] = path
        self._sizes_bytes[name] = path.stat().st_size
        self._evict()
        return path

    def _evict(self) -> None:
        for name in list(self._files)[:-1]:
            if sum(self._sizes_bytes.values()) <= self._max_bytes:
                return
            if self._files[name] not in self._in_use:
                self._files.pop(name).unlink(missing_ok=True)
                del self._sizes_bytes[name]
