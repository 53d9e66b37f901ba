"""What was decided about a column."""

from dataclasses import dataclass

import pyarrow as pa

from . import dates
from .kinds import Evidence
from .model import DType, Mixed
from .nulls import LISTED, NullTokens

ARROW_TYPES: dict[DType, pa.DataType] = {
    "string": pa.string(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "bool": pa.bool_(),
    "date": pa.date32(),
    "timestamp": dates.TIMESTAMP,
}


@dataclass(frozen=True)
class Decision:
    """A column's type, the format its texts are in, and why.

    ``padded``: some values have outer white space; ``folded``: some are in full-width characters; ``unit``: the
    currency mark or unit that every value bears; ``mixed``: what a text column almost was.
    """

    dtype: DType
    format: str
    reason: str
    padded: bool = False
    folded: bool = False
    order: dates.Order = ""
    zone: dates.Zone = ""
    date1904: bool = False
    family: tuple[str, str] = ("", "")
    unit: str = ""
    nulls: NullTokens = LISTED
    has_nulls: bool = True  # some values are null tokens or errors, or may be
    mixed: Mixed | None = None

    @property
    def arrow_type(self) -> pa.DataType:
        """The Arrow type of the clean column."""
        return ARROW_TYPES[self.dtype]


def decision_of(seen: Evidence, dtype: DType, reason: str, style: str = "", **details: object) -> Decision:
    """A decision on what was seen; ``style`` is its format."""
    folded = seen.folded and dtype != "string"
    return Decision(dtype, style, reason, seen.padded, folded, nulls=seen.nulls, has_nulls=seen.has_nulls, **details)  # type: ignore[arg-type]
