"""Files as other people's programs spoil them: one table, polluted in every way that is known to trip readers.

Modelled on what surveys of open data found: structural characters that change for the file or for one row, missing and
extra separators and quotes, preambles, footnotes, header variations, odd line ends and encodings.
"""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, field

HEADER = ["DATE", "TIME", "Qty", "CODE", "Price", "Kind", "Description", "URL", "Comments"]
_KINDS = ["Men's Boots", "Throw Pillow, Wooden", 'Table, Round 48"', "Kids' Bike", 'Boxer, 5" Inseam', "Leather/Nubuck"]
_TEXTS = [
    "Rugged enough for peak performance yet light, quick and dry.",
    "The next level. It resists the elements, and it won't let you down",
    "Ideal for kayaking, boarding and surfing: 3 mm warmth",
]
ROWS = [
    [
        f"{day:02}/0{1 + day % 3}/2018",
        f"{day % 24:02}:{day * 15 % 60:02}",
        str(day % 5),
        f"MG-{8700 + day}",
        f"${day * 3.5 + 1:.2f}",
        _KINDS[day % 6],
        _TEXTS[day % 3],
        f"https://www.example.com/product/{day}.html",
        "",
    ]
    for day in range(1, 29)
]


@dataclass(frozen=True)
class Polluted:
    """A file, and what a careful reader makes of it. ``header`` None: there is none."""

    name: str
    data: bytes
    header: list[str] | None = field(default_factory=lambda: HEADER)
    rows: list[list[str]] = field(default_factory=lambda: ROWS)


def line(
    row: list[str], delimiter: str = ",", quote: str = '"', escape: str | None = None, *, every: bool = False
) -> str:
    """One record as most writers make it: the long texts quoted always, the others where needed."""
    cells = []
    for position, cell in enumerate(row):
        needed = every or position in (6, 7) or any(mark in cell for mark in (delimiter, quote, "\n"))
        doubled = quote * 2 if escape is None else escape + quote
        cells.append(quote + cell.replace(quote, doubled) + quote if needed else cell)
    return delimiter.join(cells)


def file_of(lines: list[str], end: str = "\r\n", encoding: str = "utf-8") -> bytes:
    return (end.join(lines) + end).encode(encoding)


def whole_files() -> Iterator[Polluted]:
    """Pollutions of the file as a whole."""
    table = [HEADER, *ROWS]
    plain = [line(row) for row in table]
    yield Polluted("clean", file_of(plain))
    yield Polluted("no trailing line end", file_of(plain)[:-2])
    yield Polluted("two trailing line ends", file_of(plain) + b"\r\n")
    yield Polluted("no header", file_of(plain[1:]), None)
    yield Polluted("one row", file_of(plain[:2]), rows=ROWS[:1])
    yield Polluted("only a header", file_of(plain[:1]), rows=[])
    yield Polluted("delimited preamble", file_of(["PREAMBLE,,,,,,,,", ",,,,,,,,", *plain]))
    yield Polluted("bare preamble", file_of(["Export of all orders", "", *plain]))
    yield Polluted("commented preamble", file_of(["# exported 2018-03-01, by hand", "# do not edit", *plain]))
    yield Polluted("footnote", file_of([*plain, "", "Source: the shop"]))
    for end in ("\n", "\r", "\r\n"):
        yield Polluted(f"line end {end!r}", file_of(plain, end))
    for delimiter in (";", "\t", "|", " ", ", ", "\t\t", "^", "~", "§", "||", "\x1f", "，"):
        every = delimiter == " "
        lines = [line(row, delimiter, every=every and any(" " in cell for cell in row)) for row in table]
        yield Polluted(f"delimiter {delimiter!r}", file_of(lines))
    for delimiter in (",", ";"):
        lines = [line(row, delimiter, "'") for row in table]
        yield Polluted(f"quote ' with {delimiter}", file_of(lines))
        lines = [line(row, delimiter, every=True) for row in table]
        yield Polluted(f"all quoted with {delimiter}", file_of(lines))
    yield Polluted("backslash escapes", file_of([line(row, escape="\\") for row in table]))
    yield Polluted("no escapes", file_of([line(row, escape="") for row in table]))
    yield Polluted("sep line", file_of(["sep=;", *(line(row, ";") for row in table)]))
    yield Polluted("space before quotes", file_of([line(row).replace(',"', ', "') for row in table]))
    for encoding in ("utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1", "cp1252"):
        yield Polluted(f"encoding {encoding}", file_of(plain, encoding=encoding))
    yield Polluted("line end in quotes", *_multiline())


def _multiline() -> tuple[bytes, list[str], list[list[str]]]:
    rows = [[*row[:6], row[6].replace(" ", "\n", 1), *row[7:]] for row in ROWS]
    target = io.StringIO()
    csv.writer(target).writerows([HEADER, *rows])
    return target.getvalue().encode(), HEADER, rows


def single_rows(rows: list[int]) -> Iterator[Polluted]:
    """Pollutions of one row each; row 0 is the header."""
    table = [HEADER, *ROWS]
    plain = [line(row) for row in table]
    for row in rows:
        for delimiter in (" ", ";", "\t", "|"):
            every = delimiter == " "
            spoilt = [*plain[:row], line(table[row], delimiter, every=every), *plain[row + 1 :]]
            yield Polluted(f"row {row} delimited by {delimiter!r}", file_of(spoilt))
        for usual, odd in (("\r\n", "\n"), ("\n", "\r"), ("\r\n", "\r")):
            whole = file_of(plain, usual).replace((plain[row] + usual).encode(), (plain[row] + odd).encode())
            yield Polluted(f"row {row} ends in {odd!r}", whole)
        for column in range(len(HEADER)):
            yield _extra_quote(table, plain, row, column)
            if row:
                yield _extra_separator(plain, row, column)
                if column and not any('"' in _written(table[row][c], c) for c in (column - 1, column)):
                    yield _missing_separator(table, plain, row, column)


def _with(table: list[list[str]], row: int, cells: list[str]) -> tuple[list[str], list[list[str]]]:
    changed = [*table[:row], cells, *table[row + 1 :]]
    return changed[0], changed[1:]


def _extra_quote(table: list[list[str]], plain: list[str], row: int, column: int) -> Polluted:
    """A quote more at the start of a cell, inside the cell's own quotes if it has some."""
    cells = [_written(cell, position) for position, cell in enumerate(table[row])]
    cell = cells[column]
    cells[column] = cell[:1] + '"' + cell[1:] if cell.startswith('"') else '"' + cell
    expected = [*table[row][:column], '"' + table[row][column], *table[row][column + 1 :]]
    spoilt = [*plain[:row], ",".join(cells), *plain[row + 1 :]]
    return Polluted(f"extra quote in {row}:{column}", file_of(spoilt), *_with(table, row, expected))


def _extra_separator(plain: list[str], row: int, column: int) -> Polluted:
    """An empty cell more: the row becomes longer, and what is beyond the last column is rejected."""
    table = [HEADER, *ROWS]
    longer = [*table[row][:column], "", *table[row][column:]]
    spoilt = [*plain[:row], _joined(longer, column), *plain[row + 1 :]]
    return Polluted(f"extra separator in {row}:{column}", file_of(spoilt), *_with(table, row, longer[:9]))


def _missing_separator(table: list[list[str]], plain: list[str], row: int, column: int) -> Polluted:
    """Two cells without quotes run together."""
    pair = table[row][column - 1] + table[row][column]
    shorter = [*table[row][: column - 1], pair, *table[row][column + 1 :], ""]
    cells = [_written(cell, position) for position, cell in enumerate(table[row])]
    text = ",".join([*cells[: column - 1], pair, *cells[column + 1 :]])
    spoilt = [*plain[:row], text, *plain[row + 1 :]]
    return Polluted(f"missing separator in {row}:{column}", file_of(spoilt), *_with(table, row, shorter))


def _written(cell: str, position: int) -> str:
    return line([*[""] * position, cell]).split(",", position)[position]


def _joined(cells: list[str], inserted: int) -> str:
    original = [cell for position, cell in enumerate(cells) if position != inserted]
    written = [_written(cell, position) for position, cell in enumerate(original)]
    return ",".join([*written[:inserted], "", *written[inserted:]])
