"""Reads regular delimited text at native speed, every cell as text; anything irregular raises Irregular.

A native parser alone would lose data quietly (a stray quote swallows rows, ``"a"b`` loses its quotes), so the
bytes are counted on their way in and compared with the cells that came out.
"""

import codecs
import io
import re
from collections.abc import Callable, Iterator
from dataclasses import replace

import pyarrow as pa
import pyarrow.csv as pa_csv

from .arrow import Array, pc
from .dialect import Dialect
from .grid import Batch, Irregular
from .text_lines import TextFile

_BLOCK_BYTES = 4 << 20


class CountedSource(io.RawIOBase):
    """The file's text as UTF-8 from its ``first_line`` on, counted as it passes; trailing line ends are left out.

    Raises Irregular on bytes the encoding does not know and on quotes that are neither at an edge of a cell nor
    doubled.
    """

    def __init__(self, file: TextFile, dialect: Dialect, first_line: int, on_bytes: Callable[[int], None]) -> None:
        super().__init__()
        self._delimiter, self._quote = dialect.delimiter.encode(), dialect.quote.encode()
        ordinary = rb"[^\r\n" + re.escape(self._quote + self._delimiter) + rb"]"
        self._stray_quote = re.compile(ordinary + re.escape(self._quote) + rb"+" + ordinary)
        self._chunks = self._counted(_from_line(_utf8_chunks(file, on_bytes), first_line))
        self._ready = memoryview(b"")
        self.size_bytes = 0
        self.returns = 0
        self.line_feeds = 0
        self.delimiters = 0
        self.quotes = 0

    def readable(self) -> bool:
        """Always True: a stream to read from."""
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]  # RawIOBase types it as any buffer
        """Fill all of ``buffer`` unless the text ends: the native parser takes a short read for a short block."""
        view = memoryview(buffer).cast("B")
        filled = 0
        while filled < len(view):
            if not self._ready:
                self._ready = memoryview(next(self._chunks, b""))
                if not self._ready:
                    break
            size = min(len(view) - filled, len(self._ready))
            view[filled : filled + size] = self._ready[:size]
            self._ready = self._ready[size:]
            filled += size
        return filled

    def _counted(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        held = before = b""
        for chunk in chunks:
            data = held + chunk if held else chunk
            text = data.rstrip(b"\r\n")
            held = data[len(text) :]
            self.size_bytes += len(text)
            self.returns += text.count(b"\r")
            if self._quote:
                self._count_quoted(before, text)
            before = text[-2:]
            if text:
                yield text

    def _count_quoted(self, before: bytes, text: bytes) -> None:
        quotes = text.count(self._quote)
        if quotes and self._stray_quote.search(before + text):
            raise Irregular("a quote inside a cell")
        self.quotes += quotes
        self.line_feeds += text.count(b"\n")
        self.delimiters += text.count(self._delimiter)


def read(file: TextFile, dialect: Dialect, first_line: int, on_bytes: Callable[[int], None]) -> Iterator[Batch]:
    """Yield the rows from 1-based ``first_line`` on; raises Irregular as soon as the file proves not regular."""
    if dialect.escape or dialect.skip_space or len(dialect.delimiter.encode()) > 1 or not dialect.quote.isascii():
        raise Irregular("dialect")
    if not file.is_wide and file.marks.bare_returns:
        raise Irregular("line ends")
    has_quotes = bool(dialect.quote) and (file.is_wide or file.may_hold(dialect.quote))
    dialect = dialect if has_quotes else replace(dialect, quote="")
    source = CountedSource(file, dialect, first_line, on_bytes)
    inside_line_feeds = inside_delimiters = rows_read = cell_bytes = 0
    next_line = first_line
    try:
        for columns in _open(source, dialect):
            rows = len(columns[0])
            lines = pc.cumulative_sum(pa.repeat(1, rows), start=next_line - 1)
            if has_quotes:
                feeds = _line_feeds_by_row(columns, dialect)
                inside_line_feeds += (total := pc.sum(feeds).as_py())
                inside_delimiters += sum(_count(column, dialect.delimiter) for column in columns)
                lines = pc.add(lines, pc.subtract(pc.cumulative_sum(feeds), feeds)) if total else lines
                next_line += total
            else:
                cell_bytes += sum(pc.sum(pc.binary_length(column)).as_py() or 0 for column in columns)
            next_line += rows
            rows_read += rows
            yield Batch(columns, lines)
    except pa.ArrowInvalid as error:
        raise Irregular(str(error)) from error
    if not source.size_bytes:
        return
    delimiters = rows_read * (dialect.width - 1)
    if has_quotes:
        whole = (
            source.quotes % 2 == 0
            and rows_read == source.line_feeds + 1 - inside_line_feeds
            and delimiters == source.delimiters - inside_delimiters
        )
    else:  # every byte is in a cell, separates two, or ends a line
        whole = source.size_bytes == cell_bytes + delimiters + rows_read - 1 + source.returns
    if not whole:
        raise Irregular("cells do not add up")


def _open(source: CountedSource, dialect: Dialect) -> Iterator[list[Array]]:
    names = [str(index) for index in range(dialect.width)]
    reader = pa_csv.open_csv(
        source,  # type: ignore[arg-type]  # any readable object will do
        read_options=pa_csv.ReadOptions(column_names=names, block_size=_BLOCK_BYTES),
        parse_options=pa_csv.ParseOptions(
            delimiter=dialect.delimiter,
            quote_char=dialect.quote or False,
            newlines_in_values=bool(dialect.quote),
            ignore_empty_lines=False,
        ),
        convert_options=pa_csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
    )
    for batch in reader:
        if len(batch):
            yield list(batch.columns)


def _line_feeds_by_row(columns: list[Array], dialect: Dialect) -> Array:
    """Line feeds inside each row's cells; a cell whose lines look like rows means a quote swallowed them."""
    total = None
    for column in columns:
        feeds = pc.count_substring(column, "\n")
        if pc.max(feeds).as_py():
            suspicious = pc.and_(pc.greater(feeds, 0), _looks_like_rows(column, feeds, dialect))
            if pc.any(suspicious).as_py():
                raise Irregular("a quoted cell holds whole rows")
        total = feeds if total is None else pc.add(total, feeds)
    return pc.cast(total, pa.int64())


def _looks_like_rows(column: Array, feeds: Array, dialect: Dialect) -> Array:
    delimiters = pc.count_substring(column, dialect.delimiter)
    return pc.greater_equal(delimiters, pc.max_element_wise(pc.multiply(feeds, dialect.width - 1), 1))


def _count(column: Array, text: str) -> int:
    return pc.sum(pc.count_substring(column, text)).as_py() or 0


def _utf8_chunks(file: TextFile, on_bytes: Callable[[int], None]) -> Iterator[bytes]:
    """The file without its BOM as UTF-8; raises Irregular where it is not in its encoding."""
    decoder = codecs.getincrementaldecoder(file.encoding.name)()
    with file.path.open("rb") as raw:
        raw.seek(file.encoding.bom_bytes)
        while data := raw.read(_BLOCK_BYTES):
            on_bytes(raw.tell())
            try:
                yield data if file.encoding.name == "utf-8" else decoder.decode(data).encode()
            except UnicodeError as error:
                raise Irregular(str(error)) from error


def _from_line(chunks: Iterator[bytes], first_line: int) -> Iterator[bytes]:
    """The chunks without the first ``first_line - 1`` lines."""
    skip = first_line - 1
    for chunk in chunks:
        start = 0
        while skip and (end := chunk.find(b"\n", start)) >= 0:
            skip -= 1
            start = end + 1
        if not skip:
            yield chunk[start:] if start else chunk
