"""Where the table is inside a grid: what is preamble, which rows are the header, where the body starts."""

import re
from dataclasses import dataclass, replace

from .errors import ErrorCode, TableError
from .grid import HEAD_ROWS, Head
from .header import NULLS, are_units, bare_unit, continues, is_unit, kind, score
from .start import covered, table_start

_MAX_HEADER_ROWS = 4
_UNIT_IN_NAME = re.compile(r".+?\s*[(（\[]([^()（）\[\]]+)[)）\]]$")


@dataclass(frozen=True)
class Region:
    """The table's place in a grid.

    ``preamble`` and ``header`` are indices into ``grid.head``; ``units_row`` is the index of a row of units, if any;
    ``first_row`` is the 1-based source row of the first body row; ``names`` are the raw header texts and ``units`` the
    units, one a column, empty where the header is.
    """

    preamble: tuple[int, ...]
    header: tuple[int, ...]
    first_row: int
    names: tuple[str, ...]
    units: tuple[str, ...]
    units_row: int | None = None
    confidence: float = 1.0  # that the header is one, or that there is none; a figure of merit


def locate(grid: Head, header_row: int | None = None) -> Region:
    """Find the table in the first rows of ``grid``; without a header every non-preamble row is body.

    ``header_row`` is the caller's: the 1-based source row of the names, 0 for none. Raises NOT_TABULAR if it is none of
    the first rows.
    """
    filled = covered(grid)
    if header_row is not None:
        return _as_asked(grid, filled, header_row)
    start = table_start(grid, filled)
    rows = [index for index in range(start, len(grid.head)) if filled[index]]
    preamble = tuple(index for index in range(start) if filled[index])
    votes = score([grid.head[index] for index in rows]) if rows else 0.0
    sure = round(min(0.99, 0.5 + abs(votes) / (2 * filled[start])), 2) if rows else 0.0
    if votes <= 0:
        return replace(_without_header(grid, start, preamble), confidence=sure)
    return replace(_with_header(grid, preamble, _header_rows(grid, rows)), confidence=sure)


def _as_asked(grid: Head, filled: list[int], header_row: int) -> Region:
    if header_row == 0:
        return _without_header(grid, 0, ())
    if header_row not in grid.head_rows:
        raise TableError(
            ErrorCode.NOT_TABULAR,
            f"Row {header_row:,} cannot be the header: it is none of the first {HEAD_ROWS} rows with cells.",
            row=header_row,
        )
    index = grid.head_rows.index(header_row)
    return _with_header(grid, tuple(above for above in range(index) if filled[above]), (index,))


def _without_header(grid: Head, start: int, preamble: tuple[int, ...]) -> Region:
    first = grid.head_rows[start] if grid.head_rows else 1
    return Region(preamble, (), first, ("",) * grid.width, ("",) * grid.width)


def _with_header(grid: Head, preamble: tuple[int, ...], header: tuple[int, ...]) -> Region:
    after = header[-1] + 1
    names = _joined_names(grid, header)
    units = [_unit_in(name) for name in names]
    units_row = after if after < len(grid.head) and are_units(grid.head[after]) else None
    if units_row is not None:
        found = [bare_unit(cell) for cell in grid.head[units_row]]
        units = [text if text not in NULLS and text else unit for text, unit in zip(found, units, strict=True)]
        after += 1
    first_row = grid.head_rows[after] if after < len(grid.head) else grid.head_rows[-1] + 1
    return Region(preamble, header, first_row, names, tuple(units), units_row)


def _unit_in(name: str) -> str:
    """The unit in brackets that a name ends with."""
    found = _UNIT_IN_NAME.match(clean_name(name))
    return found[1] if found and is_unit(found[1]) else ""


def clean_name(text: str) -> str:
    """A header on one line: outer white space gone, inner runs of it one space."""
    return " ".join(text.split())


def _header_rows(grid: Head, rows: list[int]) -> tuple[int, ...]:
    """The first of ``rows`` and those below it that merged cells, gaps or their texts make part of the header."""
    first = rows[0]
    source_row = grid.head_rows[first]
    starting = [merge for merge in grid.merges if merge.first_row == source_row]
    last_row = max((merge.last_row for merge in starting), default=source_row)
    header = [index for index in rows[:_MAX_HEADER_ROWS] if grid.head_rows[index] <= last_row]
    following = rows[len(header) :]
    if (
        len(header) == 1
        and following
        and _is_second_row(grid, rows, across=any(m.last_column > m.first_column for m in starting))
    ):
        header.append(following.pop(0))
    while following and len(header) < _MAX_HEADER_ROWS and not are_units(grid.head[following[0]]):
        if following[0] != header[-1] + 1 or not continues([grid.head[index] for index in following]):
            break
        header.append(following.pop(0))
    return tuple(header)


def _is_second_row(grid: Head, rows: list[int], *, across: bool) -> bool:
    """Whether the row below a gappy header names the columns that the first row groups."""
    top, second = grid.head[rows[0]], grid.head[rows[1]]
    last_named = max(column for column, cell in enumerate(top) if cell.strip())
    gaps = [column for column, cell in enumerate(top) if not cell.strip() and second[column].strip()]
    if not gaps or not (across or any(column < last_named or top[column - 1].strip() for column in gaps)):
        return False
    texts = [cell.strip() for cell in second if cell.strip()]
    if any(kind(text) != "text" or text in NULLS for text in texts) or are_units(second):
        return False
    return across or score([grid.head[index] for index in rows[1:]]) >= 1


def _joined_names(grid: Head, header: tuple[int, ...]) -> tuple[str, ...]:
    """One name a column; group names reach over the columns they are merged across."""
    layers = [list(grid.head[index]) for index in header]
    for depth, index in enumerate(header):
        for merge in grid.merges:
            if merge.first_row == grid.head_rows[index]:
                value = layers[depth][merge.first_column]
                stop = min(merge.last_column + 1, grid.width)
                layers[depth][merge.first_column : stop] = [value] * (stop - merge.first_column)
    if len(header) > 1 and not grid.merges:
        layers[0] = _reach_right(layers[0], layers[1])
    names = []
    for parts in zip(*layers, strict=True):
        kept = dict.fromkeys(part.strip() for part in parts if part.strip())
        names.append("_".join(kept))
    return tuple(names)


def _reach_right(top: list[str], second: list[str]) -> list[str]:
    reached, group = [], ""
    for upper, lower in zip(top, second, strict=True):
        group = upper if upper.strip() else group
        reached.append(upper if upper.strip() or not lower.strip() else group)
    return reached


@dataclass(frozen=True)
class ColumnName:
    """A column's unique clean ``name`` and its ``source`` header, empty if it had none."""

    name: str
    source: str


def unique_names(sources: list[str]) -> list[ColumnName]:
    """Name columns: blanks become ``列N`` or ``column_N`` (N counts from 1), repeats get ``__2``, ``__3``..."""
    cleaned = [ColumnName(clean_name(source), source) for source in sources]
    chinese = sum(1 for column in cleaned if re.search(r"[\u4e00-\u9fff]", column.name))
    named = sum(1 for column in cleaned if column.name)
    blank = "列{}" if chinese * 2 > named else "column_{}"
    wanted = [column.name or blank.format(number) for number, column in enumerate(cleaned, start=1)]
    taken: set[str] = set()
    result = []
    for column, name in zip(cleaned, wanted, strict=True):
        unique, repeat = name, 2
        while unique in taken or (unique != name and unique in wanted):
            unique, repeat = f"{name}__{repeat}", repeat + 1
        taken.add(unique)
        result.append(replace(column, name=unique))
    return result
