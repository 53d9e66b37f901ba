"""Unpacks gzip and zstd files to disk, counting what comes out: a few kilobytes can hold terabytes."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pyarrow as pa

from .errors import ErrorCode, TableError, limit_exceeded
from .model import Limits

Packing = Literal["gzip", "zstd"]

_CHUNK_BYTES = 4 << 20


def inflate(source: Path, target: Path, kind: Packing, limits: Limits, on_bytes: Callable[[int], None]) -> Path:
    """Unpack ``source`` (``kind`` "gzip" or "zstd") into ``target``; tells packed bytes read; returns ``target``.

    Constant memory. Raises FILE_CORRUPT if it is cut off or damaged, LIMIT_EXCEEDED above ``max_uncompressed_bytes``
    or ``max_inflation``.
    """
    packed = source.stat().st_size
    done = 0
    try:
        with (
            pa.OSFile(str(source), "rb") as raw,
            pa.CompressedInputStream(raw, kind) as stream,
            target.open("wb") as out,
        ):
            while chunk := stream.read(_CHUNK_BYTES):
                done += len(chunk)
                check_inflated(packed, done, limits)
                out.write(chunk)
                on_bytes(raw.tell())
    except (OSError, pa.ArrowException) as error:
        raise TableError(
            ErrorCode.FILE_CORRUPT,
            f"The {kind} file is damaged or was cut off while copying; upload it again.",
            metadata={"detected": kind},
        ) from error
    return target


def check_inflated(packed: int, inflated: int, limits: Limits) -> None:
    """Raise LIMIT_EXCEEDED if ``packed`` bytes may not become ``inflated`` bytes."""
    if inflated > limits.max_uncompressed_bytes:
        raise limit_exceeded(
            "max_uncompressed_bytes", limits.max_uncompressed_bytes, f"{inflated:,} bytes inside or more", "split it."
        )
    if inflated > limits.free_inflated_bytes and inflated > packed * limits.max_inflation:
        raise limit_exceeded(
            "max_inflation",
            limits.max_inflation,
            f"{inflated // max(packed, 1):,} times its size inside",
            "such files are made to exhaust a server; export the data anew.",
        )
