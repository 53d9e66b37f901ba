"""The kinds of values a column may hold, and the evidence that adds up while it is read."""

from collections import Counter
from dataclasses import dataclass, field
from enum import Enum, auto

import pyarrow as pa

from . import dates
from .arrow import Array, pc

_GIVE_UP_TEXTS = 5_000

BOOL_FAMILIES = (
    {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False},
    {"yes": True, "Yes": True, "YES": True, "no": False, "No": False, "NO": False},
    {"是": True, "否": False},
)


class Kind(Enum):
    """What one value looks like."""

    INT = auto()
    FLOAT = auto()
    THOUSANDS = auto()
    PERCENT = auto()
    BOOL = auto()
    YEAR_FIRST = auto()
    YEAR_LAST = auto()
    NULL_ALWAYS = auto()
    NULL_TYPED = auto()
    ERROR = auto()
    TEXT = auto()


@dataclass
class Evidence:
    """Counts of kinds over all values seen so far, and what tells look-alikes apart."""

    counts: Counter[Kind] = field(default_factory=Counter)
    padded: bool = False
    has_clock: bool = False
    first_above_12: int = 0
    second_above_12: int = 0
    thousands_with_point: bool = False
    phones: int = 0
    id_cards: int = 0
    smallest_int: int | None = None  # among those that cannot be compact dates
    largest_int: int | None = None
    earliest: int | None = None  # microseconds since 1970
    latest: int | None = None
    earliest_compact: int | None = None  # compact dates are counted as whole numbers
    latest_compact: int | None = None
    bool_families: set[int] = field(default_factory=set)
    text_examples: list[str] = field(default_factory=list)
    year_last_example: str = ""
    nearly_distinct: bool = False

    @property
    def gave_up(self) -> bool:
        """Text for certain and mostly: later values are no longer looked at one by one."""
        texts = self.counts[Kind.TEXT]
        return texts > _GIVE_UP_TEXTS and texts * 2 > self.counts.total()

    def note_dates(self, stamps: Array) -> None:
        """Remember the range of some timestamps and whether any has a time of day."""
        self.earliest, self.latest = _range(pc.cast(stamps, pa.int64()), self.earliest, self.latest)
        self.has_clock = self.has_clock or not dates.all_midnight(stamps)

    def note_ints(self, numbers: Array, compact: Array) -> None:
        """Remember the range of some whole numbers: `compact` are timestamps, of those that may be compact dates."""
        self.smallest_int, self.largest_int = _range(numbers, self.smallest_int, self.largest_int)
        self.earliest_compact, self.latest_compact = _range(
            pc.cast(compact, pa.int64()), self.earliest_compact, self.latest_compact
        )


def _range(numbers: Array, low: int | None, high: int | None) -> tuple[int | None, int | None]:
    """The range of `numbers` and of what was seen before."""
    if not len(numbers):
        return low, high
    smallest, largest = pc.min_max(numbers).as_py().values()
    return (smallest, largest) if low is None or high is None else (min(low, smallest), max(high, largest))
