"""Batches as messages of ReadRows, in the wire format of data_service.proto: the Arrow bytes are copied once."""

from collections.abc import Sequence

import pyarrow as pa

from ingest_service.wire import LEN, key, varint
from tablemill.v1 import data_service_pb2 as pb

_MESSAGE_BYTES = 1 << 20
_ARROW_IPC = key(pb.ReadRowsResponse, "arrow_ipc", LEN)


def schema_message(schema: pa.Schema, revision: int, row_count: int, row_offset: int) -> bytes:
    """Return the first message. pyarrow's own stream writer would hold the schema back until the first batch."""
    facts = pb.ReadRowsResponse(revision=revision, total_row_count=row_count, next_row_offset=row_offset)
    return _message(facts, schema.serialize())


def batch_messages(first_row: int, batch: pa.RecordBatch) -> Sequence[bytes]:
    """Return a batch that begins at `first_row` as messages of about 1 MiB."""
    rows = max(1, batch.num_rows * _MESSAGE_BYTES // max(batch.nbytes, 1))
    messages = []
    for start in range(0, batch.num_rows, rows):
        piece = batch.slice(start, rows)
        facts = pb.ReadRowsResponse(row_count=piece.num_rows, next_row_offset=first_row + start + piece.num_rows)
        messages.append(_message(facts, piece.serialize()))
    return messages


def _message(facts: pb.ReadRowsResponse, arrow_ipc: pa.Buffer) -> bytes:
    return b"".join((facts.SerializeToString(), _ARROW_IPC, varint(arrow_ipc.size), arrow_ipc))
