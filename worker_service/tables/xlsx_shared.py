"""Shared texts: a workbook stores each text once, so a few kilobytes can unfold into gigabytes."""

import re
from collections.abc import Iterator

from .errors import limit_exceeded
from .model import Limits
from .xlsx_package import Package

_INDEX = re.compile(rb'\bt="s"[^>]*><v>(\d+)</v>')


def check_unfolded(package: Package, texts_part: str, sheet_part: str, shared_cells: int, limits: Limits) -> None:
    """Raise LIMIT_EXCEEDED if the sheet's shared texts, written out cell by cell, exceed the limit on inflated bytes.

    Also reads the texts' part to its end, which verifies its checksum.
    """
    lengths = [len(text) for text in _pieces(package.chunks(texts_part), b"</si>")]
    if max(lengths, default=0) * shared_cells <= limits.max_uncompressed_bytes:
        return
    unfolded = 0
    for block in _pieces(package.chunks(sheet_part), b"</row>"):
        unfolded += sum(lengths[int(index)] for index in _INDEX.findall(block) if int(index) < len(lengths))
        if unfolded > limits.max_uncompressed_bytes:
            raise limit_exceeded(
                "max_uncompressed_bytes",
                limits.max_uncompressed_bytes,
                "repeated texts that unfold to more than that",
                "shorten the texts or split the workbook.",
            )


def _pieces(chunks: Iterator[bytes], end: bytes) -> Iterator[bytes]:
    held = b""
    for chunk in chunks:
        *pieces, held = (held + chunk).split(end)
        yield from pieces
    yield held
