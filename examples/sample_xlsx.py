"""A minimal writer of .xlsx workbooks with one sheet, made for the sample data.

Unlike openpyxl it writes merged cells while streaming, and the same rows always give the same bytes: no clock
is read anywhere. (The bytes still depend on the version of zlib.)
"""

import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from xml.sax.saxutils import escape

DATE_STYLE = 1
DATE_TIME_STYLE = 2
CHINESE_DATE_STYLE = 3


@dataclass(frozen=True, slots=True)
class Serial:
    """A date as spreadsheets hold it: days since 1899-12-30, shown as a date by its `style`."""

    days: float
    style: int = DATE_STYLE


@dataclass(frozen=True, slots=True)
class Formula:
    """A formula with the value that was computed when the workbook was saved."""

    text: str
    value: float


@dataclass(frozen=True, slots=True)
class ErrorCell:
    """An error such as #N/A."""

    code: str


Cell = str | int | float | bool | Serial | Formula | ErrorCell | None

_CONTENT_TYPES = """<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">\
<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>\
<Default Extension="xml" ContentType="application/xml"/>\
<Override PartName="/xl/workbook.xml" \
ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/>\
<Override PartName="/xl/worksheets/sheet1.xml" \
ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"/>\
<Override PartName="/xl/styles.xml" \
ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.styles+xml"/>\
<Override PartName="/xl/sharedStrings.xml" \
ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sharedStrings+xml"/>\
</Types>"""
_PACKAGE_RELATIONS = """<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">\
<Relationship Id="rId1" Target="xl/workbook.xml" \
Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"/>\
</Relationships>"""
_WORKBOOK_RELATIONS = """<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">\
<Relationship Id="rId1" Target="worksheets/sheet1.xml" \
Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet"/>\
<Relationship Id="rId2" Target="styles.xml" \
Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/styles"/>\
<Relationship Id="rId3" Target="sharedStrings.xml" \
Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/sharedStrings"/>\
</Relationships>"""
_WORKBOOK = """<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" \
xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships">\
<sheets><sheet name="{name}" sheetId="1" r:id="rId1"/></sheets></workbook>"""
_STYLES = """<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<styleSheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">\
<numFmts count="3"><numFmt numFmtId="164" formatCode="yyyy\\-mm\\-dd"/>\
<numFmt numFmtId="165" formatCode="yyyy\\-mm\\-dd\\ hh:mm:ss"/>\
<numFmt numFmtId="166" formatCode="yyyy&quot;年&quot;m&quot;月&quot;d&quot;日&quot;"/></numFmts>\
<fonts count="1"><font><sz val="11"/><name val="宋体"/></font></fonts>\
<fills count="2"><fill><patternFill patternType="none"/></fill><fill><patternFill patternType="gray125"/></fill>\
</fills><borders count="1"><border><left/><right/><top/><bottom/><diagonal/></border></borders>\
<cellStyleXfs count="1"><xf numFmtId="0" fontId="0" fillId="0" borderId="0"/></cellStyleXfs>\
<cellXfs count="4"><xf numFmtId="0" fontId="0" fillId="0" borderId="0" xfId="0"/>\
<xf numFmtId="164" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/>\
<xf numFmtId="165" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/>\
<xf numFmtId="166" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/></cellXfs>\
<cellStyles count="1"><cellStyle name="Normal" xfId="0" builtinId="0"/></cellStyles></styleSheet>"""
_MAIN = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
_HEAD = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'


@cache
def column_letters(index: int) -> str:
    """Return the spreadsheet's name of the column at `index`, from 0: A, B, ... Z, AA, ..."""
    letters = ""
    index += 1
    while index:
        index, remainder = divmod(index - 1, 26)
        letters = chr(ord("A") + remainder) + letters
    return letters


def write_workbook(path: Path, sheet: str, rows: Iterable[Sequence[Cell]], merges: Iterable[str]) -> None:
    """Write a workbook with one sheet; `merges` are ranges such as "A1:C1"."""
    strings: dict[str, int] = {}
    with zipfile.ZipFile(path, "w") as archive:
        _write_part(archive, "[Content_Types].xml", _CONTENT_TYPES)
        _write_part(archive, "_rels/.rels", _PACKAGE_RELATIONS)
        _write_part(archive, "xl/workbook.xml", _WORKBOOK.format(name=escape(sheet)))
        _write_part(archive, "xl/_rels/workbook.xml.rels", _WORKBOOK_RELATIONS)
        _write_part(archive, "xl/styles.xml", _STYLES)
        with archive.open(_part("xl/worksheets/sheet1.xml"), "w") as part:
            part.write(f"{_HEAD}<worksheet {_MAIN}><sheetData>".encode())
            for number, row in enumerate(rows, start=1):
                part.write(_row_xml(number, row, strings).encode())
            ranges = list(merges)
            cells = "".join(f'<mergeCell ref="{ref}"/>' for ref in ranges)
            tail = f'<mergeCells count="{len(ranges)}">{cells}</mergeCells>' if ranges else ""
            part.write(f"</sheetData>{tail}</worksheet>".encode())
        items = "".join(f'<si><t xml:space="preserve">{escape(text)}</t></si>' for text in strings)
        _write_part(archive, "xl/sharedStrings.xml", f"{_HEAD}<sst {_MAIN}>{items}</sst>")


def _part(name: str) -> zipfile.ZipInfo:
    part = zipfile.ZipInfo(name, date_time=(2024, 3, 5, 0, 0, 0))
    part.compress_type = zipfile.ZIP_DEFLATED
    part.external_attr = 0o600 << 16
    return part


def _write_part(archive: zipfile.ZipFile, name: str, text: str) -> None:
    archive.writestr(_part(name), text.encode())


def _row_xml(number: int, row: Sequence[Cell], strings: dict[str, int]) -> str:
    cells = [
        _cell_xml(f"{column_letters(index)}{number}", value, strings)
        for index, value in enumerate(row)
        if value is not None
    ]
    return f'<row r="{number}">{"".join(cells)}</row>'


def _cell_xml(ref: str, value: Cell, strings: dict[str, int]) -> str:
    match value:
        case str():
            return f'<c r="{ref}" t="s"><v>{strings.setdefault(value, len(strings))}</v></c>'
        case bool():
            return f'<c r="{ref}" t="b"><v>{int(value)}</v></c>'
        case Serial(days, style):
            return f'<c r="{ref}" s="{style}"><v>{days!r}</v></c>'
        case Formula(text, number):
            return f'<c r="{ref}"><f>{escape(text)}</f><v>{number!r}</v></c>'
        case ErrorCell(code):
            return f'<c r="{ref}" t="e"><v>{escape(code)}</v></c>'
        case _:
            return f'<c r="{ref}"><v>{value!r}</v></c>'
