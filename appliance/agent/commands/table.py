"""Every command of the protocol: one row says how it is carried out, and what it needs.

docs/reference/wire.md is printed from it.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from appliance.contracts.envelope import MAX_COMMAND_BYTES, MAX_LAWS_BYTES

Way = Literal["request", "now", "errand", "update", "local"]
"""`request`: a row of the inbox, judged like everybody's. `now`: before the message is acknowledged. `errand`: kept,
and done beside the turns, again after a power cut. `update`: kept and begun once; a second one waits for nobody, it is
refused. `local`: only a person at the device does it; from afar it is refused."""


class Kind(NamedTuple):
    """One command."""

    name: str
    way: Way
    acts: bool = True
    """Not without knowing the time, or the nonce of this start; nor once the counters are lost."""

    to_all: bool = False
    """May be said to a whole site."""

    limit_bytes: int = MAX_COMMAND_BYTES


_TABLE: Final = (
    Kind("ping", "now", acts=False, to_all=True),
    Kind("stop", "now", acts=False, to_all=True),
    Kind("ask", "request", to_all=True),
    Kind("call", "request", to_all=True),
    Kind("event", "request", to_all=True),
    Kind("trust", "now", acts=False, to_all=True),  # its own signatures and numbers say whether it counts
    Kind("set-config", "now"),  # a version is one device's
    Kind("update", "update"),
    Kind("laws", "errand", to_all=True, limit_bytes=MAX_LAWS_BYTES),
    Kind("export-audit", "errand"),
    Kind("diagnose", "errand", to_all=True),
    Kind("release", "local"),
    Kind("approve", "local"),
    Kind("confirm", "local"),
    Kind("answer", "local"),
)

KINDS: Final = {kind.name: kind for kind in _TABLE}

WHY_LOCAL: Final = {
    "release": "the emergency stop is released by a person who stands at the device and sees that it is safe",
    "approve": "enrolled people approve at the device, with name and PIN; a controller has none",
    "confirm": "a person at the device confirms: that is what the question is for",
    "answer": "a person at the device answers what the device asks",
}
