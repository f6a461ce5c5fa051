"""Which signs this terminal can draw: every one has a form in plain ASCII."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple


class Glyphs(NamedTuple):
    """The signs of the console; meaning is never in a sign or a colour alone, a word stands beside it."""

    done: str
    refused: str
    failed: str
    doubt: str
    waiting: str
    asked: str
    acting: str
    event: str
    full: str
    empty: str
    on: str
    off: str
    dot: str
    arrow: str

    def of(self, status: str) -> str:
        """Return the sign of a request's status."""
        return {
            "done": self.done,
            "refused": self.refused,
            "failed": self.failed,
            "indeterminate": self.doubt,
            "waiting": self.waiting,
            "asked": self.asked,
            "acting": self.acting,
        }.get(status, self.event)


RICH: Final = Glyphs("✓", "✗", "!", "≈", "…", "?", "▸", "·", "█", "░", "●", "○", "·", "→")
PLAIN: Final = Glyphs("+", "x", "!", "~", ".", "?", ">", "-", "#", ".", "*", "o", "-", "->")

STATUS_WORDS: Final = {
    "done": "done",
    "refused": "refused",
    "failed": "failed",
    "indeterminate": "in doubt",
    "waiting": "waits for a yes",
    "asked": "asks back",
    "acting": "under way",
}

STATUS_STYLES: Final = {
    "done": "$text-success",
    "refused": "$text-warning",
    "failed": "$text-error",
    "indeterminate": "$text-error",
    "waiting": "$text-warning",
    "asked": "$text-accent",
    "acting": "$text-primary",
}


def is_plain(environ: Mapping[str, str], encoding: str) -> bool:
    """Return whether to keep to ASCII: a Linux text console, an old terminal, or one that is not UTF-8."""
    term = environ.get("TERM", "")
    if term in ("linux", "dumb") or term.startswith("vt"):
        return True
    return "utf" not in encoding.lower()


def has_colour(environ: Mapping[str, str]) -> bool:
    """Return whether the terminal shows colours and the person wants them."""
    term = environ.get("TERM", "")
    return not environ.get("NO_COLOR") and term != "dumb" and not term.startswith("vt")
