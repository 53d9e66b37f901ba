"""Where the table is inside a grid: what is preamble, which rows are the header, where the body starts."""

import re
from dataclasses import dataclass, replace

from .errors import ErrorCode, TableError
from .grid import HEAD_ROWS, Grid
from .header import NULLS, are_units, bare_unit, continues, is_unit, kind, score

_MAX_HEADER_ROWS = 4
_MAX_BLOCK_ROWS = 6
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


def locate(grid: Grid, header_row: int | None = None) -> Region:
    """Find the table in the first rows of ``grid``; without a header every non-preamble row is body.

    ``header_row`` is the caller's: the 1-based source row of the names, 0 for none. Raises NOT_TABULAR if it is none of
    the first rows.
    """
    filled = _covered(grid)
    if header_row is not None:
        return _as_asked(grid, filled, header_row)
    start = _start(grid, filled)
    rows = [index for index in range(start, len(grid.head)) if filled[index]]
    preamble = tuple(index for index in range(start) if filled[index])
    if not rows or score([grid.head[index] for index in rows]) <= 0:
        return _without_header(grid, start, preamble)
    return _with_header(grid, preamble, _header_rows(grid, rows))


def _as_asked(grid: Grid, filled: list[int], header_row: int) -> Region:
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


def _without_header(grid: Grid, start: int, preamble: tuple[int, ...]) -> Region:
    first = grid.head_rows[start] if grid.head_rows else 1
    return Region(preamble, (), first, ("",) * grid.width, ("",) * grid.width)


def _with_header(grid: Grid, preamble: tuple[int, ...], header: tuple[int, ...]) -> Region:
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


def _start(grid: Grid, filled: list[int]) -> int:
    """Index of the table's first row: below narrow rows, small blocks apart, and rows of ``key: value`` pairs."""
    start = _first_wide_row(filled)
    while (below := _below_small_block(grid, filled, start)) is not None:
        start = below
    if grid.head_rows and not any(merge.first_row == grid.head_rows[start] for merge in grid.merges):
        start = _below_pairs(grid, filled, start)
    return start - 1 if _are_groups(grid, start - 1) else start


def _are_groups(grid: Grid, index: int) -> bool:
    """Whether a narrow row right above the table names groups of columns: two or more texts, each with room to reach."""
    if index < 0 or grid.head_rows[index + 1] != grid.head_rows[index] + 1:
        return False
    row, below = grid.head[index], grid.head[index + 1]
    places = [column for column, cell in enumerate(row) if cell.strip()]
    if len(places) < 2 or any(kind(row[p].strip()) != "text" or row[p].strip().endswith((":", "：")) for p in places):
        return False
    reach = [later - column for column, later in zip(places, [*places[1:], grid.width], strict=True)]
    return all(span > 1 for span in reach) and all(cell.strip() for cell in below[places[0] :])


def _below_small_block(grid: Grid, filled: list[int], start: int) -> int | None:
    """The row after a gap that ends a few rows above a larger table with a header of its own, if there is one."""
    rows = range(start, min(start + _MAX_BLOCK_ROWS, len(filled)))
    gap = next((i for i in rows if _is_gap(grid, filled, i)), None)
    if gap is None:
        return None
    below = next((index for index in range(gap, len(filled)) if filled[index]), None)
    if below is None:
        return None
    rest = [index for index in range(below, len(filled)) if filled[index]]
    end = next((place for place, index in enumerate(rest) if place and _is_gap(grid, filled, index)), len(rest))
    block, table = [filled[i] for i in range(start, gap) if filled[i]], rest[:end]
    if len(table) < 2 * len(block) or max(filled[index] for index in table) < max(block):
        return None
    return below if score([grid.head[index] for index in table]) > 0 else None


def _is_gap(grid: Grid, filled: list[int], index: int) -> bool:
    """Whether a blank row stands at ``index`` or, where readers leave blank rows out, just above it."""
    return not filled[index] or (index > 0 and grid.head_rows[index] - grid.head_rows[index - 1] > 1)


def _below_pairs(grid: Grid, filled: list[int], start: int) -> int:
    """Skip rows of keys and values such as ``科室：``, ``心内科`` right above a wider row of names."""
    for index in range(start, min(start + _MAX_BLOCK_ROWS, len(filled) - 1)):
        cells = [cell.strip() for cell in grid.head[index] if cell.strip()]
        if not cells:
            continue
        keys = sum(1 for cell in cells if cell.endswith((":", "：")) or "：" in cell or ": " in cell)
        if not keys or keys * 3 < len(cells):
            return index if index == start or _reads_like_header(grid, filled, index) else start
    return start


def _reads_like_header(grid: Grid, filled: list[int], index: int) -> bool:
    return score([grid.head[row] for row in range(index, len(filled)) if filled[row]]) > 0


def _covered(grid: Grid) -> list[int]:
    """For each row of the head, how many columns its cells speak for.

    A group name speaks for all columns it is merged across. One that is merged across more than half of the table
    is a title and speaks for none but its own.
    """
    spans: dict[int, dict[int, int]] = {}
    for merge in grid.merges:
        span = merge.last_column - merge.first_column + 1
        if 1 < span <= grid.width / 2:
            spans.setdefault(merge.first_row, {})[merge.first_column] = span
    covered = []
    for row, source_row in zip(grid.head, grid.head_rows, strict=True):
        wide = spans.get(source_row, {})
        covered.append(sum(wide.get(column, 1) for column, cell in enumerate(row) if cell.strip()))
    return covered


def clean_name(text: str) -> str:
    """A header on one line: outer white space gone, inner runs of it one space."""
    return " ".join(text.split())


def _first_wide_row(filled: list[int]) -> int:
    """Index of the first row that is about as wide as the table; narrower ones above it are preamble."""
    widths = sorted(count for count in filled if count)
    if not widths:
        return 0
    typical = widths[(len(widths) * 3) // 4] if len(widths) > 3 else widths[-1]
    needed = 1 if typical == 1 else max(2, (typical + 1) // 2)
    return next(index for index, count in enumerate(filled) if count >= needed)


def _header_rows(grid: Grid, rows: list[int]) -> tuple[int, ...]:
    """The first of ``rows`` and those below it that merged cells, gaps or their texts make part of the header."""
    first = rows[0]
    source_row = grid.head_rows[first]
    starting = [merge for merge in grid.merges if merge.first_row == source_row]
    last_row = max((merge.last_row for merge in starting), default=source_row)
    header = [index for index in rows[:_MAX_HEADER_ROWS] if grid.head_rows[index] <= last_row]
    following = rows[len(header) :]
    if len(header) == 1 and following and _is_second_row(grid, rows, across=any(m.last_column > m.first_column for m in starting)):
        header.append(following.pop(0))
    while following and len(header) < _MAX_HEADER_ROWS and not are_units(grid.head[following[0]]):
        if following[0] != header[-1] + 1 or not continues([grid.head[index] for index in following]):
            break
        header.append(following.pop(0))
    return tuple(header)


def _is_second_row(grid: Grid, rows: list[int], *, across: bool) -> bool:
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


def _joined_names(grid: Grid, header: tuple[int, ...]) -> tuple[str, ...]:
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
