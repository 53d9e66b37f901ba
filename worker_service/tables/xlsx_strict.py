"""Rewrites an ISO strict workbook with the namespaces every reader knows; its values are the same."""

import re
import zipfile
from pathlib import Path

_NAMESPACE = re.compile(rb"http://purl\.oclc\.org/ooxml/(spreadsheetml|officeDocument|drawingml)/")
_TRANSITIONAL = {
    b"spreadsheetml": b"http://schemas.openxmlformats.org/spreadsheetml/2006/",
    b"officeDocument": b"http://schemas.openxmlformats.org/officeDocument/2006/",
    b"drawingml": b"http://schemas.openxmlformats.org/drawingml/2006/",
}


def as_transitional(source: Path, target: Path) -> Path:
    """Copy the package ``source`` to ``target`` with transitional namespaces; returns ``target``."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as new:
        for info in old.infolist():
            data = old.read(info)
            if info.filename.endswith((".xml", ".rels")):
                data = _NAMESPACE.sub(lambda match: _TRANSITIONAL[match[1]], data)
            new.writestr(info.filename, data)
    return target
