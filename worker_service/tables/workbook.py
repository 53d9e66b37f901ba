"""Opens an xlsx workbook as one grid, with what its sheet hides as warnings."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from .errors import ErrorCode, TableError, limit_exceeded
from .grid import Grid, Irregular
from .messages import WarningCode
from .model import Limits, ReadOptions, TableWarning, warning
from .sheet_grid import SheetGrid, StreamGrid, load
from .xlsx_package import Package, Sheet
from .xlsx_scan import SheetScan, scan
from .xlsx_shared import check_unfolded
from .xlsx_strict import as_transitional

_MAX_PATCHES = 500_000


@dataclass
class Opened:
    """A grid, the sheet it came from, and what to tell the user about it."""

    grid: Grid
    sheet: str
    date1904: bool = False
    warnings: list[TableWarning] = field(default_factory=list)
    long_numbers: list[tuple[int, int]] = field(default_factory=list)  # (1-based row, 0-based column)


def open_xlsx(path: Path, wanted: ReadOptions, limits: Limits, folder: Path, on_bytes: Callable[[int], None]) -> Opened:
    """Open ``wanted`` (or the first visible sheet with cells) of an xlsx workbook.

    Raises TableError: FILE_CORRUPT, UNSAFE_XML, LIMIT_EXCEEDED, EMPTY_FILE or NOT_TABULAR (no such sheet).
    """
    with Package(path, limits) as package:
        book = package.workbook()
        sheet, found = None, SheetScan()
        for sheet in candidates(book.sheets, wanted):
            found = scan(package, sheet.part, book.styles, on_bytes)
            if found.value_cells or not found.regular:
                break
        if sheet is None or (found.regular and not found.value_cells):
            raise no_cells()
        if book.shared_strings:
            check_unfolded(package, book.shared_strings, sheet.part, found.shared_cells, limits)
    check_bounds(found, sheet.name, limits)
    if book.strict:
        path = as_transitional(path, folder / "transitional.xlsx")
    grid = _grid(path, sheet.name, found, limits, date1904=book.date1904)
    others = [other.name for other in book.sheets if other.name != sheet.name]
    told = [*other_sheets(others), *hidden_warnings(found, sheet.name)]
    return Opened(grid, sheet.name, book.date1904, told, found.long_numbers)


def candidates(sheets: list[Sheet], wanted: ReadOptions) -> list[Sheet]:
    """The sheets to try in order: the one asked for, or the visible ones before the hidden ones."""
    if wanted.sheet_number:
        asked = f"sheet number {wanted.sheet_number}"
        chosen = [sheet for sheet in sheets if sheet.index == wanted.sheet_number - 1]
    elif wanted.sheet:
        asked = f"sheet named {wanted.sheet!r}"
        chosen = [sheet for sheet in sheets if sheet.name == wanted.sheet]
    else:
        return sorted(sheets, key=lambda sheet: not sheet.visible)
    if not chosen:
        names = ", ".join(sheet.name for sheet in sheets)
        raise TableError(
            ErrorCode.NOT_TABULAR,
            f"The workbook has no {asked}; it has: {names}.",
            metadata={"sheets": names},
            sheet=wanted.sheet or None,
        )
    return chosen


def check_bounds(found: SheetScan, sheet: str, limits: Limits) -> None:
    """One stray cell in the last corner makes native readers reserve the whole rectangle: refuse it here."""
    columns = found.last_column + 1
    if columns > limits.max_columns:
        error = limit_exceeded(
            "max_columns", limits.max_columns, f"{columns:,} columns", f"look for a stray cell far right on {sheet!r}."
        )
        error.sheet = sheet
        raise error


def _grid(path: Path, sheet: str, found: SheetScan, limits: Limits, *, date1904: bool) -> Grid:
    """Native if the sheet is regular, small enough and comes back whole; else streamed."""
    simple = found.regular and not found.elapsed_times and len(found.patches) <= _MAX_PATCHES
    if simple and found.bounding_cells <= limits.max_eager_cells:
        try:
            width = found.last_column + 1
            grid = load(path, sheet, date1904=date1904, patches=found.patches, expected_width=width)
        except Irregular:
            pass
        else:
            if _nonempty(grid) >= found.value_cells:
                grid.merges = found.merges
                return grid
    try:
        return StreamGrid(path, sheet, found.last_column + 1, found.merges)
    except Exception as error:
        raise TableError(
            ErrorCode.FILE_CORRUPT,
            f"The sheet {sheet!r} cannot be read; open the workbook, save it again and upload the copy.",
            sheet=sheet,
        ) from error


def _nonempty(grid: SheetGrid) -> int:
    return sum(len(column) - column.null_count for column in grid.columns)


def other_sheets(names: list[str]) -> list[TableWarning]:
    """A warning that names the sheets that were left, if there are any."""
    if not names:
        return []
    return [warning(WarningCode.OTHER_SHEETS, count=len(names), names=", ".join(names))]


def hidden_warnings(found: SheetScan, sheet: str) -> list[TableWarning]:
    """What a sheet hides."""
    told = []
    for code, tally in (
        (WarningCode.HIDDEN_ROWS, found.hidden_rows),
        (WarningCode.FORMULAS_WITHOUT_VALUES, found.bare_formulas),
    ):
        if tally.count:
            told.append(warning(code, sheet=sheet, rows=tally.rows, count=tally.count))
    if found.hidden_columns:
        told.append(warning(WarningCode.HIDDEN_COLUMNS, sheet=sheet, count=found.hidden_columns))
    return told


def no_cells() -> TableError:
    """The error for a workbook without a cell."""
    return TableError(ErrorCode.EMPTY_FILE, "No sheet of the workbook holds a cell; upload one with data.")
