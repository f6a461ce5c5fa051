"""What the op `bundles` tells, and a canary's report, as the console paints them; lenient like the glance."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Literal

from pydantic import ValidationError

from appliance.contracts.record import JsonObject
from appliance.errors import WireError
from appliance.tui.lawglance import Part

PLACES = ("a", "b", "shipped")
"""Where a bundle can decide from, in the order of the list."""


class Held(Part):
    """A bundle that lies in a place."""

    name: str = ""
    version: str = ""
    release: int = 0
    sha256: str = ""
    expires_at: datetime | None = None
    urgent: bool = False

    @property
    def called(self) -> str:
        """What people call it."""
        return f"{self.name} {self.version or f'release {self.release}'}"


class InSettings(Part):
    """The folder that the settings name."""

    called: str = ""
    sha256: str = ""
    vouched: str = ""
    bad: str = ""
    """Why it is passed over."""


class Trial(Part):
    """How the bundle on trial does, and what it has to come to."""

    powered_s: float = 0.0
    n: int = 0
    refused_n: int = 0
    broken_n: int = 0
    crashes_n: int = 0
    cuts_n: int = 0
    usual: float = 0.0
    least_s: float = 0.0
    least_n: int = 0


class Returned(Part):
    """A bundle that was sent back."""

    sha256: str = ""
    reason: str = ""
    at: datetime | None = None


class Keys(Part):
    """How many of whom it takes."""

    needs: int = 0
    owners: tuple[str, ...] = ()


class Root(Part):
    """Whose word counts."""

    site: str = ""
    version: int = 0
    expires_at: datetime | None = None
    cooldown_days: int = 0
    urgent_needs: int | None = None
    release: Keys = Keys()
    revocation: Keys = Keys()


class Revoked(Part):
    """A key or a bundle that no longer counts."""

    key: str = ""
    sha256: str = ""
    reason: str = ""


class Revocations(Part):
    """The list in force; its newest entries."""

    number: int = 0
    issued_at: datetime | None = None
    expires_at: datetime | None = None
    keys_n: int = 0
    bundles_n: int = 0
    keys: tuple[Revoked, ...] = ()
    bundles: tuple[Revoked, ...] = ()


class Trying(Part):
    """A bundle that the canary looks at now."""

    slot: str = ""
    for_s: float = 0.0


class Delivery(Part):
    """Something that was brought."""

    path: str = ""
    kind: Literal["bundle", "root", "revocations"] = "bundle"
    bytes_n: int = 0


class Check(Part):
    """One question that was put to a bundle."""

    name: str = ""
    passed: bool = False
    tried_n: int = 0
    reason: str = ""


class Report(Part):
    """What the canary said of a bundle."""

    checks: tuple[Check, ...] = ()
    took_s: float = 0.0

    @classmethod
    def parse(cls, result: JsonObject) -> Report:
        """Read the report in an answer; empty where there is none."""
        inner = result.get("report")
        try:
            return cls.model_validate_json(json.dumps(inner if isinstance(inner, dict) else result))
        except ValidationError:
            return cls()


class Models(Part):
    """All bundles of the device, and whom it trusts."""

    decides: str = "shipped"
    chosen: str = "shipped"
    before: str = "shipped"
    named_in_settings: bool = False
    settings: InSettings | None = None
    shipped: Held = Held()
    a: Held | None = None
    b: Held | None = None
    waits_s: dict[str, float] = {}  # noqa: RUF012 -- a frozen record's field
    """By slot: running time that it still has to lie here."""

    signed_by: dict[str, tuple[str, ...]] = {}  # noqa: RUF012 -- a frozen record's field
    revoked: dict[str, str] = {}  # noqa: RUF012 -- a frozen record's field
    """By place: why it must not run."""

    returned: tuple[Returned, ...] = ()
    trial: Trial | None = None
    trying: Trying | None = None
    root: Root | None = None
    revocations: Revocations | None = None
    trust_unreadable: str = ""
    deliveries: tuple[Delivery, ...] = ()

    def at(self, place: str) -> Held | None:
        """Return what lies in *place*."""
        return {"a": self.a, "b": self.b, "shipped": self.shipped}.get(place)

    def called(self, place: str) -> str:
        """Return what people call the bundle in *place*."""
        held = self.at(place)
        return "what came with the software" if place == "shipped" or held is None else held.called

    def sent_back(self, place: str) -> Returned | None:
        """Return why the bundle in *place* was sent back; None where it was not."""
        held = self.at(place)
        return next((one for one in reversed(self.returned) if held is not None and one.sha256 == held.sha256), None)

    @classmethod
    def parse(cls, listed: JsonObject) -> Models:
        """Read the daemon's list.

        Raises:
            WireError: it cannot be painted.
        """
        try:
            return cls.model_validate_json(json.dumps(listed))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise WireError(f"the daemon's list of bundles cannot be read: {where}: {first['msg']}") from error
