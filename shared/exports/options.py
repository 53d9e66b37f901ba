"""What can be asked of an export, and what a format cannot hold."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

# https://support.microsoft.com/office/excel-specifications-and-limits-1672b34d-7043-467e-8e27-269d656771c3
_SHEET_ROWS = 1_048_576
MAX_XLSX_ROWS = _SHEET_ROWS - 1  # below the header
_MAX_XLSX_COLUMNS = 16_384
MAX_XLSX_TEXT = 32_767


class ExportFormat(StrEnum):
    """Formats, which are also the endings of file names."""

    XLSX = "xlsx"
    CSV = "csv"
    PARQUET = "parquet"

    @property
    def media_type(self) -> str:
        """The registered media type."""
        return _MEDIA_TYPES[self]


_MEDIA_TYPES = {
    ExportFormat.XLSX: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ExportFormat.CSV: "text/csv; charset=utf-8",
    ExportFormat.PARQUET: "application/vnd.apache.parquet",
}


@dataclass(frozen=True)
class ExportOptions:
    """`split_sheets` (xlsx): go on in another sheet where one is full. `byte_order_mark` (csv): begin with one, which
    Excel needs to see UTF-8. `keep_formulas` (csv): leave text alone that a spreadsheet would take for a formula.
    """

    format: ExportFormat
    split_sheets: bool = False
    byte_order_mark: bool = False
    keep_formulas: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return what `from_json` takes."""
        return {**vars(self), "format": str(self.format)}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "ExportOptions":
        """Make options of what `to_json` returned."""
        return cls(**{**stored, "format": ExportFormat(stored["format"])})


class ExportRefused(Exception):
    """The format cannot hold the data: `reason`, `message` and `metadata` are meant for the caller."""

    def __init__(self, reason: str, message: str, metadata: Mapping[str, str] | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.message = message
        self.metadata = dict(metadata or {})


def check_shape(options: ExportOptions, row_count: int, column_count: int) -> None:
    """Raise ExportRefused when a sheet cannot hold a table of this shape."""
    if options.format is not ExportFormat.XLSX:
        return
    if column_count > _MAX_XLSX_COLUMNS:
        raise ExportRefused(
            "EXPORT_TOO_LARGE",
            f"{column_count} columns do not fit into a sheet of {_MAX_XLSX_COLUMNS}; export csv or parquet",
            {"column_count": str(column_count), "max_columns": str(_MAX_XLSX_COLUMNS)},
        )
    if row_count > MAX_XLSX_ROWS and not options.split_sheets:
        raise ExportRefused(
            "EXPORT_TOO_LARGE",
            f"{row_count} rows do not fit into a sheet of {MAX_XLSX_ROWS}; ask for split_sheets, csv or parquet",
            {"row_count": str(row_count), "max_rows": str(MAX_XLSX_ROWS)},
        )
