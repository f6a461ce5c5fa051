"""A device to a member of the fleet: a request out of the device, a grant back into it, by file or in one go."""

from __future__ import annotations

import tempfile
from datetime import datetime
from pathlib import Path

from pydantic import ValidationError

from appliance.contracts.enrolment import BrokerSettings, DeviceIdentity, Enrolment, Role
from appliance.contracts.home import Home
from appliance.contracts.topics import EVERY_DEVICE
from appliance.errors import SettingsError, StorageError, UsageError
from appliance.fleet.home import FleetHome, iso
from appliance.storage.database import open_reader
from appliance.trust import enrolment, rotation


def request(device_home: Path, *, site: str, device: str | None, out: Path) -> DeviceIdentity:
    """Write what the controller must know of the device in *device_home* to *out*; runs on the device.

    Raises:
        UsageError: the names cannot be used.
        TrustError: the device's key cannot be used, or *out* cannot be written.
    """
    key = rotation.current(device_home, make=True)
    name = device or enrolment.device_name(device_home, key)
    if name == EVERY_DEVICE:
        raise UsageError(f"no device may be called {EVERY_DEVICE!r}")
    try:
        identity = DeviceIdentity(
            site=site,
            device=name,
            public_key=key.public.raw.hex(),
            epoch=_epoch(device_home),
            hardware_id=enrolment.hardware_id(),
        )
    except ValidationError as error:
        raise UsageError(f"site {site!r}, device {name!r}: use a-z, 0-9 and inner hyphens") from error
    enrolment.write_request(key, identity, out)
    return identity


def grant(home: FleetHome, request_file: Path, out: Path, *, role: Role, now: datetime) -> Enrolment:
    """Enrol the device of *request_file* and write its grant to *out*; runs on the controller.

    Raises:
        UsageError: another site's device, or a name that another key has already.
        TrustError: the request is damaged or altered.
    """
    identity = enrolment.read_request(request_file)
    if identity.site != home.settings.site:
        raise UsageError(
            f"{identity.device} asks for the site {identity.site!r}, this controller serves {home.settings.site!r}"
        )
    row = next(home.db.query("select public_key from devices where device = ?", [identity.device]), None)
    if row is not None and row["public_key"] != identity.public_key:
        raise UsageError(
            f"{identity.device} is enrolled with another key; if the card was replaced,"
            f" `fleet forget {identity.device}` first"
        )
    written = enrolment.write_grant(home.key, home.settings.name, identity, home.broker, out, role=role)
    with home.writing():
        home.db.table("devices").upsert(
            {
                "device": identity.device,
                "site": identity.site,
                "public_key": identity.public_key,
                "role": role.value,
                "hardware_id": identity.hardware_id,
                "enrolled_at": iso(now),
            },
            pk="device",
        )
    return written


def forget(home: FleetHome, device: str) -> bool:
    """Forget *device* and its key; what it reported stays.

    Returns:
        Whether it was known.
    """
    with home.writing():
        return home.db.execute("delete from devices where device = ?", [device]).rowcount == 1


def enrol_here(
    home: FleetHome, device_home: Path, *, device: str | None, role: Role, replace: bool, now: datetime
) -> Enrolment:
    """Do both halves for a device whose home is on this machine."""
    with tempfile.TemporaryDirectory(prefix="enrol-") as folder:
        asked, granted = Path(folder) / "request.json", Path(folder) / "grant.json"
        request(device_home, site=home.settings.site, device=device, out=asked)
        grant(home, asked, granted, role=role, now=now)
        return enrolment.install(device_home, granted, replace=replace)


def broker_at(text: str, **more: object) -> BrokerSettings:
    """Read HOST:PORT.

    Raises:
        UsageError: it is neither a host nor a host with a port.
    """
    host, _, port = text.rpartition(":")
    if not host:
        host, port = text, "8883"
    try:
        # Strings become numbers here and only here: a command line has nothing else.
        return BrokerSettings.model_validate({"host": host.strip("[]"), "port": int(port), **more})
    except (ValueError, ValidationError) as error:
        raise UsageError(f"broker {text!r}: write HOST:PORT") from error


def _epoch(device_home: Path) -> str | None:
    try:
        reader = open_reader(Home(device_home).database)
    except StorageError:
        return None
    try:
        row = reader.execute("select value from meta where key = 'epoch'").fetchone()
    except Exception as error:
        raise SettingsError(f"{Home(device_home).database} cannot be read: {error}") from error
    finally:
        reader.close()
    return None if row is None else str(row["value"])
