"""Guards as text to a typed tree: `temperature > 8 °C and not door_open`.

    either   := both ("or" both)*
    both     := claim ("and" claim)*
    claim    := "not" claim | "(" either ")" | NAME | comparison
    comparison := NAME ("==" | "!=" | "<" | "<=" | ">" | ">=") (literal | NAME)
              | NAME ["not"] "in" "[" literal ("," literal)* "]"
              | NAME ["not"] "between" literal "and" literal
              | NAME ["not"] "within" literal "of" (literal | NAME)
              | NAME "is" ("known" | "unknown")
    literal  := NUMBER [UNIT] | "true" | "false" | 'word'

Covers: unknown names, operators that do not fit the types, units that differ, words outside a measure's set: all errors
at load.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple, NoReturn

from rapidfuzz import process

from appliance.policy.workflow.expression import (
    SIGNS,
    Among,
    Both,
    Compares,
    Declared,
    Either,
    Is,
    Known,
    Node,
    Not,
    Ranges,
    Value,
)

MAX_CHARS: Final = 500
MAX_DEPTH: Final = 12


class Faulty(Exception):
    """A guard that cannot be read; never leaves `load`."""

    def __init__(self, what: str, remedy: str = "", at: int = 0) -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy
        self.at = at
        """Character of the text, from zero."""


OPERATORS: Final = (
    *SIGNS, "in", "not in", "between", "not between", "within", "not within", "is known", "is unknown",
)  # fmt: skip
KEYWORDS: Final = frozenset(
    {"and", "or", "not", "in", "between", "within", "of", "is", "known", "unknown", "true", "false"}
)
_TOKEN: Final = re.compile(
    r"\s*(?:(?P<number>-?\d+(?:\.\d+)?)|(?P<sign>==|!=|<=|>=|<|>|[()\[\],])"
    r"|(?P<word>'[^']*'|\"[^\"]*\")|(?P<name>[^\W\d]\w*)|(?P<unit>[°%µ][\w/°%]*)|(?P<odd>\S))"
)
_UNIT_TAIL: Final = re.compile(r"[\w/°%µ²³]*")
_FOREIGN: Final = {
    "=": "write == to compare", "&": "write and", "|": "write or", "!": "write not", "+": "guards do not calculate",
    "-": "guards do not calculate", "*": "guards do not calculate", "/": "guards do not calculate",
    ".": "a measure has no parts; declare one for each value",
}  # fmt: skip


class _Token(NamedTuple):
    kind: str
    text: str
    at: int


def parse(text: str, measures: Mapping[str, Declared], named: Mapping[str, Node]) -> Node:
    """Read a guard.

    Args:
        named: the file's named guards that are already read.

    Raises:
        Faulty: it cannot be read, or its types do not fit.
    """
    if len(text) > MAX_CHARS:
        raise Faulty(f"a guard of {len(text)} characters", f"at most {MAX_CHARS}; give its parts names under `guards`")
    return _Parser(text, measures, named).whole()


class _Parser:
    def __init__(self, text: str, measures: Mapping[str, Declared], named: Mapping[str, Node]) -> None:
        self._text = text
        self._measures = measures
        self._named = named
        self._tokens = [_Token(str(m.lastgroup), m[m.lastgroup or 0], m.start(m.lastgroup or 0))
                        for m in _TOKEN.finditer(text)]  # fmt: skip
        self._n = 0
        for token in self._tokens:
            if token.kind == "odd":
                raise Faulty(f"{token.text!r} has no meaning in a guard", _FOREIGN.get(token.text, ""), token.at)

    def whole(self) -> Node:
        if not self._tokens:
            raise Faulty("an empty guard", "write what must be true, or delete the key")
        node = self._either(0)
        if self._n < len(self._tokens):
            token = self._tokens[self._n]
            raise Faulty(f"{token.text!r} is one word too many", "join claims with and, or", token.at)
        return node

    def _either(self, depth: int) -> Node:
        parts = [self._both(depth)]
        while self._take("or"):
            parts.append(self._both(depth))
        return parts[0] if len(parts) == 1 else Either(tuple(parts))

    def _both(self, depth: int) -> Node:
        parts = [self._claim(depth)]
        while self._take("and"):
            parts.append(self._claim(depth))
        return parts[0] if len(parts) == 1 else Both(tuple(parts))

    def _claim(self, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise Faulty(f"nested more than {MAX_DEPTH} deep", "give a part of it a name under `guards`", self._at())
        if self._take("not"):
            return Not(self._claim(depth + 1))
        if self._take("("):
            inner = self._either(depth + 1)
            self._need(")")
            return inner
        return self._comparison()

    def _comparison(self) -> Node:
        token = self._next("a name")
        if token.kind != "name" or token.text in KEYWORDS:
            raise Faulty(f"a claim begins with the name of a measure, not {token.text!r}", self._known(), token.at)
        name = token.text
        if name in self._named:
            return self._named[name]
        declared = self._measure(token)
        contrary = self._take("not")
        following = self._peek()
        sign = "" if following is None else following.text
        if sign in SIGNS and not contrary:
            self._n += 1
            return self._compared(token, declared, sign)
        if sign == "is" and not contrary:
            self._n += 1
            known = self._next("known or unknown")
            if known.text not in {"known", "unknown"}:
                raise Faulty(f"`is` is followed by known or unknown, not {known.text!r}", "use == for values", known.at)
            return Known(name) if known.text == "known" else Not(Known(name))
        node = self._set_or_range(token, declared, sign)
        if node is not None:
            return Not(node) if contrary else node
        if contrary:
            raise Faulty("`not` here is followed by in, between or within", "put not before the name", self._at())
        if declared.kind != "boolean":
            raise Faulty(
                f"{name!r} is a {declared.kind}, so it is not true or false by itself",
                f"compare it: {name} {'> 0' if declared.kind == 'number' else '== ...'}",
                token.at,
            )
        return Is(name)

    def _compared(self, token: _Token, declared: Declared, sign: str) -> Node:
        if sign not in {"==", "!="} and declared.kind != "number":
            raise Faulty(f"{sign} compares numbers, and {token.text!r} is a {declared.kind}", "use == or !=", token.at)
        right = self._peek()
        if right is not None and right.kind == "name" and right.text not in KEYWORDS:
            self._n += 1
            if right.text in self._named:
                raise Faulty(f"{right.text!r} is a guard, not a measure", "", right.at)
            other = self._measure(right)
            if (other.kind, other.unit) != (declared.kind, declared.unit):
                raise Faulty(
                    f"{token.text!r} ({_described(declared)}) and {right.text!r} ({_described(other)}) cannot be"
                    " compared",
                    "both need the same type and unit",
                    right.at,
                )
            return Compares(token.text, sign, None, right.text)
        return Compares(token.text, sign, self._literal(token.text, declared), None)

    def _set_or_range(self, token: _Token, declared: Declared, word: str) -> Node | None:
        if word not in {"in", "between", "within"}:
            return None
        self._n += 1
        name = token.text
        if word == "in":
            self._need("[")
            values = [self._literal(name, declared)]
            while self._take(","):
                values.append(self._literal(name, declared))
            self._need("]")
            return Among(name, tuple(values))
        if declared.kind != "number":
            raise Faulty(f"`{word}` compares numbers, and {name!r} is a {declared.kind}", "use in [...]", token.at)
        first = float(self._literal(name, declared))
        if word == "between":
            self._need("and")
            second = float(self._literal(name, declared))
            if first > second:
                raise Faulty(f"between {first:g} and {second:g} is nothing", "write the smaller first", token.at)
            return Ranges(name, first, second)
        self._need("of")
        if first < 0:
            raise Faulty("`within` takes a distance, which is not negative", "", token.at)
        right = self._peek()
        if right is not None and right.kind == "name" and right.text in self._measures:
            self._n += 1
            other = self._measures[right.text]
            if (other.kind, other.unit) != (declared.kind, declared.unit):
                raise Faulty(f"{name!r} and {right.text!r} have different types or units", "", right.at)
            return Ranges(name, -first, first, right.text)
        middle = float(self._literal(name, declared))
        return Ranges(name, middle - first, middle + first)

    def _literal(self, name: str, declared: Declared) -> Value:
        token = self._next("a value")
        match declared.kind:
            case "number" if token.kind == "number":
                self._unit(name, declared, token)
                return float(token.text)
            case "boolean" if token.text in {"true", "false"}:
                return token.text == "true"
            case "word" if token.kind == "word":
                word = token.text[1:-1]
                if word not in declared.words:
                    raise Faulty(f"{name!r} is never {word!r}", f"it is one of: {', '.join(declared.words)}", token.at)
                return word
        wanted = {"number": "a number", "boolean": "true or false", "word": "a word in single quotes"}[declared.kind]
        raise Faulty(f"{name!r} is compared with {wanted}, not with {token.text!r}", "", token.at)

    def _unit(self, name: str, declared: Declared, number: _Token) -> None:
        token = self._peek()
        if token is None or token.kind not in {"unit", "name"} or token.text in KEYWORDS:
            return
        unit = _UNIT_TAIL.match(self._text, token.at)
        written = unit[0] if unit else token.text
        if written != declared.unit:
            has = f"is measured in {declared.unit}" if declared.unit else "has no unit"
            raise Faulty(f"{number.text} {written}: {name!r} {has}", "write the number in that unit", token.at)
        while (token := self._peek()) is not None and token.at < unit.end() if unit else False:
            self._n += 1

    def _measure(self, token: _Token) -> Declared:
        found = self._measures.get(token.text)
        if found is None:
            near = process.extractOne(token.text, [*self._measures, *self._named], score_cutoff=60)
            hint = f"did you mean {near[0]!r}?" if near else self._known()
            raise Faulty(f"nothing measures {token.text!r}", hint, token.at)
        return found

    def _known(self) -> str:
        known = ", ".join([*self._measures, *self._named])
        return f"declared are: {known}" if known else "declare it under `measures`, with its sensor"

    def _peek(self) -> _Token | None:
        return self._tokens[self._n] if self._n < len(self._tokens) else None

    def _at(self) -> int:
        token = self._peek()
        return len(self._text) if token is None else token.at

    def _take(self, text: str) -> bool:
        token = self._peek()
        if token is not None and token.text == text and token.kind in {"name", "sign"}:
            self._n += 1
            return True
        return False

    def _need(self, text: str) -> None:
        if not self._take(text):
            token = self._peek()
            self._missing(f"`{text}`" if token is None else f"`{text}` instead of {token.text!r}")

    def _next(self, what: str) -> _Token:
        token = self._peek()
        if token is None:
            self._missing(what)
        self._n += 1
        return token

    def _missing(self, what: str) -> NoReturn:
        raise Faulty(f"the guard ends or breaks off where {what} should stand", "", self._at())


def _described(declared: Declared) -> str:
    return f"{declared.kind} in {declared.unit}" if declared.unit else declared.kind
