"""From text to tokens, by one regular expression; and what the tokens of literals say."""

import re
from dataclasses import dataclass
from datetime import date, datetime

from shared.expressions.types import ExpressionError, shown

_MAX_INTEGER = 2**63 - 1
_TOKENS = re.compile(
    r"""(?P<space>\s+)
      | (?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)
      | (?P<text>'(?:[^']|'')*')
      | (?P<quoted>`(?:[^`]|``)+`|"(?:[^"]|"")+")
      | (?P<word>[^\W\d]\w*)
      | (?P<sign><=|>=|<>|!=|==|[-+*/=<>(),])""",
    re.VERBOSE,
)
_KEYWORDS = frozenset(
    ["and", "or", "not", "is", "null", "in", "between", "case", "when", "then", "else", "end", "true", "false"]
)
# What an input method for Chinese writes instead.
_FULL_WIDTH = dict(zip("（），＝＜＞＋－＊／‘’“”", "(),=<>+-*/''\"\"", strict=True))


@dataclass(frozen=True)
class Token:
    """`kind` is a group of the lexer, "keyword" or "end"; `text` is as written, keywords in lower case."""

    kind: str
    text: str
    at: int


def tokens_of(text: str) -> list[Token]:
    """Return the tokens of `text`, with one at its end. Raises ExpressionError."""
    tokens, at = [], 0
    while at < len(text):
        found = _TOKENS.match(text, at)
        if found is None:
            raise ExpressionError(_strange(text[at]), at + 1)
        kind, word = found.lastgroup or "", found.group()
        if kind == "word" and word.lower() in _KEYWORDS:
            kind, word = "keyword", word.lower()
        if kind != "space":
            tokens.append(Token(kind, word, at + 1))
        at = found.end()
    return [*tokens, Token("end", "", len(text) + 1)]


def _strange(character: str) -> str:
    if character in _FULL_WIDTH:
        return f"write {_FULL_WIDTH[character]} instead of {character}"
    if character in "'\"`":
        return "this quote is never closed"
    return f"{shown(character)!r} has no meaning here; put the names of columns into `backticks`"


def number_of(token: Token) -> int | float:
    """Return the number that a token says. Raises ExpressionError."""
    if token.text.isdecimal():
        value = int(token.text)
        if value > _MAX_INTEGER:
            raise ExpressionError("this integer does not fit 64 bits; write it with a decimal point", token.at)
        return value
    number = float(token.text)
    if number == float("inf"):
        raise ExpressionError("this number is too large", token.at)
    return number


def literal_time(kind: str, token: Token) -> date | datetime:
    """Return the date or timestamp that a text token says. Raises ExpressionError."""
    form = "YYYY-MM-DD" if kind == "date" else "YYYY-MM-DDTHH:MM:SS[.ffffff]"
    value = time_of(kind, token.text[1:-1])
    if value is None:
        raise ExpressionError(f"this is no {kind}; write it as '{form}'", token.at)
    return value


def time_of(kind: str, text: str) -> date | datetime | None:
    """Return the date or timestamp (a date alone is its midnight) that `text` is the ISO form of; None: it is none."""
    try:
        if kind == "date":
            return date.fromisoformat(text) if len(text) == 10 else None
        value = datetime.fromisoformat(text)
    except ValueError:
        return None
    return value if value.tzinfo is None and text[4:5] == "-" else None
