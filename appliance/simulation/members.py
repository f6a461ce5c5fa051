"""Names to enrolled devices: each with a key of its own, granted by the controller as any device is."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from pathlib import Path

from appliance.contracts.enrolment import BrokerSettings, DeviceIdentity, EnrolledController, Role
from appliance.fleet import enrolling
from appliance.fleet.home import FleetHome
from appliance.simulation.device import Member
from appliance.trust import enrolment, keys
from appliance.trust.keys import PublicKey


def names(devices_n: int) -> list[str]:
    """Return the names of so many devices."""
    return [f"sim-{n:05d}" for n in range(devices_n)]


def enrol(home: FleetHome, wanted: list[str], *, beside: PublicKey, slow: dict[str, BrokerSettings]) -> list[Member]:
    """Enrol the *wanted* devices with *home*, and with the simulation's own controller, whose key is *beside*.

    Args:
        slow: another way to the broker, for the devices that take it.
    """
    commander = EnrolledController(public_key=beside.raw.hex(), name="simulation", role=Role.OPERATOR)
    found = []
    with tempfile.TemporaryDirectory(prefix="enrol-", dir=home.path) as folder, home.writing():
        asked, granted = Path(folder) / "request.json", Path(folder) / "grant.json"
        for name in wanted:
            key = keys.fleeting()
            identity = DeviceIdentity(site=home.settings.site, device=name, public_key=key.public.raw.hex())
            enrolment.write_request(key, identity, asked)
            grant = enrolling.grant(home, asked, granted, role=Role.OPERATOR, now=datetime.now(UTC))
            both = grant.model_copy(
                update={"controllers": (*grant.controllers, commander), "broker": slow.get(name, grant.broker)}
            )
            found.append(Member(name, key, both))
    return found
