"""The table of domains, joined with the archetypes, to concepts."""

from dataclasses import dataclass
from functools import cache

from firmware_models.corpus import concepts, lexicon
from firmware_models.corpus.concepts import Concept

_COLUMNS = ("kind", "things", "open", "lock", "q", "mode", "prog", "items", "places", "sense", "feat")


@dataclass(frozen=True)
class Domain:
    """The words of one domain."""

    name: str
    words: dict[str, tuple[str, ...]]

    def __hash__(self) -> int:
        """Domains are told apart by name."""
        return hash(self.name)


@cache
def domains() -> tuple[Domain, ...]:
    """Every domain of the table."""
    found = []
    for line in lexicon.lines("domains.txt"):
        name, *cells = (cell.strip() for cell in line.split("|"))
        if len(cells) != len(_COLUMNS):
            raise ValueError(f"{name}: {len(cells)} columns instead of {len(_COLUMNS)}")
        words = {}
        for column, cell in zip(_COLUMNS, cells, strict=True):
            separator = ";" if column in {"q", "mode"} else ","
            words[column] = tuple(part.strip() for part in cell.split(separator) if part.strip())
        found.append(Domain(name, words))
    return tuple(found)


@cache
def archetypes() -> tuple[tuple[str, str], ...]:
    """Key and text of every archetype."""
    return tuple((block.split(" ", 1)[0][1:], block) for block in concepts.blocks("archetypes.txt"))


@cache
def concept_keys(domain: Domain) -> tuple[str, ...]:
    """The archetypes for which *domain* has the words."""
    keys = []
    for key, block in archetypes():
        needs = concepts.parse(block).needs
        if all(domain.words[need] for need in needs):
            keys.append(key)
    return tuple(keys)


@cache
def build(domain: Domain, key: str, variant: int) -> Concept:
    """Write archetype *key* out for *domain*; *variant* chooses the quantity, mode, sensor, kind and item."""
    block = dict(archetypes())[key]
    words = domain.words
    kind = _pick(words["kind"], variant)
    vocabulary = dict(words)
    filling = {"kind": kind, "domain": domain.name, "item": _pick(words["items"], variant) or "item"}
    if words["q"]:
        noun, _, span = _pick(words["q"], variant).partition("=")
        vocabulary["range"] = (span,)
        filling |= {"q": noun, "unit": span.partition(" ")[2] or "points"}
    if words["mode"]:
        noun, _, options = _pick(words["mode"], variant).partition("=")
        vocabulary["options"] = tuple(option.strip() for option in options.split(","))
        filling["mode"] = noun
    if words["sense"]:
        filling["sense"] = _pick(words["sense"], variant)
    filling["obj"] = (
        _pick(("door", "opening", "cover", "it"), variant) if key != "lock" else _pick(("door", "lock", "it"), variant)
    )
    for name in sorted(filling, key=len, reverse=True):
        block = block.replace("$" + name, filling[name])
    return concepts.parse(block, domain.name, vocabulary)


def _pick(words: tuple[str, ...], variant: int) -> str:
    return words[variant % len(words)] if words else ""
