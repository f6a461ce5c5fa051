"""The daemon's status reply to what the console paints; lenient, so that an older console shows a newer daemon."""

from __future__ import annotations

import json
from datetime import datetime

from pydantic import Field, ValidationError

from appliance.contracts.local import Outcome
from appliance.contracts.record import JsonObject
from appliance.errors import WireError
from appliance.tui.lawglance import Laws, Part


class Bundle(Part):
    """The network in use."""

    name: str = ""
    version: str = ""
    sha256: str = ""


class Mark(Part):
    """How far a stream has come."""

    sent: int = 0
    acked: int = 0
    newest: int = 0

    @property
    def queued_n(self) -> int:
        """What the controller has not acknowledged yet."""
        return max(0, self.newest - self.acked)


class Link(Part):
    """The fleet's side of the device."""

    enrolled: bool = False
    connected: bool = False
    audit: Mark = Mark()
    evt: Mark = Mark()
    oldest_unsent_at: datetime | None = None


class Checkpoint(Part):
    """The newest signed statement of how far the ledger is."""

    size: int = 0
    at: datetime | None = None
    root: str = ""


class Ledger(Part):
    """How far the ledger is, and how far the device has signed it."""

    epoch: str = ""
    records: int = 0
    unsigned: int = 0
    checkpoint: Checkpoint | None = None
    key_id: str = ""
    verifier: str = ""
    began: str = ""
    used_bytes: int = 0
    quota_bytes: int = 0
    days_left: float | None = None
    """Until the quota is reached at the present rate."""

    pruned_n: int = 0
    holds_n: int = 0


class Glance(Part):
    """The device at a glance."""

    device: str = ""
    name: str = ""
    site: str = ""
    state: str = ""
    boot: int = 0
    version: str = ""
    bundle: Bundle = Bundle()
    runtime: str = ""
    clock: str = "untrusted"
    simulated: bool = False
    locked: bool = False
    degraded: tuple[str, ...] = ()
    devices: JsonObject = Field(default_factory=dict)
    waiting: tuple[Outcome, ...] = ()
    """What waits for a person: confirmations and questions, oldest first."""

    indeterminate: tuple[JsonObject, ...] = ()
    link: Link = Link()
    ledger: Ledger = Ledger()
    laws: Laws = Laws()

    @property
    def state_word(self) -> str:
        """The state in a word; in a house with locks an emergency stop is not called `locked`."""
        return "stopped" if self.state == "locked" else self.state

    @classmethod
    def parse(cls, status: JsonObject) -> Glance:
        """Read a status reply.

        Raises:
            WireError: it cannot be painted.
        """
        try:
            return cls.model_validate_json(json.dumps(status))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise WireError(f"the daemon's status cannot be read: {where}: {first['msg']}") from error
