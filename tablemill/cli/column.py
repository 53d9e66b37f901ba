"""Everything that is known of one column, on a screen."""

from collections.abc import Iterable, Iterator

from tablemill.cli.tables import plain
from tablemill.v1.record_pb2 import ColumnProfile, DataType, ValueCount

_QUANTILES = ("1%", "5%", "25%", "50%", "75%", "95%", "99%")
_BAR_LETTERS = 40


def column_lines(profile: ColumnProfile) -> Iterator[str]:
    """The report and the profile of a column, line by line, without control characters."""
    column, cells = profile.column, profile.cells
    about = "about " if profile.approximate else ""
    yield plain(f"{column.name}: {DataType.Name(column.type).removeprefix('DATA_TYPE_').lower()}")
    yield _line("because", profile.type_reason)
    if profile.format_hint:
        yield _line("written as", profile.format_hint)
    if profile.unit:
        yield _line("unit", profile.unit)
    yield _line(
        "cells",
        f"{cells.source_nonempty:,} = {cells.typed:,} typed + {cells.kept_as_text:,} text + {cells.nulled_by_token:,} "
        f"no value + {cells.error_cells:,} errors + {cells.rejected:,} rejected",
    )
    if cells.filled_down:
        yield _line("filled down", f"{cells.filled_down:,}")
    yield from _counted("no value", profile.null_tokens)
    yield from _counted("errors", profile.error_codes)
    if profile.HasField("mixed"):
        mixed = profile.mixed
        yield _line("almost", f"{mixed.parsed_count:,} values read as {mixed.candidate}; the others:")
        yield from _counted("", mixed.others)
    yield _line("nulls", f"{column.null_count:,}")
    yield _line("distinct", f"{about}{profile.distinct_count:,}")
    if profile.HasField("min"):
        yield _line("range", f"{profile.min} to {profile.max}")
    if profile.HasField("mean"):
        yield _line("mean", f"{profile.mean:.6g}, standard deviation {profile.stddev:.6g}")
    if profile.HasField("lengths"):
        lengths = profile.lengths
        yield _line("lengths", f"{lengths.min:,} to {lengths.max:,} characters, {lengths.mean:.4g} on average")
    if profile.quantiles:
        pairs = zip(_QUANTILES, profile.quantiles, strict=False)
        yield _line(f"{about}quantiles", "  ".join(f"{share} {value}" for share, value in pairs))
    yield from _counted("frequent", profile.top_values[:10])
    yield from _bars([(f"{b.lower:.6g}", b.count) for b in profile.histogram])
    yield from _bars([(b.lower, b.count) for b in profile.time_histogram])
    for sample in profile.samples:
        yield _line(f"row {sample.row:,}", f"{sample.raw}  ({sample.outcome.replace('_', ' ')})")


def _line(label: str, text: str) -> str:
    return plain(f"  {label:<17} {text}")


def _counted(label: str, items: Iterable[ValueCount]) -> Iterator[str]:
    text = ", ".join(f"{item.value} ({item.count:,})" for item in items)
    if text:
        yield _line(label, text)


def _bars(bins: list[tuple[str, int]]) -> Iterator[str]:
    most = max((count for _, count in bins), default=0)
    for lower, count in bins:
        yield _line(f"from {lower}", f"{'█' * round(_BAR_LETTERS * count / most)} {count:,}" if count else "")
