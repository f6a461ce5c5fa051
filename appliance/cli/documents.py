"""Signed documents as files and on a device: read, shown, brought."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from appliance.agent import admission
from appliance.contracts.home import Home
from appliance.contracts.record import Record
from appliance.contracts.trustroot import Revocations, Role, Root, Urgent
from appliance.errors import TrustError, UsageError
from appliance.storage.database import open_reader
from appliance.trust import documents, dsse, roots
from appliance.trust.dsse import Envelope
from appliance.trust.untrusted import Untrusted

_R = TypeVar("_R", bound=Record)


def read_envelope(path: Path) -> Envelope:
    """Read the file of a signed document.

    Raises:
        TrustError: absent, unreadable, or none.
    """
    try:
        return documents.envelope(read_file(path))
    except Untrusted as error:
        raise TrustError(f"{path}: {error}") from error


def read_file(path: Path) -> bytes:
    """Return the bytes of a document's file.

    Raises:
        TrustError: it cannot be read, or is too large for one.
    """
    if path.exists() and not path.is_file():
        raise TrustError(f"{path} is no regular file")
    try:
        with path.open("rb") as file:
            return file.read(dsse.MAX_ENVELOPE_BYTES + 1)
    except OSError as error:
        raise TrustError(f"{path}: {error.strerror}") from error


def read_record(path: Path) -> Root | Revocations | Urgent:
    """Read what a document says; its signatures are not looked at.

    Raises:
        TrustError: it is none.
    """
    envelope = read_envelope(path)
    try:
        return documents.read(envelope, documents.kind_of(envelope))
    except Untrusted as error:
        raise TrustError(f"{path}: {error}") from error


def read_as(path: Path, record: type[_R]) -> _R:
    """Read what a document of a certain kind says; its signatures are not looked at.

    Raises:
        TrustError: it is none.
        UsageError: it is one of another kind.
    """
    found = read_record(path)
    if not isinstance(found, record):
        raise UsageError(f"{path} is a {type(found).__name__.lower()}; a {record.__name__.lower()} is wanted")
    return found


def write(path: Path, envelope: Envelope) -> None:
    """Write a document's file, whole or not at all.

    Raises:
        TrustError: it cannot be written.
    """
    draft = path.with_name(f".{path.name}.new")
    try:
        draft.write_bytes(dsse.written(envelope))
        draft.replace(path)
    except OSError as error:
        raise TrustError(f"{error.filename or path}: {error.strerror}") from error


def in_force(home: Home) -> tuple[Root | None, Revocations | None]:
    """Return the root and the revocation list that the device in *home* has.

    Raises:
        StorageError: it has no database, or it cannot be read.
    """
    with contextlib.closing(open_reader(home.database)) as reader:
        return admission.in_force(reader)


def told(envelope: Envelope, root: Root | None, *, cooldown_days: int = 0) -> Iterator[str]:
    """Say what a document says, in lines, and who signed it as far as *root* (or the document itself) knows them.

    Args:
        cooldown_days: what a device's own settings want at least.
    """
    record = documents.read(envelope, documents.kind_of(envelope))
    match record:
        case Root():
            yield from _about_root(record, cooldown_days)
            root = root or record
        case Revocations():
            until = f", good until {record.expires_at:%Y-%m-%d}" if record.expires_at else ""
            yield f"revocation list {record.number} of {record.site}, issued {record.issued_at:%Y-%m-%d %H:%M}{until}"
            for key in record.keys:
                yield f"  key     {key.key[:16]}  {key.reason}"
            for bundle in record.bundles:
                yield f"  bundle  {bundle.sha256[:16]}  {bundle.reason}"
        case Urgent():
            yield f"urgent: {record.name} release {record.release} of {record.site}: {record.reason}"
            yield f"  bundle  {record.sha256}"
    yield f"fingerprint  {roots.grouped(documents.fingerprint(envelope))}"
    yield from _about_signers(envelope, record, root)


def _about_root(root: Root, own_days: int) -> Iterator[str]:
    yield f"root {root.version} of {root.site}, {root.issued_at:%Y-%m-%d} to {root.expires_at:%Y-%m-%d}"
    for name, role in (("root", root.root), ("release", root.release), ("revocation", root.revocation)):
        owners = ", ".join(f"{root.keys[key].owner} ({key[:16]})" for key in role.keys)
        yield f"  {name:<11} {role.threshold} of {len(role.keys)}: {owners}"
    urgent = f"{root.urgent_threshold} release keys" if root.urgent_threshold else "nobody"
    days = f"{root.cooldown_days} days"
    if own_days > root.cooldown_days:
        days = f"{own_days} days (this device's settings; the root says {root.cooldown_days})"
    yield f"  urgent      {urgent}; otherwise a bundle waits {days} of running time"
    for name, floor in sorted(root.floors.items()):
        yield f"  floor       {name}: release {floor}"
    if root.forget_revocations:
        yield "  forgets     the revocation list that devices have"
    if root.expires_at <= datetime.now(UTC):
        yield "  it has expired: nothing new is installed under it"


def _about_signers(envelope: Envelope, record: Root | Revocations | Urgent, root: Root | None) -> Iterator[str]:
    if root is None:
        yield f"signatures   {len(envelope.signatures)}; give the root with --root to see whose"
        return
    role, threshold = _role(record, root)
    signed = documents.signers(envelope, root, role)
    needed = f"of {threshold} that are needed" if threshold else "and nobody can say so under this root"
    yield f"signed by    {len(signed)} {needed}"
    for key_id in signed:
        yield f"  {key_id[:16]}  {root.keys[key_id].owner}"


def _role(record: Root | Revocations | Urgent, root: Root) -> tuple[Role, int | None]:
    match record:
        case Root():
            return root.root, root.root.threshold
        case Revocations():
            return root.revocation, root.revocation.threshold
        case Urgent():
            return root.release, root.urgent_threshold
