"""What a file is, by its first bytes and structure; its name is only compared afterwards."""

import codecs
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

from .encoding import Encoding, as_asked
from .encoding import detect as detect_encoding
from .errors import ErrorCode, TableError, encrypted
from .inflate import Packing

_OLE_MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ENCRYPTED_STREAM = "EncryptedPackage".encode("utf-16-le")
_WORKBOOK_STREAM = "Workbook".encode("utf-16-le")
_SHEET_XML = "urn:schemas-microsoft-com:office:spreadsheet"
_WIDER = {"gb2312": "gb18030", "gbk": "gb18030", "big5": "big5hkscs", "shift_jis": "cp932", "euc_kr": "cp949"}
_BOOK_STREAM = "Book".encode("utf-16-le")
_SEARCH_BYTES = 1 << 20

# Formats people upload by mistake, with their first bytes.
_FOREIGN = (
    (b"\x89PNG\r\n\x1a\n", "png"), (b"\xff\xd8\xff", "jpeg"), (b"GIF8", "gif"), (b"%PDF-", "pdf"),
    (b"BZh", "bzip2"), (b"\xfd7zXZ\0", "xz"), (b"7z\xbc\xaf\x27\x1c", "7z"), (b"Rar!\x1a\x07", "rar"),
    (b"ARROW1", "arrow"), (b"\x80\x04\x95", "pickle"), (b"\x80\x05\x95", "pickle"), (b"RIFF", "riff"),
    (b"SQLite format 3\0", "sqlite"), (b"\x7fELF", "elf"), (b"MZ", "exe"), (b"{\\rtf", "rtf"),
    (b"\x89HDF\r\n\x1a\n", "hdf5"), (b"$FL2", "spss"), (b"<stata_dta>", "stata"),
)  # fmt: skip
_PACKED: tuple[tuple[bytes, Packing], ...] = ((b"\x1f\x8b", "gzip"), (b"\x28\xb5\x2f\xfd", "zstd"))
_PARQUET_MAGIC = b"PAR1"
_HTML = re.compile(
    r"\s*(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body|meta|table|style|center|div)\b", re.IGNORECASE | re.DOTALL
)
_CHARSET = re.compile(rb"<meta[^>]*charset\s*=\s*[\"']?([\w-]{1,40})", re.IGNORECASE)
_JSON_OBJECT = re.compile(r'\s*\{\s*(?:"|\})')
_JSON_ARRAY = re.compile(r"\s*\[\s*\{")
_EXTENSIONS = {
    "xlsx": {"xlsx", "xlsm", "xltx", "xltm"},
    "xls": {"xls", "xlt"},
    "xlsb": {"xlsb"},
    "ods": {"ods"},
    "text": {"csv", "tsv", "tab", "txt", "dat", "data", "log", "asc", "psv"},
    "html": {"html", "htm"},
    "xml": {"xml"},
    "json": {"json", "jsonl", "ndjson"},
    "parquet": {"parquet", "pq"},
}
_PACKED_EXTENSIONS = {"gz", "gzip", "zst", "zstd"}


@dataclass(frozen=True)
class Found:
    """What a file is.

    ``kind`` is "xlsx", "xlsb", "ods", "xls", "parquet", "xml" (SpreadsheetML 2003), "html", "json" or "text", or
    "packed" with its ``packing``; ``encoding`` is set for what consists of text. ``is_array``: JSON that is one array.
    """

    kind: str
    encoding: Encoding | None = None
    is_array: bool = False
    packing: Packing | None = None


def identify(source: Path, encoding: str = "") -> Found:
    """Look at the content of ``source``; raises TableError for everything that is no readable table.

    ``encoding`` is the one to read text in, if the caller knows it.
    """
    with source.open("rb") as file:
        start = file.read(_SEARCH_BYTES)
    if not start:
        raise TableError(ErrorCode.EMPTY_FILE, "The file is empty (0 bytes); upload the file again.")
    if start.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return Found(_zip_kind(source))
    if start.startswith(_OLE_MAGIC):
        return Found(_ole_kind(source, start))
    for magic, packing in _PACKED:
        if start.startswith(magic):
            return Found("packed", packing=packing)
    if start.startswith(_PARQUET_MAGIC) and not _is_plain_text(start):
        return Found("parquet")
    for magic, name in _FOREIGN:
        if start.startswith(magic) and not (magic.isalnum() and _is_plain_text(start)):
            raise _unsupported(name)
    return _text(source, start, encoding)


def extension_mismatch(file_name: str, kind: str) -> str | None:
    """The extension of ``file_name`` if it promises another format than ``kind``, else None."""
    parts = file_name.lower().split(".")[1:]
    if len(parts) > 1 and parts[-1] in _PACKED_EXTENSIONS:
        parts.pop()
    extension = parts[-1] if parts else ""
    known = set().union(*_EXTENSIONS.values())
    return extension if extension in known and extension not in _EXTENSIONS[kind] else None


def _zip_kind(source: Path) -> str:
    try:
        with zipfile.ZipFile(source) as archive:
            names = set(archive.namelist())
            first = archive.infolist()[0] if names else None
            mimetype = archive.open(first).read(200) if first and first.filename == "mimetype" else b""
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, RuntimeError, EOFError) as error:
        raise TableError(
            ErrorCode.FILE_CORRUPT,
            "The workbook is damaged or was cut off while copying; open it, save it again and upload the copy.",
            metadata={"detected": "zip"},
        ) from error
    if "xl/workbook.bin" in names:
        return "xlsb"
    if any(name.lower().endswith("xl/workbook.xml") for name in names) or "[Content_Types].xml" in names:
        return _ooxml_kind(names)
    if mimetype.startswith(b"application/vnd.oasis.opendocument.spreadsheet"):
        return "ods"
    raise TableError(
        ErrorCode.FILE_FORMAT_UNSUPPORTED,
        f"The content is a zip archive of {len(names):,} file(s), not a workbook; unpack it and upload each file.",
        metadata={"detected": "zip"},
    )


def _ooxml_kind(names: set[str]) -> str:
    for folder, detected in (("word/", "docx"), ("ppt/", "pptx")):
        if any(name.startswith(folder) for name in names):
            raise _unsupported(detected)
    return "xlsx"


def _ole_kind(source: Path, start: bytes) -> str:
    found = _find_any(source, (_ENCRYPTED_STREAM,))
    if found:
        raise encrypted()
    if _WORKBOOK_STREAM in start or _BOOK_STREAM in start or _find_any(source, (_WORKBOOK_STREAM, _BOOK_STREAM)):
        return "xls"
    raise _unsupported("ole2")


def _find_any(source: Path, needles: tuple[bytes, ...]) -> bool:
    before = b""
    with source.open("rb") as file:
        while chunk := file.read(_SEARCH_BYTES):
            if any(needle in before + chunk for needle in needles):
                return True
            before = chunk[-64:]
    return False


def _text(source: Path, start: bytes, asked: str) -> Found:
    encoding = as_asked(start, asked) if asked else _declared(start) or detect_encoding(source)
    if encoding is None:
        raise _unsupported("binary")
    text = start[encoding.bom_bytes : 65_536].decode(encoding.name, errors="replace")
    if not text.strip("\ufeff \t\r\n\0"):
        raise TableError(ErrorCode.EMPTY_FILE, "The file holds nothing but white space; upload one with data.")
    strange = sum(1 for char in text if (char < " " and char not in "\t\r\n\x1f\x1a") or char == "\ufffd")
    if strange > 0.01 * len(text) + 2:
        raise _unsupported("binary")
    return _text_kind(text.lstrip("\ufeff \r\n\t"), encoding)


def _text_kind(text: str, encoding: Encoding) -> Found:
    if text.startswith("<?xml") or text[:1_000].startswith("<Workbook"):
        if _SHEET_XML in text[:10_000]:
            return Found("xml", encoding)
        if not _HTML.match(text.partition("?>")[2]):
            raise _unsupported("xml")
    if text.startswith("<") and _HTML.match(text.partition("?>")[2] if text.startswith("<?xml") else text):
        return Found("html", encoding)
    if text.lower().startswith("mime-version:"):
        raise _unsupported("mhtml")
    if text.startswith("{\\rtf"):
        raise _unsupported("rtf")
    if _JSON_OBJECT.match(text):
        return Found("json", encoding)
    if _JSON_ARRAY.match(text):
        return Found("json", encoding, is_array=True)
    return Found("text", encoding)


def _declared(start: bytes) -> Encoding | None:
    """The encoding that a web page names, if it is one of ASCII's heirs and the page is valid in it."""
    head = start[:4096]
    match = _CHARSET.search(head) if b"<" in head[:200] else None
    if match is None:
        return None
    try:
        name = codecs.lookup(match[1].decode()).name
        codecs.getincrementaldecoder(name)().decode(start)
    except (LookupError, UnicodeDecodeError):
        return None
    return None if name.startswith("utf") else as_asked(start, _WIDER.get(name, name))


def _is_plain_text(start: bytes) -> bool:
    """A header may begin with the letters of a magic number: ``MZ``, ``PAR1``."""
    return not any(byte < 9 for byte in start[:4096])


def _unsupported(detected: str) -> TableError:
    return TableError(
        ErrorCode.FILE_FORMAT_UNSUPPORTED,
        f"The content is {detected}, which holds no table this service reads; "
        "upload .xlsx, .xlsb, .xls, .ods, delimited text, JSON Lines or Parquet.",
        metadata={"detected": detected},
    )
