"""What a sheet of a legacy workbook holds, before a native reader reserves memory for it.

Records: [MS-XLS], section 2.4.
"""

import struct
from collections.abc import Iterator
from pathlib import Path

from .errors import encrypted
from .ole import Container
from .xlsx_scan import SheetScan

_FILE_PASS, _BOUND_SHEET, _ROW, _COLUMN_INFO, _END = 0x2F, 0x85, 0x208, 0x7D, 0x0A
_MANY_RK = 0xBD
_CELLS = frozenset((0x06, 0xD6, 0xFD, 0x203, 0x204, 0x205, 0x27E))
_HIDDEN_ROW = 0x20


def scan_sheets(path: Path) -> list[SheetScan]:
    """One scan a sheet, in the order of the workbook; raises FILE_CORRUPT or FILE_ENCRYPTED."""
    with Container(path) as container:
        book = container.stream("Workbook", "Book")
    places = []
    for kind, start, size in _records(book, 0):
        if kind == _FILE_PASS:
            raise encrypted()
        if kind == _BOUND_SHEET and size >= 4:
            places.append(struct.unpack_from("<I", book, start)[0])
    return [_scan(book, place) for place in places]


def _records(book: bytes, start: int) -> Iterator[tuple[int, int, int]]:
    """(Kind, start of the content, its size) up to the end of this substream."""
    while start + 4 <= len(book):
        kind, size = struct.unpack_from("<HH", book, start)
        yield kind, start + 4, min(size, len(book) - start - 4)
        if kind == _END:
            return
        start += 4 + size


def _scan(book: bytes, place: int) -> SheetScan:
    found = SheetScan()
    for kind, start, size in _records(book, place):
        if kind in _CELLS and size >= 6:
            row, column = struct.unpack_from("<HH", book, start)
            _count(found, row, column, 1)
        elif kind == _MANY_RK and size >= 6:
            row, first = struct.unpack_from("<HH", book, start)
            last = struct.unpack_from("<H", book, start + size - 2)[0]
            _count(found, row, last, max(last - first + 1, 1))
        elif kind == _ROW and size >= 16 and struct.unpack_from("<H", book, start + 12)[0] & _HIDDEN_ROW:
            found.hidden_rows.add(struct.unpack_from("<H", book, start)[0] + 1)
        elif kind == _COLUMN_INFO and size >= 10 and struct.unpack_from("<H", book, start + 8)[0] & 1:
            first, last = struct.unpack_from("<HH", book, start)
            found.hidden_columns += max(last - first + 1, 1)
    return found


def _count(found: SheetScan, row: int, last_column: int, cells: int) -> None:
    found.value_cells += cells
    found.first_row = found.first_row or row + 1
    found.last_row = max(found.last_row, row + 1)
    found.last_column = max(found.last_column, last_column)
