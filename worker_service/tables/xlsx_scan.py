"""One streaming pass over a sheet's XML for what native readers hide, drop or choke on.

It never builds a tree: it searches the bytes for the rare things (merges, hidden rows, long numbers) and
counts the common ones, so that what the reader returns can be held against what the file contains.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from .grid import Merge
from .text_lines import RowTally
from .xlsx_package import Package, Styles

_REGULAR_ROOT = re.compile(rb"<worksheet[\s>]")
_CELL = re.compile(rb'<c r="([A-Z]{1,3})(\d+)"([^>]*)>(?:<f[^>]*>[^<]*</f>|<f[^>]*/>)?<v>([^<]*)</v>')
_BARE_FORMULA = re.compile(rb'<c r="[A-Z]{1,3}(\d+)"[^>]*>(?:<f[^>]*>[^<]*</f>|<f[^>]*/>)(?:<v></v>|<v\s*/>)?</c>')
_HIDDEN_ROW = re.compile(rb'<row\b[^>]*?\br="(\d+)"[^>]*?\bhidden="(?:1|true)"')
_HIDDEN_COLUMNS = re.compile(rb"<col\b[^>]*>")
_MERGE = re.compile(rb'<(?:\w+:)?mergeCell\s+ref="([A-Z]{1,3})(\d+):([A-Z]{1,3})(\d+)"')
_COLUMN = re.compile(rb'<c r="([A-Z]{1,3})')
_ROW = re.compile(rb'<row\b[^>]*?\br="(\d+)"')
_STYLE = re.compile(rb'\bs="([^"]*)"')
_KIND = re.compile(rb'\bt="([^"]*)"')
_ATTRIBUTE = {name: re.compile(rb"\b" + name + rb'="([^"]*)"') for name in (b"min", b"max", b"hidden")}


@dataclass(frozen=True)
class Patch:
    """A cell whose text the fast reader would not give exactly: 1-based row, 0-based column."""

    row: int
    column: int
    text: str


@dataclass
class SheetScan:
    """What the XML of one sheet holds. ``regular`` is False when only a full XML parser can be trusted with it."""

    regular: bool = True
    value_cells: int = 0
    shared_cells: int = 0
    first_row: int = 0
    last_row: int = 0
    last_column: int = -1
    patches: list[Patch] = field(default_factory=list)
    long_numbers: list[tuple[int, int]] = field(default_factory=list)
    merges: list[Merge] = field(default_factory=list)
    hidden_rows: RowTally = field(default_factory=RowTally)
    hidden_columns: int = 0
    bare_formulas: RowTally = field(default_factory=RowTally)
    elapsed_times: bool = False
    columns: set[bytes] = field(default_factory=set)

    @property
    def bounding_cells(self) -> int:
        """Cells in the rectangle from the first used row to the last used cell."""
        return (self.last_row - self.first_row + 1) * (self.last_column + 1) if self.last_row else 0


def scan(package: Package, part: str, styles: Styles, on_bytes: Callable[[int], None]) -> SheetScan:
    """Read the sheet at ``part`` once; raises what reading a package part raises."""
    found = SheetScan()
    long_number = _long_pattern(styles.dates)
    done = 0
    for number, block in enumerate(_blocks(package.chunks(part))):
        if number == 0:
            found.regular = _REGULAR_ROOT.search(block) is not None
            _hidden_columns(block, found)
        _scan_block(block, styles, long_number, found)
        done += len(block)
        on_bytes(done)
    found.last_column = max((column_index(letters) for letters in found.columns), default=-1)
    return found


def column_index(letters: bytes) -> int:
    """0-based column of a reference: A → 0, XFD → 16383."""
    number = 0
    for letter in letters:
        number = number * 26 + letter - 64
    return number - 1


def _blocks(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes, cut after whole rows where possible."""
    held = b""
    for chunk in chunks:
        data = held + chunk
        cut = data.rfind(b"</row>")
        if cut < 0:
            held = data
            continue
        yield data[: cut + 6]
        held = data[cut + 6 :]
    yield held


def _scan_block(block: bytes, styles: Styles, long_number: re.Pattern[bytes], found: SheetScan) -> None:
    columns = _COLUMN.findall(block)
    cells = block.count(b"<c ")
    if cells != len(columns) or b"<c>" in block or b"<c/>" in block:
        found.regular = False
    found.value_cells += block.count(b"<v>") - block.count(b"<v></v>") + block.count(b"<is>")
    found.shared_cells += block.count(b't="s"')
    found.columns.update(columns)
    rows = _ROW.findall(block)
    if rows:
        numbers = [int(row) for row in rows]
        found.first_row = found.first_row or min(numbers)
        found.last_row = max(found.last_row, *numbers)
    elif cells:
        found.regular = False
    _rare_things(block, long_number, styles.dates, found)
    if styles.elapsed and not found.elapsed_times:
        found.elapsed_times = any(b's="' + style + b'"' in block for style in styles.elapsed)


def _rare_things(block: bytes, long_number: re.Pattern[bytes], dates: frozenset[bytes], found: SheetScan) -> None:
    """What few sheets have: mostly a cheap look says that there is nothing to find."""
    _long_numbers(block, long_number, dates, found)
    if b"<f" in block:
        for row in _BARE_FORMULA.findall(block):
            found.bare_formulas.add(int(row))
    if b"hidden=" in block:
        for row in _HIDDEN_ROW.findall(block):
            found.hidden_rows.add(int(row))
    if b"mergeCell " in block:
        for left, top, right, bottom in _MERGE.findall(block):
            found.merges.append(Merge(int(top), int(bottom), column_index(left), column_index(right)))


def _long_pattern(dates: frozenset[bytes]) -> re.Pattern[bytes]:
    """Stored values that the native reader may round, skipping what is plainly a date or a text at a glance."""
    endings = [rb't="str"', *(rb's="' + style + rb'"' + kind for style in sorted(dates) for kind in (b"", b' t="n"'))]
    not_after = b"".join(rb"(?<!" + ending + rb"><v>)" for ending in endings)
    # Many digits in all, behind the point, or before one; or an exponent.
    numbers = rb"[^<]{16,}|-?\d*\.\d{10,}|-?\d{7,}\.\d+|-?[\d.]+[eE][+-]?\d+"
    return re.compile(rb"><v>" + not_after + rb"(?:" + numbers + rb")</v>")


def _long_numbers(block: bytes, pattern: re.Pattern[bytes], dates: frozenset[bytes], found: SheetScan) -> None:
    """Numbers that the native reader would round; dates are its own business."""
    for match in pattern.finditer(block):
        cell = _CELL.match(block, block.rfind(b"<c ", 0, match.start()))
        if cell is None:
            continue
        letters, row, attributes, raw = cell.groups()
        kind, style = _KIND.search(attributes), _STYLE.search(attributes)
        if (kind and kind[1] != b"n") or (style and style[1] in dates):
            continue
        text = exact_number(raw.decode())
        if text is not None:
            position = (int(row), column_index(letters))
            found.patches.append(Patch(*position, text))
            if text.lstrip("-").isdigit():
                found.long_numbers.append(position)


def exact_number(raw: str) -> str | None:
    """The exact text of a stored number if the native reader would give another, else None."""
    try:
        value = float(raw)
    except ValueError:
        return None
    if raw.lstrip("-").isdigit():
        return raw if len(raw.lstrip("-")) > 15 else None
    return exact_float(value)


def exact_float(value: float) -> str | None:
    """The shortest text that gives ``value`` back if the native reader, which stops at nine decimals, rounds it."""
    if abs(value) >= 1e15 and value.is_integer() and abs(value) < 1e22:
        return str(int(value))
    shown = f"{value:.9f}".rstrip("0").rstrip(".")
    exact = str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    return None if shown == exact or (float(shown) == value and len(shown) <= 16) else exact


def _hidden_columns(block: bytes, found: SheetScan) -> None:
    for column in _HIDDEN_COLUMNS.findall(block[: block.find(b"<sheetData") + 1]):
        hidden = _ATTRIBUTE[b"hidden"].search(column)
        if hidden and hidden[1] in (b"1", b"true"):
            first, last = (_ATTRIBUTE[name].search(column) for name in (b"min", b"max"))
            found.hidden_columns += int(last[1]) - int(first[1]) + 1 if first and last else 1
