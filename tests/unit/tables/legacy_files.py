"""Writes the least of the legacy workbook formats: enough for readers, and easy to break on purpose."""

import io
import struct
import zipfile
from collections.abc import Sequence

Cell = str | float | None
_SECTOR = 512
_END, _FREE, _FAT = 0xFFFFFFFE, 0xFFFFFFFF, 0xFFFFFFFD


def xls(rows: Sequence[Sequence[Cell]], *, hidden_rows: Sequence[int] = (), sheet: str = "Sheet1") -> bytes:
    """A BIFF8 workbook of one sheet with ``rows`` from A1 on; ``hidden_rows`` count from 1."""
    return container(book(_sheet_records(rows, hidden_rows), sheet))


def book(sheet_records: bytes, sheet: str = "Sheet1") -> bytes:
    """The workbook stream around the records of one sheet."""
    start = _record(0x809, struct.pack("<HHHHII", 0x600, 5, 0x0DBB, 0x07CC, 0, 6))
    name = sheet.encode("utf-16-le")
    bound_size = 4 + 8 + len(name)
    place = len(start) + bound_size + 4
    bound = _record(0x85, struct.pack("<IBBBB", place, 0, 0, len(sheet), 1) + name)
    body = _record(0x809, struct.pack("<HHHHII", 0x600, 0x10, 0x0DBB, 0x07CC, 0, 6)) + sheet_records
    return start + bound + _record(0x0A, b"") + body + _record(0x0A, b"")


def number(row: int, column: int, value: float) -> bytes:
    """The record of a number, by 0-based place."""
    return _record(0x203, struct.pack("<HHHd", row, column, 0, value))


def text(row: int, column: int, value: str) -> bytes:
    """The record of a text, by 0-based place."""
    encoded = value.encode("utf-16-le")
    return _record(0x204, struct.pack("<HHHHB", row, column, 0, len(value), 1) + encoded)


def _sheet_records(rows: Sequence[Sequence[Cell]], hidden_rows: Sequence[int]) -> bytes:
    records = [_record(0x208, struct.pack("<HHHHIHH", row - 1, 0, 9, 255, 0, 0x120, 0)) for row in hidden_rows]
    for row, cells in enumerate(rows):
        for column, value in enumerate(cells):
            if value is not None:
                records.append(text(row, column, value) if isinstance(value, str) else number(row, column, value))
    return b"".join(records)


def _record(kind: int, data: bytes) -> bytes:
    return struct.pack("<HH", kind, len(data)) + data


def container(stream: bytes, *, next_sector: dict[int, int] | None = None, name: str = "Workbook") -> bytes:
    """An OLE2 file with one stream. ``next_sector`` overrides links of its sectors, for files that loop."""
    stream = stream.ljust(max(4096, -(-len(stream) // _SECTOR) * _SECTOR), b"\0")
    sectors = len(stream) // _SECTOR
    fats = -(-(sectors + 2 + 4) // 128)
    first = fats + 1  # FAT sectors come first, then the directory, then the stream
    links = [_FAT] * fats + [_END] + [*range(first + 1, first + sectors), _END]
    for sector, following in (next_sector or {}).items():
        links[first + sector] = first + following
    fat = struct.pack(f"<{len(links)}I", *links).ljust(fats * _SECTOR, b"\xff")
    head = bytearray(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1".ljust(_SECTOR, b"\0"))
    struct.pack_into("<HHHHH", head, 24, 0x3E, 3, 0xFFFE, 9, 6)
    struct.pack_into("<IIIIIIIII", head, 40, 0, fats, fats, 0, 4096, _END, 0, _END, 0)
    head[76:512] = struct.pack(f"<{fats}I", *range(fats)).ljust(436, b"\xff")
    directory = _entry("Root Entry", 5, _END, 0, child=1) + _entry(name, 2, first, len(stream)) + bytes(256)
    return bytes(head) + fat + directory + stream


def _entry(name: str, kind: int, start: int, size: int, child: int = _FREE) -> bytes:
    encoded = (name + "\0").encode("utf-16-le")
    links = struct.pack("<III", _FREE, _FREE, child)
    return (
        encoded.ljust(64, b"\0")
        + struct.pack("<HBB", len(encoded), kind, 1)
        + links
        + bytes(36)
        + struct.pack("<IQ", start, size)
    )


def xlsb(rows: Sequence[Sequence[Cell]], *, hidden_rows: Sequence[int] = ()) -> bytes:
    """A binary workbook of one sheet with ``rows`` from A1 on; ``hidden_rows`` count from 1."""
    places = {(row, column): value for row, cells in enumerate(rows) for column, value in enumerate(cells)}
    return xlsb_of(places, hidden_rows=hidden_rows)


def xlsb_of(cells: dict[tuple[int, int], Cell], *, hidden_rows: Sequence[int] = ()) -> bytes:
    """A binary workbook of one sheet with ``cells`` by 0-based (row, column), in any place."""
    height, width = (max(place[axis] for place in cells) for axis in (0, 1))
    records = [_bin(129, b""), _bin(148, struct.pack("<IIII", 0, height, 0, width)), _bin(145, b"")]
    for row in sorted({row for row, _ in cells}):
        flags = 0x10 if row + 1 in hidden_rows else 0
        records.append(_bin(0, struct.pack("<IIHBBBI", row, 0, 300, 0, flags, 0, 0)))
        for (_, column), value in sorted(item for item in cells.items() if item[0][0] == row):
            records.append(_bin_cell(column, value))
    records += [_bin(146, b""), _bin(130, b"")]
    return _package(b"".join(records))


def _bin_cell(column: int, value: Cell) -> bytes:
    head = struct.pack("<II", column, 0)
    if value is None:
        return b""
    if isinstance(value, str):
        return _bin(6, head + struct.pack("<I", len(value)) + value.encode("utf-16-le"))
    return _bin(5, head + struct.pack("<d", value))


def _bin(kind: int, data: bytes) -> bytes:
    """A record: kind and size in seven bits a byte."""
    head = bytes([kind]) if kind < 128 else bytes([kind & 0x7F | 0x80, kind >> 7])
    size = len(data)
    while size > 127:
        head += bytes([size & 0x7F | 0x80])
        size >>= 7
    return head + bytes([size]) + data


def _package(sheet: bytes) -> bytes:
    def wide(text: str) -> bytes:
        return struct.pack("<I", len(text)) + text.encode("utf-16-le")

    bundle = _bin(156, struct.pack("<II", 0, 1) + wide("rId1") + wide("Sheet1"))
    root = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr(
            "xl/_rels/workbook.bin.rels",
            '<?xml version="1.0"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
            f'<Relationship Id="rId1" Type="{root}/worksheet" Target="worksheets/sheet1.bin"/></Relationships>',
        )
        archive.writestr("xl/workbook.bin", _bin(131, b"") + _bin(143, b"") + bundle + _bin(144, b"") + _bin(132, b""))
        archive.writestr("xl/worksheets/sheet1.bin", sheet)
    return target.getvalue()
