"""Domains and hand-written services to catalogues in which a request has one right answer."""

import random
from collections.abc import Sequence
from typing import Final

from firmware_models.corpus import domains, styles
from firmware_models.corpus.concepts import Concept
from firmware_models.corpus.domains import Domain
from firmware_models.corpus.styles import Rendered

_SIZES: Final = ((1, 6), (2, 26), (3, 30), (4, 21), (5, 9), (6, 5), (7, 2), (8, 1))
_CLASHES: Final = (
    {"level", "level2", "limits"},
    {"power", "power2", "stopall", "program"},
    {"power", "feature"},
    {"read", "status"},
    {"schedule", "program", "pause"},
    {"open", "lock"},
    {"book", "maintenance", "schedule"},
    {"mode", "colour", "feature"},
    {"read", "stock"},
    {"assign", "chore"},
    {"announce", "message", "message2", "report"},
    {"order", "buy", "food", "coffee"},
    {"reminder", "calendar", "note"},
    {"move2", "route", "taxi"},
    {"play", "video", "radio", "audiobook"},
    {"volume", "level", "level2"},
    {"window", "open"},
    {"seatheat", "level", "power"},
    {"cruise", "level"},
    {"vacuumroom", "zones", "program"},
    {"weather", "read"},
    {"app", "program", "power", "open", "game"},
    {"search", "poi", "recipe", "parkfind", "flight", "define", "news", "sports"},
)
VARIANTS: Final = 4
_SAME_KEY: Final = {"set_q", "read", "log_value", "limits", "delta_q"}
_FOCUS: Final = {"set_q": "q", "log_value": "q", "limits": "q", "delta_q": "q", "read": "sense"}


class World:
    """The concepts that a row may draw on: never the held-out ones together with the others."""

    def __init__(self, places: Sequence[Domain], written: Sequence[Concept]) -> None:
        """Group the hand-written *services* by their domain."""
        self.places = tuple(places)
        self.groups: dict[str, list[Concept]] = {}
        for concept in written:
            self.groups.setdefault(concept.domain, []).append(concept)
        self.written = tuple(written)

    def target(self, chance: random.Random) -> Concept:
        """Choose a concept to be asked for."""
        if self.written and chance.random() < 0.4:
            return chance.choice(self.groups[chance.choice(list(self.groups))])
        place = chance.choice(self.places)
        return domains.build(place, chance.choice(domains.concept_keys(place)), chance.randrange(VARIANTS))

    def other(self, chance: random.Random, target: Concept) -> Concept:
        """Choose a concept that may stand beside *target*."""
        if chance.random() < 0.7:
            if target.vocabulary:
                place = next(p for p in self.places if p.name == target.domain)
                return domains.build(place, chance.choice(domains.concept_keys(place)), chance.randrange(VARIANTS))
            return chance.choice(self.groups[target.domain])
        return self.target(chance)

    def twin(self, chance: random.Random, target: Concept) -> Concept | None:
        """The concept most easily taken for *target*: its opposite, or the same for another quantity."""
        if not target.vocabulary:
            near = [c for c in self.groups[target.domain] if c.key != target.key]
            return chance.choice(near) if near else None
        place = next(p for p in self.places if p.name == target.domain)
        keys = domains.concept_keys(place)
        if target.polarity:
            opposites = [
                k
                for k in keys
                if (c := domains.build(place, k, 0)).kin == target.kin and c.polarity and c.polarity != target.polarity
            ]
            return domains.build(place, chance.choice(opposites), chance.randrange(VARIANTS)) if opposites else None
        if target.key in _SAME_KEY:
            for _ in range(4):
                found = domains.build(place, target.key, chance.randrange(VARIANTS))
                if together(found, target):
                    return found
        return None


def together(one: Concept, other: Concept) -> bool:
    """Whether both may be offered at once without a request for one fitting the other."""
    if one.kin == other.kin:
        if one.domain == other.domain and one.polarity and other.polarity:
            return one.polarity != other.polarity
        return (
            one.key == other.key
            and one.key in _SAME_KEY
            and one.domain == other.domain
            and _focus(one) != _focus(other)
        )
    return not any(one.kin in clash and other.kin in clash for clash in _CLASHES)


def _focus(concept: Concept) -> str:
    """The first name that says which quantity the concept is about."""
    return concept.names[0]


def size(chance: random.Random) -> int:
    """Choose how many tools a catalogue has."""
    return chance.choices([n for n, _ in _SIZES], [w for _, w in _SIZES])[0]


def fill(
    world: World, chosen: list[Concept], count: int, chance: random.Random, against: Sequence[Concept] = ()
) -> list[Concept]:
    """Add concepts to *chosen* until there are *count*, none fitting a request for one of *chosen* or *against*."""
    found = list(chosen)
    present = [*chosen, *against]
    anchor = present[0]
    for attempt in range(count * 6):
        if len(found) >= count:
            break
        candidate = (
            world.twin(chance, anchor) if attempt == 0 and chance.random() < 0.7 else world.other(chance, anchor)
        )
        if candidate is not None and all(together(candidate, c) for c in present):
            found.append(candidate)
            present.append(candidate)
    return found


def declare(concepts: Sequence[Concept], chance: random.Random) -> list[Rendered]:
    """Declare *concepts* in one habit of naming, most of the time."""
    taken: set[str] = set()
    habit = styles.name_style(chance)
    return [styles.render(c, chance, taken, habit if chance.random() < 0.85 else None) for c in concepts]
