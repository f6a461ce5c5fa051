"""Locks, read strictly: a line that is not `name==version`, a marker and hashes is refused.

Covers: `requirements/*.txt` as `make lock` writes them. An option (`--index-url`), an address or a folder in a lock
would send pip elsewhere; it is a fault here.
Does not cover: whether a version is any good: `ages.py`, `audit.py`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


class BadLock(Exception):
    """A line of a lock that is not a pin with hashes; the message names file and line."""


@dataclass(frozen=True)
class Pin:
    """One version of one package, and the files of it that may be installed."""

    name: str
    version: str
    marker: str
    """Where it is installed, as PEP 508 writes it; empty: everywhere."""
    hashes: frozenset[str]

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


def read(lock: Path) -> list[Pin]:
    """The pins of *lock*, in its order.

    Raises:
        BadLock: a line is something else, or it cannot be read at all.
    """
    try:
        lines = lock.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as why:
        raise BadLock(f"{lock.name}: {why}") from why
    pins = []
    number, entry = 0, ""
    for at, line in enumerate(lines, start=1):
        if not entry and (not line.strip() or line.startswith("#")):
            continue
        number = number if entry else at
        entry += line.removesuffix("\\")
        if not line.endswith("\\"):
            pins.append(_pin(entry, f"{lock.name}, line {number}"))
            entry = ""
    if entry:
        raise BadLock(f"{lock.name}, line {number}: the file ends within an entry; make it again with `make lock`")
    return pins


def together(locks: Iterable[Path]) -> list[Pin]:
    """Every version that any of *locks* names, once, with the hashes of all of them."""
    found: dict[tuple[str, str], Pin] = {}
    for lock in locks:
        for pin in read(lock):
            known = found.get((pin.name, pin.version), pin)
            found[pin.name, pin.version] = Pin(pin.name, pin.version, pin.marker, pin.hashes | known.hashes)
    return sorted(found.values(), key=lambda pin: (pin.name, pin.version))


def _pin(entry: str, where: str) -> Pin:
    text, *hashes = re.split(r"\s+(?=--)", entry.strip())
    digests = [match[1] for match in map(_HASH.fullmatch, hashes) if match]
    try:
        requirement = Requirement(text)
    except InvalidRequirement as why:
        raise BadLock(f"{where}: not a requirement ({text[:60]!r}); a lock holds nothing else") from why
    specifiers = list(requirement.specifier)
    exact = len(specifiers) == 1 and specifiers[0].operator == "==" and "*" not in specifiers[0].version
    if not exact or requirement.url or requirement.extras:
        raise BadLock(f"{where}: {text[:60]!r} is not one exact version by its name")
    if not digests or len(digests) != len(hashes):
        raise BadLock(f"{where}: {text[:60]!r} needs sha256 hashes and no other option")
    marker = str(requirement.marker or "")
    return Pin(canonicalize_name(requirement.name), specifiers[0].version, marker, frozenset(digests))
