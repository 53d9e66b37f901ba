"""Clean data as files that people open: xlsx and csv. Small ones are made while the caller waits, others by a job."""

from shared.exports.options import MAX_XLSX_ROWS, ExportFormat, ExportOptions, ExportRefused, check_shape
from shared.exports.write import write_export

__all__ = ["MAX_XLSX_ROWS", "ExportFormat", "ExportOptions", "ExportRefused", "check_shape", "write_export"]
