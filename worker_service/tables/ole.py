"""Streams of an OLE2 container, followed with suspicion: a chain of sectors that loops aborts native readers.

Layout: [MS-CFB], sections 2.2 to 2.6.
"""

import struct
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from .errors import ErrorCode, TableError

MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_LAST_SECTOR = 0xFFFFFFFA
_ENTRY_BYTES = 128
_STREAM, _ROOT = 2, 5
_MAX_ENTRIES = 10_000


class Container:
    """An OLE2 file; every read raises FILE_CORRUPT when the structure is impossible."""

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = path.open("rb")
        self._sectors = path.stat().st_size // 512 + 1
        try:
            self._load()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> "Container":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def stream(self, *names: str) -> bytes:
        """The bytes of the first stream of one of ``names``; raises FILE_CORRUPT if there is none."""
        for name in names:
            if name in self._entries:
                start, size = self._entries[name]
                chain = self._small(start) if size < self._cutoff else self._large(start)
                return b"".join(chain)[:size]
        raise _corrupt()

    def _load(self) -> None:
        head = self._file.read(512)
        if len(head) < 512 or not head.startswith(MAGIC):
            raise _corrupt()
        shift, mini_shift = struct.unpack_from("<HH", head, 30)
        directory, self._cutoff, mini_fat, difat, difat_count = struct.unpack_from("<I4xIIxxxxII", head, 48)
        if shift not in (9, 12) or mini_shift != 6:
            raise _corrupt()
        self._bytes = 1 << shift
        self._fat = array("I")
        for sector in self._fat_sectors(head, difat, difat_count):
            self._fat.frombytes(self._sector(sector))
        entries = b"".join(self._large(directory))
        self._entries, root = _entries(entries)
        self._mini = b"".join(self._large(root)) if root < _LAST_SECTOR else b""
        self._mini_fat = array("I")
        if mini_fat < _LAST_SECTOR:
            for block in self._large(mini_fat):
                self._mini_fat.frombytes(block)

    def _fat_sectors(self, head: bytes, difat: int, count: int) -> Iterator[int]:
        yield from (sector for sector in struct.unpack_from("<109I", head, 76) if sector < _LAST_SECTOR)
        for _ in range(min(count, self._sectors)):
            if difat >= _LAST_SECTOR:
                return
            block = array("I", self._sector(difat))
            yield from (sector for sector in block[:-1] if sector < _LAST_SECTOR)
            difat = block[-1]

    def _sector(self, number: int) -> bytes:
        self._file.seek((number + 1) * self._bytes)
        data = self._file.read(self._bytes)
        if len(data) < 4:
            raise _corrupt()
        return data.ljust(self._bytes, b"\0")

    def _large(self, start: int) -> Iterator[bytes]:
        for sector in _chain(start, self._fat, self._sectors):
            yield self._sector(sector)

    def _small(self, start: int) -> Iterator[bytes]:
        for sector in _chain(start, self._mini_fat, len(self._mini) // 64 + 1):
            yield self._mini[sector * 64 : sector * 64 + 64]


def _chain(start: int, table: "array[int]", most: int) -> Iterator[int]:
    """The sectors from ``start`` on; a chain longer than the file has sectors runs in a circle."""
    sector = start
    for _ in range(most):
        if sector >= _LAST_SECTOR:
            return
        yield sector
        if sector >= len(table):
            raise _corrupt()
        sector = table[sector]
    if sector < _LAST_SECTOR:
        raise _corrupt()


def _entries(data: bytes) -> tuple[dict[str, tuple[int, int]], int]:
    """Streams by name as (first sector, bytes), and the first sector of the small streams' container."""
    found: dict[str, tuple[int, int]] = {}
    root = _LAST_SECTOR
    for start in range(0, min(len(data), _MAX_ENTRIES * _ENTRY_BYTES) - _ENTRY_BYTES + 1, _ENTRY_BYTES):
        length, kind = struct.unpack_from("<HB", data, start + 64)
        first, size = struct.unpack_from("<II", data, start + 116)
        if kind == _ROOT:
            root = first
        elif kind == _STREAM and 2 < length <= 64:
            name = data[start : start + length - 2].decode("utf-16-le", errors="replace")
            found.setdefault(name, (first, size))
    return found, root


def _corrupt() -> TableError:
    return TableError(
        ErrorCode.FILE_CORRUPT,
        "The workbook is damaged or was cut off while copying; open it, save it as .xlsx and upload the copy.",
        metadata={"detected": "xls"},
    )
