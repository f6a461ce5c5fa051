"""Which domains and which phrasing families training never sees."""

from typing import Final

from firmware_models.corpus import domains
from firmware_models.corpus.catalogues import World
from firmware_models.corpus.concepts import Concept, services
from firmware_models.corpus.domains import Domain

HELD_OUT_DOMAINS: Final = frozenset(
    (
        "brewery",
        "print shop",
        "theatre stage",
        "sailing boat",
        "hospital ward",
        "parking garage",
        "observatory",
        "greenhouse",
        "hotel rooms",
        "ice rink",
        "smart watch",
        "railway station",
        "coworking space",
        "escape room",
        "heating plant",
        "veterinary clinic",
        "camper van",
    )
)
HELD_OUT_SERVICES: Final = frozenset(
    ("parking", "laundry pickup", "translation", "podcasts", "deliveries", "meetings", "plants diary")
)


def training_world() -> World:
    """What training rows draw on."""
    return World(_places(held=False), _written(held=False))


def development_world() -> World:
    """What the rows of unseen tools draw on."""
    return World(_places(held=True), _written(held=True))


def _places(*, held: bool) -> list[Domain]:
    return [d for d in domains.domains() if (d.name in HELD_OUT_DOMAINS) == held]


def _written(*, held: bool) -> list[Concept]:
    return [c for c in services() if (c.domain in HELD_OUT_SERVICES) == held]
