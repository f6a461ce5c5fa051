"""A set of laws to the text that its owner signs, and back.

Covers: text that only looks like a set (one form, strict, bounded), a set that was altered, cut, extended, joined with
another, or signed by another key; a name, a device or a law that is there twice.
Does not cover: whether the set is newer than the last one, and whether the files are the signed ones; that takes what
a device remembers and has (`agent.law_sets`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from appliance.contracts.topics import is_name
from appliance.errors import WireError
from appliance.trust import notes
from appliance.trust.keys import SigningKey
from appliance.trust.notes import Note, Verifier
from appliance.trust.owner import NAME

ORIGIN: Final = "edge-agent-appliance/laws"
"""First line of the signed text: nothing else that such a key may sign begins like this."""

MAX_LAWS_N: Final = 32
MAX_DEVICES_N: Final = 256

_NUMBER: Final = re.compile(r"[1-9][0-9]{0,15}")
_LAW: Final = re.compile(
    r"law (?P<name>[a-z][a-z0-9_]{0,63}) (?P<version>[1-9][0-9]{0,9})"
    r" (?P<sha256>[0-9a-f]{64}) (?P<bytes>[1-9][0-9]{0,8})"
)


class SignedLaw(NamedTuple):
    """One file of a set; what the file itself is called does not matter."""

    name: str
    """Of the workflow."""

    version: int
    sha256: str
    bytes_n: int


class LawSet(NamedTuple):
    """Which laws hold where: what an owner signs."""

    number: int
    """Grows with every set that the owner signs for a site."""

    site: str
    devices: tuple[str, ...]
    """For these alone; for every device of the site when empty."""

    laws: tuple[SignedLaw, ...]
    """By name. None: nothing is governed any more, and the owner says so."""

    def __str__(self) -> str:
        """Return the text that is signed."""
        lines = [ORIGIN, f"set {self.number}", f"site {self.site}", f"devices {' '.join(self.devices) or '*'}"]
        lines += [f"law {law.name} {law.version} {law.sha256} {law.bytes_n}" for law in self.laws]
        return "".join(f"{line}\n" for line in lines)

    def holds_at(self, site: str, device: str) -> bool:
        """Tell whether the set is for *device* at *site*."""
        return site == self.site and (not self.devices or device in self.devices)


def law_set(number: int, site: str, devices: Iterable[str], laws: Iterable[SignedLaw]) -> LawSet:
    """Return a set in its one form.

    Raises:
        WireError: it has none: a name that cannot be one, a law twice, too many.
    """
    made = LawSet(number, site, tuple(sorted(devices)), tuple(sorted(laws)))
    return parse_set(str(made))


def parse_set(text: str) -> LawSet:
    """Read the text of a set.

    Raises:
        WireError: it is not exactly the form; the message says which line.
    """
    lines = text.split("\n")
    if lines.pop() != "" or len(lines) < 4 or lines[0] != ORIGIN:
        raise WireError(f"not a set of laws: {ORIGIN!r}, set, site, devices, and a line for each law are wanted")
    number = lines[1].removeprefix("set ") if lines[1].startswith("set ") else ""
    if not _NUMBER.fullmatch(number):
        raise WireError(f"not a set of laws: line 2 is {lines[1][:80]!r}, `set NUMBER` is wanted, from 1 on")
    site = lines[2].removeprefix("site ") if lines[2].startswith("site ") else ""
    if not is_name(site):
        raise WireError(f"not a set of laws: line 3 is {lines[2][:80]!r}, `site NAME` is wanted")
    listed = lines[3].removeprefix("devices ") if lines[3].startswith("devices ") else ""
    devices = () if listed == "*" else tuple(listed.split(" "))
    if len(devices) > MAX_DEVICES_N or not all(map(is_name, devices)) or list(devices) != sorted(set(devices)):
        raise WireError(
            f"not a set of laws: line 4 is {lines[3][:80]!r}, `devices *` or the names of at most {MAX_DEVICES_N}"
            " devices in their order are wanted"
        )
    if len(lines) - 4 > MAX_LAWS_N:
        raise WireError(f"a set of {len(lines) - 4} laws; {MAX_LAWS_N} are allowed")
    laws = tuple(_law(n, line) for n, line in enumerate(lines[4:], 5))
    names = [law.name for law in laws]
    if names != sorted(set(names)):
        raise WireError("not a set of laws: its laws are not in the order of their names, each once")
    return LawSet(int(number), site, devices, laws)


def sign_set(made: LawSet, key: SigningKey, name: str = NAME) -> Note:
    """Return *made* as a note signed by its owner."""
    return notes.sign(str(made), name, key)


def check_set(data: bytes, owner: Verifier) -> LawSet:
    """Return the set that *owner* signed in *data*.

    Raises:
        WireError: not a note, or not a set.
        TrustError: not signed by *owner*, or the signature does not hold.
    """
    note = notes.parse(data)
    notes.verified(note, (owner,))
    return parse_set(note.text)


def _law(n: int, line: str) -> SignedLaw:
    found = _LAW.fullmatch(line)
    if found is None:
        raise WireError(f"not a set of laws: line {n} is {line[:80]!r}, `law NAME VERSION SHA256 BYTES` is wanted")
    return SignedLaw(found["name"], int(found["version"]), found["sha256"], int(found["bytes"]))
