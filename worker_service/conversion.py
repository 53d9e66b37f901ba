"""The conversion of one file, as it runs in a sandbox: `convert_file` gets JSON and returns JSON.

Turns the report of `worker_service.tables` into what the records table stores.
"""

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from worker_service.sandbox.task import Refused, Report
from worker_service.tables import Limits, Progress, ReadOptions, TableError, convert


def convert_file(args: Mapping[str, Any], report: Report) -> dict[str, Any]:
    """Convert `args["source"]` into Parquet files in `args["out_dir"]`; return the fields of CleanData but objects."""

    def on_progress(progress: Progress) -> None:
        report(progress.stage, progress.done, progress.total, progress.unit)

    out_dir = Path(args["out_dir"])
    try:
        found = convert(
            Path(args["source"]),
            out_dir,
            file_name=args["file_name"],
            options=_options(args["options"]),
            limits=Limits(**args["limits"]),
            on_progress=on_progress,
        )
    except TableError as error:
        raise _refused(error) from None
    told = storable(found.to_json())
    return {
        "format": told["format"],
        "row_count": told["row_count"],
        "columns": [_column(column) for column in told["columns"]],
        "profile": [_profile(column) for column in told["columns"]],
        "warnings": told["warnings"],
        "reading": told["reading"],
        "has_rejects": (out_dir / "rejects.parquet").exists(),
    }


def _options(asked: Mapping[str, Any]) -> ReadOptions:
    return ReadOptions(**{**asked, "null_tokens": tuple(asked.get("null_tokens", ()))})


def _refused(error: TableError) -> Refused:
    return Refused(
        str(error.code),
        storable(error.message),
        metadata=storable(error.metadata),
        sheet=storable(error.sheet or ""),
        row=error.row or 0,
        column=storable(error.column or ""),
    )


def _column(column: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": column["name"],
        "type": column["dtype"],
        "source_name": column["source_name"],
        "null_count": column["null_count"],
    }


def _profile(column: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of the message ColumnProfile but `column`."""
    mixed = column["mixed"]
    counts = ("source_nonempty", "typed", "kept_as_text", "nulled_by_token", "error_cells", "rejected", "filled_down")
    fields = {
        "type_reason": column["reason"],
        "format_hint": column["format"],
        "cells": {name: column[name] for name in counts},
        "unit": column["unit"],
        "mixed": mixed
        and {"candidate": mixed["candidate"], "parsed_count": mixed["parsed"], "others": mixed["others"]},
        "samples": column["samples"],
        "null_tokens": _counts(column["null_tokens"]),
        "error_codes": _counts(column["error_codes"]),
    }
    return {**_told(fields), **profile_fields(column["profile"])}


def profile_fields(profile: Mapping[str, Any]) -> dict[str, Any]:
    """Return those fields of the message ColumnProfile that describe the clean values."""
    fields = {
        "distinct_count": profile["distinct_count"],
        "approximate": profile["approximate"],
        "min": profile["min"],
        "max": profile["max"],
        "mean": profile["mean"],
        "stddev": profile["stddev"],
        "quantiles": list(profile["quantiles"].values()),
        "top_values": profile["top_values"],
        "histogram": _bins(profile["histogram"]),
        "time_histogram": _bins(profile["time_histogram"]),
        "lengths": profile["lengths"],
    }
    return _told(fields)


def _told(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value not in (None, "", [], ())}


def _bins(histogram: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    if histogram is None:
        return []
    bins = zip(pairwise(histogram["edges"]), histogram["counts"], strict=True)
    return [{"lower": lower, "upper": upper, "count": count} for (lower, upper), count in bins]


def _counts(counts: Mapping[str, int]) -> list[dict[str, Any]]:
    return [{"value": value, "count": count} for value, count in counts.items()]


def storable(value: Any) -> Any:
    """Return `value` with what neither jsonb nor protobuf can hold in a text replaced: NUL and lone surrogates."""
    match value:
        case str():
            return value.replace("\0", "\ufffd").encode(errors="replace").decode()
        case dict():
            return {storable(key): storable(item) for key, item in value.items()}
        case list() | tuple():
            return [storable(item) for item in value]
    return value
