"""The owner's settings to a second model, or to none: nothing is imported, opened or asked for one that is off."""

from __future__ import annotations

from pathlib import Path

from appliance.adapters import passing
from appliance.adapters.chosen import EscalationSettings
from appliance.adapters.saying import Proposer


def choose(chosen: EscalationSettings, home: Path) -> Proposer | None:
    """Return the second model that the owner chose; None where it is off."""
    match chosen.proposer:
        case "off":
            return None
        case "server":
            from appliance.adapters.server import Server

            return Server(chosen, home)
        case "needle":
            from appliance.adapters.needle import Needle

            return Needle(chosen, home)


def has_passed(chosen: EscalationSettings, home: Path) -> bool:
    """Return whether it may be asked as far as the safety suite goes: weights have to pass it, a server need not."""
    if chosen.proposer != "needle":
        return True
    from appliance.adapters.needle import PINNED

    return passing.has(home, passing.of(chosen, PINNED))


def note(chosen: EscalationSettings, home: Path, *, is_passed: bool, is_whole: bool) -> None:
    """Keep that weights passed the whole suite, or take it back where any of it failed; keep nothing of a server."""
    if chosen.proposer != "needle":
        return
    from appliance.adapters.needle import PINNED

    if not is_passed:
        passing.take_back(home)
    elif is_whole:
        passing.note(home, passing.of(chosen, PINNED))
