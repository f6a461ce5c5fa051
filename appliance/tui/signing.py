"""What a person signs with a PIN, and the PIN on its way: asked for each act, handed on once, kept nowhere."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple


@dataclasses.dataclass(frozen=True)
class Signature:
    """Who signs; it lives from the key press to the request, and no text of it holds the PIN."""

    person: str
    pin: str = dataclasses.field(repr=False)
    said: str = ""
    """What was asked beside: why, or which path."""


class Asks(NamedTuple):
    """A line of text that is asked beside name and PIN."""

    title: str
    hint: str
    missing: str
    """What is said where it is left empty."""

    max_chars: int


class Signing(NamedTuple):
    """What is asked of a person."""

    title: str
    text: str
    yes: str
    """What Enter does, in a word or two."""

    needs_person: bool = True
    asks: Asks | None = None
