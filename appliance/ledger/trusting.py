"""The checkpoints of a ledger and a public key to what they vouch for; changes of the key are followed.

Covers: checkpoints by another key (said so), a key that was changed since (the old one passes its trust on), a key that
was changed before (older checkpoints are of keys that the newer one knows of, and count as hints only), a key that was
lost (said, not called a stranger's).
Does not cover: whether the records fit; `verify` compares the roots.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator
from typing import Any, Literal, NamedTuple

from pydantic import ValidationError

from appliance.contracts.canonical import canonical
from appliance.contracts.rotation import SignedRotation
from appliance.errors import TrustError, WireError
from appliance.ledger import checking
from appliance.ledger.segments import Table
from appliance.storage.retention import LANDMARKS
from appliance.trust import notes, rotation
from appliance.trust.keys import PublicKey
from appliance.trust.notes import Checkpoint, Note, Verifier

By = Literal["device", "older key", "nobody", "unknown"]
"""Who signed: the device, a key that it had before the one given, nobody that can be told without a key, or another."""


class Vouched(NamedTuple):
    """A checkpoint, and what it is worth."""

    checkpoint: Checkpoint
    by: By
    is_given: bool
    """It came from elsewhere, not from the file that is looked at."""


class Keys(NamedTuple):
    """Which keys count."""

    ours: tuple[PublicKey, ...]
    """The one that was given, and those that it passed its trust on to."""

    older: tuple[PublicKey, ...]
    """Those that the given one followed."""

    caveat: str = ""
    """Why the trust ends at a certain change of the key."""


def keys_of(connection: sqlite3.Connection, table: Table, given: PublicKey) -> Keys:
    """Follow the changes of the device's key that the ledger records, from the *given* one in both directions."""
    rotations = table.select("seq, body", f"{LANDMARKS} and kind = 'key_rotated' order by seq")
    rows = connection.execute(rotations, {"epoch": table.epoch}).fetchall()
    changes = [(seq, change) for seq, body in rows if (change := _change(body)) is not None]
    ours, caveat = [given], ""
    for seq, change in changes:
        try:
            following = rotation.followed(ours[-1], [change])
        except TrustError as error:
            # That a key is compromised is said without its signature, so anybody can write it into a file.
            if not change.statement.compromised or _is_signed(connection, table, seq, ours):
                caveat = str(error)
            break
        if following.raw != ours[-1].raw:
            ours.append(following)
    older: list[PublicKey] = []
    newest = given
    for _, change in reversed(changes):
        if change.statement.new_key == newest.raw.hex() and _is_by_new(change, newest):
            try:
                newest = PublicKey.from_hex(change.statement.old_key)
            except TrustError:
                break
            older.append(newest)
    return Keys(tuple(ours), tuple(older), caveat or _loss(connection, table, {k.key_id for k in (*ours, *older)}))


def _is_signed(connection: sqlite3.Connection, table: Table, seq: int, keys: Iterable[PublicKey]) -> bool:
    """Tell whether a checkpoint over record *seq* is by one of *keys*; the records are held against it later."""
    sql = "select size, note from checkpoints where epoch = ? and size >= ? order by size"
    for size, text in connection.execute(sql, (table.epoch, seq)).fetchall():
        with contextlib.suppress(WireError, TrustError):
            note = parse(text, size)
            if _signed_by(note, notes.parse_checkpoint(note.text).origin, keys):
                return True
    return False


def _is_by_new(change: SignedRotation, new: PublicKey) -> bool:
    """Tell whether the *new* key names the old one as its predecessor."""
    return new.accepts(bytes.fromhex(change.new_signature), canonical(change.statement.model_dump(mode="json")))


def _loss(connection: sqlite3.Connection, table: Table, known: set[str]) -> str:
    """Say that the epoch is of a key that is not *known*, if the file tells how the device came to lose one.

    Only the file says so, and whoever rewrites it can say it too: it explains, and nothing is anchored by it.
    """
    own, losses = None, []
    for facts in _firsts(connection):
        key_id, found = facts.get("key_id"), facts.get("found")
        if facts.get("epoch") == table.epoch:
            own = key_id
        if isinstance(found, dict) and found.get("key_id") not in (None, key_id):
            losses.append(f"key {found['key_id']} was lost in epoch {found.get('epoch')}, and {key_id} made")
    if own is None or own in known or not losses:
        return ""
    return f"this epoch is of key {own}; {', '.join(losses)}, as this file says (a person has to confirm it)"


def changes(connection: sqlite3.Connection) -> list[SignedRotation]:
    """Return every change of the device's key that any epoch in the file records, in the order in which they count."""
    rows = connection.execute(
        "select body from past where kind = 'key_rotated' union all select body from audit where kind = 'key_rotated'"
    )
    found = {change.statement.n: change for (body,) in rows.fetchall() if (change := _change(body)) is not None}
    return [found[n] for n in sorted(found)]


def vouched(note: Note, keys: Keys | None, *, is_given: bool) -> Vouched:
    """Return what *note* says and who says so.

    Raises:
        WireError: it is no checkpoint.
        TrustError: a signature by a known key does not hold.
    """
    checkpoint = notes.parse_checkpoint(note.text)
    if keys is None:
        return Vouched(checkpoint, "nobody", is_given)
    if _signed_by(note, checkpoint.origin, keys.ours):
        return Vouched(checkpoint, "device", is_given)
    return Vouched(checkpoint, "older key" if _signed_by(note, checkpoint.origin, keys.older) else "unknown", is_given)


def cited(connection: sqlite3.Connection, table: Table) -> Iterator[Note]:
    """Return the checkpoints of this epoch that later epochs of the same file cite in their first records."""
    if table.is_current:
        return
    for facts in _firsts(connection):
        predecessor: Any = facts.get("predecessor")
        try:
            if predecessor["epoch"] == table.epoch and predecessor["checkpoint"] is not None:
                yield notes.parse(predecessor["checkpoint"].encode())
        except (ValueError, KeyError, TypeError, AttributeError, WireError):
            continue  # whoever checks that epoch's records says what is wrong with them


def _firsts(connection: sqlite3.Connection) -> list[dict[str, Any]]:
    """Return the facts of every epoch's first record that can be read."""
    rows = connection.execute("select body from audit where seq = 1 union all select body from past where seq = 1")
    found = []
    for (body,) in rows.fetchall():
        with contextlib.suppress(ValueError, KeyError, TypeError):
            facts: Any = checking.facts(body)
            if isinstance(facts, dict):
                found.append(facts)
    return found


def stated_origin(connection: sqlite3.Connection, table: Table) -> str | None:
    """Return the origin that the first record of the epoch fixed, None where it did not, or cannot be read."""
    row = connection.execute(table.select("body", "seq = 1 and kind = 'epoch'"), {"epoch": table.epoch}).fetchone()
    try:
        origin = None if row is None else checking.facts(row[0]).get("origin")
    except (ValueError, KeyError, TypeError, AttributeError):
        return None  # whoever checks the records says so
    return origin if isinstance(origin, str) else None


def parse(text: bytes, size: int) -> Note:
    """Read a checkpoint that the file claims to be of *size*.

    Raises:
        WireError: it is not one, or of another size.
    """
    note = notes.parse(text)
    said = notes.parse_checkpoint(note.text).size
    if said != size:
        raise WireError(f"the checkpoint kept for {size} records is one for {said}")
    return note


def _signed_by(note: Note, origin: str, keys: Iterable[PublicKey]) -> bool:
    known = [Verifier(origin, key) for key in keys]
    names = {(verifier.name, verifier.key_hash) for verifier in known}
    if not any((signature.name, signature.key_hash) in names for signature in note.signatures):
        return False
    return bool(notes.verified(note, known))


def _change(body: bytes) -> SignedRotation | None:
    """Read a record of a change of the key; what cannot be read is found by whoever checks the records."""
    try:
        return SignedRotation.model_validate(checking.facts(body).get("rotation"), strict=False)
    except (ValueError, KeyError, TypeError, AttributeError, ValidationError):
        return None
