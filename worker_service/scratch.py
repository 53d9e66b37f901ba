"""Directories for files in work: one for the process, one for each attempt that asks for it, none left behind."""

import asyncio
import fcntl
import os
import shutil
import tempfile
from pathlib import Path

_LOCK_NAME = "lock"


class Scratch:
    """A folder of this process below `root`. What killed processes left there is removed first.

    A process holds a lock on a file in its folder as long as it lives; a folder that can be locked is a dead one's.
    """

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        for folder in root.iterdir():
            _remove_if_dead(folder)
        self._folder = Path(tempfile.mkdtemp(prefix="worker-", dir=root))
        self._lock = os.open(self._folder / _LOCK_NAME, os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def directory(self) -> "ScratchDirectory":
        """Give a private directory that is made when somebody asks for its path."""
        return ScratchDirectory(self._folder)

    def close(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self._folder, ignore_errors=True)
        os.close(self._lock)


class ScratchDirectory:
    """A private directory for one attempt, made at the first use of `path`; `remove()` it afterwards."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path: Path | None = None

    @property
    def path(self) -> Path:
        """The directory."""
        if self._path is None:
            self._path = Path(tempfile.mkdtemp(prefix="attempt-", dir=self._folder))
        return self._path

    async def remove(self) -> None:
        """Remove the directory with all that is in it, if it was made."""
        if self._path is not None:
            await asyncio.to_thread(shutil.rmtree, self._path, ignore_errors=True)


def _remove_if_dead(folder: Path) -> None:
    try:
        lock = os.open(folder / _LOCK_NAME, os.O_RDWR)
    except OSError:
        return  # not one of ours, or one that is just being made
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    except BlockingIOError:
        return
    finally:
        os.close(lock)
