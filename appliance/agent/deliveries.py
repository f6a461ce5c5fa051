"""What somebody has brought: files that look like deliveries, on sticks and where a network puts them.

Covers: a stick that was pulled, folders that cannot be read, links, names that no terminal should be sent, thousands of
files. Of a file that may be a document only what it says it is is read, and of so many that this takes no time.
Does not cover: whether any of it is true; nothing is taken or begun by itself.
"""

from __future__ import annotations

import dataclasses
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Literal, NamedTuple

from appliance.contracts.bundle import DocumentKind
from appliance.contracts.slots import BUNDLE
from appliance.contracts.trustroot import Revocations, Root
from appliance.trust import documents
from appliance.trust.untrusted import Untrusted

MOUNTS: Final = (Path("/media"), Path("/run/media"))
"""Where Debian's tools put a stick: `/media/STICK`, `/media/PERSON/STICK`, `/run/media/PERSON/STICK`."""

DEEPEST: Final = 3
FOUND_N: Final = 24
LOOKED_N: Final = 2000
"""Names that are looked at; a stick full of photographs is not read through."""

READ_N: Final = 16
"""Files that may be documents are read, in all."""

MAX_READ_BYTES: Final = 256 * 1024
"""Of one; a larger document is taken by its path."""

_MANIFEST: Final = "manifest.json"


class Delivery(NamedTuple):
    """Something that could be installed, or taken as a root or revocation list."""

    path: str
    kind: Literal["bundle"] | DocumentKind
    """Of a document: what it says it is; nobody has looked at its signatures."""

    bytes_n: int


@dataclasses.dataclass
class _Left:
    """How much more may be looked at."""

    names_n: int = LOOKED_N
    reads_n: int = READ_N


def found(incoming: Path, mounts: Sequence[Path] = MOUNTS) -> list[Delivery]:
    """Return what lies in *incoming* and on the sticks that are mounted below *mounts*."""
    left = _Left()
    here = [*_below(incoming, 1, left)]
    for mount in mounts:
        here += _below(mount, DEEPEST, left)
    return here[:FOUND_N]


def _below(folder: Path, levels: int, left: _Left) -> Iterator[Delivery]:
    try:
        with os.scandir(folder) as listing:
            entries = []
            for entry in listing:
                left.names_n -= 1
                if left.names_n < 0:
                    break
                entries.append(entry)
    except OSError:
        return
    for entry in sorted(entries, key=lambda one: one.name):
        # A name that no terminal can show whole is nobody's release.
        if entry.name.startswith(".") or not entry.name.isprintable():
            continue
        try:
            about = entry.stat(follow_symlinks=False)
        except OSError:
            continue
        if stat.S_ISREG(about.st_mode):
            if entry.name.endswith(".tar"):
                yield Delivery(entry.path, "bundle", about.st_size)
            elif entry.name.endswith(".json") and (kind := _document(entry.path, left)) is not None:
                yield Delivery(entry.path, kind, about.st_size)
        elif stat.S_ISDIR(about.st_mode):
            if (Path(entry.path) / BUNDLE / _MANIFEST).is_file():
                yield Delivery(entry.path, "bundle", 0)
            elif levels > 1:
                yield from _below(Path(entry.path), levels - 1, left)


def _document(path: str, left: _Left) -> DocumentKind | None:
    """Read what a file says it is; None where it is nothing that a device takes."""
    left.reads_n -= 1
    if left.reads_n < 0:
        return None
    try:
        # What was a plain file a moment ago may be a link or a pipe by now.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                return None
            data = file.read(MAX_READ_BYTES + 1)
        if len(data) > MAX_READ_BYTES:
            return None
        kind = documents.kind_of(documents.envelope(data))
    except (OSError, Untrusted):
        return None
    return "root" if kind is Root else "revocations" if kind is Revocations else None
