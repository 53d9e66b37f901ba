"""CSV: UTF-8, comma, double quotes, LF. Null is an empty field, empty text is `""`; numbers are written exactly."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from shared.exports.options import ExportOptions

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# What a spreadsheet takes for a formula, https://owasp.org/www-community/attacks/CSV_Injection; signs before digits
# only, as in "+", "--" or "-1.5", do no harm and are common among laboratory results.
_FORMULA = r"^([=@\t\r\n]|[+\-][+\-0-9.,%\s]*[^+\-0-9.,%\s])"


def write_csv(batches: Iterable[pa.RecordBatch], schema: pa.Schema, target: Path, options: ExportOptions) -> None:
    """Write `batches` to the new file `target`."""
    names = schema.names if options.keep_formulas else [_harmless_name(name) for name in schema.names]
    written = pa.schema([field.with_name(name) for field, name in zip(schema, names, strict=True)])
    with target.open("xb") as file:
        if options.byte_order_mark:
            file.write(_BYTE_ORDER_MARK)
        with csv.CSVWriter(file, written, write_options=csv.WriteOptions(quoting_style="needed")) as writer:
            for batch in batches:
                columns = batch.columns if options.keep_formulas else list(map(_harmless, batch.columns))
                writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=written))


def _harmless(column: "pa.Array[Any]") -> "pa.Array[Any]":
    """Put an apostrophe before text that would be taken for a formula."""
    if not pa.types.is_string(column.type):
        return column
    texts: Any = column
    harmless: pa.Array[Any] = pc.replace_substring_regex(texts, _FORMULA, r"'\1", max_replacements=1)
    return harmless


def _harmless_name(name: str) -> str:
    return str(_harmless(pa.array([name]))[0])
