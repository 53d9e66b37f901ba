"""Shows the cells of a preview."""

import math

from tablemill.v1.data_service_pb2 import Cell


def cell_json(cell: Cell) -> str | int | float | bool | None:
    """Return a value for JSON: numbers as numbers, null as null; NaN and the infinities, which JSON lacks, as text."""
    kind = cell.WhichOneof("kind")
    value: str | int | float | bool | None = getattr(cell, kind) if kind else None
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def cell_text(cell: Cell) -> str:
    """Return a value for a table; null shows as nothing."""
    value = cell_json(cell)
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case float():
            return f"{value:.15g}"
        case _:
            return str(value)


def one_line(text: str) -> str:
    """Return `text` fit for a cell of a table: one line, and without anything that steers a terminal."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in " ".join(text.split()))
