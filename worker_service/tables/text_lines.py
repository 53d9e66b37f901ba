"""Physical lines of a text file, decoded one by one so that a bad byte costs one character of one line."""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .encoding import Encoding
from .model import MAX_WARNING_ROWS

_SAMPLE_BYTES = 1 << 20
_REPORT_EVERY_LINES = 20_000


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


@dataclass
class TextFile:
    """A local text file and its encoding; ``line_end`` is a bare carriage return only in files without line feeds."""

    path: Path
    encoding: Encoding
    line_end: str = "\n"

    def __post_init__(self) -> None:
        if self.line_end == "\n" and not self._has_line_feed():
            self.line_end = "\r"

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

    def sample(self) -> list[str]:
        """The complete lines of the first mebibyte (all of it, if it is one line)."""
        with self.path.open("rb") as file:
            file.seek(self.encoding.bom_bytes)
            data = file.read(_SAMPLE_BYTES)
            more = bool(file.read(1))
        text = data.decode(self.encoding.name, errors="backslashreplace")
        lines = [line.rstrip("\r") for line in text.split(self.line_end)]
        return lines[:-1] if more and len(lines) > 1 else lines

    def _byte_lines(self, file: io.BufferedReader, errors: RowTally) -> Iterator[str]:
        name = self.encoding.name
        pieces = file if self.line_end == "\n" else _split_stream(file, b"\r")
        for number, piece in enumerate(pieces, start=1):
            try:
                line = piece.decode(name)
            except UnicodeDecodeError:
                line = piece.decode(name, errors="backslashreplace")
                errors.add(number)
            yield line.rstrip("\r\n")

    def _wide_lines(self, file: io.BufferedReader) -> Iterator[str]:
        text = io.TextIOWrapper(file, self.encoding.name, errors="backslashreplace", newline=self.line_end)
        try:
            for line in text:
                yield line.rstrip("\r\n")
        finally:
            text.detach()

    def _has_line_feed(self) -> bool:
        with self.path.open("rb") as file:
            while chunk := file.read(_SAMPLE_BYTES):
                if b"\n" in chunk:
                    return True
        return False


def _split_stream(file: io.BufferedReader, end: bytes) -> Iterator[bytes]:
    """Pieces of a stream that end in ``end``, for the line ends the file object itself does not know."""
    rest = b""
    while chunk := file.read(_SAMPLE_BYTES):
        *pieces, rest = (rest + chunk).split(end)
        yield from pieces
    if rest:
        yield rest
