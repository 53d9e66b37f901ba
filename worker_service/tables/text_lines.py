"""Physical lines of a text file, decoded one by one so that a bad byte costs one character of one line."""

import codecs
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from .encoding import Encoding
from .errors import limit_exceeded
from .model import MAX_WARNING_ROWS

_SAMPLE_BYTES = 1 << 20
_REPORT_EVERY_LINES = 20_000
MAX_LINE_BYTES = 64 << 20
_QUOTES = ("'", '"')


@dataclass
class RowTally:
    """How many rows something happened to, and which were the first 20."""

    count: int = 0
    rows: list[int] = field(default_factory=list)

    def add(self, row: int) -> None:
        """Count ``row`` (1-based)."""
        self.count += 1
        if len(self.rows) < MAX_WARNING_ROWS:
            self.rows.append(row)


@dataclass(frozen=True)
class Marks:
    """What a text file contains anywhere: line feeds, carriage returns that are line ends by themselves, quotes."""

    line_feeds: bool
    bare_returns: bool
    quotes: frozenset[str]


@dataclass
class TextFile:
    """A local text file and its encoding."""

    path: Path
    encoding: Encoding

    @property
    def size_bytes(self) -> int:
        """Size of the file on disk."""
        return self.path.stat().st_size

    @property
    def is_wide(self) -> bool:
        """Whether characters take two or four bytes, so that lines cannot be cut as bytes."""
        return self.encoding.name.startswith(("utf-16", "utf-32"))

    def lines(self, errors: RowTally, on_bytes: Callable[[int], None]) -> Iterator[tuple[int, str]]:
        """Yield (1-based line number, text without its line end); undecodable bytes become ``\\xNN``."""
        with self.path.open("rb") as file:
            file.seek(self.encoding.bom_bytes)
            source = self._wide_lines(file) if self.is_wide else self._byte_lines(file, errors)
            for number, line in enumerate(source, start=1):
                if number % _REPORT_EVERY_LINES == 0:
                    on_bytes(file.tell())
                yield number, line

    def utf8_chunks(self, on_bytes: Callable[[int], None]) -> Iterator[bytes]:
        """The text without its BOM as UTF-8; undecodable bytes become ``\\xNN``; tells bytes read."""
        decoder = codecs.getincrementaldecoder(self.encoding.name)(errors="backslashreplace")
        with self.path.open("rb") as file:
            file.seek(self.encoding.bom_bytes)
            while data := file.read(_SAMPLE_BYTES):
                on_bytes(file.tell())
                yield decoder.decode(data).encode()

    def sample(self) -> list[str]:
        """The complete lines of the first mebibyte (all of it, if it is one line)."""
        end = "\n" if self.marks.line_feeds or self.is_wide else "\r"
        with self.path.open("rb") as file:
            file.seek(self.encoding.bom_bytes)
            data = file.read(_SAMPLE_BYTES)
            more = bool(file.read(1))
        text = data.decode(self.encoding.name, errors="backslashreplace")
        if self.has_mixed_line_ends:
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        lines = [line.rstrip("\r") for line in text.split(end)]
        return lines[:-1] if more and len(lines) > 1 else lines

    def _byte_lines(self, file: io.BufferedReader, errors: RowTally) -> Iterator[str]:
        name = self.encoding.name
        pieces = _universal(file) if self.marks.bare_returns else iter(lambda: file.readline(MAX_LINE_BYTES + 1), b"")
        for number, piece in enumerate(pieces, start=1):
            _check_length(piece, number)
            try:
                line = piece.decode(name)
            except UnicodeDecodeError:
                line = piece.decode(name, errors="backslashreplace")
                errors.add(number)
            yield line.rstrip("\r\n")

    def _wide_lines(self, file: io.BufferedReader) -> Iterator[str]:
        text = io.TextIOWrapper(file, self.encoding.name, errors="backslashreplace")
        try:
            for line in text:
                yield line.rstrip("\r\n")
        finally:
            text.detach()

    @cached_property
    def marks(self) -> Marks:
        """What the whole file contains; one pass over its bytes. Says nothing of wide encodings."""
        returns = pairs = feeds = 0
        quotes: set[str] = set()
        before = b""
        with self.path.open("rb") as file:
            while chunk := file.read(_SAMPLE_BYTES):
                returns += (found := chunk.count(b"\r"))
                if found or before == b"\r":
                    pairs += chunk.count(b"\r\n") + (before == b"\r" and chunk.startswith(b"\n"))
                feeds = feeds or b"\n" in chunk
                quotes.update(mark for mark in _QUOTES if mark not in quotes and mark.encode() in chunk)
                before = chunk[-1:]
        return Marks(bool(feeds), returns > pairs, frozenset(quotes))

    def may_hold(self, quote: str) -> bool:
        """Whether a quote character can be anywhere in the file."""
        return quote in self.marks.quotes or quote not in _QUOTES

    @property
    def has_mixed_line_ends(self) -> bool:
        """Whether some lines end in a line feed and others in a carriage return alone."""
        return not self.is_wide and self.marks.line_feeds and self.marks.bare_returns


def _check_length(line: bytes, number: int) -> None:
    if len(line) > MAX_LINE_BYTES:
        advice = "check the export for missing line ends."
        error = limit_exceeded("max_line_bytes", MAX_LINE_BYTES, f"a longer line, number {number:,}", advice)
        error.row = number
        raise error


def _universal(file: io.BufferedReader) -> Iterator[bytes]:
    """Lines that end in a line feed, a carriage return or both; an end is at most a part of one chunk."""
    rest = b""
    while chunk := file.read(_SAMPLE_BYTES):
        data = (rest + chunk).replace(b"\r\n", b"\n")
        held = b"\r" if data.endswith(b"\r") else b""
        data = data[: len(data) - len(held)].replace(b"\r", b"\n")
        *pieces, rest = data.split(b"\n")
        rest += held
        yield from pieces
        _check_length(rest, 0)
    if rest:
        yield rest.rstrip(b"\r")
