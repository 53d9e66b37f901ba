"""Messy spreadsheets and delimited text in, clean typed Parquet and an honest report out.

Pure: local files in, local files and a report out; no database, no object store, no network. ``convert`` is the
whole interface; docs/cleaning.md is what it promises.
"""

from .convert import convert
from .errors import ErrorCode, InvariantError, TableError
from .messages import WarningCode
from .model import (
    CLEANING_VERSION,
    ColumnProfile,
    ColumnReport,
    ConversionReport,
    Histogram,
    Limits,
    Progress,
    ReadChoice,
    ReadOptions,
    Sample,
    TableWarning,
    TopValue,
)

__all__ = [
    "CLEANING_VERSION",
    "ColumnProfile",
    "ColumnReport",
    "ConversionReport",
    "ErrorCode",
    "Histogram",
    "InvariantError",
    "Limits",
    "Progress",
    "ReadChoice",
    "ReadOptions",
    "Sample",
    "TableError",
    "TableWarning",
    "TopValue",
    "WarningCode",
    "convert",
]
