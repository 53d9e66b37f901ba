"""The options of `upload` that say how to read the file."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from tablemill.v1 import ingest_service_pb2 as pb

_DATE_ORDERS = {"day-first": pb.DATE_ORDER_DAY_FIRST, "month-first": pb.DATE_ORDER_MONTH_FIRST}
_NAMED_CHARS = {"tab": "\t", "space": " ", "comma": ",", "semicolon": ";", "pipe": "|", "\\t": "\t"}

_OPTIONS = (
    click.option("--sheet", default="", help="Name of the sheet to read [default: the first visible one with cells]."),
    click.option("--sheet-number", type=click.IntRange(min=1), help="Place of the sheet to read, from 1."),
    click.option("--header-row", type=click.IntRange(min=0), help="Row of the column names, from 1; 0: there is none."),
    click.option("--delimiter", default="", help="What separates cells: tab, comma, … or the characters themselves."),
    click.option("--quote", help="The character around quoted cells, or none."),
    click.option("--encoding", default="", help="Encoding of a text file, for example gb18030."),
    click.option("--null-token", "null_tokens", multiple=True, help='A text that means "no value"; may be repeated.'),
    click.option("--date-order", type=click.Choice(list(_DATE_ORDERS)), help="How to read 03/04/2024."),
)


def with_read_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give `command` these options and, as `read_options`, what they say; what is left out is detected."""

    @wraps(command)
    def run(*args: Any, **values: Any) -> None:
        chosen = pb.ReadOptions(
            sheet=values.pop("sheet"),
            sheet_number=values.pop("sheet_number") or 0,
            header_row=values.pop("header_row"),
            delimiter=_char(values.pop("delimiter")),
            quote=_quote(values.pop("quote")),
            encoding=values.pop("encoding"),
            null_tokens=values.pop("null_tokens"),
            date_order=_DATE_ORDERS.get(values.pop("date_order"), pb.DATE_ORDER_UNSPECIFIED),
        )
        command(*args, read_options=chosen, **values)

    for option in reversed(_OPTIONS):
        run = option(run)
    return run


def _char(text: str) -> str:
    return _NAMED_CHARS.get(text, text)


def _quote(text: str | None) -> str | None:
    return "" if text == "none" else text
