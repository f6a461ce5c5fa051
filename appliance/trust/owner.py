"""The owner of a site's laws: a key that is made at a desk, and its public half on every device.

Covers: a device that has an owner keeps that one (a second is refused), an owner who hands over to another (the old key
signs the new one), a public half that was exchanged or removed on the device (what the device remembers of its owner
decides), a power cut between the two files of a hand-over.
Does not cover: where the owner keeps the private key; a device never sees it. A key that was lost: nobody can hand over
then, and the device is to be set up anew.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from appliance import lasting
from appliance.errors import TrustError, WireError
from appliance.trust import keys, notes
from appliance.trust.keys import SigningKey
from appliance.trust.notes import Note, Verifier

NAME: Final = "edge-agent-appliance/owner"
"""Under which an owner's key signs; a key from elsewhere may have another name."""

OWNER: Final = Path("keys/owner.pub")
HANDED: Final = Path("keys/owner-handed-over.json")
"""Every hand-over that this device was given, oldest first."""

ORIGIN: Final = "edge-agent-appliance/owner"
"""First line of a hand-over's text."""

_MAX_BYTES: Final = 1024
_MAX_HANDED_BYTES: Final = 64 * 1024
FLOOR: Final = Path("keys") / "laws.floor"
"""The number of the newest accepted set: a database can be lost, and older sets stay signed for ever."""

_MAX_FLOOR_BYTES: Final = 32
_HANDED: Final = TypeAdapter(tuple[str, ...])


def make(path: Path) -> Verifier:
    """Make an owner's key in *path*, for its user alone, and return its public half.

    Raises:
        TrustError: there is a file already, or it cannot be written.
    """
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise TrustError(f"{path} exists; a key is never overwritten, name another file") from None
    except OSError as error:
        raise TrustError(f"cannot make key {path}: {error.strerror}") from error
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(keys.new_pem())
            file.flush()
            os.fsync(file.fileno())
        lasting.keep_names(path.absolute().parent)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise TrustError(f"cannot make key {path}: {error.strerror}") from error
    return verifier(keys.load(path))


def verifier(key: SigningKey) -> Verifier:
    """Return the public half of an owner's key, under the name that it signs as."""
    return Verifier(NAME, key.public)


def read(path: Path) -> Verifier:
    """Read an owner's public half.

    Raises:
        TrustError: it cannot be read, or is none.
    """
    text = _content(path, _MAX_BYTES)
    line, end, rest = text.partition("\n")
    if not end or rest:
        raise TrustError(f"{path}: one line with the owner's public key is wanted: name+hash+key")
    try:
        return notes.parse_verifier(line)
    except TrustError as error:
        raise TrustError(f"{path}: {error}") from error


def installed(home: Path) -> Verifier | None:
    """Return the owner whom the file in *home* names; None where there is no file.

    Raises:
        TrustError: it cannot be read.
    """
    path = home / OWNER
    return read(path) if os.path.lexists(path) else None


def current(home: Path, remembered: Verifier | None) -> Verifier | None:
    """Return who signs laws for the device in *home*; None where anybody may write them.

    Args:
        remembered: who signed the laws in force.

    Raises:
        TrustError: the files cannot be read, or name an owner to whom the remembered one never handed over.
    """
    named = installed(home)
    if remembered is None:
        return named
    line = [remembered]
    for note in _handed(home):
        if (following := _following(note, line[-1])) is not None:
            line.append(following)
    if named is None:
        return line[-1]
    if str(named) not in map(str, line):
        raise TrustError(
            f"{home / OWNER} names the owner {named.public.key_id}, but the laws in force were signed by"
            f" {remembered.public.key_id}, who never handed over to that one (`appliance workflow owner pass`)"
        )
    return named


def trust(home: Path, owner: Verifier) -> None:
    """Make *owner* the one whose laws the device in *home* takes; a second time changes nothing.

    Raises:
        TrustError: the device has another owner, or the file cannot be written.
    """
    before = installed(home)
    if before is None:
        _write(home / OWNER, f"{owner}\n")
    elif str(before) != str(owner):
        raise TrustError(
            f"this device has the owner {before.public.key_id}; only that key can hand it over:"
            " `appliance workflow owner pass`"
        )


def hand_over(key: SigningKey, to: Verifier) -> Note:
    """Return the statement by the owner with *key* that *to* is the owner from here on."""
    return notes.sign(f"{ORIGIN}\n{to}\n", NAME, key)


def take_over(home: Path, data: bytes) -> Verifier:
    """Let the device in *home* follow a hand-over, and return its new owner.

    Raises:
        TrustError: it is none, not by this device's owner, or the files cannot be written.
    """
    before = installed(home)
    if before is None:
        raise TrustError("this device has no owner who could hand it over; give it the owner's public key itself")
    text = data.decode("utf-8", "replace")
    following = _following(text, before)
    if following is None:
        raise TrustError(f"not a hand-over by this device's owner, {before.public.key_id}")
    # The statement first: with it and the old file the old owner still counts, so no power cut leaves neither.
    _write(home / HANDED, _HANDED.dump_json((*_handed(home), text)).decode() + "\n")
    _write(home / OWNER, f"{following}\n")
    return following


def floor(home: Path) -> int:
    """Return the number of the newest set of laws that was accepted here, as it is known outside the database; else 0.

    Raises:
        TrustError: the file is damaged.
    """
    path = home / FLOOR
    if not path.exists():
        return 0
    text = _content(path, _MAX_FLOOR_BYTES).strip()
    if not text.isascii() or not text.isdigit():
        raise TrustError(f"{path}: no number; only its owner knows which set of laws is the newest: load that one anew")
    return int(text)


def raise_floor(home: Path, number: int) -> None:
    """Let no set below *number* be accepted again, also when the database is lost.

    Raises:
        TrustError: it cannot be written.
    """
    if number > floor(home):
        _write(home / FLOOR, f"{number}\n")


def _following(text: str, known: Verifier) -> Verifier | None:
    """Return to whom *known* hands over in the note *text*; None where it does not."""
    try:
        note = notes.parse(text.encode())
        notes.verified(note, (known,))
        origin, to, rest = note.text.split("\n")
        return notes.parse_verifier(to) if origin == ORIGIN and not rest else None
    except (WireError, TrustError, ValueError):
        return None


def _handed(home: Path) -> tuple[str, ...]:
    path = home / HANDED
    if not os.path.lexists(path):
        return ()
    try:
        return _HANDED.validate_json(_content(path, _MAX_HANDED_BYTES))
    except ValidationError as error:
        raise TrustError(f"{path}: it is damaged; restore it from a backup") from error


def _content(path: Path, most_bytes: int) -> str:
    try:
        if not path.is_file():
            raise TrustError(f"{path}: no regular file")
        with path.open("rb") as file:
            data = file.read(most_bytes + 1)
    except OSError as error:
        raise TrustError(f"{path}: {error.strerror}") from error
    if len(data) > most_bytes:
        raise TrustError(f"{path}: larger than {most_bytes} bytes")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise TrustError(f"{path}: not UTF-8 text") from error


def _write(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}.new")
    try:
        lasting.make_folder(path.parent, 0o700)
        with draft.open("wb") as file:
            os.fchmod(file.fileno(), 0o644)
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        lasting.keep_names(path.parent)
    except OSError as error:
        raise TrustError(f"cannot write {path}: {error.strerror}") from error
