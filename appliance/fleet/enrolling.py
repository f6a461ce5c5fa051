"""A device to a member of the fleet: a request out of the device, a grant back into it, by file or in one go."""

from __future__ import annotations

import secrets
import tempfile
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from appliance.contracts.canonical import digest
from appliance.contracts.enrolment import BrokerSettings, DeviceIdentity, Enrolment, Role
from appliance.contracts.home import Home
from appliance.contracts.topics import EVERY_DEVICE
from appliance.errors import SettingsError, StorageError, UsageError
from appliance.fleet import numbering
from appliance.fleet.home import FleetHome, iso
from appliance.storage import floors
from appliance.storage.database import open_reader
from appliance.trust import authority, certificates, enrolment, parcels, rotation


class Door(NamedTuple):
    """How devices come in at the broker, and who issues their certificates."""

    broker: BrokerSettings
    authority: Path | None = None
    """A folder that is an authority, and signs; or the certificate of one that is elsewhere."""

    issued: Path | None = None
    """What an authority elsewhere has issued to the device."""

    is_new_key: bool = False
    """Somebody says that this device's name has another key than the authority knows."""


def request(
    device_home: Path, *, site: str, device: str | None, out: Path, asks_certificate: bool = False
) -> DeviceIdentity:
    """Write what the controller must know of the device in *device_home* to *out*; runs on the device.

    Args:
        asks_certificate: a key for the connection is made, and a certificate is asked for; the same request lies beside
            *out* for an authority of other software.

    Raises:
        UsageError: the names cannot be used.
        TrustError: the device's key cannot be used, or *out* cannot be written.
    """
    if enrolment.is_copied(device_home):
        # The board that the card was copied from goes on with the key that lies here.
        enrolment.become_another(device_home)
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
    if asks_certificate:
        asked = certificates.first_request(device_home, name)
        identity = identity.model_copy(update={"certificate_request": asked.decode()})
        certificates.write(out.with_suffix(".csr"), asked)
    enrolment.write_request(key, identity, out)
    return identity


def door(
    home: FleetHome,
    *,
    broker: str | None,
    authority: Path | None,
    issued: Path | None,
    is_new_key: bool = False,
    **files: str | None,
) -> Door:
    """Read how a device comes in from what a command line says.

    Args:
        broker: HOST:PORT; the controller's own where that needs no certificate.
        is_new_key: the device's name has another key than the authority knows, and that is meant.
        files: paths of `BrokerSettings`, as the device finds them.

    Raises:
        UsageError: the choices contradict each other, or a device would be sent to the controllers' port.
    """
    given = {name: path for name, path in files.items() if path is not None}
    if authority is not None and given:
        raise UsageError(
            "--authority puts the certificate into the grant; say it without --ca, --certificate and --key"
        )
    if is_new_key and (authority is None or not authority.is_dir()):
        raise UsageError("--new-key goes with --authority FOLDER: the authority that knows another key for this name")
    if issued is not None and (authority is None or authority.is_dir()):
        raise UsageError("--issued goes with --authority FILE: the certificate of the authority that issued it")
    if authority is not None:
        given["ca_file"] = str(certificates.AUTHORITY)
        if issued is not None or authority.is_dir():
            given |= {"certificate_file": str(certificates.CERTIFICATE), "key_file": str(certificates.KEY)}
    if broker is not None:
        return Door(broker_at(broker, **given), authority, issued, is_new_key)
    if home.broker.certificate_file is not None:
        raise UsageError("--broker HOST:PORT is missing: devices come in by another port than this controller")
    return Door(home.broker.model_copy(update=given), authority, issued, is_new_key)


def grant(
    home: FleetHome, request_file: Path, out: Path, *, role: Role, now: datetime, door: Door | None = None
) -> Enrolment:
    """Enrol the device of *request_file* and write its grant to *out*; runs on the controller.

    Args:
        door: how it comes in; as this controller itself does, when left out.

    Raises:
        UsageError: another site's device, or a name that another key has already.
        TrustError: the request is damaged or altered, or no certificate can be issued to it.
    """
    identity = enrolment.read_request(request_file)
    if identity.site != home.settings.site:
        raise UsageError(
            f"{identity.device} asks for the site {identity.site!r}, this controller serves {home.settings.site!r}"
        )
    row = home.db.row("select public_key from devices where device = ?", [identity.device])
    if row is not None and row["public_key"] != identity.public_key:
        raise UsageError(
            f"{identity.device} is enrolled with another key; if the card was replaced,"
            f" `fleet forget {identity.device}` first"
        )
    certificate, believed = ("", "") if door is None else _papers(door, identity, now)
    written = enrolment.write_grant(
        home.key,
        home.settings.name,
        identity,
        home.broker if door is None else door.broker,
        out,
        role=role,
        sealing_key=parcels.load_or_make(home.path / parcels.SEALING_KEY).public.hex(),
        counter=numbering.last_number(home, identity.device),
        group_counter=numbering.last_number(home, EVERY_DEVICE),
        grant_id=secrets.token_hex(8),
        certificate=certificate,
        authority=believed,
    )
    with home.writing():
        home.db.execute(
            "insert into devices (device, site, public_key, role, hardware_id, enrolled_at) values (?, ?, ?, ?, ?, ?)"
            " on conflict (device) do update set site = excluded.site, public_key = excluded.public_key,"
            " role = excluded.role, hardware_id = excluded.hardware_id, enrolled_at = excluded.enrolled_at",
            [
                *(identity.device, identity.site, identity.public_key),
                *(role.value, identity.hardware_id, iso(now)),
            ],
        )
    return written


def forget(home: FleetHome, device: str) -> bool:
    """Forget *device* and its key; what it reported stays.

    Returns:
        Whether it was known.
    """
    with home.writing():
        return home.db.execute("delete from devices where device = ?", [device]) == 1


def _papers(door: Door, identity: DeviceIdentity, now: datetime) -> tuple[str, str]:
    """Return the certificate of the device and that of its authority, as far as the grant brings them."""
    if door.authority is None:
        return "", ""
    if door.authority.is_dir():
        if not identity.certificate_request:
            raise UsageError(f"{identity.device} asked for no certificate; have it ask again with `fleet request`")
        signer = authority.load(door.authority)
        asked = identity.certificate_request.encode()
        issued_now = authority.issue(signer, asked, identity.device, now=now, is_new_key=door.is_new_key)
        return issued_now.decode(), signer.pem.decode()
    believed = certificates.read(door.authority)
    if door.issued is None:
        return "", believed
    issued = certificates.read(door.issued)
    certificates.check(identity.certificate_request, identity.device, certificate=issued, authority=believed)
    return issued, believed


def enrol_here(
    home: FleetHome,
    device_home: Path,
    *,
    device: str | None,
    role: Role,
    replace: bool,
    now: datetime,
    door: Door | None = None,
) -> Enrolment:
    """Do both halves for a device whose home is on this machine."""
    with tempfile.TemporaryDirectory(prefix="enrol-") as folder:
        asked, granted = Path(folder) / "request.json", Path(folder) / "grant.json"
        asks = door is not None and door.authority is not None
        request(device_home, site=home.settings.site, device=device, out=asked, asks_certificate=asks)
        grant(home, asked, granted, role=role, now=now, door=door)
        return install(device_home, granted, replace=replace)


def install(device_home: Path, grant_file: Path, *, replace: bool) -> Enrolment:
    """Make the grant in *grant_file* the enrolment of the device in *device_home*, and begin to count for it.

    Raises:
        UsageError: which commands were used is lost here, and this is the grant from before that.
        TrustError: it is for another device or board, altered, or another controller's and *replace* was not said.
        StorageError: the home cannot be written.
    """
    beside = Home(device_home).floors
    installed = device_home / enrolment.ENROLMENT
    if floors.read(beside) is None and installed.exists() and installed.read_bytes() == grant_file.read_bytes():
        raise UsageError(
            "this is the grant that is here already, and which of its commands were used is lost: have a new one made"
            " (`fleet request`, then `fleet enrol` on the controller)"
        )
    written = enrolment.install(device_home, grant_file, replace=replace)
    floors.begin(beside, digest(written.model_dump(mode="json")))
    return written


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
