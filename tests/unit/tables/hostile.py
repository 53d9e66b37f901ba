"""Files made to break readers, and what each must get: an error of these codes, or (None) its cells all the same."""

import gzip
import io
import random
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.parquet as pq

from worker_service.tables import ErrorCode, Limits

from .legacy_files import book, container, number, text, xls, xlsb, xlsb_of
from .support import open_document, raw_workbook, shared_text_workbook, workbook

TABLE: list[list[str | float | None]] = [["name", "value"], ["ann", 1.5], ["bob", 2.5]]
CORRUPT, UNSAFE, LIMIT = ErrorCode.FILE_CORRUPT, ErrorCode.UNSAFE_XML, ErrorCode.LIMIT_EXCEEDED
ENCRYPTED, FOREIGN, EMPTY = ErrorCode.FILE_ENCRYPTED, ErrorCode.FILE_FORMAT_UNSUPPORTED, ErrorCode.EMPTY_FILE
SMALL = Limits(max_eager_cells=10_000, max_uncompressed_bytes=4_000_000, free_inflated_bytes=100_000)
CELL = '<row r="1"><c r="A1"><v>1</v></c></row>'
ENTITIES = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>'
EXTERNAL = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
SHEET_XML = (
    '<?xml version="1.0"?>{doctype}<Workbook xmlns="urn:schemas-microsoft-com:office:spreadsheet" '
    'xmlns:ss="urn:schemas-microsoft-com:office:spreadsheet"><Worksheet ss:Name="S"><Table>{rows}</Table></Worksheet>'
    "</Workbook>"
)


XML_ROW = '<Row><Cell><Data ss:Type="String">x</Data></Cell></Row>'


@dataclass(frozen=True)
class Hostile:
    """``make`` gives the bytes; ``codes`` are the errors that are right, None among them if reading it is."""

    name: str
    make: Callable[[], bytes]
    codes: tuple[ErrorCode | None, ...]
    file_name: str = "t.xlsx"
    limits: Limits = field(default_factory=Limits)


def changed_parts(data: bytes, change: Callable[[str, bytes], bytes], **more: bytes) -> bytes:
    """The zip ``data`` with each part changed, and with ``more`` parts."""
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for info in old.infolist():
            new.writestr(info.filename, change(info.filename, old.read(info)))
        for name, part in more.items():
            new.writestr(name, part)
    return target.getvalue()


def _in_workbook(doctype: str) -> bytes:
    start = b"<workbook"
    return changed_parts(raw_workbook(CELL), lambda _, part: part.replace(start, doctype.encode() + start))


def _ods_entities() -> bytes:
    return changed_parts(open_document([["x"]]), lambda _, part: part.replace(b"?>", b"?>" + ENTITIES.encode()))


def _broken_parquet() -> bytes:
    whole = _parquet()
    return whole[:50] + b"\xff" * 50 + whole[100:]


def _declared_smaller(data: bytes) -> bytes:
    """A central directory that says the sheet is 10 bytes long."""
    broken = bytearray(data)
    place = data.rfind(b"PK\x01\x02", 0, data.rfind(b"xl/worksheets/sheet1.xml"))
    broken[place + 24 : place + 28] = (10).to_bytes(4, "little")
    return bytes(broken)


def _encrypted_zip() -> bytes:
    data = bytearray(workbook(TABLE))
    for magic, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = -1
        while (place := data.find(magic, place + 1)) >= 0:
            data[place + offset] |= 1
    return bytes(data)


def _traversal() -> bytes:
    return changed_parts(workbook(TABLE), lambda _, part: part, **{"../../../tmp/evil": b"x", "/etc/evil": b"y"})


def _symlink() -> bytes:
    target = io.BytesIO(workbook(TABLE))
    with zipfile.ZipFile(target, "a") as archive:
        link = zipfile.ZipInfo("xl/link")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    return target.getvalue()


def _zip_in_zip() -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("inner.zip", workbook(TABLE))
    return target.getvalue()


def _csv_in_zip() -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("data.csv", "a,b\n1,2\n")
    return target.getvalue()


def _ods(content: str) -> bytes:
    plain = open_document([["x"]])
    cell = '<table:table-cell office:value-type="string"><text:p>x</text:p></table:table-cell>'
    row = f"<table:table-row>{cell}</table:table-row>"
    return changed_parts(plain, lambda name, part: part.replace(row.encode(), content.encode()))


def _ods_cell(repeats: str) -> str:
    kind = 'office:value-type="float" office:value="1"'
    return f"<table:table-cell {repeats} {kind}><text:p>1</text:p></table:table-cell>"


def _ods_repeats() -> bytes:
    cell = _ods_cell('table:number-columns-repeated="16384"')
    return _ods(f'<table:table-row table:number-rows-repeated="1048576">{cell}</table:table-row>')


def _ods_empty_repeats() -> bytes:
    return _ods(
        f"<table:table-row>{_ods_cell('')}</table:table-row>"
        '<table:table-row table:number-rows-repeated="1048575">'
        '<table:table-cell table:number-columns-repeated="16384"/></table:table-row>'
    )


def _far_row() -> bytes:
    row = '<Row ss:Index="999999999"><Cell ss:Index="99999"><Data ss:Type="String">x</Data></Cell></Row>'
    return SHEET_XML.format(doctype="", rows=row).encode()


def _far_xls() -> bytes:
    return container(book(number(0, 0, 1.0) + number(65535, 255, 2.0)))


def _shared_entities() -> bytes:
    data = shared_text_workbook("x", 2)
    return changed_parts(data, lambda _, part: part.replace(b"<sst", ENTITIES.encode() + b"<sst"))


def _parquet() -> bytes:
    target = io.BytesIO()
    pq.write_table(pa.table({"a": list(range(1000)), "b": ["x"] * 1000}), target)
    return target.getvalue()


def _xls_encrypted() -> bytes:
    plain = book(number(0, 0, 1.0))
    first = 4 + struct.unpack_from("<H", plain, 2)[0]
    return container(plain[:first] + struct.pack("<HHH", 0x2F, 2, 0) + plain[first:])


FILES = [
    Hostile("no bytes", lambda: b"", (EMPTY,)),
    Hostile("white space", lambda: b" \r\n\t\n" * 1000, (EMPTY,), "t.csv"),
    Hostile("nothing but NULs", lambda: bytes(100_000), (EMPTY, FOREIGN), "t.csv"),
    Hostile("encrypted zip", _encrypted_zip, (ENCRYPTED,)),
    Hostile("encrypted xls", _xls_encrypted, (ENCRYPTED,), "t.xls"),
    Hostile("zip in zip", _zip_in_zip, (FOREIGN,)),
    Hostile("csv in zip", _csv_in_zip, (FOREIGN,), "t.csv"),
    Hostile("zip bomb", lambda: raw_workbook(CELL + " " * 5_000_000), (LIMIT,), limits=SMALL),
    Hostile("inflation", lambda: raw_workbook(CELL + " " * 3_000_000), (LIMIT,), limits=SMALL),
    Hostile("gzip bomb", lambda: gzip.compress(bytes(3_000_000)), (LIMIT,), "t.csv.gz", SMALL),
    Hostile("gzip cut off", lambda: gzip.compress(random.Random(1).randbytes(9000))[:5000], (CORRUPT,), "t.csv.gz"),
    Hostile("gzip with a wrong checksum", lambda: gzip.compress(b"a,b\n1,2\n")[:-8] + bytes(8), (CORRUPT,), "t.csv.gz"),
    Hostile("gzip in gzip", lambda: gzip.compress(gzip.compress(b"a,b\n1,2\n")), (FOREIGN,), "t.csv.gz"),
    Hostile("lying central directory", lambda: _declared_smaller(workbook(TABLE)), (CORRUPT,)),
    Hostile(
        "lying dimension",
        lambda: changed_parts(workbook(TABLE), lambda _, part: part.replace(b'ref="A1:B3"', b'ref="A1:XFD1048576"')),
        (None,),
    ),
    Hostile("far corner", lambda: raw_workbook(CELL + CELL.replace("1", "1048576").replace("A", "XFD")), (LIMIT,)),
    Hostile("far corner of xlsb", lambda: xlsb_of({(0, 0): 1.0, (1048575, 16383): 2.0}), (LIMIT,), "t.xlsb"),
    Hostile("far corner of xls", _far_xls, (LIMIT,), "t.xls", SMALL),
    Hostile("16,385 columns", lambda: raw_workbook('<row r="1"><c r="XFE1"><v>1</v></c></row>'), (LIMIT,)),
    Hostile("16,385 columns of text", lambda: b",".join([b"1"] * 16_385) + b"\n", (LIMIT,), "t.csv"),
    Hostile("a cell of ten million", lambda: b"a,b\n1,2\n" * 9 + b"x" * 10_000_000 + b",3\n", (None,), "t.csv"),
    Hostile("a line of a hundred million", lambda: b"a,b\n1,2\n" * 9 + b"x" * 100_000_000, (LIMIT,), "t.csv"),
    Hostile("shared text unfolds", lambda: shared_text_workbook("x" * 30_000, cells=2_000), (LIMIT,), limits=SMALL),
    Hostile("entities", lambda: raw_workbook(CELL, before=ENTITIES), (UNSAFE,)),
    Hostile("entities in shared texts", _shared_entities, (UNSAFE,)),
    Hostile("external entity", lambda: _in_workbook(EXTERNAL), (UNSAFE,)),
    Hostile("late entities", lambda: raw_workbook(CELL, before=f"<!--{' ' * 9000}-->{ENTITIES}"), (UNSAFE,)),
    Hostile("entities in ods", _ods_entities, (UNSAFE,), "t.ods"),
    Hostile("entities in XML", lambda: SHEET_XML.format(doctype=ENTITIES, rows="").encode(), (UNSAFE,), "t.xls"),
    Hostile("repeats in ods", _ods_repeats, (LIMIT,), "t.ods"),
    Hostile("empty repeats in ods", _ods_empty_repeats, (None,), "t.ods"),
    Hostile("a loop in xls", lambda: container(book(text(0, 0, "x" * 9000)), next_sector={3: 1}), (CORRUPT,), "t.xls"),
    Hostile("a short loop in xls", lambda: container(book(number(0, 0, 1.0)), next_sector={0: 0}), (CORRUPT,), "t.xls"),
    Hostile("symlink in the zip", _symlink, (None,)),
    Hostile("paths that climb in the zip", _traversal, (None,)),
    Hostile("rows far apart in XML", _far_row, (LIMIT,), "t.xls"),
    Hostile("wide spans in a page", lambda: b"<table><tr>" + b"<td colspan=16000 rowspan=9>" * 9999, (LIMIT,), "t.xls"),
    Hostile("a tag without end", lambda: b"<html><table><tr><td " + b"x" * 5_000_000, (CORRUPT,), "t.xls"),
    Hostile("tables in tables", lambda: b"<html>" + b"<table><tr><td>x" * 5_000, (ErrorCode.NOT_TABULAR,), "t.xls"),
    Hostile("deep JSON", lambda: b'{"a":' * 100_000, (CORRUPT,), "t.json"),
    Hostile("many keys", lambda: b"{" + b",".join(b'"%d":1' % n for n in range(20_000)) + b"}", (LIMIT,), "t.json"),
    Hostile("parquet without a footer", lambda: _parquet()[:-200], (CORRUPT,), "t.parquet"),
    Hostile("parquet with a broken page", _broken_parquet, (CORRUPT,), "t.parquet"),
    Hostile("quotes that never close", lambda: b"a,b\n" + b'1,"x\n' * 20_000, (None,), "t.csv"),
    Hostile("nothing but quotes", lambda: b'"' * 200_000 + b"\n" + b'","\n' * 9, (None,), "t.csv"),
]
WHOLE: dict[str, Callable[[], bytes]] = {
    "t.xlsx": lambda: workbook(TABLE),
    "t.xls": lambda: xls(TABLE),
    "t.xlsb": lambda: xlsb(TABLE),
    "t.ods": lambda: open_document([["name", "value"], ["ann", 1.5]]),
    "t.parquet": _parquet,
    "t.csv.gz": lambda: gzip.compress(b"name,value\nann,1\n"),
    "t.html": lambda: b"<table><tr><td>a<td>b</tr><tr><td>1<td>2</tr></table>",
    "t.xml": lambda: SHEET_XML.format(doctype="", rows=XML_ROW * 3).encode(),
    "t.json": lambda: b'{"a": 1, "b": "x"}\n{"a": 2}\n',
    "t.csv": lambda: 'a;b;c\n1;"x;y";3\n4;5;"6\n'.encode("utf-16"),
}
