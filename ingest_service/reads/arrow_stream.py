"""Batches as messages of ReadRows, in the wire format of data_service.proto: the Arrow bytes are copied once."""

from collections.abc import Sequence

import pyarrow as pa

from ingest_service.reads.row_filter import RowFilter
from ingest_service.wire import LEN, key, varint
from tablemill.v1 import data_service_pb2 as pb

_MESSAGE_BYTES = 2 << 20  # a client takes 4 MiB unless told otherwise
_ARROW_IPC = key(pb.ReadRowsResponse, "arrow_ipc", LEN)


def schema_message(schema: pa.Schema, revision: int, row_count: int, row_offset: int) -> bytes:
    """Return the first message. pyarrow's own stream writer would hold the schema back until the first batch."""
    facts = pb.ReadRowsResponse(revision=revision, total_row_count=row_count, next_row_offset=row_offset)
    return _message(facts, schema.serialize())


def batch_messages(first_row: int, batch: pa.RecordBatch) -> Sequence[bytes]:
    """Return a batch that begins at `first_row` as messages of about 2 MiB."""
    rows = _message_rows(batch)
    return [
        _batch_message(batch.slice(start, rows), first_row + min(start + rows, batch.num_rows))
        for start in range(0, batch.num_rows, rows)
    ]


def filtered_messages(
    names: list[str], row_filter: RowFilter, first_row: int, batch: pa.RecordBatch
) -> Sequence[bytes]:
    """Return the columns `names` of those rows that fit; at least one message, which tells how far the read is."""
    table, positions = row_filter.apply(batch)
    messages = []
    for part in table.select(names).combine_chunks().to_batches():
        rows = _message_rows(part)
        for start in range(0, part.num_rows, rows):
            last = min(start + rows, part.num_rows) - 1
            messages.append(_batch_message(part.slice(start, rows), first_row + positions[last] + 1))
    end = first_row + batch.num_rows
    return [*messages, pb.ReadRowsResponse(next_row_offset=end).SerializeToString()]


def _message_rows(batch: pa.RecordBatch) -> int:
    return max(1, batch.num_rows * _MESSAGE_BYTES // max(batch.nbytes, 1))


def _batch_message(batch: pa.RecordBatch, next_row: int) -> bytes:
    return _message(pb.ReadRowsResponse(row_count=batch.num_rows, next_row_offset=next_row), batch.serialize())


def _message(facts: pb.ReadRowsResponse, arrow_ipc: pa.Buffer) -> bytes:
    return b"".join((facts.SerializeToString(), _ARROW_IPC, varint(arrow_ipc.size), arrow_ipc))
