"""The parts of an xlsx package, opened with suspicion: sizes counted, checksums verified, no DTDs.

Everything native readers would trust is checked here first, because some of them abort the process on it.
"""

import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree as ET

from .errors import ErrorCode, TableError, encrypted, limit_exceeded
from .inflate import check_inflated
from .model import Limits

_CHUNK_BYTES = 1 << 20
_PROLOG_BYTES = 4096
_PART_BYTES = 64 << 20
_DTD = (b"<!DOCTYPE", b"<!ENTITY")  # XML knows no other spelling
_STRICT = "http://purl.oclc.org/ooxml/spreadsheetml/main"
_BUILTIN_DATES = frozenset((*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59)))
_QUOTED = re.compile(r'"[^"]*"|\\.|\[(?!h+\]|m+\]|s+\])[^\]]*\]', re.IGNORECASE)
_ELAPSED = re.compile(r"\[(?:h+|m+|s+)\]", re.IGNORECASE)


@dataclass(frozen=True)
class Sheet:
    """A worksheet: its name, its part in the package, its place in the workbook and whether it is visible."""

    name: str
    part: str
    index: int
    visible: bool


@dataclass(frozen=True)
class Styles:
    """Which style numbers (``s="…"``) show a number as a date or time, and which as an elapsed time."""

    dates: frozenset[bytes]
    elapsed: frozenset[bytes]


@dataclass(frozen=True)
class Workbook:
    """What the package says about itself; ``strict``: it uses the namespaces of ISO strict OOXML."""

    sheets: list[Sheet]
    date1904: bool
    styles: Styles
    shared_strings: str
    strict: bool


class Package:
    """An open xlsx zip; use as a context manager. Raises FILE_CORRUPT, UNSAFE_XML or LIMIT_EXCEEDED when read."""

    def __init__(self, path: Path, limits: Limits) -> None:
        self._zip = zipfile.ZipFile(path)
        self._limits = limits
        check_inflated(path.stat().st_size, sum(info.file_size for info in self._zip.infolist()), limits)
        if any(info.flag_bits & 1 for info in self._zip.infolist()):
            raise encrypted()

    def __enter__(self) -> "Package":
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    def size(self, part: str) -> int:
        """Inflated size of a part in bytes as declared; reading never yields more. 0 if there is no such part."""
        return self._zip.getinfo(part).file_size if part in self._zip.namelist() else 0

    def chunks(self, part: str) -> Iterator[bytes]:
        """The inflated bytes of ``part``, checked against its checksum and for DTDs before the first element."""
        try:
            with self._zip.open(part) as file:
                prolog = file.read(_PROLOG_BYTES)
                _refuse_dtd(prolog.replace(b"\0", b""), part)
                yield prolog
                wide, before = b"\0" in prolog and not part.endswith(".bin"), prolog[-16:]
                while chunk := file.read(_CHUNK_BYTES):
                    data = before + chunk
                    _refuse_dtd(data.replace(b"\0", b"") if wide else data, part)
                    before = chunk[-16:]
                    yield chunk
        except (
            KeyError,
            zipfile.BadZipFile,
            zlib.error,
            EOFError,
            OSError,
            NotImplementedError,
            RuntimeError,
        ) as error:
            raise _corrupt(part) from error

    def read(self, part: str) -> bytes:
        """A whole small part (styles, relations); empty if there is none. Raises LIMIT_EXCEEDED above 64 MiB."""
        if self.size(part) > _PART_BYTES:
            raise limit_exceeded("part_bytes", _PART_BYTES, f"{self.size(part):,} bytes in {part}", "save it again.")
        return b"".join(self.chunks(part)) if part in self._zip.namelist() else b""

    def workbook(self) -> Workbook:
        """Sheets, styles and date system; raises FILE_CORRUPT if the workbook's own parts are unreadable."""
        root_part = self._related("_rels/.rels", "officeDocument").get("officeDocument", "xl/workbook.xml")
        root = self._xml(root_part)
        folder = str(PurePosixPath(root_part).parent)
        rels_part = f"{folder}/_rels/{PurePosixPath(root_part).name}.rels"
        targets = self.targets(rels_part, folder)
        sheets = []
        for index, node in enumerate(_all(root, "sheet")):
            relation = next((value for key, value in node.attrib.items() if key.endswith("}id")), "")
            part, kind = targets.get(relation, ("", ""))
            if kind == "worksheet":
                sheets.append(Sheet(node.get("name", ""), part, index, node.get("state", "visible") == "visible"))
        properties = next(iter(_all(root, "workbookPr")), None)
        date1904 = properties is not None and properties.get("date1904", "0") in ("1", "true")
        parts = {kind: part for part, kind in targets.values()}
        strict = root.tag.startswith("{" + _STRICT)
        return Workbook(sheets, date1904, self._styles(parts.get("styles", "")), parts.get("sharedStrings", ""), strict)

    def _xml(self, part: str) -> ET.Element:
        try:
            return ET.fromstring(self.read(part))  # noqa: S314  # chunks() refuses DTDs
        except ET.ParseError as error:
            raise _corrupt(part) from error

    def _related(self, part: str, kind: str) -> dict[str, str]:
        found = {name: target for target, name in self.targets(part, "").values()}
        return {kind: found[kind]} if kind in found else {}

    def targets(self, part: str, folder: str) -> dict[str, tuple[str, str]]:
        """Relation id → (part it points to, last word of its type)."""
        if not self.size(part):
            return {}
        targets = {}
        for node in self._xml(part):
            target = node.get("Target", "")
            path = target.lstrip("/") if target.startswith("/") else f"{folder}/{target}".lstrip("/")
            targets[node.get("Id", "")] = (_normal(path), node.get("Type", "").rsplit("/", 1)[-1])
        return targets

    def _styles(self, part: str) -> Styles:
        if not self.size(part):
            return Styles(frozenset(), frozenset())
        root = self._xml(part)
        codes = {node.get("numFmtId", ""): node.get("formatCode", "") for node in _all(root, "numFmt")}
        dates, elapsed = set(), set()
        formats = next(iter(_all(root, "cellXfs")), None)
        for index, node in enumerate([] if formats is None else formats):
            number = node.get("numFmtId", "0")
            code = codes.get(number, "")
            if number == "46" or _ELAPSED.search(code):
                elapsed.add(b"%d" % index)
            if _is_date(number, code):
                dates.add(b"%d" % index)
        return Styles(frozenset(dates), frozenset(elapsed))


def _refuse_dtd(data: bytes, part: str) -> None:
    """In text these would be escaped, so wherever they stand they declare something."""
    if any(mark in data for mark in _DTD):
        raise TableError(
            ErrorCode.UNSAFE_XML,
            f"The part {part} declares XML entities, which no spreadsheet program writes; save it again.",
            metadata={"part": part},
        )


def _is_date(number: str, code: str) -> bool:
    if not code:
        return number.isdigit() and int(number) in _BUILTIN_DATES
    bare = _QUOTED.sub("", code).lower()
    return "general" not in bare and any(char in bare for char in "ymdhs年月日")


def _all(root: ET.Element, name: str) -> list[ET.Element]:
    """Descendants with this local name, whatever their namespace."""
    return [node for node in root.iter() if isinstance(node.tag, str) and node.tag.rsplit("}", 1)[-1] == name]


def _normal(path: str) -> str:
    parts: list[str] = []
    for step in path.split("/"):
        if step == "..":
            parts = parts[:-1]
        elif step not in ("", "."):
            parts.append(step)
    return "/".join(parts)


def _corrupt(part: str) -> TableError:
    return TableError(
        ErrorCode.FILE_CORRUPT,
        f"The part {part} of the workbook is missing or damaged; open the workbook, save it again and upload the copy.",
        metadata={"detected": "xlsx", "part": part},
    )
