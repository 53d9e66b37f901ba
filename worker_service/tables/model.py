"""The words this package shares with its callers: limits, options, progress and the report."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from .messages import WarningCode, message_en, message_zh

CLEANING_VERSION = "1"
MAX_WARNING_ROWS = 20
MAX_SAMPLES = 5

Stage = Literal["triage", "read", "clean", "profile", "write"]
Unit = Literal["bytes", "rows", "columns"]
Origin = Literal["given", "declared", "detected"]
DType = Literal["string", "int64", "float64", "bool", "date", "timestamp"]


@dataclass(frozen=True)
class Limits:
    """How much a file may ask for. Exceeding one raises LIMIT_EXCEEDED, except cells: see ``max_cell_chars``."""

    max_rows: int = 10_000_000
    max_columns: int = 4_096
    max_cells: int = 2_000_000_000
    max_cell_chars: int = 1_000_000  # a longer cell goes to rejects.parquet whole
    max_uncompressed_bytes: int = 4 * 1024**3  # of a packed file, or of all parts of a workbook together
    max_inflation: int = 200  # times its packed size, for what is larger than free_inflated_bytes
    free_inflated_bytes: int = 64 * 1024**2
    max_eager_cells: int = 20_000_000  # a larger sheet is streamed instead of loaded at once
    row_group_rows: int = 65_536


@dataclass(frozen=True)
class ReadOptions:
    """What the caller may choose; empty or None: detect it.

    ``sheet`` is a name, ``sheet_number`` a place from 1. ``header_row`` is a 1-based source row, 0 if there is none.
    ``quote`` is one character, empty if quotes are ordinary characters. ``null_tokens`` count in every column,
    besides the listed ones.
    """

    sheet: str = ""
    sheet_number: int = 0
    header_row: int | None = None
    delimiter: str = ""
    quote: str | None = None
    encoding: str = ""
    null_tokens: tuple[str, ...] = ()
    date_order: Literal["", "day_first", "month_first"] = ""


@dataclass(frozen=True)
class ReadChoice:
    """One thing that had to be settled to read the file, who chose it, and how sure that is (0 to 1)."""

    name: str
    value: str
    origin: Origin
    confidence: float = 1.0


@dataclass(frozen=True)
class Progress:
    """Work done so far in one stage; ``total`` is 0 while unknown."""

    stage: Stage
    done: int
    total: int
    unit: Unit


@dataclass(frozen=True)
class TableWarning:
    """Something the user should know. ``rows`` are 1-based source rows, the first 20 of ``count``."""

    code: WarningCode
    message: str
    message_zh: str
    sheet: str = ""
    column: str = ""
    rows: tuple[int, ...] = ()
    count: int = 0


def warning(
    code: WarningCode,
    *,
    sheet: str = "",
    column: str = "",
    rows: list[int] | tuple[int, ...] = (),
    count: int | None = None,
    **details: object,
) -> TableWarning:
    """Build a warning whose two messages come from the catalogue, filled with ``details``."""
    counted = len(rows) if count is None else count
    values = {"column": column, "count": counted, **details}
    return TableWarning(
        code=code,
        message=message_en(code, values),
        message_zh=message_zh(code, values),
        sheet=sheet,
        column=column,
        rows=tuple(rows[:MAX_WARNING_ROWS]),
        count=counted,
    )


@dataclass(frozen=True)
class Sample:
    """One source cell: its 1-based source row, raw text (cut at 64 chars) and what became of it."""

    row: int
    raw: str
    outcome: Literal["typed", "text", "null_token", "error", "rejected"]


@dataclass(frozen=True)
class TopValue:
    """A frequent value as canonical text (cut at 64 chars) and its number of rows."""

    value: str
    count: int


@dataclass(frozen=True)
class Mixed:
    """What a text column almost was: how many values read as ``candidate``, and the most frequent others.

    A value of another kind than text stands for all of its kind. At most 20 are listed, cut at 64 chars.
    """

    candidate: str
    parsed: int
    others: tuple[TopValue, ...]


@dataclass(frozen=True)
class Histogram:
    """Equal-width bins over a numeric column: ``len(edges) == len(counts) + 1``; the last bin is closed."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True)
class TimeHistogram:
    """Equal-width bins over dates or timestamps; the edges are canonical text. As Histogram otherwise."""

    edges: tuple[str, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True)
class TextLengths:
    """Lengths of the texts of a column, in characters."""

    min: int
    max: int
    mean: float


@dataclass(frozen=True)
class ColumnProfile:
    """What the clean values look like. ``min``/``max``/``quantiles`` are canonical text of the column's type.

    ``approximate`` covers ``distinct_count``, ``quantiles`` and ``top_values``; everything else is exact.
    """

    distinct_count: int = 0
    approximate: bool = False
    min: str | None = None
    max: str | None = None
    mean: float | None = None
    stddev: float | None = None
    quantiles: dict[str, str] = field(default_factory=dict)
    top_values: tuple[TopValue, ...] = ()
    histogram: Histogram | None = None
    time_histogram: TimeHistogram | None = None
    lengths: TextLengths | None = None


@dataclass(frozen=True)
class ColumnReport:
    """One column: its type and why, where each of its source cells went, and its profile."""

    name: str
    source_name: str
    dtype: DType
    format: str  # "percent", "thousands", "day_month_year", ... or empty
    reason: str
    unit: str  # the currency mark or unit that every value bears, or that stands below the header
    mixed: Mixed | None
    null_count: int
    source_nonempty: int
    typed: int
    kept_as_text: int
    nulled_by_token: int
    null_tokens: dict[str, int]
    error_cells: int
    error_codes: dict[str, int]
    rejected: int
    filled_down: int
    samples: tuple[Sample, ...]
    profile: ColumnProfile


@dataclass(frozen=True)
class ConversionReport:
    """What was read, how, and what became of every cell. ``rejects`` counts rows of rejects.parquet."""

    format: str
    sheet: str
    encoding: str
    delimiter: str
    reading: tuple[ReadChoice, ...]
    cleaning_version: str
    row_count: int
    column_count: int
    rejects: int
    columns: tuple[ColumnReport, ...]
    columns_sha256: str  # of the columns without profiles; also in the metadata of the Parquet file
    warnings: tuple[TableWarning, ...]

    def to_json(self) -> dict[str, Any]:
        """The whole report as JSON-safe dicts, lists, strings, finite numbers, booleans and None."""
        return asdict(self)
