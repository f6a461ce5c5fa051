"""The intents of the data sets as concepts, from `data/human.txt` and `data/clinc.txt`."""

from collections.abc import Mapping
from functools import cache

from firmware_models.corpus import concepts, lexicon
from firmware_models.corpus.concepts import Concept


@cache
def human() -> Mapping[str, Concept]:
    """Concepts with parameters, by intent."""
    return {(c := concepts.parse(block)).key: c for block in concepts.blocks("human.txt")}


@cache
def clinc() -> Mapping[str, Concept]:
    """Concepts without parameters for the intents of CLINC150."""
    found = {}
    for line in lexicon.lines("clinc.txt"):
        intent, names, told = (cell.strip() for cell in line.split(" | "))
        found[f"clinc.{intent}"] = plain(
            f"clinc.{intent}", tuple(names.replace(".", " ").split(", ")), tuple(told.split("; "))
        )
    return found


def metatool(told: Mapping[str, str]) -> Mapping[str, Concept]:
    """Concepts without parameters for the tools of MetaTool."""
    return {
        f"metatool.{name}": plain(f"metatool.{name}", (name,), (text,))
        for name, text in told.items()
        if len(text.split()) < 26 and text.isascii()
    }


def plain(key: str, names: tuple[str, ...], told: tuple[str, ...]) -> Concept:
    """A concept that takes nothing."""
    return Concept(key, key, "", names, told, (), (), domain=key.partition(".")[0])
