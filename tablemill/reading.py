"""Rows as Arrow record batches, from a stream that resumes where it broke."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc

from tablemill.errors import TablemillError, error_from_rpc, lost_stream
from tablemill.retrying import Backoff, RetryPolicy
from tablemill.v1 import data_service_pb2 as pb

if TYPE_CHECKING:
    import pyarrow as pa

_SILENCE_S = 60.0
_ARROW_IPC = pb.ReadRowsResponse.DESCRIPTOR.fields_by_name["arrow_ipc"].number << 3 | 2


@dataclass(frozen=True, slots=True)
class RowsMessage:
    """A message of ReadRows: the Arrow bytes as they arrived, not copied, and all the rest."""

    facts: pb.ReadRowsResponse
    arrow_ipc: memoryview

    @classmethod
    def parse(cls, message: bytes) -> "RowsMessage":
        """Take a message apart: https://protobuf.dev/programming-guides/encoding/. Raises DecodeError.

        The library would copy the Arrow bytes twice; it gets only what stands around
        them. The other fields are numbers.
        """
        place = 0
        while place < len(message):
            start = place
            field, place = _varint(message, place)
            number, place = _varint(message, place)
            if field == _ARROW_IPC:
                facts = message[:start] + message[place + number :]
                return cls(pb.ReadRowsResponse.FromString(facts), memoryview(message)[place : place + number])
        return cls(pb.ReadRowsResponse.FromString(message), memoryview(b""))


def _varint(message: bytes, place: int) -> tuple[int, int]:
    """Return the number written at `place`, and the place after it."""
    number = shift = 0
    while True:
        byte = message[place]
        place += 1
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return number, place


class RowsRead:
    """One read of rows on its way; take its `messages` or its `batches`, once. `revision` and `schema` come first."""

    revision: int
    schema: "pa.Schema"

    def __init__(self, channel: grpc.aio.Channel, request: pb.ReadRowsRequest, policy: RetryPolicy) -> None:
        self._read_rows: grpc.aio.UnaryStreamMultiCallable[pb.ReadRowsRequest, RowsMessage] = channel.unary_stream(
            "/tablemill.v1.DataService/ReadRows",
            request_serializer=pb.ReadRowsRequest.SerializeToString,
            response_deserializer=RowsMessage.parse,
        )
        self._request = request
        self._end_row = request.row_offset + request.row_limit
        self._backoff = Backoff(policy)
        self._begun = False

    async def messages(self) -> AsyncGenerator[RowsMessage]:
        """Yield what the server sends, the schema only once: the parts of one Arrow IPC stream.

        Raises:
            TablemillError: The last failure, when resuming did not help.
        """
        while True:
            try:
                async with aclosing(self._stream()) as messages:
                    async for message in messages:
                        yield message
            except TablemillError as error:
                if self._over:
                    return
                if not error.transient:
                    raise
                await self._backoff.pause(error)
            else:
                return

    async def batches(self) -> "AsyncGenerator[pa.RecordBatch]":
        """Yield the batches in order. Needs pyarrow.

        Raises:
            TablemillError: The last failure, when resuming did not help.
        """
        import pyarrow as pa  # noqa: PLC0415  # only those who read rows need it
        from pyarrow import ipc  # noqa: PLC0415

        async with aclosing(self.messages()) as messages:
            async for message in messages:
                part = pa.py_buffer(message.arrow_ipc)
                if message.facts.revision:
                    self.schema = ipc.read_schema(part)
                elif part.size:
                    yield ipc.read_record_batch(part, self.schema)

    async def table(self) -> "pa.Table":
        """Return all batches as one table. Needs pyarrow. Raises as `batches` does."""
        import pyarrow as pa  # noqa: PLC0415

        batches = [batch async for batch in self.batches()]
        return pa.Table.from_batches(batches, self.schema)

    @property
    def _over(self) -> bool:
        return bool(self._request.row_limit) and self._request.row_offset >= self._end_row

    async def _stream(self) -> AsyncGenerator[RowsMessage]:
        call = self._read_rows(self._request)
        try:
            while True:
                async with asyncio.timeout(_SILENCE_S):
                    message = await call.read()
                if not isinstance(message, RowsMessage):
                    return
                if not self._take_note(message.facts):
                    continue
                yield message
        except grpc.aio.AioRpcError as error:
            raise error_from_rpc(error) from error
        except TimeoutError as error:
            raise lost_stream(f"nothing was received for {_SILENCE_S:g} s") from error
        finally:
            call.cancel()

    def _take_note(self, message: pb.ReadRowsResponse) -> bool:
        """Note where to resume; return whether the message is news."""
        if message.revision and self._begun:
            return False
        self._begun = True
        if message.revision:
            self.revision = self._request.revision = message.revision
        else:
            self._backoff.note_progress()
        self._request.row_offset = message.next_row_offset
        if self._request.row_limit:
            self._request.row_limit = max(self._end_row - message.next_row_offset, 1)
        return True
