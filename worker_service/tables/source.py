"""Opens any supported file as a grid, whatever its name says."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from . import csv_reader, json_lines, other_workbooks, parquet_grid, triage, workbook
from .errors import ErrorCode, TableError
from .grid import Grid
from .inflate import Packing, inflate
from .messages import WarningCode
from .model import Limits, Origin, Progress, ReadChoice, ReadOptions, Stage, TableWarning, warning
from .region import Region
from .text_lines import TextFile
from .triage import Found

OnProgress = Callable[[Progress], None]
_NAMES = {"text": "delimited text", "xml": "Excel 2003 XML", "html": "a web page", "json": "JSON"}


@dataclass
class Source:
    """An opened file: its grid and everything the report says about how it was read.

    ``region`` is set where the format itself says what is header and what is body.
    """

    kind: str
    grid: Grid
    region: Region | None = None
    sheet: str = ""
    encoding: str = ""
    delimiter: str = ""
    date1904: bool = False
    warnings: list[TableWarning] = field(default_factory=list)
    long_numbers: list[tuple[int, int]] = field(default_factory=list)
    reading: list[ReadChoice] = field(default_factory=list)


def open_source(
    path: Path, folder: Path, file_name: str, options: ReadOptions, limits: Limits, on_progress: OnProgress
) -> Source:
    """Find out what the file at ``path`` is and open it; raises TableError for what is no readable table.

    ``folder`` takes what has to be unpacked or rewritten before it can be read.
    """
    told, reading = [], []
    on_progress(Progress("triage", 0, path.stat().st_size, "bytes"))
    found = triage.identify(path, options.encoding)
    if found.packing:
        reading.append(ReadChoice("packing", found.packing, "declared"))
        path = _unpacked(path, folder, found.packing, limits, on_progress)
        found = triage.identify(path, options.encoding)
        if found.packing:
            raise _packed_twice(found.packing)
    if extension := triage.extension_mismatch(file_name, found.kind):
        detected = _NAMES.get(found.kind, found.kind)
        told.append(warning(WarningCode.EXTENSION_MISMATCH, extension=extension, detected=detected))
    if found.encoding is not None:
        if found.encoding.confidence < 1:
            told.append(warning(WarningCode.ENCODING_GUESSED, encoding=found.encoding.name))
        reading.append(_encoding_choice(found, options))
    opened = _opened(path, folder, found, options, limits, on_progress)
    opened.warnings = told + opened.warnings
    opened.reading = reading + opened.reading
    return opened


def _unpacked(path: Path, folder: Path, packing: Packing, limits: Limits, on_progress: OnProgress) -> Path:
    size = path.stat().st_size

    def on_packed(done: int) -> None:
        on_progress(Progress("triage", done, size, "bytes"))

    return inflate(path, folder / "unpacked", packing, limits, on_packed)


def _opened(
    path: Path, folder: Path, found: Found, options: ReadOptions, limits: Limits, on_progress: OnProgress
) -> Source:
    size = path.stat().st_size if found.encoding else 0  # what a workbook inflates to is not known

    def on_bytes(done: int) -> None:
        on_progress(Progress("read", done, size, "bytes"))

    if found.kind == "parquet":
        return _parquet(path, limits, on_progress)
    if found.encoding is None:
        return _workbook(path, folder, found.kind, options, limits, on_bytes)
    file = TextFile(path, found.encoding)
    match found.kind:
        case "text":
            return _text(file, options, limits, on_bytes)
        case "json":
            return _json(file, found, limits, on_progress)
        case "xml":
            return _sheet(found, other_workbooks.open_xml(file, options, limits, on_bytes), options)
        case _:
            return _sheet(found, other_workbooks.open_html(file, options, limits, on_bytes), options)


def _text(file: TextFile, options: ReadOptions, limits: Limits, on_bytes: Callable[[int], None]) -> Source:
    grid = csv_reader.open_csv(file, options, limits, on_bytes)
    delimiter = grid.dialect.delimiter if grid.width > 1 else ""
    return Source(
        "tsv" if delimiter == "\t" else "csv",
        grid,
        encoding=file.encoding.name,
        delimiter=delimiter,
        reading=csv_reader.choices(grid.dialect, options),
    )


def _json(file: TextFile, found: Found, limits: Limits, on_progress: OnProgress) -> Source:
    def on_bytes(stage: Stage) -> Callable[[int], None]:
        return lambda done: on_progress(Progress(stage, done, file.size_bytes, "bytes"))

    grid = json_lines.open_json(file, limits, on_bytes("triage"), is_array=found.is_array)
    grid.on_bytes = on_bytes("read")
    return Source("json", grid, _declared_region(grid.names), encoding=file.encoding.name)


def _parquet(path: Path, limits: Limits, on_progress: OnProgress) -> Source:
    def on_rows(done: int) -> None:
        on_progress(Progress("read", done, grid.row_count, "rows"))

    grid = parquet_grid.open_parquet(path, limits, on_rows)
    return Source("parquet", grid, _declared_region(grid.names))


def _workbook(
    path: Path, folder: Path, kind: str, options: ReadOptions, limits: Limits, on_bytes: Callable[[int], None]
) -> Source:
    if kind == "xlsx":
        book = workbook.open_xlsx(path, options, limits, folder, on_bytes)
    else:
        book = other_workbooks.open_native(path, kind, options, limits, on_bytes)
    return _sheet(Found(kind), book, options)


def _sheet(found: Found, book: workbook.Opened, options: ReadOptions) -> Source:
    origin: Origin = "given" if options.sheet or options.sheet_number else "detected"
    return Source(
        found.kind,
        book.grid,
        sheet=book.sheet,
        encoding=found.encoding.name if found.encoding else "",
        date1904=book.date1904,
        warnings=book.warnings,
        long_numbers=book.long_numbers,
        reading=[ReadChoice("sheet", book.sheet, origin)],
    )


def _declared_region(names: list[str]) -> Region:
    """The region of a format that names its columns: row 0 is the header."""
    return Region((), (0,), 1, tuple(names), ("",) * len(names))


def _encoding_choice(found: Found, options: ReadOptions) -> ReadChoice:
    encoding = found.encoding
    if encoding is None or options.encoding:
        return ReadChoice("encoding", options.encoding, "given")
    return ReadChoice("encoding", encoding.name, "declared" if encoding.bom_bytes else "detected", encoding.confidence)


def _packed_twice(kind: str) -> TableError:
    return TableError(
        ErrorCode.FILE_FORMAT_UNSUPPORTED,
        f"The file is packed twice ({kind} inside); unpack it once and upload that.",
        metadata={"detected": kind},
    )
