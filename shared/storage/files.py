"""Files that are complete and on disk before they have their name. All functions block and raise OSError."""

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import google_crc32c

_PIECE_BYTES = 1 << 20
_PART = re.compile(r"(?P<base>.+)/(?P<offset>\d{15})\+(?P<size>\d+)")


@dataclass(frozen=True)
class Extent:
    """Some bytes of a file."""

    path: Path
    offset_bytes: int
    size_bytes: int


def whole(path: Path) -> Extent:
    """Return all of a file as an extent."""
    return Extent(path, 0, path.stat().st_size)


def part_name(base: str, offset_bytes: int, size_bytes: int) -> str:
    """Return the name of a part: it says where the part lies in the file `base`."""
    return f"{base}/{offset_bytes:015}+{size_bytes}"


def extent_of(root: Path, name: str) -> Extent | None:
    """Return where below `root` the part `name` lies, or None when the name is not that of a part."""
    found = _PART.fullmatch(name)
    return found and Extent(root / found["base"], int(found["offset"]), int(found["size"]))


def copy(extents: Sequence[Extent], target: BinaryIO | None) -> tuple[int, int]:
    """Append the extents to `target` (None: only read them); return size and CRC32C of what was read."""
    size_bytes, crc32c = 0, 0
    for extent in extents:
        with extent.path.open("rb", buffering=0) as source:
            source.seek(extent.offset_bytes)
            left_bytes = extent.size_bytes
            while left_bytes and (piece := source.read(min(_PIECE_BYTES, left_bytes))):
                crc32c = google_crc32c.extend(crc32c, piece)
                left_bytes -= len(piece)
                size_bytes += len(piece)
                if target is not None:
                    target.write(piece)
    return size_bytes, crc32c


def write_at(path: Path, offset_bytes: int, pieces: Sequence[bytes]) -> int:
    """Write the joined `pieces` into the file at `path`, made when it is missing; return how many bytes that were."""
    path.parent.mkdir(parents=True, exist_ok=True)
    is_new = not path.exists()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
    try:
        size_bytes = sum(map(len, pieces))
        written_bytes = os.pwritev(descriptor, pieces, offset_bytes)
        while written_bytes < size_bytes:  # the disk is full or the call was interrupted
            rest = memoryview(b"".join(pieces))[written_bytes:]
            written_bytes += os.pwrite(descriptor, rest, offset_bytes + written_bytes)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if is_new:
        _sync(path.parent)
    return size_bytes


def link(source: Path, path: Path) -> None:
    """Give the file `source` a second name. Raises FileExistsError when it is taken: rename would not."""
    for _ in range(2):
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):  # somebody removed the empty folder in between
            os.link(source, path)
            break
    else:
        os.link(source, path)
    _sync(path.parent)


def remove(path: Path, root: Path) -> None:
    """Remove a file if it is there, and its folder when that is left empty and is no child of `root`."""
    path.unlink(missing_ok=True)
    if path.parent.parent != root:
        with suppress(OSError):
            path.parent.rmdir()


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
