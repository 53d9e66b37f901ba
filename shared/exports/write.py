"""Writes an export batch by batch: memory does not grow with the rows."""

from collections.abc import Callable, Iterable
from pathlib import Path

import pyarrow as pa

from shared.exports.csv import write_csv
from shared.exports.options import ExportFormat, ExportOptions
from shared.exports.xlsx import write_xlsx


def write_export(
    batches: Iterable[pa.RecordBatch],
    schema: pa.Schema,
    target: Path,
    options: ExportOptions,
    on_rows: Callable[[int], None] = lambda _rows: None,
) -> None:
    """Write `batches` of `schema` to the new file `target`; `on_rows` is told the rows written so far.

    Parquet is no format to write: the clean data is that file. Raises ExportRefused for a cell that does not fit.
    """
    if options.format is ExportFormat.XLSX:
        write_xlsx(_counted(batches, on_rows), schema, target)
    else:
        write_csv(_counted(batches, on_rows), schema, target, options)


def _counted(batches: Iterable[pa.RecordBatch], on_rows: Callable[[int], None]) -> Iterable[pa.RecordBatch]:
    rows = 0
    for batch in batches:
        yield batch
        rows += batch.num_rows
        on_rows(rows)
