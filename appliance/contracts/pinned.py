"""The bundle that comes with the software, by its hash: the software vouches for it, no signature is needed."""

from __future__ import annotations

from typing import Final, NamedTuple


class Pinned(NamedTuple):
    """A bundle that this software knows."""

    name: str
    release: int
    sha256: str
    """Of its manifest, which holds the hash of every other file."""


SHIPPED: Final = Pinned("pointer-small", 1, "66df52702750e9aae21768890d587e97661f12ae704866223fd671a2f55502e4")
