"""Some rows of a clean Parquet file, as typed cells."""

from collections.abc import Callable, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from shared.errors import OutOfRange, invalid_field
from tablemill.v1 import data_service_pb2 as pb

_MAX_TEXT_BYTES = 1024
_MAX_PAGE_BYTES = 2 << 20
_BATCH_ROWS = 8192


def read_rows(path: Path, columns: Sequence[str], offset: int, limit: int) -> tuple[list[str], list[pb.Row], bool]:
    """Return (column names, rows, whether the page was cut at 2 MiB).

    `columns` empty means all. Raises OutOfRange for an offset beyond the end, InvalidArgument for unknown columns.
    """
    with pq.ParquetFile(path, memory_map=True) as file:
        schema = file.schema_arrow  # made anew at every access
        names = _checked_columns(schema, columns)
        if offset > file.metadata.num_rows:
            raise OutOfRange(
                "ROW_OUT_OF_RANGE",
                f"row_offset {offset} is beyond the {file.metadata.num_rows} rows of this record",
                {"row_count": str(file.metadata.num_rows)},
            )
        table = _slice(file, pa.schema([schema.field(name) for name in names]), offset, limit)
    encoders = [_encoder(field.type) for field in table.schema]
    values = [column.to_pylist() for column in table.columns]
    rows: list[pb.Row] = []
    size_bytes = 0
    for cells in zip(*values, strict=True):
        row = pb.Row(cells=[encode(cell) for encode, cell in zip(encoders, cells, strict=True)])
        size_bytes += row.ByteSize()
        if size_bytes > _MAX_PAGE_BYTES and rows:
            return names, rows, True
        rows.append(row)
    return names, rows, False


def _checked_columns(schema: pa.Schema, columns: Sequence[str]) -> list[str]:
    known = set(schema.names)
    unknown = [name for name in columns if name not in known]
    if unknown:
        raise invalid_field("columns", f"{len(unknown)} of them are not columns of this record")
    return list(columns) or list(schema.names)


def _slice(file: pq.ParquetFile, schema: pa.Schema, offset: int, limit: int) -> pa.Table:
    """Return rows [offset, offset + limit), decoding no row group that holds none of them, and little beyond."""
    groups: list[int] = []
    skip = start = 0
    for index in range(file.metadata.num_row_groups):
        rows = file.metadata.row_group(index).num_rows
        if start + rows > offset and start < offset + limit:
            if not groups:
                skip = offset - start
            groups.append(index)
        start += rows
    batches, wanted = [], limit
    if groups:
        batch_rows = min(_BATCH_ROWS, skip + limit)
        for batch in file.iter_batches(batch_size=batch_rows, row_groups=groups, columns=schema.names):
            if skip >= batch.num_rows:
                skip -= batch.num_rows
                continue
            piece = batch.slice(skip, wanted)
            batches.append(piece)
            skip, wanted = 0, wanted - piece.num_rows
            if not wanted:
                break
    return pa.Table.from_batches(batches).select(schema.names) if batches else schema.empty_table()


def _encoder(dtype: pa.DataType) -> Callable[[Any], pb.Cell]:
    """Return what turns a value of `dtype` into a cell; None becomes a cell without a kind."""
    encode: Callable[[Any], pb.Cell]
    if pa.types.is_int64(dtype):
        encode = lambda value: pb.Cell(int64=value)  # noqa: E731
    elif pa.types.is_float64(dtype):
        encode = lambda value: pb.Cell(float64=value)  # noqa: E731
    elif pa.types.is_boolean(dtype):
        encode = lambda value: pb.Cell(bool=value)  # noqa: E731
    elif pa.types.is_date(dtype):
        encode = _date_cell
    elif pa.types.is_timestamp(dtype):
        encode = _timestamp_cell
    else:
        encode = _text_cell
    return lambda value: pb.Cell() if value is None else encode(value)


def _date_cell(value: date) -> pb.Cell:
    return pb.Cell(date=value.isoformat())


def _timestamp_cell(value: datetime) -> pb.Cell:
    return pb.Cell(timestamp=value.isoformat())


def _text_cell(value: str) -> pb.Cell:
    encoded = value.encode()
    if len(encoded) > _MAX_TEXT_BYTES:
        value = encoded[:_MAX_TEXT_BYTES].decode(errors="ignore")
    return pb.Cell(text=value)
