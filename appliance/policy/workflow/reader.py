"""Bytes to plain data with the place of every key and value: the one file that imports PyYAML.

The accepted text is the part of YAML that YAML 1.1, YAML 1.2 and a person agree about. JSON is part of it.

Covers: size, depth and number of values; encodings, invisible and direction-changing characters; duplicate keys, tags,
anchors, aliases, directives, several documents; words and numbers that YAML 1.1 and 1.2 read differently.
Does not cover: what the keys mean; `language` does.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from typing import Any, Final, NamedTuple, NoReturn

import yaml

# libyaml: 0.5 MB in 0.25 s here, ten times as fast as the parser in Python.
from yaml.cyaml import CParser  # type: ignore[attr-defined]  # the stubs forget it

from appliance.policy.workflow.complaint import Complaint, Place

MAX_FILE_BYTES: Final = 1024 * 1024
"""1,000 states with 10,000 arrows take half of it."""

MAX_DEPTH: Final = 16
"""The language itself goes nine deep."""

MAX_VALUES_N: Final = 30_000
MAX_ITEMS_N: Final = 1000
MAX_SCALAR_CHARS: Final = 4000

# Control characters, line ends that only some readers know, joiners and marks without a width, marks that turn the
# direction of writing (CVE-2021-42574), private and tag characters: what a reviewer sees would not be what is loaded.
_INVISIBLE: Final = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff"
    "\ufff9-\ufffb\ue000-\uf8ff\U000e0000-\U000e01ef\U000f0000-\U0010fffd]"
)
_LONE_RETURN: Final = re.compile("\r(?!\n)")
_TAB_INDENT: Final = re.compile(r"^ *\t", re.MULTILINE)
_BOOLEAN_IN_1_1: Final = re.compile(r"y|Y|n|N|yes|Yes|YES|no|No|NO|on|On|ON|off|Off|OFF|True|TRUE|False|FALSE")
_INTEGER: Final = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_DECIMAL: Final = re.compile(r"-?(0|[1-9][0-9]{0,17})\.[0-9]{1,18}([eE][-+]?[0-9]{1,2})?")
_ODD_NUMBER: Final = re.compile(
    r"[-+]?(0[0-9_]+|0[xob][0-9a-fA-F_]+|[0-9][0-9_]*|\.[0-9_]+|[0-9][0-9_]*\.([eE].*|[0-9_]*([eE].*)?)|[0-9_]+[eE][-+]?[0-9]+"
    r"|\.(inf|Inf|INF|nan|NaN|NAN))"
)
_NULL: Final = frozenset({"", "~", "null", "Null", "NULL"})
_PLAIN_WORD: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,127}")
_LOOK_CLOSELY: Final = frozenset(
    {"y", "Y", "n", "N", *(cased for word in ("yes", "no", "on", "off", "true", "false", "null")
                           for cased in (word, word.capitalize(), word.upper()))}
)  # fmt: skip


class Tree(NamedTuple):
    """What was read."""

    data: Any
    marks: dict[int, dict[str | int, tuple[Any, Any]]]
    """By `id` of a mapping or list of *data*: the parser's marks of each of its keys and values."""

    def place(self, *path: str | int) -> Place:
        """Return where *path* begins: the key of a mapping, an item of a list; or of what is around it."""
        found, at = None, self.data
        for part in path:
            here = self.marks.get(id(at), {})
            if part not in here:
                break
            found = here[part][0]
            at = at[part]
        return Place(1, 1) if found is None else _place(found)

    def value_place(self, *path: str | int) -> Place:
        """Return where the value at *path* begins."""
        return _place(self.inside(*path[:-1])[path[-1]][1])

    def inside(self, *path: str | int) -> dict[str | int, tuple[Any, Any]]:
        """Return the marks of what lies in the mapping or list at *path*; nothing where there is none."""
        at = self.data
        for part in path:
            at = at.get(part) if isinstance(at, dict) else at[part]
        return self.marks.get(id(at), {})


class Unreadable(Exception):
    """The text cannot be read; never leaves `load`."""

    def __init__(self, complaint: Complaint) -> None:
        super().__init__(complaint.what)
        self.complaint = complaint


def read(raw: bytes) -> Tree:
    """Read a file of laws.

    Raises:
        Unreadable: at the first thing that is wrong.
    """
    text = _text(raw)
    try:
        return _Builder(CParser(text)).build()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(1, 1) if mark is None else Place(mark.line + 1, mark.column + 1)
        problem = " ".join(part for part in (error.context, error.problem) if part) or "this is not YAML"
        raise Unreadable(Complaint(place, f"not YAML: {problem}", _syntax_remedy(problem))) from error
    except (yaml.YAMLError, ValueError) as error:
        raise Unreadable(Complaint(Place(1, 1), f"not YAML: {error}")) from error


def _text(raw: bytes) -> str:
    start = Place(1, 1)
    if len(raw) > MAX_FILE_BYTES:
        _refuse(start, f"larger than {MAX_FILE_BYTES // 1024} KiB", "is this a file of laws? split it into workflows")
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        _refuse(start, "UTF-16 text", "save it as UTF-8")
    if raw.startswith(b"\xef\xbb\xbf"):
        _refuse(start, "begins with a byte order mark", "save it as UTF-8 without a byte order mark")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        before = raw[: error.start]
        place = Place(before.count(b"\n") + 1, error.start - before.rfind(b"\n"))
        _refuse(place, f"not UTF-8 text (byte 0x{raw[error.start]:02x})", "save it as UTF-8")
    if found := _INVISIBLE.search(text):
        _refuse(_at(text, found.start()), f"an invisible character, {_named(found[0])}", "delete it")
    if found := _LONE_RETURN.search(text):
        _refuse(_at(text, found.start()), "a carriage return without a line feed", "save it with line feeds")
    in_json = text.lstrip().startswith(("{", "["))
    if not in_json and (found := _TAB_INDENT.search(text)):
        _refuse(_at(text, found.end() - 1), "a tab in the indentation", "indent with spaces")
    if not text.strip():
        _refuse(start, "the file is empty", "`appliance workflow new` writes one to begin with")
    return text


class _Builder:
    """Turns parser events into plain data, one after the other, so that a bomb is refused where it begins."""

    def __init__(self, parser: Any) -> None:
        self._get: Callable[[], Any] = parser.get_event
        self._marks: dict[int, dict[str | int, tuple[Any, Any]]] = {}
        self._keep: list[Any] = []  # containers stay alive, so that no `id` is given twice
        self._values_n = 0

    def build(self) -> Tree:
        """Read the one document."""
        get = self._get
        get()  # stream start
        begin = get()
        if not isinstance(begin, yaml.DocumentStartEvent):
            _refuse(Place(1, 1), "the file holds no data", "`appliance workflow new` writes one to begin with")
        if begin.version or begin.tags:
            _refuse(_place(begin.start_mark), "a YAML directive", "delete the line that begins with %")
        data = self._value(get(), 0)
        get()  # document end
        more = get()
        if not isinstance(more, yaml.StreamEndEvent):
            at = _place(more.start_mark)
            _refuse(at, "a second document", "one file holds one workflow; delete `---` and what follows")
        return Tree(data, self._marks)

    def _value(self, event: Any, depth: int) -> Any:
        kind = type(event)
        if kind is yaml.AliasEvent:
            _refuse_event(event, f"an alias, *{event.anchor}", "write the value out; nothing is repeated by reference")
        if event.anchor is not None:
            _refuse_event(event, f"an anchor, &{event.anchor}", "delete it; nothing is repeated by reference")
        if event.tag is not None:
            _refuse_event(event, f"a tag, {event.tag}", "delete it; types come from the language")
        if kind is yaml.ScalarEvent:
            word = event.value
            # Most words of a file are plain names; everything else is looked at closely.
            return word if _PLAIN_WORD.fullmatch(word) and word not in _LOOK_CLOSELY else _scalar(event)
        self._values_n += 1
        if self._values_n > MAX_VALUES_N:
            _refuse_event(event, f"more than {MAX_VALUES_N:,} lists and mappings", "split it into workflows")
        if depth >= MAX_DEPTH:
            _refuse_event(event, f"nested more than {MAX_DEPTH} deep", "no law needs that; look for a stray bracket")
        if kind is yaml.MappingStartEvent:
            return self._mapping(depth)
        return self._sequence(depth)

    def _mapping(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        marks: dict[str | int, tuple[Any, Any]] = {}
        self._keep.append(found)
        self._marks[id(found)] = marks
        get = self._get
        while type(event := get()) is not yaml.MappingEndEvent:
            if type(event) is not yaml.ScalarEvent:
                _refuse_event(event, "a key that is no single word", "keys are names")
            key = self._value(event, depth)
            if not isinstance(key, str):
                _refuse_event(event, f"the key {event.value!r} is no text", "keys are names; a number needs quotes")
            if key == "<<":
                _refuse_event(event, "a merge key, <<", "write the keys out; nothing is repeated by reference")
            if key in marks:
                first = marks[key][0].line + 1
                _refuse_event(event, f"the key {shown(key)} is here twice", f"the first is in line {first}; delete one")
            following = get()
            marks[key] = (event.start_mark, following.start_mark)
            found[key] = self._value(following, depth + 1)
        return found

    def _sequence(self, depth: int) -> list[Any]:
        found: list[Any] = []
        marks: dict[str | int, tuple[Any, Any]] = {}
        self._keep.append(found)
        self._marks[id(found)] = marks
        get = self._get
        while type(event := get()) is not yaml.SequenceEndEvent:
            if len(found) >= MAX_ITEMS_N:
                _refuse_event(event, f"a list of more than {MAX_ITEMS_N} items", "no law needs that")
            marks[len(found)] = (event.start_mark, event.start_mark)
            found.append(self._value(event, depth + 1))
        return found


def _scalar(event: Any) -> str | int | float | bool:
    word: str = event.value
    if len(word) > MAX_SCALAR_CHARS:
        _refuse(_place(event.start_mark), f"a text of {len(word)} characters", f"at most {MAX_SCALAR_CHARS}")
    if event.style not in {None, ""}:
        if found := _INVISIBLE.search(word):  # written as an escape
            _refuse(_place(event.start_mark), f"an invisible character, {_named(found[0])}", "delete it")
        return word
    if word in _NULL:
        _refuse(
            _place(event.start_mark),
            "a key without a value" if not word else f"no value, {word}",
            "write one, or delete it; inside {} a text with a comma needs quotes",
        )
    if word == "true":
        return True
    if word == "false":
        return False
    if _BOOLEAN_IN_1_1.fullmatch(word):
        _refuse(
            _place(event.start_mark),
            f"`{word}` is true or false for some readers of YAML and a word for others",
            f'write true or false, or "{word}" in quotes if the word is meant',
        )
    if _INTEGER.fullmatch(word):
        return int(word)
    if _DECIMAL.fullmatch(word):
        return float(word)
    if _ODD_NUMBER.fullmatch(word):
        _refuse(
            _place(event.start_mark),
            f"`{word}` is a different number for different readers of YAML",
            "write plain digits (10, 0.5), or put it in quotes if text is meant",
        )
    return word


def shown(name: str) -> str:
    """Write a word of the file so that look-alike letters show."""
    if name.isascii():
        return repr(name)
    odd = ", ".join(_named(character) for character in dict.fromkeys(name) if not character.isascii())
    return f"{name!r} (with {odd})"


def _named(character: str) -> str:
    return f"U+{ord(character):04X} {unicodedata.name(character, 'without a name')}"


def _place(mark: Any) -> Place:
    return Place(mark.line + 1, mark.column + 1)


def _at(text: str, index: int) -> Place:
    return Place(text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index))


def _syntax_remedy(problem: str) -> str:
    for sign, remedy in (
        ("cannot start any token", "put the text in quotes; a tab, @, ` or % cannot begin a plain one"),
        ("mapping values are not allowed", "a text with a colon and a space needs quotes; or the indentation is off"),
        ("did not find expected key", "look at the indentation of this line and the one before"),
        ("could not find expected ':'", "a key needs a colon and a space after it"),
        ("did not find expected ',' or", "a bracket opened before is not closed"),
        ("unexpected end of stream", "a quote or bracket is not closed"),
    ):
        if sign in problem:
            return remedy
    return ""


def _refuse_event(event: Any, what: str, remedy: str) -> NoReturn:
    _refuse(_place(event.start_mark), what, remedy)


def _refuse(place: Place, what: str, remedy: str = "") -> NoReturn:
    raise Unreadable(Complaint(place, what, remedy))
