"""Opens any supported file as a grid, whatever its name says."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from . import csv_reader, triage, workbook
from .encoding import Encoding
from .grid import Grid
from .messages import WarningCode
from .model import Limits, Progress, ReadChoice, ReadOptions, TableWarning, warning
from .text_lines import TextFile

OnProgress = Callable[[Progress], None]


@dataclass
class Source:
    """An opened file: its grid and everything the report says about how it was read."""

    kind: str
    grid: Grid
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

    ``folder`` takes what has to be rewritten before it can be read.
    """
    size = path.stat().st_size

    def on_bytes(done: int) -> None:
        on_progress(Progress("read", done, size if found.kind == "text" else 0, "bytes"))

    on_progress(Progress("triage", 0, size, "bytes"))
    found = triage.identify(path, options.encoding)
    told = []
    if extension := triage.extension_mismatch(file_name, found.kind):
        detected = "delimited text" if found.kind == "text" else found.kind
        told.append(warning(WarningCode.EXTENSION_MISMATCH, extension=extension, detected=detected))
    if found.encoding is not None:
        if found.encoding.confidence < 1:
            told.append(warning(WarningCode.ENCODING_GUESSED, encoding=found.encoding.name))
        grid = csv_reader.open_csv(TextFile(path, found.encoding), options, limits, on_bytes)
        kind = "tsv" if grid.dialect.delimiter == "\t" else "csv"
        delimiter = grid.dialect.delimiter if grid.width > 1 else ""
        reading = [_encoding_choice(found.encoding, options), _delimiter_choice(delimiter, options)]
        return Source(kind, grid, encoding=found.encoding.name, delimiter=delimiter, warnings=told, reading=reading)
    if found.kind == "xlsx":
        book = workbook.open_xlsx(path, options, limits, folder, on_bytes)
    else:
        book = workbook.open_native(path, options)
    return Source(
        found.kind,
        book.grid,
        sheet=book.sheet,
        date1904=book.date1904,
        warnings=told + book.warnings,
        long_numbers=book.long_numbers,
        reading=[ReadChoice("sheet", book.sheet, "given" if options.sheet or options.sheet_number else "detected")],
    )


def _encoding_choice(encoding: Encoding, options: ReadOptions) -> ReadChoice:
    if options.encoding:
        return ReadChoice("encoding", encoding.name, "given")
    return ReadChoice("encoding", encoding.name, "declared" if encoding.bom_bytes else "detected", encoding.confidence)


def _delimiter_choice(delimiter: str, options: ReadOptions) -> ReadChoice:
    return ReadChoice("delimiter", delimiter, "given" if options.delimiter else "detected")
