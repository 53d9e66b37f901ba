"""Tables on a terminal, and what stands in their cells."""

from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp
from rich.markup import escape
from rich.table import Table

from tablemill.cli.cells import one_line

ID_LETTERS = 36


def table_of(*names: str) -> Table:
    """Return an empty table with these headers."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in names:
        table.add_column(plain(name), overflow="ellipsis", no_wrap=True, min_width=4)
    return table


def plain(text: str) -> str:
    """Return `text` fit for a cell: one line, no markup, and nothing that steers a terminal."""
    return escape(one_line(text))


def local_time(time: Timestamp) -> str:
    """Return a time in the zone of whoever reads it."""
    return datetime.fromtimestamp(time.seconds).astimezone().isoformat(sep=" ", timespec="seconds")
