"""A request of the local protocol that an enrolled person may sign."""

from __future__ import annotations

from pydantic import Field

from appliance.contracts.record import Record


class Known(Record):
    """A request that may say which enrolled person makes it."""

    person: str = ""
    pin: str = Field(default="", repr=False)
    """Checked at the door and forgotten: never stored, never logged."""
