"""From tokens to a tree, by precedence climbing.

From loosest to tightest: `or`, `and`, `not`, comparisons with `is null`, `in` and `between`, `+ -`, `* /`, sign.
"""

from shared.expressions.lexing import Token, literal_time, number_of, tokens_of
from shared.expressions.tree import (
    Between,
    Call,
    Case,
    ColumnName,
    Constant,
    IsNull,
    Logic,
    Membership,
    Node,
    Not,
    Operation,
)
from shared.expressions.types import ExpressionError, shown

MAX_CHARS = 4096
MAX_NODES = 512
_MAX_DEPTH = 48

_COMPARISONS = {"=": "=", "==": "=", "!=": "!=", "<>": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_OR, _AND, _NOT, _COMPARE, _ADD, _MULTIPLY, _SIGN = range(10, 80, 10)


def parse(text: str) -> Node:
    """Return the tree of `text`. Raises ExpressionError."""
    if len(text) > MAX_CHARS:
        raise ExpressionError(f"an expression has at most {MAX_CHARS:,} characters", MAX_CHARS + 1)
    parser = _Parser(tokens_of(text))
    tree = parser.expression(0)
    parser.expect_end()
    return tree


class _Parser:
    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._next = 0
        self._nodes = 0
        self._depth = 0

    @property
    def _token(self) -> Token:
        return self._tokens[self._next]

    def _take(self) -> Token:
        token = self._token
        self._next += token.kind != "end"
        return token

    def _at(self, *texts: str) -> bool:
        return self._token.kind in {"keyword", "sign"} and self._token.text in texts

    def _expect(self, text: str, why: str) -> Token:
        if not self._at(text):
            raise ExpressionError(f"expected {text} {why}, not {self._told()}", self._token.at)
        return self._take()

    def expect_end(self) -> None:
        if self._token.kind != "end":
            raise ExpressionError(f"expected an operator or the end, not {self._told()}", self._token.at)

    def _told(self) -> str:
        return "the end" if self._token.kind == "end" else shown(self._token.text)

    def _counted(self, node: Node) -> Node:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise ExpressionError(f"an expression has at most {MAX_NODES} parts", node.at)
        return node

    def expression(self, tighter_than: int) -> Node:
        """Parse as far as operators bind tighter than that."""
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise ExpressionError(f"nested more than {_MAX_DEPTH} deep", self._token.at)
        left, length = self._operand(), 0
        while (binds := self._binds()) > tighter_than:
            length += 1
            # A long chain becomes a deep tree.
            if length > _MAX_DEPTH and binds not in {_OR, _AND}:
                raise ExpressionError(f"more than {_MAX_DEPTH} operators in a row; use parentheses", self._token.at)
            left = self._counted(self._joined(left, binds))
        self._depth -= 1
        return left

    def _binds(self) -> int:
        if self._at("or"):
            return _OR
        if self._at("and"):
            return _AND
        if self._at("is", "in", "between", "not", *_COMPARISONS):
            return _COMPARE
        if self._at("+", "-"):
            return _ADD
        return _MULTIPLY if self._at("*", "/") else 0

    def _joined(self, left: Node, binds: int) -> Node:
        token = self._take()
        if binds in {_OR, _AND}:
            right = self.expression(binds)
            # Chains are flat, so that a long one is not deep.
            before = left.operands if isinstance(left, Logic) and left.operator == token.text else (left,)
            return Logic(token.text, (*before, right), token.at)
        if binds != _COMPARE:
            return Operation(token.text, left, self.expression(binds), token.at)
        compared = self._compared(left, token)
        if self._binds() == _COMPARE:
            raise ExpressionError("comparisons do not chain; join two with and", self._token.at)
        return compared

    def _compared(self, left: Node, token: Token) -> Node:
        if token.text == "is":
            negated = self._at("not") and bool(self._take())
            self._expect("null", "after is")
            return self._negated(IsNull(left, token.at), negated)
        negated = token.text == "not"
        if negated:
            if not self._at("in", "between"):
                raise ExpressionError(f"expected in or between after not, not {self._told()}", self._token.at)
            token = self._take()
        if token.text == "in":
            return self._negated(Membership(left, self._items(), token.at), negated)
        if token.text == "between":
            low = self.expression(_COMPARE)
            self._expect("and", "between the two bounds")
            high = self.expression(_COMPARE)
            return self._negated(Between(left, low, high, token.at), negated)
        return Operation(_COMPARISONS[token.text], left, self.expression(_COMPARE), token.at)

    def _negated(self, node: Node, negated: bool) -> Node:
        return Not(self._counted(node), node.at) if negated else node

    def _items(self) -> tuple[Constant, ...]:
        self._expect("(", "after in")
        items = []
        while True:
            item = self.expression(_ADD)
            if not isinstance(item, Constant) or item.value is None:
                raise ExpressionError("a list holds only literals, and no null: write or … is null instead", item.at)
            items.append(item)
            if not self._at(","):
                self._expect(")", "at the end of the list")
                return tuple(items)
            self._take()

    def _operand(self) -> Node:  # noqa: C901, PLR0911  # one case a kind of token
        token = self._take()
        match token.kind:
            case "number":
                return self._counted(Constant(number_of(token), token.at))
            case "text":
                return self._counted(Constant(token.text[1:-1].replace("''", "'"), token.at))
            case "quoted":
                quote = token.text[0]
                return self._counted(ColumnName(token.text[1:-1].replace(quote * 2, quote), token.at))
            case "word":
                return self._counted(self._named(token))
        match token.text:
            case "true" | "false":
                return self._counted(Constant(token.text == "true", token.at))
            case "null":
                return self._counted(Constant(None, token.at))
            case "not":
                return self._counted(Not(self.expression(_NOT), token.at))
            case "-" | "+":
                return self._counted(self._signed(token))
            case "case":
                return self._counted(self._case(token))
            case "(":
                inner = self.expression(0)
                self._expect(")", "to close the parenthesis")
                return inner
        told = "the end" if token.kind == "end" else shown(token.text)
        raise ExpressionError(f"expected a value, a column or a function, not {told}", token.at)

    def _signed(self, token: Token) -> Node:
        operand = self.expression(_SIGN)
        if isinstance(operand, Constant) and type(operand.value) in {int, float}:
            return Constant(-operand.value if token.text == "-" else operand.value, token.at)  # type: ignore[operator]
        return Operation(token.text, Constant(0, token.at), operand, token.at)

    def _named(self, token: Token) -> Node:
        if self._at("("):
            return Call(token.text.lower(), self._arguments(), token.at)
        if self._token.kind == "text" and token.text.lower() in {"date", "timestamp"}:
            return Constant(literal_time(token.text.lower(), self._take()), token.at)
        return ColumnName(token.text, token.at)

    def _arguments(self) -> tuple[Node, ...]:
        self._take()
        if self._at(")"):
            self._take()
            return ()
        arguments = [self.expression(0)]
        while self._at(","):
            self._take()
            arguments.append(self.expression(0))
        self._expect(")", "after the arguments")
        return tuple(arguments)

    def _case(self, token: Token) -> Node:
        branches = []
        while self._at("when"):
            self._take()
            condition = self.expression(0)
            self._expect("then", "after the condition")
            branches.append((condition, self.expression(0)))
        if not branches:
            raise ExpressionError(f"expected when after case, not {self._told()}", self._token.at)
        if len(branches) > _MAX_DEPTH:
            raise ExpressionError(f"a case has at most {_MAX_DEPTH} branches", token.at)
        otherwise: Node = Constant(None, token.at)
        if self._at("else"):
            self._take()
            otherwise = self.expression(0)
        self._expect("end", "to close the case")
        return Case(tuple(branches), otherwise, token.at)
