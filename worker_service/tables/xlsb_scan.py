"""What a sheet of a binary workbook holds, before a native reader reserves memory for it.

Records: [MS-XLSB], sections 2.1.4 and 2.4.
"""

import struct
from collections.abc import Callable, Iterator

from .errors import limit_exceeded
from .model import Limits
from .xlsx_package import Package
from .xlsx_scan import SheetScan

_WORKBOOK = "xl/workbook.bin"
_ROW, _SHARED_CELL, _SHARED_TEXT, _COLUMN_INFO, _SHEET = 0, 7, 19, 60, 156
_VALUES = frozenset(range(2, 12))
_HIDDEN_ROW = 0x10


def sheet_parts(package: Package) -> dict[str, str]:
    """Sheet name → its part, in the order of the workbook."""
    targets = package.targets("xl/_rels/workbook.bin.rels", "xl")
    found = {}
    for kind, data in _records(package.chunks(_WORKBOOK)):
        if kind == _SHEET and len(data) > 12:
            relation, end = _text(data, 8)
            name, _ = _text(data, end)
            found[name] = targets.get(relation, ("", ""))[0]
    return found


def scan_sheet(package: Package, part: str, limits: Limits, on_bytes: Callable[[int], None]) -> SheetScan:
    """Count the cells at ``part``; raises LIMIT_EXCEEDED if shared texts unfold to too much, or FILE_CORRUPT."""
    lengths = _shared_lengths(package)
    found = SheetScan()
    row = done = unfolded = 0
    for kind, data in _records(package.chunks(part)):
        done += len(data) + 2
        if kind in _VALUES and len(data) >= 8:
            found.value_cells += 1
            found.last_column = max(found.last_column, int.from_bytes(data[:4], "little"))
            if kind == _SHARED_CELL:
                index = int.from_bytes(data[8:12], "little")
                unfolded += lengths[index] if index < len(lengths) else 0
        elif kind == _ROW and len(data) >= 12:
            row = int.from_bytes(data[:4], "little") + 1
            if data[11] & _HIDDEN_ROW:
                found.hidden_rows.add(row)
            on_bytes(done)
            continue
        elif kind == _COLUMN_INFO and len(data) >= 18 and data[16] & 1:
            first, last = struct.unpack_from("<II", data)
            found.hidden_columns += max(last - first + 1, 1)
        else:
            continue
        found.first_row = found.first_row or row
        found.last_row = max(found.last_row, row)
        if unfolded > limits.max_uncompressed_bytes:
            raise limit_exceeded(
                "max_uncompressed_bytes",
                limits.max_uncompressed_bytes,
                "repeated texts that unfold to more than that",
                "shorten the texts or split the workbook.",
            )
    return found


def _shared_lengths(package: Package) -> list[int]:
    if not package.size("xl/sharedStrings.bin"):
        return []
    records = _records(package.chunks("xl/sharedStrings.bin"))
    return [int.from_bytes(data[1:5], "little") * 2 for kind, data in records if kind == _SHARED_TEXT]


def _records(chunks: Iterator[bytes]) -> Iterator[tuple[int, bytes]]:
    """(Kind, content); both kind and size are written seven bits a byte."""
    window, position = b"", 0
    for chunk in chunks:
        window, position = window[position:] + chunk, 0
        while (head := _head(window, position)) is not None:
            kind, start, size = head
            if start + size > len(window):
                break
            yield kind, window[start : start + size]
            position = start + size


def _head(window: bytes, position: int) -> tuple[int, int, int] | None:
    """Kind, start and size of the record at ``position``; None if the window ends inside."""
    try:
        kind = window[position] & 0x7F
        if window[position] & 0x80:
            position += 1
            kind |= (window[position] & 0x7F) << 7
        size = shift = 0
        for _ in range(4):
            position += 1
            size |= (window[position] & 0x7F) << shift
            shift += 7
            if not window[position] & 0x80:
                break
    except IndexError:
        return None
    return kind, position + 1, size


def _text(data: bytes, start: int) -> tuple[str, int]:
    """A text that begins with its number of UTF-16 units, and where it ends."""
    units = int.from_bytes(data[start : start + 4], "little")
    end = start + 4 + units * 2
    return data[start + 4 : end].decode("utf-16-le", errors="replace"), end
