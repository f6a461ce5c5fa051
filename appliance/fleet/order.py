"""Which of two statements of a device is the newer one: what a broker keeps, it may say again at any time.

Starts and connections are counted, and within one connection a device's clock decides. Covers: a will that comes late,
a retained state or description that is brought again years later, a device with a new database (it counts anew).
Does not cover: a clock that is set back while connected: until it has caught up, or connects again, the device has said
nothing new.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final, NamedTuple

from appliance.contracts.envelope import Desc, State

_LEFT: Final = ("lost", "disconnected")


class Known(NamedTuple):
    """What a device said last of how it is."""

    state: str
    epoch: str
    boot: int
    session: int
    time: str
    at: datetime


def follows(state: State, known: Known | None, *, is_left: bool) -> bool:
    """Tell whether *state* is newer than *known*.

    Args:
        is_left: the device has said something in that epoch before, and was in another one since.
    """
    if known is None:
        return True
    if state.epoch != known.epoch:
        # Only the will of the old database can come after a new one. A device goes back to one that it has left by a
        # restored image; an old message is no newer for being brought again.
        return state.state != "lost" and (not is_left or (state.time == "trusted" and state.at > known.at))
    said, knows = (state.boot, state.session), (known.boot, known.session)
    if said != knows:
        return said > knows
    if known.state in _LEFT:
        return known.state == state.state == "disconnected" and state.at > known.at  # by a stick, again and again
    # A will is as old as its connection. A clock that has become right may have been ahead.
    return state.state == "lost" or state.at > known.at or (known.time, state.time) == ("untrusted", "trusted")


def describes_anew(desc: Desc, known: Desc | None, *, is_left: bool) -> bool:
    """Tell whether *desc* is newer than *known*.

    Args:
        is_left: the device has said something in that epoch before, and is in another one.
    """
    if known is None:
        return True
    if desc.epoch != known.epoch:
        return not is_left
    return (desc.boot, desc.at) > (known.boot, known.at)
