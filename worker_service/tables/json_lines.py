"""JSON Lines, or one JSON array of objects, as a grid: a row an object, a column a key, cells as text.

Numbers keep the digits they are written with; nested values are JSON text.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice

import pyarrow as pa

from .errors import ErrorCode, TableError, limit_exceeded
from .grid import HEAD_ROWS, Batch, Merge
from .model import Limits
from .text_lines import RowTally, TextFile

_CHUNK_CHARS = 1 << 20
_MAX_OBJECT_CHARS = 16 << 20
_BATCH_CELLS = 500_000
_SPACE = re.compile(r"[\s,]*")


class _Number(str):
    """A number as it is written."""

    __slots__ = ()


class _Object(list[tuple[str, object]]):
    """The pairs of an object, repeated keys included."""


_DECODER = json.JSONDecoder(parse_float=_Number, parse_int=_Number, parse_constant=_Number, object_pairs_hook=_Object)


@dataclass
class JsonGrid:
    """Objects as rows under ``names``; row 0 holds the names, row N is line (or array element) N. See Grid."""

    file: TextFile
    is_array: bool
    names: list[str]
    on_bytes: Callable[[int], None]
    merges: list[Merge] = field(default_factory=list)

    @property
    def width(self) -> int:
        """Number of columns."""
        return len(self.names)

    @cached_property
    def head(self) -> list[list[str]]:
        """The names and the first rows."""
        rows = [cells for _, cells in self._first_rows]
        return [self.names, *([cell or "" for cell in row] for row in rows)]

    @property
    def head_rows(self) -> list[int]:
        """Their source rows; 0 for the names."""
        return [0, *(number for number, _ in self._first_rows)]

    @cached_property
    def _first_rows(self) -> list[tuple[int, list[str | None]]]:
        return list(islice(self._rows(), HEAD_ROWS - 1))

    def body(self, first_row: int) -> Iterator[Batch]:
        """Objects from number ``first_row`` on."""
        size = max(1, min(32_768, _BATCH_CELLS // self.width))
        rows = (row for row in self._rows() if row[0] >= first_row)
        while block := list(islice(rows, size)):
            columns = [pa.array(column, pa.string()) for column in zip(*(cells for _, cells in block), strict=True)]
            yield Batch(columns, pa.array([number for number, _ in block], pa.int64()))

    def _rows(self) -> Iterator[tuple[int, list[str | None]]]:
        place = {name: index for index, name in enumerate(self.names)}
        for number, pairs in _objects(self.file, is_array=self.is_array, on_bytes=self.on_bytes):
            cells: list[str | None] = [None] * len(place)
            for key, value in pairs:
                cells[place[key]] = _text(value)
            yield number, cells


def open_json(file: TextFile, limits: Limits, on_bytes: Callable[[int], None], *, is_array: bool) -> JsonGrid:
    """Read ``file`` once for its keys; raises FILE_CORRUPT, EMPTY_FILE or LIMIT_EXCEEDED."""
    names: dict[str, None] = {}
    for number, pairs in _objects(file, is_array=is_array, on_bytes=on_bytes):
        keys = [key for key, _ in pairs]
        if len(set(keys)) != len(keys):
            raise _broken(number, "names a key twice")
        names.update(dict.fromkeys(keys))
        if len(names) > limits.max_columns:
            raise limit_exceeded("max_columns", limits.max_columns, f"{len(names):,} keys", "split the table.")
    if not names:
        raise TableError(ErrorCode.EMPTY_FILE, "The file holds no values; upload one with data.")
    return JsonGrid(file, is_array, list(names), on_bytes)


def _objects(file: TextFile, *, is_array: bool, on_bytes: Callable[[int], None]) -> Iterator[tuple[int, _Object]]:
    """(Number of the line or element, its pairs) for every object."""
    for number, value in _elements(file, on_bytes) if is_array else _lines(file, on_bytes):
        if not isinstance(value, _Object):
            raise _broken(number, "is no object")
        yield number, value


def _lines(file: TextFile, on_bytes: Callable[[int], None]) -> Iterator[tuple[int, object]]:
    bad_bytes = RowTally()
    lines = file.lines(bad_bytes, on_bytes)
    for number, line in lines:
        text = line.strip("\ufeff \t\r\n")
        if not text:
            continue
        if bad_bytes.count:
            raise _broken(number, "holds bytes that are no UTF-8")
        try:
            value, end = _decoded(text, number)
        except TableError as error:
            if number > 1 or not text.startswith("{") or next(lines, None) is None:
                raise
            raise _one_value() from error
        if text[end:].strip():
            raise _broken(number, "goes on after its object")
        yield number, value


def _elements(file: TextFile, on_bytes: Callable[[int], None]) -> Iterator[tuple[int, object]]:
    """The elements of one array, decoded one by one from a sliding window."""
    chunks = (chunk.decode() for chunk in file.utf8_chunks(on_bytes))
    window = next(chunks, "").lstrip("\ufeff \t\r\n")
    position, number = 1, 0  # after the opening bracket
    while True:
        if len(window) - position < _CHUNK_CHARS and (more := next(chunks, None)) is not None:
            window, position = window[position:] + more, 0
            continue
        position = _SPACE.match(window, position).end()  # type: ignore[union-attr]  # matches always
        if window.startswith("]", position):
            return
        number += 1
        while True:
            try:
                value, position = _decoded(window, number, position)
                break
            except TableError:
                more = next(chunks, None) if len(window) < _MAX_OBJECT_CHARS else None
                if more is None:
                    raise
                window, position = window[position:] + more, 0
        yield number, value


def _decoded(text: str, number: int, start: int = 0) -> tuple[object, int]:
    try:
        return _DECODER.raw_decode(text, start)
    except (ValueError, RecursionError) as error:
        raise _broken(number, "is no complete JSON") from error


def _text(value: object) -> str | None:
    """The cell of a value: null is empty, texts and numbers as they are, the rest as JSON."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return _compact(value)


def _compact(value: object) -> str:
    """A nested value as JSON again."""
    if isinstance(value, _Number):
        return str(value)
    if isinstance(value, _Object):
        return "{" + ", ".join(f"{json.dumps(key, ensure_ascii=False)}: {_compact(item)}" for key, item in value) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_compact(item) for item in value) + "]"
    return json.dumps(value, ensure_ascii=False)


def _one_value() -> TableError:
    return TableError(
        ErrorCode.NOT_TABULAR,
        "The JSON is one value over several lines; export one object a line, or one array of objects.",
        metadata={"detected": "json"},
    )


def _broken(number: int, what: str) -> TableError:
    return TableError(
        ErrorCode.FILE_CORRUPT,
        f"Entry {number:,} of the JSON file {what}; every line, or every element of one array, must be one object.",
        metadata={"detected": "json"},
        row=number,
    )
