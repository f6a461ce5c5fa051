"""What a call set going and still goes on: a heating that follows its target, a machine that runs for a while.

The laws are asked again about such an order, as long as it has an effect. Where they are against it, the family goes to
the safe side and says why.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from appliance.contracts.toolcall import ToolCall

Permit = Callable[[ToolCall], str]
"""Why a call that was once granted may not go on having its effect; empty while it may."""


def anything(_call: ToolCall) -> str:
    """Permit everything: a site without laws."""
    return ""


class Change(NamedTuple):
    """An order was held back, or goes on."""

    order: ToolCall
    held: str
    """Why it is held back; empty when it goes on."""
