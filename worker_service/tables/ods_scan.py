"""What the sheets of an OpenDocument workbook hold, before a native reader unfolds their repeated cells."""

from collections.abc import Callable
from xml.parsers import expat

from .errors import ErrorCode, TableError
from .sheet_xml import safe_parser
from .xlsx_package import Package
from .xlsx_scan import SheetScan

_TABLE = "urn:oasis:names:tc:opendocument:xmlns:table:1.0 "
_OFFICE = "urn:oasis:names:tc:opendocument:xmlns:office:1.0 "
_TEXT = "urn:oasis:names:tc:opendocument:xmlns:text:1.0 "
_MAX_REPEATS = 2**20


def scan_sheets(package: Package, on_bytes: Callable[[int], None]) -> dict[str, SheetScan]:
    """Sheet name → what it holds; raises FILE_CORRUPT or UNSAFE_XML."""
    reader = _Reader()
    parser = safe_parser(reader.start, reader.end, reader.text)
    done = 0
    try:
        for chunk in package.chunks("content.xml"):
            parser.Parse(chunk, False)  # expat's own signature
            done += len(chunk)
            on_bytes(done)
        parser.Parse(b"", True)  # expat's own signature
    except expat.ExpatError as error:
        raise TableError(
            ErrorCode.FILE_CORRUPT,
            "The workbook's content.xml is damaged; open the workbook, save it again and upload the copy.",
            metadata={"detected": "ods"},
        ) from error
    return reader.sheets


class _Reader:
    """Counts what cells with a value or a text reach, repeats unfolded."""

    def __init__(self) -> None:
        self.sheets: dict[str, SheetScan] = {}
        self._sheet = SheetScan()
        self._row = self._rows = self._column = self._columns = 0
        self._in_text = self._filled = False

    def start(self, name: str, attributes: dict[str, str]) -> None:
        match name.removeprefix(_TABLE):
            case "table":
                self._sheet = SheetScan()
                self.sheets[attributes.get(_TABLE + "name", "")] = self._sheet
                self._row = self._rows = 0
            case "table-row":
                self._row += self._rows
                self._rows = _repeats(attributes, "number-rows-repeated")
                self._column = self._columns = 0
                if attributes.get(_TABLE + "visibility", "visible") != "visible":
                    self._sheet.hidden_rows.add(self._row + 1)
            case "table-cell" | "covered-table-cell":
                self._column += self._columns
                self._columns = _repeats(attributes, "number-columns-repeated")
                self._filled = False
                if _OFFICE + "value-type" in attributes:
                    self._fill()
            case "table-column" if attributes.get(_TABLE + "visibility", "visible") != "visible":
                self._sheet.hidden_columns += _repeats(attributes, "number-columns-repeated")
            case _:
                self._in_text = self._in_text or name == _TEXT + "p"

    def end(self, name: str) -> None:
        if name == _TEXT + "p":
            self._in_text = False

    def text(self, text: str) -> None:
        if self._in_text and not self._filled and text.strip():
            self._fill()

    def _fill(self) -> None:
        found = self._sheet
        self._filled = True
        found.value_cells += self._rows * self._columns
        found.first_row = found.first_row or self._row + 1
        found.last_row = max(found.last_row, self._row + self._rows)
        found.last_column = max(found.last_column, self._column + self._columns - 1)


def _repeats(attributes: dict[str, str], name: str) -> int:
    text = attributes.get(_TABLE + name, "1")
    return max(1, min(int(text), _MAX_REPEATS)) if text.isdecimal() and len(text) < 10 else 1
