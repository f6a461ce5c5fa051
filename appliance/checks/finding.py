"""What a check is given, and what it answers."""

from __future__ import annotations

from typing import Literal, NamedTuple

from appliance.contracts.home import Home
from appliance.settings import Settings

Level = Literal["ok", "warn", "fail"]


class Finding(NamedTuple):
    """One thing that was looked at."""

    check: str
    level: Level
    found: str
    remedy: str = ""


class Patient(NamedTuple):
    """What the checks look at."""

    home: Home
    settings: Settings
