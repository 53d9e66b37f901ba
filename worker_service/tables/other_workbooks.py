"""Opens what is a workbook but no xlsx: xls, xlsb, ods, the XML of Excel 2003, and web pages saved as workbooks.

The first three are read by a native reader, after a scan of our own has said how large the sheet is.
"""

import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import fastexcel
from python_calamine import CalamineError, CalamineSheet, CalamineWorkbook, SheetVisibleEnum

from . import html_tables, ods_scan, sheet_xml, xls_scan, xlsb_scan
from .errors import ErrorCode, TableError, encrypted, limit_exceeded
from .grid import Irregular
from .messages import WarningCode
from .model import Limits, ReadOptions, TableWarning, warning
from .sheet_grid import load, native, native_merges
from .text_lines import RowTally, TextFile
from .workbook import Opened, candidates, check_bounds, hidden_warnings, no_cells, other_sheets
from .xlsx_package import Package, Sheet
from .xlsx_scan import Patch, SheetScan, exact_float

OnBytes = Callable[[int], None]
Scans = Callable[[Sheet], SheetScan]


def open_native(path: Path, kind: str, wanted: ReadOptions, limits: Limits, on_bytes: OnBytes) -> Opened:
    """Open a sheet of an xls, xlsb or ods workbook.

    Raises TableError: FILE_CORRUPT, FILE_ENCRYPTED, UNSAFE_XML, LIMIT_EXCEEDED, EMPTY_FILE or NOT_TABULAR.
    """
    try:
        with native():
            return _open_native(path, _SCANS[kind](path, limits, on_bytes), wanted)
    except (CalamineError, fastexcel.FastExcelError, zipfile.BadZipFile, Irregular, OSError) as error:
        if "assword" in str(error):
            raise encrypted() from error
        raise TableError(
            ErrorCode.FILE_CORRUPT, "The workbook cannot be read; open it, save it as .xlsx and upload the copy."
        ) from error


def _open_native(path: Path, scans: Scans, wanted: ReadOptions) -> Opened:
    book = CalamineWorkbook.from_path(path)
    sheets = [
        Sheet(meta.name, "", index, meta.visible == SheetVisibleEnum.Visible)
        for index, meta in enumerate(book.sheets_metadata)
    ]
    for sheet in candidates(sheets, wanted):
        found = scans(sheet)
        if found.value_cells:
            patches = _rounded(book.get_sheet_by_name(sheet.name))
            grid = load(path, sheet.name, date1904=False, patches=patches, expected_width=None)
            grid.merges = native_merges(path, sheet.name)
            others = [other.name for other in sheets if other.name != sheet.name]
            return Opened(grid, sheet.name, warnings=[*other_sheets(others), *hidden_warnings(found, sheet.name)])
    raise no_cells()


def _rounded(sheet: CalamineSheet) -> list[Patch]:
    """The numbers that loading would round: here no scan has seen how they are stored."""
    left = sheet.start[1] if sheet.start else 0
    return [
        Patch(row, column, text)
        for row, cells in enumerate(sheet.iter_rows(), 1)
        for column, value in enumerate(cells, left)
        if type(value) is float and (text := exact_float(value)) is not None
    ]


def open_xml(file: TextFile, wanted: ReadOptions, limits: Limits, on_bytes: OnBytes) -> Opened:
    """Open a worksheet of a SpreadsheetML file; errors as open_native."""
    read = sheet_xml.read_sheets(file, limits, on_bytes)
    sheets = [Sheet(sheet.name, "", index, sheet.visible) for index, sheet in enumerate(read)]
    for sheet in candidates(sheets, wanted):
        found = read[sheet.index]
        if found.builder.cells:
            others = [other.name for other in sheets if other.index != sheet.index]
            told = [*other_sheets(others), *_hidden_rows(found.hidden_rows, sheet.name)]
            return Opened(found.builder.grid(), sheet.name, warnings=told)
    raise no_cells()


def open_html(file: TextFile, wanted: ReadOptions, limits: Limits, on_bytes: OnBytes) -> Opened:
    """Open the largest table of a web page, or the one asked for ("table 2"); errors as open_native."""
    tables = html_tables.read_tables(file, limits, on_bytes)
    if not tables:
        raise TableError(
            ErrorCode.NOT_TABULAR,
            "The file is a web page without a table; save the data as .xlsx or CSV.",
            metadata={"detected": "html"},
        )
    by_size = sorted(range(len(tables)), key=lambda index: -tables[index].builder.cells)
    sheets = [Sheet(f"table {index + 1}", "", index, visible=index == by_size[0]) for index in range(len(tables))]
    chosen = candidates(sheets, wanted)[0]
    table = tables[chosen.index]
    others = [sheet.name for sheet in sheets if sheet is not chosen]
    told = [*other_sheets(others), *_hidden_rows(table.hidden_rows, chosen.name)]
    return Opened(table.builder.grid(), chosen.name, warnings=told)


def _hidden_rows(tally: RowTally, sheet: str) -> Sequence[TableWarning]:
    if not tally.count:
        return ()
    return (warning(WarningCode.HIDDEN_ROWS, sheet=sheet, rows=tally.rows, count=tally.count),)


def _check(found: SheetScan, sheet: str, limits: Limits) -> None:
    check_bounds(found, sheet, limits)
    if found.bounding_cells > limits.max_eager_cells:
        error = limit_exceeded(
            "max_eager_cells", limits.max_eager_cells, f"{found.bounding_cells:,} cells", "save it as .xlsx or CSV."
        )
        error.sheet = sheet
        raise error


def _scan_xls(path: Path, limits: Limits, _on_bytes: OnBytes) -> Scans:
    scans = xls_scan.scan_sheets(path)
    for number, found in enumerate(scans, start=1):  # the native reader will load them all
        _check(found, f"number {number}", limits)
    return lambda sheet: scans[sheet.index] if sheet.index < len(scans) else SheetScan()


def _scan_xlsb(path: Path, limits: Limits, on_bytes: OnBytes) -> Scans:
    def scan(sheet: Sheet) -> SheetScan:
        with Package(path, limits) as package:
            part = xlsb_scan.sheet_parts(package).get(sheet.name, "")
            found = xlsb_scan.scan_sheet(package, part, limits, on_bytes)
        _check(found, sheet.name, limits)
        return found

    return scan


def _scan_ods(path: Path, limits: Limits, on_bytes: OnBytes) -> Scans:
    with Package(path, limits) as package:
        scans = ods_scan.scan_sheets(package, on_bytes)
    for name, found in scans.items():  # the native reader will load them all
        _check(found, name, limits)
    return lambda sheet: scans.get(sheet.name, SheetScan())


_SCANS = {"xls": _scan_xls, "xlsb": _scan_xlsb, "ods": _scan_ods}
