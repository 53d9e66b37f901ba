"""Arrow Flight's own Python server on a Parquet file: `python -m benchmarks.peers.flight_server FILE`.

Prints its port, serves until its standard input closes. Any ticket gets all rows, batch by batch from the file, so
that it holds no more memory than our server does.
"""

import sys

import pyarrow.parquet as pq
from pyarrow import flight

_BATCH_ROWS = 1 << 14  # as our server decodes


class FileServer(flight.FlightServerBase):
    """Serves one file."""

    def __init__(self, path: str) -> None:
        super().__init__("grpc://127.0.0.1:0")
        self._path = path

    def do_get(self, context: flight.ServerCallContext, ticket: flight.Ticket) -> flight.GeneratorStream:
        """Stream the rows."""
        del context, ticket
        file = pq.ParquetFile(self._path, memory_map=True)
        batches = file.iter_batches(batch_size=_BATCH_ROWS)
        return flight.GeneratorStream(file.schema_arrow, batches)


if __name__ == "__main__":
    server = FileServer(sys.argv[1])
    print(server.port, flush=True)
    sys.stdin.read()
    server.shutdown()
