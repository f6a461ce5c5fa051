"""The tables of `data/` to concepts: what a tool does, how it may be declared, and how people ask for it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

from firmware_models.corpus import lexicon
from firmware_models.corpus.pattern import Sequence, compile_pattern


@dataclass(frozen=True)
class Parameter:
    """A parameter before it is declared in some style."""

    slot: str
    """Its name in patterns."""
    names: tuple[str, ...]
    """Names that a schema may give it."""
    kind: str
    """What it holds, read by `values`."""
    required: bool
    descriptions: tuple[str, ...]


@dataclass(frozen=True)
class Concept:
    """What a tool does."""

    key: str
    kin: str
    """Concepts of one kin could answer the same request: no catalogue has two of them unless they are opposites."""
    polarity: str
    """"on" and "off" concepts of one kin are opposites."""
    names: tuple[str, ...]
    descriptions: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    commands: tuple[Sequence, ...]
    terse: tuple[Sequence, ...] = ()
    wishes: tuple[Sequence, ...] = ()
    questions: tuple[Sequence, ...] = ()
    missing: tuple[tuple[str, Sequence], ...] = ()
    needs: tuple[str, ...] = ()
    vocabulary: dict[str, tuple[str, ...]] = field(default_factory=dict, hash=False, compare=False)
    """The domain's word lists that its kinds refer to."""
    domain: str = ""

    def parameter(self, slot: str) -> Parameter:
        """The parameter with the pattern name *slot*."""
        return next(p for p in self.parameters if p.slot == slot)


def split_top(text: str) -> list[str]:
    """Split *text* at the bars that stand outside brackets."""
    parts, depth, start = [], 0, 0
    for at, char in enumerate(text):
        if char in "([<":
            depth += 1
        elif char in ")]>":
            depth -= 1
        elif char == "|" and depth == 0:
            parts.append(text[start:at].strip())
            start = at + 1
    parts.append(text[start:].strip())
    return [part for part in parts if part]


def blocks(name: str) -> Iterator[str]:
    """Yield the blocks of a table of concepts, each from its `@` line on."""
    block: list[str] = []
    for line in lexicon.lines(name):
        if line.startswith("@") and block:
            yield "\n".join(block)
            block = []
        if line.strip():
            block.append(line)
    if block:
        yield "\n".join(block)


def parse(block: str, domain: str = "", vocabulary: dict[str, tuple[str, ...]] | None = None) -> Concept:
    """Read one block.

    Raises:
        ValueError: a line cannot be read.
    """
    head, *lines = block.splitlines()
    key, *options = head[1:].split(" ")
    settings: dict[str, str] = {}
    last = ""
    for option in options:
        if "=" in option:
            last, _, settings_value = option.partition("=")
            settings[last] = settings_value
        else:
            settings[last] += " " + option
    parameters: list[Parameter] = []
    missing: list[tuple[str, Sequence]] = []
    fields: dict[str, list[str]] = {}
    for line in lines:
        if line.startswith("p "):
            parameters.append(_parameter(line[2:]))
        elif line.startswith("miss "):
            slot, _, text = line[5:].partition(": ")
            missing.extend((slot, compile_pattern(clause)) for clause in split_top(text))
        else:
            name, colon, text = line.partition(": ")
            if not colon:
                raise ValueError(f"not a line of a concept: {line!r}")
            fields.setdefault(name, []).extend(split_top(text))
    return Concept(
        key=key,
        kin=settings.get("kin", key),
        polarity=settings.get("pol", ""),
        names=tuple(fields.get("names", ())),
        descriptions=tuple(fields.get("descs", ())),
        parameters=tuple(parameters),
        commands=tuple(compile_pattern(c) for c in fields.get("say", ())),
        terse=tuple(compile_pattern(c) for c in fields.get("terse", ())),
        wishes=tuple(compile_pattern(c) for c in fields.get("ind", ())),
        questions=tuple(compile_pattern(c) for c in fields.get("ask", ())),
        missing=tuple(missing),
        needs=tuple(settings.get("needs", "").split()),
        vocabulary=vocabulary or {},
        domain=domain or settings.get("domain", key.partition(".")[0]).replace("_", " "),
    )


def _parameter(line: str) -> Parameter:
    declared, *descriptions = split_top(line)
    match = re.fullmatch(r"([^:]+): (.+?)(!?)", declared)
    if match is None:
        raise ValueError(f"not a parameter: {line!r}")
    names = tuple(match[1].split("/"))
    return Parameter(names[0], names, match[2], bool(match[3]), tuple(descriptions))


@cache
def services() -> tuple[Concept, ...]:
    """The concepts that are written out by hand."""
    return tuple(parse(block) for block in blocks("services.txt"))
