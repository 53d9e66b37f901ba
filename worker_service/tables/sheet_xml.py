"""Workbooks in the one-file XML of Excel 2003 (SpreadsheetML), mostly saved under the name ``.xls``."""

from collections.abc import Callable
from dataclasses import dataclass, field
from xml.parsers import expat

from .errors import ErrorCode, TableError
from .model import Limits
from .sheet_builder import SheetBuilder
from .text_lines import RowTally, TextFile

NAMESPACE = "urn:schemas-microsoft-com:office:spreadsheet"
_SS = NAMESPACE + " "
_MAX_PLACE = 2**20


@dataclass
class XmlSheet:
    """One worksheet as it was read."""

    name: str
    builder: SheetBuilder
    visible: bool = True
    hidden_rows: RowTally = field(default_factory=RowTally)


def read_sheets(file: TextFile, limits: Limits, on_bytes: Callable[[int], None]) -> list[XmlSheet]:
    """All worksheets; raises FILE_CORRUPT, UNSAFE_XML or LIMIT_EXCEEDED."""
    reader = _Reader(limits)
    parser = safe_parser(reader.start, reader.end, reader.text)
    _feed(parser, file, on_bytes)
    return reader.sheets


def safe_parser(
    start: Callable[[str, dict[str, str]], None], end: Callable[[str], None], text: Callable[[str], None]
) -> expat.XMLParserType:
    """A parser that takes UTF-8, gives names as ``namespace name``, and refuses every DTD, so also entities."""
    parser = expat.ParserCreate("utf-8", " ")
    parser.buffer_text = True
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text
    parser.StartDoctypeDeclHandler = _refuse
    return parser


def _feed(parser: expat.XMLParserType, file: TextFile, on_bytes: Callable[[int], None]) -> None:
    try:
        for chunk in file.utf8_chunks(on_bytes):
            parser.Parse(chunk, False)  # expat's own signature
        parser.Parse(b"", True)  # expat's own signature
    except expat.ExpatError as error:
        raise TableError(
            ErrorCode.FILE_CORRUPT,
            f"The XML is damaged or cut off at line {error.lineno:,}; open the file and save it as .xlsx.",
            metadata={"detected": "xml"},
            row=error.lineno,
        ) from error


def _refuse(*_: object) -> None:
    raise TableError(
        ErrorCode.UNSAFE_XML,
        "The file declares XML entities, which no spreadsheet program writes; save it again.",
    )


class _Reader:
    """Follows the elements Worksheet, Row, Cell and Data; everything else is passed over."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.sheets: list[XmlSheet] = []
        self._row = -1
        self._column = -1
        self._next_column = -1
        self._kind = ""
        self._text: list[str] | None = None

    def start(self, name: str, attributes: dict[str, str]) -> None:
        match name.removeprefix(_SS):
            case "Worksheet":
                title = attributes.get(_SS + "Name", f"Sheet{len(self.sheets) + 1}")
                self.sheets.append(XmlSheet(title, SheetBuilder(self._limits)))
                self._row = -1
            case "Row" if self.sheets:
                self._row = _place(attributes.get(_SS + "Index"), self._row)
                self._column = -1
                if attributes.get(_SS + "Hidden") == "1":
                    self.sheets[-1].hidden_rows.add(self._row + 1)
            case "Cell" if self.sheets:
                self._column = _place(attributes.get(_SS + "Index"), self._column)
                rows, columns = (_count(attributes.get(_SS + n)) for n in ("MergeDown", "MergeAcross"))
                self.sheets[-1].builder.merge(max(self._row, 0), self._column, rows + 1, columns + 1)
                self._next_column = self._column + columns
            case "Data" if self._column >= 0:
                self._kind, self._text = attributes.get(_SS + "Type", "String"), []

    def text(self, text: str) -> None:
        if self._text is not None:
            self._text.append(text)

    def end(self, name: str) -> None:
        match name.removeprefix(_SS):
            case "Data" if self._text is not None:
                text = _cell_text("".join(self._text), self._kind)
                self.sheets[-1].builder.put(max(self._row, 0), self._column, text)
                self._text = None
            case "Cell" if self.sheets:
                self._column = self._next_column
            case name_ if name_.endswith("excel Visible") and self.sheets:
                self.sheets[-1].visible = False  # only written for hidden sheets


def _cell_text(text: str, kind: str) -> str:
    if kind == "Boolean":
        return "true" if text.strip() == "1" else "false"
    if kind == "DateTime":
        return text.strip().removesuffix(".000").replace("T", " ")
    return text


def _place(index: str | None, before: int) -> int:
    """0-based place of a row or cell: the one it names from 1 on, else the one after ``before``."""
    return max(min(int(index), _MAX_PLACE) - 1, before + 1) if index and index.isdecimal() else before + 1


def _count(text: str | None) -> int:
    return min(int(text), _MAX_PLACE) if text and text.isdecimal() and len(text) < 8 else 0
