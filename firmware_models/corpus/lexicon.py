"""Word lists for values, from `data/lexicon.txt`."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

DATA: Final = Path(__file__).parent / "data"


def lines(name: str) -> tuple[str, ...]:
    """The lines of a table of `data/`, without its comments."""
    text = (DATA / name).read_text("utf-8")
    return tuple(line for line in text.splitlines() if line and not line.startswith("# "))


@cache
def chatter() -> tuple[str, ...]:
    """What people say that asks for nothing."""
    return lines("chatter.txt")


@cache
def lists() -> Mapping[str, tuple[str, ...]]:
    """Every word list by name."""
    found: dict[str, tuple[str, ...]] = {}
    for line in lines("lexicon.txt"):
        name, _, entries = line.partition(": ")
        found[name] = tuple(entries.split("|"))
    return found
