"""An old key to a new one: the statement that passes trust on, and the files that change hands.

A rotation is decided by its record in the ledger, which `agent.rekeying` writes between `prepare` and `install`.

Covers: a power cut at any point (`pending` and `drop` tell what the ledger decided from what it did not), a statement
that was altered, made up, or is not by the key that is known. Does not cover: copies of the old private key that the
storage keeps for itself. Flash memory writes elsewhere: overwriting is an attempt, encryption of the disk is an answer.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from appliance.contracts.canonical import canonical
from appliance.contracts.rotation import KeyRotation, SignedRotation
from appliance.errors import TrustError
from appliance.trust import keys
from appliance.trust.keys import PublicKey, SigningKey

NEXT_KEY: Final = Path("keys/device.key.next")
OLD_KEY: Final = Path("keys/device.key.old")
ROTATIONS: Final = Path("keys/rotations.json")
MAX_BYTES: Final = 4 * 1024 * 1024
"""Of the file of statements: several thousand rotations."""

_FILE: Final = TypeAdapter(tuple[SignedRotation, ...])


def current(home: Path, *, make: bool = False) -> SigningKey:
    """Return the key of the device in *home*: systemd's when there is one, else the home's own.

    Args:
        make: make the home's own now if there is none.

    Raises:
        TrustError: it cannot be used; the message says why.
    """
    given = keys.credential()
    if given is None:
        return keys.load_or_make(home / keys.DEVICE_KEY) if make else keys.load(home / keys.DEVICE_KEY)
    following = keys.credential(keys.NEXT_CREDENTIAL)
    rotations = kept(home)
    if following is not None and rotations:
        key = keys.load(following)
        if key.public.raw.hex() == rotations[-1].statement.new_key:
            return key  # the owner has not moved the files yet
    return keys.load(given)


def prepare(home: Path) -> SigningKey:
    """Return the key that is to be the next one, made now; nothing uses it yet.

    Raises:
        TrustError: the file cannot be written, or systemd keeps the keys and was not given the next one.
    """
    if keys.credential() is None:
        return keys.make_new(home / NEXT_KEY)
    following = keys.credential(keys.NEXT_CREDENTIAL)
    if following is None:
        raise TrustError(
            "systemd keeps this device's key, so its successor has to come from there too: make one with `openssl"
            " genpkey -algorithm ed25519 -out NEW`, add `LoadCredential=device.key.next:NEW` to the service, restart"
            " it, and rotate again"
        )
    return keys.load(following)


def stated(
    old: SigningKey, new: SigningKey, *, device: str, n: int, at: datetime, compromised: bool = False
) -> SignedRotation:
    """Return the statement that the device goes on with *new*, signed by both; by *new* alone when compromised."""
    statement = KeyRotation(
        device=device,
        n=n,
        old_key=old.public.raw.hex(),
        new_key=new.public.raw.hex(),
        at=at,
        compromised=compromised,
    )
    data = canonical(statement.model_dump(mode="json"))
    return SignedRotation(
        statement=statement,
        old_signature=None if compromised else old.sign(data).hex(),
        new_signature=new.sign(data).hex(),
    )


def followed(known: PublicKey, rotations: Iterable[SignedRotation], *, device: str | None = None) -> PublicKey:
    """Return the key that *known* has passed its trust on to; *known* itself when it has not.

    Args:
        device: only statements about this device count.

    Raises:
        TrustError: a statement by *known*, or by a key it leads to, does not hold, or says that it was compromised.
    """
    for rotation in rotations:
        said = rotation.statement
        if said.old_key != known.raw.hex() or (device is not None and said.device != device):
            continue
        if said.compromised:
            raise TrustError(
                f"{said.device} has said that its key {known.key_id} was compromised;"
                " nothing can vouch for the new one but a person who looks at the device"
            )
        known = _vouched(known, rotation)
    return known


def kept(home: Path) -> tuple[SignedRotation, ...]:
    """Return every rotation of the device in *home*, oldest first.

    Raises:
        TrustError: the file cannot be read.
    """
    path = home / ROTATIONS
    try:
        with path.open("rb") as file:
            return _FILE.validate_json(file.read(MAX_BYTES))
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise TrustError(f"{path}: {error.strerror}") from error
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, fault["loc"])) or "the file"
        raise TrustError(f"{path}: {place}: {fault['msg']}; `appliance audit show` still has the statements") from error


def keep(home: Path, rotation: SignedRotation) -> None:
    """Add *rotation* to the kept ones, durably; a second time changes nothing.

    Raises:
        TrustError: the file cannot be read or written.
    """
    before = kept(home)
    if rotation not in before:
        _write(home / ROTATIONS, _FILE.dump_json((*before, rotation), indent=1) + b"\n")


def rewrite(home: Path, rotations: Iterable[SignedRotation]) -> None:
    """Put *rotations* in the place of a file that is damaged or gone; what lay there is set aside.

    Raises:
        TrustError: it cannot be written.
    """
    path = home / ROTATIONS
    with contextlib.suppress(OSError):
        path.rename(path.with_name(f"{path.name}.damaged"))
    _write(path, _FILE.dump_json(tuple(rotations), indent=1) + b"\n")


def install(home: Path) -> None:
    """Make the prepared key the device's, and destroy the old one.

    Raises:
        TrustError: the files cannot be written.
    """
    present, old, following = home / keys.DEVICE_KEY, home / OLD_KEY, home / NEXT_KEY
    try:
        if following.exists():
            old.unlink(missing_ok=True)
            # A second name first: the key file itself is exchanged in one step and is never absent or half written.
            os.link(present, old)
            following.replace(present)
            _sync(present.parent)
        _destroy(old, unless=present)
    except OSError as error:
        raise TrustError(f"the device key cannot be exchanged: {error.strerror}: {error.filename}") from error


def pending(home: Path, decided: SignedRotation | None) -> SigningKey | None:
    """Return the next key if the ledger has *decided* for it and the key files do not say so yet.

    Args:
        decided: the newest rotation in the ledger.

    Raises:
        TrustError: the files cannot be read.
    """
    if decided is None:
        return None
    path = home / NEXT_KEY if keys.credential() is None else keys.credential(keys.NEXT_CREDENTIAL)
    if path is None or not path.exists() or (path != home / NEXT_KEY and decided in kept(home)):
        return None
    try:
        key = keys.load(path)
    except TrustError:
        return None  # cut while it was made: nothing can have been decided for it
    return key if key.public.raw.hex() == decided.statement.new_key else None


def drop(home: Path) -> None:
    """Destroy what a rotation left that was not decided, and an old key that was not destroyed yet."""
    with contextlib.suppress(OSError):
        next_key = home / NEXT_KEY
        # Drafts of a next key, where the power went or the disk was full while it was made.
        drafts = next_key.parent.glob(f".{next_key.name}.*")
        for path in (next_key, home / OLD_KEY, *drafts):
            _destroy(path, unless=home / keys.DEVICE_KEY)


def _vouched(known: PublicKey, rotation: SignedRotation) -> PublicKey:
    """Return the new key of *rotation* if *known* and the new key have both signed it."""
    said = rotation.statement
    data = canonical(said.model_dump(mode="json"))
    new = PublicKey.from_hex(said.new_key)
    if rotation.old_signature is None or not known.accepts(bytes.fromhex(rotation.old_signature), data):
        raise TrustError(
            f"rotation {said.n} of {said.device} is not signed by {known.key_id}, which it says it replaces"
        )
    if not new.accepts(bytes.fromhex(rotation.new_signature), data):
        raise TrustError(f"rotation {said.n} of {said.device} is not signed by its new key {new.key_id}")
    return new


def _destroy(path: Path, *, unless: Path) -> None:
    """Overwrite a key file and remove it; absent is as good. A second name of the key in *unless* only goes."""
    try:
        if not (unless.exists() and path.samefile(unless)):
            path.chmod(0o600)
            with path.open("r+b") as file:
                file.write(secrets.token_bytes(path.stat().st_size))
                file.flush()
                os.fsync(file.fileno())
        path.unlink()
        _sync(path.parent)
    except FileNotFoundError:
        return


def _write(path: Path, data: bytes) -> None:
    draft = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with draft.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        _sync(path.parent)
    except OSError as error:
        raise TrustError(f"cannot write {path}: {error.strerror}") from error


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
