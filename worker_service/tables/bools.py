"""Words for yes and no, one family a language."""

from collections.abc import Iterable

# (yes, no): a column is boolean if all of its values come from one family.
FAMILIES = (
    ("true", "false"), ("yes", "no"), ("是", "否"), ("有", "无"), ("有", "無"), ("对", "错"), ("真", "假"),
    ("y", "n"), ("t", "f"), ("ja", "nein"), ("oui", "non"), ("да", "нет"), ("sí", "no"), ("si", "no"), ("sim", "não"),
    ("vrai", "faux"), ("wahr", "falsch"), ("はい", "いいえ"), ("예", "아니오"),
)  # fmt: skip
WORDS = frozenset(word for family in FAMILIES for word in family)
# One letter, or a word that is otherwise "nothing", says yes or no only beside its counterpart.
_NEEDS_BOTH = frozenset((("y", "n"), ("t", "f"), ("有", "无"), ("有", "無")))


def spellings(word: str) -> tuple[str, ...]:
    """The ways of writing a word that count: lower case, upper case, capitalised."""
    return tuple(dict.fromkeys((word, word.upper(), word.capitalize())))


SPELLINGS = tuple(dict.fromkeys(text for family in FAMILIES for word in family for text in spellings(word)))


def family_of(texts: Iterable[str]) -> int | None:
    """The first family that holds all of the words, if any."""
    words = {text.lower() for text in texts}
    for number, family in enumerate(FAMILIES):
        if words and words <= set(family) and (len(words) == 2 or family not in _NEEDS_BOTH):
            return number
    return None
