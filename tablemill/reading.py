"""Rows as Arrow record batches, from a stream that resumes where it broke."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING

import grpc

from tablemill.errors import TablemillError, error_from_rpc, lost_stream
from tablemill.retrying import Backoff, RetryPolicy
from tablemill.v1 import data_service_pb2 as pb
from tablemill.v1 import data_service_pb2_grpc

if TYPE_CHECKING:
    import pyarrow as pa

_SILENCE_S = 60.0


class RowsRead:
    """One read of rows on its way; take its `messages` or its `batches`, once. `revision` and `schema` come first."""

    revision: int
    schema: "pa.Schema"

    def __init__(
        self, stub: data_service_pb2_grpc.DataServiceStub, request: pb.ReadRowsRequest, policy: RetryPolicy
    ) -> None:
        self._stub = stub
        self._request = request
        self._end_row = request.row_offset + request.row_limit
        self._backoff = Backoff(policy)
        self._begun = False

    async def messages(self) -> AsyncGenerator[pb.ReadRowsResponse]:
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
                if message.revision:
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

    async def _stream(self) -> AsyncGenerator[pb.ReadRowsResponse]:
        call = self._stub.ReadRows(self._request)
        try:
            while True:
                async with asyncio.timeout(_SILENCE_S):
                    message = await call.read()
                if not isinstance(message, pb.ReadRowsResponse):
                    return
                if not self._take_note(message):
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
