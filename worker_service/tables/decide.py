"""From the evidence of a whole column to its type: everything parses, or the column is text."""

from .bools import FAMILIES, family_of
from .decide_dates import dates_by_name, dates_of_one_kind, numbers_among_dates
from .decision import Decision, decision_of
from .kinds import NUMERIC, Evidence, Kind
from .messages import WarningCode
from .model import Mixed, TableWarning, TopValue, warning
from .number_style import Context, separators_style
from .numbers import Shape, scale

_MIXED_SHARE = 0.5
_MAX_OTHERS = 20


def decide(name: str, seen: Evidence, context: Context) -> tuple[Decision, list[TableWarning]]:
    """The type of column ``name`` and the warnings that explain it."""
    if seen.core == 0:
        reason = "only null tokens and errors" if seen.counts.total() else "no values"
        return decision_of(seen, "string", reason), []
    for rule in (dates_by_name, _number, _bool, dates_of_one_kind, numbers_among_dates):
        if decision := rule(name, seen, context):
            return decision, []
    return _text(name, seen)


def _number(_name: str, seen: Evidence, context: Context) -> Decision | None:
    counts, core = seen.counts, seen.core
    if counts[Kind.PERCENT] == core:
        return decision_of(seen, "float64", "every value is a percentage", "percent")
    if counts[Kind.AFFIXED] == core:
        return _with_unit(seen)
    if sum(counts[kind] for kind in NUMERIC) != core:
        return None
    if counts[Kind.SEPARATED]:
        return _with_separators(seen, context)
    if counts[Kind.FLOAT]:
        return decision_of(seen, "float64", "every value is a number")
    return _whole(seen)


def _whole(seen: Evidence) -> Decision:
    """Whole numbers, unless at least half of them look like a kind of identifier."""
    if seen.phones * 2 >= seen.core or seen.id_cards * 2 >= seen.core:
        style = "phone" if seen.phones * 2 >= seen.core else "id_card"
        return decision_of(seen, "string", "identifiers, not quantities", style)
    return decision_of(seen, "int64", "every value is a whole number of at most 15 digits")


def _with_unit(seen: Evidence) -> Decision | None:
    if len(seen.affixes) != 1 or "" in seen.affixes:
        return None
    (unit,) = seen.affixes
    whole = not seen.has_point and not scale(unit)
    return decision_of(seen, "int64" if whole else "float64", f"every value is a number with {unit}", "unit", unit=unit)


def _with_separators(seen: Evidence, context: Context) -> Decision | None:
    style = separators_style(seen, context)
    if not style:
        return None
    shapes = seen.shapes
    fractions = seen.counts[Kind.FLOAT] and style != "decimal_comma"
    if style == "decimal_comma":
        fractions = shapes.total() > shapes[Shape.POINT_GROUPS]
    whole = not fractions and not seen.has_point
    return decision_of(seen, "int64" if whole else "float64", f"every value is a number, written as {style}", style)


def _bool(_name: str, seen: Evidence, _context: Context) -> Decision | None:
    if not seen.bool_words or seen.counts[Kind.BOOL] != seen.core:
        return None
    nothings = set(seen.nothings) if "有" in seen.bool_words else set()
    number = family_of(seen.bool_words | nothings)
    if number is None:
        return None
    spelling = "/".join(FAMILIES[number])
    return decision_of(seen, "bool", f"every value is one of {spelling}", spelling, family=FAMILIES[number])


def _text(name: str, seen: Evidence) -> tuple[Decision, list[TableWarning]]:
    counts, core = seen.counts, seen.core
    dated = counts[Kind.YEAR_FIRST] + counts[Kind.YEAR_LAST]
    if counts[Kind.YEAR_LAST] and dated == core and not (seen.not_day_first or seen.not_month_first):
        return _unsettled(
            name, seen, WarningCode.DATE_ORDER_AMBIGUOUS, Kind.YEAR_LAST, "day and month cannot be told apart"
        )
    if counts[Kind.SHORT_YEAR] * 2 > core:
        return _unsettled(
            name, seen, WarningCode.SHORT_YEARS, Kind.SHORT_YEAR, "years of two digits leave the century open"
        )
    if counts[Kind.SEPARATED] and sum(counts[kind] for kind in NUMERIC) == core:
        why = "a comma may be a decimal mark or not"
        return _unsettled(name, seen, WarningCode.NUMBER_FORMAT_AMBIGUOUS, Kind.SEPARATED, why)
    mixed = _mixed(seen)
    if mixed is None:
        return decision_of(seen, "string", "values are text"), []
    reason = f"{mixed.parsed} of {core} values read as {mixed.candidate}, the others do not"
    decision = decision_of(seen, "string", reason, mixed=mixed)
    example = mixed.others[0].value if mixed.others else ""
    found = warning(
        WarningCode.MIXED_TYPES,
        column=name,
        count=core - mixed.parsed,
        values=core,
        parsed=mixed.parsed,
        candidate=mixed.candidate,
        example=example,
    )
    return decision, [found] if mixed.parsed >= core * _MIXED_SHARE else []


def _unsettled(
    name: str, seen: Evidence, code: WarningCode, kind: Kind, reason: str
) -> tuple[Decision, list[TableWarning]]:
    found = warning(code, column=name, count=seen.counts[kind], example=seen.examples[kind][:64])
    return decision_of(seen, "string", reason), [found]


def _mixed(seen: Evidence) -> Mixed | None:
    """What most values are, and the others; None if no value is anything but text."""
    counts = seen.counts
    groups: dict[str, tuple[Kind, ...]] = {
        "numbers": NUMERIC,
        "percentages": (Kind.PERCENT,),
        "amounts with a unit": (Kind.AFFIXED,),
        "booleans": (Kind.BOOL,),
        "dates": (Kind.YEAR_FIRST, Kind.YEAR_LAST),
    }
    candidate = max(groups, key=lambda name: sum(counts[kind] for kind in groups[name]))
    parsed = sum(counts[kind] for kind in groups[candidate])
    if not parsed:
        return None
    skipped = {*groups[candidate], Kind.TEXT, Kind.NULL_ALWAYS, Kind.NULL_TYPED, Kind.ERROR}
    others = seen.others.most_common(_MAX_OTHERS)
    others += [(seen.examples[kind], count) for kind, count in counts.items() if count and kind not in skipped]
    others.sort(key=lambda item: (-item[1], item[0]))
    return Mixed(candidate, parsed, tuple(TopValue(text[:64], count) for text, count in others[:_MAX_OTHERS]))
