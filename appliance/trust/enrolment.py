"""Two files that bind a device to its controllers: the device's signed identity out, a signed grant in.

Covers: a grant for another device (refused by key), an altered grant (refused by signature), a second controller that
wants to take over (refused unless the person at the device says so), a card that was copied to another board (refused
by the board's number). Does not cover: who stands at the device; whoever may write its home may enrol it. Boards that
have no number of their own: a machine id is copied with the card.
"""

from __future__ import annotations

import os
from pathlib import Path

from appliance import lasting
from appliance.contracts.enrolment import BrokerSettings, DeviceIdentity, EnrolledController, Enrolment, Role
from appliance.contracts.rotation import SignedRotation
from appliance.errors import TrustError
from appliance.trust import certificates, keys, rotation
from appliance.trust.keys import PublicKey, SigningKey
from appliance.trust.signature import holds, read_sealed, sealed

ENROLMENT = Path("enrolment.json")
_MAX_BYTES = 64 * 1024


def load(home: Path) -> Enrolment | None:
    """Return to whom the device in *home* belongs; None when it stands alone.

    Raises:
        TrustError: the file is damaged, altered, or made for another device's key or another board.
    """
    path = home / ENROLMENT
    if not path.exists():
        return None
    return _checked(path, home)


def is_copied(home: Path) -> bool:
    """Tell whether *home* was enrolled on another board: then its key is that board's, too."""
    try:
        _, enrolment = read_sealed(home / ENROLMENT, Enrolment, limit_bytes=_MAX_BYTES)
    except TrustError:
        return False
    return _is_elsewhere(enrolment)


def become_another(home: Path) -> None:
    """Let the device in *home* be another one, with a key of its own; its next start begins a ledger of its own.

    Raises:
        TrustError: systemd keeps the key, so that only its owner can exchange it.
    """
    if keys.credential() is not None:
        raise TrustError(
            "this card was copied from another board, and systemd gives it that board's key: give it one of its own"
            " (`openssl genpkey -algorithm ed25519`), and ask again"
        )
    for path in (rotation.ROTATIONS, rotation.OLD_KEY, rotation.NEXT_KEY, keys.DEVICE_KEY):
        (home / path).unlink(missing_ok=True)
    certificates.discard(home)
    lasting.keep_names(home / keys.DEVICE_KEY.parent)


def device_name(home: Path, key: SigningKey) -> str:
    """Return a name for a device that was given none: after its first key, which a rotation does not change.

    Raises:
        TrustError: the record of its rotations cannot be read.
    """
    rotations = rotation.kept(home)
    first = PublicKey.from_hex(rotations[0].statement.old_key) if rotations else key.public
    return f"dev-{first.key_id}"


def write_request(key: SigningKey, identity: DeviceIdentity, path: Path) -> None:
    """Write what the controller needs to know of this device; it holds no secret.

    Raises:
        TrustError: the file cannot be written.
    """
    _write(path, sealed(key, identity))


def read_request(path: Path) -> DeviceIdentity:
    """Read a device's request; its signature proves that the device has the key it names.

    Raises:
        TrustError: unreadable, malformed, or not signed by the key within.
    """
    signed, identity = read_sealed(path, DeviceIdentity, limit_bytes=_MAX_BYTES)
    if not holds(signed, PublicKey.from_hex(identity.public_key)):
        raise TrustError(f"{path}: the signature does not belong to the key it names; ask the device for a new one")
    return identity


def write_grant(
    controller: SigningKey,
    name: str,
    identity: DeviceIdentity,
    broker: BrokerSettings,
    path: Path,
    *,
    role: Role,
    sealing_key: str = "",
    counter: int = 0,
    group_counter: int = 0,
    grant_id: str = "",
    certificate: str = "",
    authority: str = "",
) -> Enrolment:
    """Write the grant that makes the device of *identity* listen to *controller*.

    Args:
        sealing_key: to which the device encrypts what it puts on a stick.
        counter: only commands of a higher one count.
        group_counter: the same of commands to all.
        grant_id: random; another one for each grant.
        certificate: what was issued to the device's request; empty where its files are put there by hand.
        authority: whom it is to believe.

    Raises:
        TrustError: the file cannot be written.
    """
    grant = Enrolment(
        site=identity.site,
        device=identity.device,
        device_key=PublicKey.from_hex(identity.public_key).key_id,
        hardware_id=identity.hardware_id,
        grant=grant_id,
        controllers=(
            EnrolledController(
                public_key=controller.public.raw.hex(),
                name=name,
                role=role,
                sealing_key=sealing_key,
                counter=counter,
                group_counter=group_counter,
            ),
        ),
        broker=broker,
        certificate=certificate,
        authority=authority,
    )
    _write(path, sealed(controller, grant))
    return grant


def install(home: Path, grant: Path, *, replace: bool = False) -> Enrolment:
    """Make *grant* the enrolment of the device in *home*.

    Args:
        replace: a person at the device wants another controller than before.

    Raises:
        TrustError: it is for another device, altered, or another controller's and *replace* was not said.
    """
    enrolment = _checked(grant, home)
    known = _controllers(home)
    if known and known.isdisjoint(c.public_key for c in enrolment.controllers) and not replace:
        raise TrustError(f"{home} belongs to another controller already; say --replace to give it away")
    certificates.take(home, enrolment.device, certificate=enrolment.certificate, authority=enrolment.authority)
    _write(home / ENROLMENT, grant.read_bytes())
    return enrolment


def _controllers(home: Path) -> set[str]:
    """Return the keys that the device in *home* listened to, also where its enrolment holds no more."""
    try:
        _, before = read_sealed(home / ENROLMENT, Enrolment, limit_bytes=_MAX_BYTES)
    except TrustError:
        return set()
    return {c.public_key for c in before.controllers}


def hardware_id() -> str:
    """Return what identifies the board, not the card in it; empty where the kernel does not say."""
    for source in ("/sys/firmware/devicetree/base/serial-number", "/etc/machine-id"):
        try:
            return Path(source).read_text("ascii", "replace").strip("\x00\n ")[:64]
        except OSError:
            continue
    return ""


def _checked(path: Path, home: Path) -> Enrolment:
    device = rotation.current(home)
    signed, enrolment = read_sealed(path, Enrolment, limit_bytes=_MAX_BYTES)
    signers = [PublicKey.from_hex(c.public_key) for c in enrolment.controllers]
    if not any(holds(signed, signer) for signer in signers):
        raise TrustError(f"{path}: not signed by a controller that it names; get the grant again")
    if not _is_for(enrolment.device_key, device, rotation.kept(home)):
        raise TrustError(
            f"{path}: made for the key {enrolment.device_key}, this device has {device.key_id}; enrol this device again"
        )
    if _is_elsewhere(enrolment):
        raise TrustError(
            f"{path}: made for another board; this card was copied, or moved: enrol this device again"
            " (`appliance fleet request` gives it a key of its own)"
        )
    return enrolment.model_copy(update={"broker": _at(home, enrolment.broker)})


def _at(home: Path, broker: BrokerSettings) -> BrokerSettings:
    """Return *broker* with its files where this device has them: a controller does not know where the home lies."""
    files = {
        name: str(home / path)
        for name in ("ca_file", "certificate_file", "key_file", "password_file")
        if (path := getattr(broker, name)) is not None
    }
    return broker.model_copy(update=files)


def _is_elsewhere(enrolment: Enrolment) -> bool:
    here = hardware_id()
    return bool(enrolment.hardware_id and here and enrolment.hardware_id != here)


def _is_for(key_id: str, device: SigningKey, rotations: tuple[SignedRotation, ...]) -> bool:
    """Tell whether the device's key is the one called *key_id*, or was vouched for by it."""
    if key_id == device.key_id:
        return True
    before = [PublicKey.from_hex(r.statement.old_key) for r in rotations]
    granted = next((key for key in before if key.key_id == key_id), None)
    try:
        return granted is not None and rotation.followed(granted, rotations).raw == device.public.raw
    except TrustError:
        return False


def _write(path: Path, data: bytes) -> None:
    draft = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        raise TrustError(f"cannot write {path}: {error.strerror}") from error
