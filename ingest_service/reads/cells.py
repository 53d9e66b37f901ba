"""Cells of a preview in the wire format of data_service.proto, column by column.

Making a message object for each cell takes six times as long as all the rest of a preview, so bytes are made instead:
https://protobuf.dev/programming-guides/encoding/. A test holds them against what the library makes of the same cells.
"""

import struct
from collections.abc import Callable, Sequence
from datetime import date
from functools import lru_cache
from typing import Any

import pyarrow as pa

from ingest_service.wire import FIXED64, LEN, VARINT, key, varint
from tablemill.v1 import data_service_pb2 as pb

_MAX_TEXT_BYTES = 1024
_KEPT_CELLS = 4096  # small numbers and days come again and again

_CELL = key(pb.Row, "cells", LEN)
_ROW = key(pb.PreviewRecordResponse, "rows", LEN)
_INT64 = key(pb.Cell, "int64", VARINT)
_DATE = key(pb.Cell, "date", LEN)
_TIMESTAMP = key(pb.Cell, "timestamp", LEN)


def _cell(kind: bytes) -> bytes:
    return _CELL + varint(len(kind)) + kind


def _text_head(size_bytes: int) -> bytes:
    head = key(pb.Cell, "text", LEN) + varint(size_bytes)
    return _CELL + varint(len(head) + size_bytes) + head


_NULL = _cell(b"")
_TRUE, _FALSE = (_cell(key(pb.Cell, "bool", VARINT) + varint(value)) for value in (1, 0))
_TEXT_HEADS = [_text_head(size_bytes) for size_bytes in range(_MAX_TEXT_BYTES + 1)]
_FLOAT_HEAD = _CELL + varint(9) + key(pb.Cell, "float64", FIXED64)
_pack_float = struct.Struct(f"<{len(_FLOAT_HEAD)}sd").pack


def encode_rows(batches: Sequence[pa.RecordBatch]) -> list[bytes]:
    """Return each row as the bytes of an entry of PreviewRecordResponse.rows."""
    return [
        _ROW + varint(sum(map(len, cells))) + b"".join(cells)
        for batch in batches
        for cells in zip(*map(_encode_column, batch.columns), strict=True)
    ]


def _encode_column(column: "pa.Array[Any]") -> list[bytes]:
    encode = _encoder(column.type)
    return [_NULL if value is None else encode(value) for value in column.to_pylist()]


def _encoder(dtype: pa.DataType) -> Callable[[Any], bytes]:
    if pa.types.is_int64(dtype):
        return _int_cell
    if pa.types.is_float64(dtype):
        return lambda value: _pack_float(_FLOAT_HEAD, value)
    if pa.types.is_boolean(dtype):
        return lambda value: _TRUE if value else _FALSE
    if pa.types.is_date(dtype):
        return lambda value: _time_cell(_DATE, value)
    if pa.types.is_timestamp(dtype):
        return lambda value: _time_cell(_TIMESTAMP, value)
    return _text_cell


@lru_cache(_KEPT_CELLS)
def _int_cell(value: int) -> bytes:
    return _cell(_INT64 + varint(value & (1 << 64) - 1))


@lru_cache(_KEPT_CELLS)
def _time_cell(kind: bytes, value: date) -> bytes:
    text = value.isoformat().encode()
    return _cell(kind + varint(len(text)) + text)


def _text_cell(value: str) -> bytes:
    text = value.encode()
    if len(text) > _MAX_TEXT_BYTES:
        text = text[:_MAX_TEXT_BYTES].decode(errors="ignore").encode()
    return _TEXT_HEADS[len(text)] + text
