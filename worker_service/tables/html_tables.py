"""Tables in a web page, as many hospital systems save them under the name of a workbook."""

import re
from collections.abc import Callable
from html.parser import HTMLParser

from .errors import ErrorCode, TableError
from .model import Limits
from .sheet_builder import SheetBuilder
from .text_lines import RowTally, TextFile

_MAX_TAG_CHARS = 2 << 20
_MAX_TABLES = 1_000
_MAX_SPAN = 2**14
_CELL_TAGS = ("td", "th")
_SILENT_TAGS = ("script", "style", "title")
_SPACES = re.compile(r"[ \t\r\n\xa0]+")
_HIDDEN = re.compile(r"display\s*:\s*none", re.IGNORECASE)


def read_tables(file: TextFile, limits: Limits, on_bytes: Callable[[int], None]) -> list["HtmlTable"]:
    """All tables that hold a cell, in the order they begin; raises LIMIT_EXCEEDED or FILE_CORRUPT."""
    parser = _Parser(limits)
    for chunk in file.utf8_chunks(on_bytes):
        parser.feed(chunk.decode())
        if len(parser.rawdata) > _MAX_TAG_CHARS:
            raise TableError(
                ErrorCode.FILE_CORRUPT,
                "The web page has a tag that does not end; save it as .xlsx or CSV.",
                metadata={"detected": "html"},
            )
    parser.close()
    parser.end_all()
    return [table for table in parser.tables if table.builder.cells]


class HtmlTable:
    """One table while it is read, and after."""

    def __init__(self, limits: Limits) -> None:
        self.builder = SheetBuilder(limits)
        self.hidden_rows = RowTally()
        self._row = -1
        self._column = 0
        self._reached: dict[int, int] = {}  # column → first row that no cell from above reaches into
        self._span = (1, 1)
        self._text: list[str] | None = None
        self._number = ""

    def begin_row(self, *, hidden: bool) -> None:
        """A new row begins."""
        self.end_cell()
        self._row += 1
        self._column = 0
        if hidden:
            self.hidden_rows.add(self._row + 1)

    def begin_cell(self, rows: int, columns: int, number: str) -> None:
        """A new cell begins; ``number`` is its exact value if its text is only what was shown of it."""
        self.end_cell()
        self._row = max(self._row, 0)
        while self._reached.get(self._column, 0) > self._row:
            self._column += 1
        self._span, self._text, self._number = (rows, columns), [], number

    def add(self, text: str) -> None:
        """More text, if a cell is open."""
        if self._text is not None:
            self._text.append(text)

    def end_cell(self) -> None:
        """The open cell ends, if there is one."""
        if self._text is None:
            return
        lines = (_SPACES.sub(" ", line).strip() for line in "".join(self._text).split("\v"))
        text = self._number or "\n".join(lines).strip("\n")
        rows, columns = self._span
        self.builder.put(self._row, self._column, text)
        if text:
            self.builder.merge(self._row, self._column, rows, columns)
        if rows > 1:
            self._reached.update(dict.fromkeys(range(self._column, self._column + columns), self._row + rows))
        self._column += columns
        self._text = None


class _Parser(HTMLParser):
    """Keeps the tables that are open; text belongs to the cell of the innermost."""

    def __init__(self, limits: Limits) -> None:
        super().__init__()
        self._limits = limits
        self.tables: list[HtmlTable] = []
        self._open: list[HtmlTable] = []
        self._silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _SILENT_TAGS:
            self._silent += 1
        elif tag == "table":
            self._begin_table()
        elif self._open:
            self._inside(tag, dict(attrs))

    def handle_endtag(self, tag: str) -> None:
        if tag in _SILENT_TAGS:
            self._silent = max(0, self._silent - 1)
        elif self._open and tag in (*_CELL_TAGS, "tr"):
            self._open[-1].end_cell()
        elif self._open and tag == "table":
            self._open.pop().end_cell()

    def handle_data(self, data: str) -> None:
        if self._open and not self._silent:
            self._open[-1].add(data)

    def end_all(self) -> None:
        """The page is over, also for tables that were never closed."""
        while self._open:
            self._open.pop().end_cell()

    def _begin_table(self) -> None:
        if len(self.tables) == _MAX_TABLES:
            raise TableError(
                ErrorCode.NOT_TABULAR,
                f"The web page has more than {_MAX_TABLES:,} tables; save the one you need as .xlsx or CSV.",
                metadata={"detected": "html"},
            )
        self.tables.append(HtmlTable(self._limits))
        self._open.append(self.tables[-1])

    def _inside(self, tag: str, attributes: dict[str, str | None]) -> None:
        table = self._open[-1]
        if tag == "tr":
            table.begin_row(hidden=bool(_HIDDEN.search(attributes.get("style") or "")))
        elif tag in _CELL_TAGS:
            rows, columns = (_span(attributes.get(name)) for name in ("rowspan", "colspan"))
            table.begin_cell(rows, columns, attributes.get("x:num") or "")
        elif tag in ("br", "p", "div"):
            table.add("\v")


def _span(text: str | None) -> int:
    digits = (text or "1").strip()
    return max(1, min(int(digits), _MAX_SPAN)) if digits.isdecimal() and len(digits) < 7 else 1
