"""What a `pruned` record says: which segments are gone, all of them so far, and what their roots were.

The newest such record restates what the earlier ones said, so that they may be pruned themselves. A verifier accepts a
missing segment when the newest `pruned` record names it and the roots that are still here are those that it saw.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Annotated, Literal

from pydantic import Field

from appliance.contracts.record import Record

Run = Annotated[tuple[int, int], Field(description="first and last segment, counted from 0")]


class Pruned(Record):
    """The facts of a `pruned` record."""

    why: Literal["age", "quota"]
    by: str
    """`device`, or the person who asked for it at the socket."""

    records_n: int
    """Records that went with this one."""

    segments: tuple[Run, ...]
    """Segments of this epoch that are gone, this time and ever before; in order, neighbours joined."""

    roots: str
    """SHA-256, in hexadecimal, over the roots of those segments, one after the other."""

    earlier: dict[str, tuple[Run, ...]] = Field(default_factory=dict)
    """The same for earlier epochs that this database still has or had."""


def joined(runs: Sequence[Run], n: int) -> tuple[Run, ...]:
    """Return *runs* with segment *n* added.

    >>> joined(((1, 3), (6, 6)), 4)
    ((1, 4), (6, 6))
    """
    out: list[Run] = []
    for first, last in sorted((*runs, (n, n))):
        if out and first <= out[-1][1] + 1:
            out[-1] = (out[-1][0], max(last, out[-1][1]))
        else:
            out.append((first, last))
    return tuple(out)


def over_roots(roots: Iterable[bytes]) -> str:
    """Return what `Pruned.roots` says of *roots*."""
    hashed = hashlib.sha256()
    for root in roots:
        hashed.update(root)
    return hashed.hexdigest()
