"""The kinds of values a column may hold, and the evidence that adds up while it is read."""

from collections import Counter
from dataclasses import dataclass, field
from enum import Enum, auto

import pyarrow as pa

from . import dates
from .arrow import Array, pc
from .nulls import LISTED, NullTokens
from .numbers import Shape

_GIVE_UP_TEXTS = 5_000


class Kind(Enum):
    """What one value looks like."""

    INT = auto()
    FLOAT = auto()
    SEPARATED = auto()  # a number with separators, see Shape
    PERCENT = auto()
    AFFIXED = auto()  # a number with a currency mark or a unit
    BOOL = auto()
    YEAR_FIRST = auto()  # a date of which day and month are certain
    YEAR_LAST = auto()  # a date that begins with day or month
    SHORT_YEAR = auto()  # a date whose century is unknown
    NULL_ALWAYS = auto()
    NULL_TYPED = auto()
    ERROR = auto()
    TEXT = auto()


NUMERIC = (Kind.INT, Kind.FLOAT, Kind.SEPARATED)


@dataclass
class Evidence:
    """Counts of kinds over all values seen so far, and what tells look-alikes apart.

    ``padded``: some values have outer white space; ``folded``: some are written in full-width characters.
    """

    nulls: NullTokens = LISTED
    counts: Counter[Kind] = field(default_factory=Counter)
    padded: bool = False
    folded: bool = False
    has_clock: bool = False
    zoned: int = 0
    offsets: set[str] = field(default_factory=set)
    not_day_first: int = 0  # of the YEAR_LAST values, those that are no date if the day comes first
    not_month_first: int = 0
    shapes: Counter[Shape] = field(default_factory=Counter)
    may_be_fours: bool = True  # all values of Shape.COMMA
    has_point: bool = False  # some number has a decimal point that cannot divide thousands
    affixes: set[str] = field(default_factory=set)
    phones: int = 0
    id_cards: int = 0
    smallest_int: int | None = None  # among those that cannot be compact dates
    largest_int: int | None = None
    earliest: int | None = None  # microseconds since 1970
    latest: int | None = None
    earliest_compact: int | None = None  # compact dates are counted as whole numbers
    latest_compact: int | None = None
    bool_words: set[str] = field(default_factory=set)
    nothings: Counter[str] = field(default_factory=Counter)  # 无 and 無 among the null tokens
    others: Counter[str] = field(default_factory=Counter)  # values that are text, with counts; the first 1,000
    examples: dict[Kind, str] = field(default_factory=dict)  # the first value of each kind
    nearly_distinct: bool = False

    @property
    def gave_up(self) -> bool:
        """Text for certain and mostly: later values are no longer looked at one by one."""
        texts = self.counts[Kind.TEXT]
        return texts > _GIVE_UP_TEXTS and texts * 2 > self.counts.total()

    @property
    def has_nulls(self) -> bool:
        """Whether there are null tokens or errors, or there may be among values that were not looked at."""
        return self.gave_up or self.core < self.counts.total()

    @property
    def core(self) -> int:
        """Values that are neither null tokens nor errors."""
        return self.counts.total() - sum(self.counts[k] for k in (Kind.NULL_ALWAYS, Kind.NULL_TYPED, Kind.ERROR))

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
