"""Where bundles lie on a device, which of them decides, and how the one on trial does: `HOME/bundles/slots.json`."""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal

from pydantic import Field

from appliance.contracts.bundle import Admitted
from appliance.contracts.manifest import Sha256
from appliance.contracts.record import Record

SLOTS_FORMAT: Final = "appliance-slots/1"

Slot = Literal["a", "b"]
Place = Literal["shipped", "a", "b"]
"""Where a bundle can decide from; what came with the software is always there."""

BUNDLE: Final = "bundle"
"""The model's folder in a delivery; its signatures lie beside it."""

RETURNED_N: Final = 16
"""Bundles that are remembered as returned from."""


class Trial(Record):
    """A bundle that decides, and has yet to prove itself."""

    began_at: datetime
    since_seq: int = Field(ge=0)
    """Records after this one are the trial's."""

    usual_n: int = Field(default=0, ge=0)
    """Requests in words before it, and how many of them were refused: what it is measured against."""

    usual_refused_n: int = Field(default=0, ge=0)
    powered_s: float = Field(default=0.0, ge=0)
    running: bool = False
    """Set at a start, taken back at an orderly end: still set at the next start, the last one ended otherwise."""

    machine_start: str = ""
    """Of the last start: the same at the next one, the process ended and the machine did not."""

    crashes_n: int = Field(default=0, ge=0)
    cuts_n: int = Field(default=0, ge=0)
    """Starts after the machine itself went down without notice."""


class TrialLimits(Record):
    """How long a bundle has to prove itself, and how much worse it may do."""

    least_s: float = Field(default=24 * 3600.0, gt=0)
    """Powered time that a trial lasts at least."""

    longest_s: float = Field(default=7 * 24 * 3600.0, gt=0)
    """A device that hardly anybody speaks to has no more to go by after this."""

    least_n: int = Field(default=20, ge=1)
    """Requests in words that a trial lasts at least."""

    worse: float = Field(default=0.15, gt=0, lt=1)
    """It may refuse or ask back so much more than what was usual."""


class Returned(Record):
    """A bundle that was sent back; it is not activated again unless a person insists."""

    sha256: Sha256
    reason: str
    at: datetime


class Slots(Record):
    """All of it, in one file, exchanged whole."""

    format: Literal["appliance-slots/1"] = SLOTS_FORMAT
    active: Place = "shipped"
    before: Place = "shipped"
    """Where a return goes: the last one that did well."""

    a: Admitted | None = None
    b: Admitted | None = None
    """What lies in a slot; None while something is being put there."""

    trial: Trial | None = None
    """Of the active one; None when it has passed."""

    returned: tuple[Returned, ...] = ()

    def at(self, place: Place) -> Admitted | None:
        """Return what lies in *place*; None for what shipped, too."""
        return {"shipped": None, "a": self.a, "b": self.b}[place]

    def free(self) -> Slot | None:
        """Return the slot that may be filled: never the one that decides, nor the one that a trial would go back to."""
        taken = {self.active, self.before} if self.trial is not None else {self.active}
        order: tuple[Slot, ...] = ("a", "b")
        left = [slot for slot in order if slot not in taken]
        return min(left, key=lambda slot: (self.at(slot) is not None, slot == self.before), default=None)

    def find(self, wanted: str) -> Slot | None:
        """Return the slot called *wanted*, or the one whose bundle's hash begins so, or is `name` or `name/version`."""
        order: tuple[Slot, ...] = ("a", "b")
        found = [slot for slot in order if (lies := self.at(slot)) is not None and _is_called(wanted, slot, lies)]
        return found[0] if len(found) == 1 else None


def _is_called(wanted: str, slot: Slot, lies: Admitted) -> bool:
    by_hash = len(wanted) >= 8 and lies.sha256.startswith(wanted)
    return wanted in {slot, lies.name, f"{lies.name}/{lies.version}"} or by_hash
