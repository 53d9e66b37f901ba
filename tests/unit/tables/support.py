"""Makes small files and converts them."""

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq

from worker_service.tables import ColumnReport, ConversionReport, Limits, Progress, ReadOptions, WarningCode, convert


@dataclass(frozen=True)
class Result:
    """A report, the clean table as columns of Python values, the rejects, and the progress that was told."""

    report: ConversionReport
    columns: dict[str, list[Any]]
    rejects: list[dict[str, Any]]
    progress: list[Progress]
    clean: Path
    table: pa.Table

    def column(self, name: str) -> ColumnReport:
        return next(column for column in self.report.columns if column.name == name)

    def codes(self) -> set[str]:
        return {warning.code for warning in self.report.warnings}

    def warning_rows(self, code: WarningCode) -> tuple[int, ...]:
        return next(warning.rows for warning in self.report.warnings if warning.code == code)


class Converter:
    """Converts bytes in fresh folders under ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runs = 0

    def __call__(
        self, data: bytes | str, name: str = "table.csv", *, limits: Limits | None = None, **options: Any
    ) -> Result:
        self.runs += 1
        out = self.folder / f"run{self.runs}"
        out.mkdir()
        source = out / "source.bin"
        source.write_bytes(data.encode() if isinstance(data, str) else data)
        progress: list[Progress] = []
        report = convert(
            source,
            out,
            file_name=name,
            options=ReadOptions(**options),
            limits=limits or Limits(),
            on_progress=progress.append,
        )
        table = pq.read_table(out / "clean.parquet")
        rejects = out / "rejects.parquet"
        return Result(
            report,
            {name: table.column(name).to_pylist() for name in table.column_names},
            pq.read_table(rejects).to_pylist() if rejects.exists() else [],
            progress,
            out / "clean.parquet",
            table,
        )


def workbook(
    rows: Sequence[Sequence[object]],
    *,
    merges: Sequence[str] = (),
    sheet: str = "data",
    other_sheets: Sequence[str] = (),
    hidden_rows: Sequence[int] = (),
    formats: dict[str, str] | None = None,
    as_text: bool = False,
) -> bytes:
    """An xlsx file with ``rows`` from A1 on; ``formats`` maps a cell reference to its number format.

    ``as_text`` stores every value as text, even one that looks like a formula or an error.
    """
    book = openpyxl.Workbook()
    page = book.active
    assert page is not None
    page.title = sheet
    for number, row in enumerate(rows, start=1):
        for column, value in enumerate(row, start=1):
            if value is not None:
                cell = page.cell(number, column, value)  # type: ignore[call-overload]
                if as_text:
                    cell.data_type = "s"
    for merge in merges:
        page.merge_cells(merge)
    for number in hidden_rows:
        page.row_dimensions[number].hidden = True
    for reference, code in (formats or {}).items():
        page[reference].number_format = code
    for name in other_sheets:
        book.create_sheet(name)
    target = io.BytesIO()
    book.save(target)
    return target.getvalue()


CONTENT_TYPES = (
    '<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Default Extension="xml" ContentType="application/xml"/>'
    '<Override PartName="/xl/workbook.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml'
    '.sheet.main+xml"/><Override PartName="/xl/worksheets/sheet1.xml" ContentType="application/'
    'vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"/></Types>'
)
RELATIONS = (
    '<?xml version="1.0"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    '<Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/{kind}" '
    'Target="{target}"/></Relationships>'
)
MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
STRICT = "http://purl.oclc.org/ooxml/spreadsheetml/main"


def raw_workbook(sheet_data: str, *, main: str = MAIN, prefix: str = "", before: str = "", after: str = "") -> bytes:
    """An xlsx file whose one sheet holds exactly ``sheet_data``; ``before`` goes in front of its root element."""
    p = f"{prefix}:" if prefix else ""
    declared = f"xmlns:{prefix}" if prefix else "xmlns"
    relations = main.replace("spreadsheetml/2006/main", "officeDocument/2006/relationships").replace(
        "spreadsheetml/main", "officeDocument/relationships"
    )
    return _package(sheet_data, main, relations, p, declared, before, after)


def shared_text_workbook(text: str, cells: int) -> bytes:
    """A small xlsx file in which ``cells`` cells show the same stored ``text``."""
    rows = "".join(f'<row r="{row}"><c r="A{row}" t="s"><v>0</v></c></row>' for row in range(1, cells + 1))
    target = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(raw_workbook(rows))) as old,
        zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for info in old.infolist():
            data = old.read(info).decode()
            if info.filename == "xl/_rels/workbook.xml.rels":
                data = data.replace("</Relationships>", SHARED_RELATION + "</Relationships>")
            new.writestr(info.filename, data)
        new.writestr("xl/sharedStrings.xml", f'<sst xmlns="{MAIN}"><si><t>{text}</t></si></sst>')
    return target.getvalue()


SHARED_RELATION = (
    '<Relationship Id="rId2" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/sharedStrings" '
    'Target="sharedStrings.xml"/>'
)


def _package(sheet_data: str, main: str, relations: str, p: str, declared: str, before: str, after: str) -> bytes:
    parts = {
        "[Content_Types].xml": CONTENT_TYPES,
        "_rels/.rels": RELATIONS.format(kind="officeDocument", target="xl/workbook.xml"),
        "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{relations}"><sheets>'
        '<sheet name="Sheet1" sheetId="1" r:id="rId1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": RELATIONS.format(kind="worksheet", target="worksheets/sheet1.xml"),
        "xl/worksheets/sheet1.xml": f'<?xml version="1.0"?>{before}<{p}worksheet {declared}="{main}">'
        f"<{p}sheetData>{sheet_data}</{p}sheetData>{after}</{p}worksheet>",
    }
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in parts.items():
            archive.writestr(name, text)
    return target.getvalue()


def open_document(rows: Sequence[Sequence[str | float]]) -> bytes:
    """An ods file with one sheet of texts and numbers."""

    def cell(value: str | float) -> str:
        if isinstance(value, str):
            return f'<table:table-cell office:value-type="string"><text:p>{value}</text:p></table:table-cell>'
        start = f'<table:table-cell office:value-type="float" office:value="{value}">'
        return f"{start}<text:p>{value}</text:p></table:table-cell>"

    body = "".join(f"<table:table-row>{''.join(map(cell, row))}</table:table-row>" for row in rows)
    urn = "urn:oasis:names:tc:opendocument:xmlns"
    content = (
        f'<?xml version="1.0"?><office:document-content xmlns:office="{urn}:office:1.0" xmlns:table="{urn}:table:1.0" '
        f'xmlns:text="{urn}:text:1.0"><office:body><office:spreadsheet><table:table table:name="Sheet1">{body}'
        "</table:table></office:spreadsheet></office:body></office:document-content>"
    )
    kind = "application/vnd.oasis.opendocument.spreadsheet"
    manifest = (
        f'<?xml version="1.0"?><manifest:manifest xmlns:manifest="{urn}:manifest:1.0">'
        f'<manifest:file-entry manifest:full-path="/" manifest:media-type="{kind}"/></manifest:manifest>'
    )
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("mimetype", kind)
        archive.writestr("META-INF/manifest.xml", manifest)
        archive.writestr("content.xml", content)
    return target.getvalue()
