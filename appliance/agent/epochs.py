"""At start: does the database go on from what the device last signed? If not, a new epoch begins in it.

Covers: a database that was cut, rewritten, exchanged, brought back from a copy, lost, or whose signed state is missing;
a key that was lost and made anew. The device never signs two histories under one origin, nor one origin with two keys
that know nothing of each other, because what does not go on from before gets another origin.
Does not cover: an old database that was put back together with its old signed state; checkpoints kept elsewhere find
that.
"""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Final, NamedTuple

from appliance.contracts.audit import AuditRecord
from appliance.contracts.clock import Clock
from appliance.contracts.record import JsonObject
from appliance.contracts.tree import EMPTY_ROOT
from appliance.errors import StorageError
from appliance.storage import audit, checkpoints, database, past, signed, tree
from appliance.storage.database import Database
from appliance.storage.past import Cited
from appliance.storage.retention import LANDMARKS
from appliance.storage.signed import Signed
from appliance.trust import notes
from appliance.trust.keys import SigningKey
from appliance.trust.notes import Checkpoint, Verifier

ORIGIN: Final = "edge-agent-appliance/{device}/{epoch}"
"""Name of a log, and of the key that signs it: one for each epoch, so that two epochs never contradict each other."""

_SAID: Final = {
    "rolled_back": "the ledger ends before what this device last signed: an old copy, or its end was cut off",
    "rewritten": "the ledger is not the one that this device signed: it was rewritten",
    "swapped": "the database is of another ledger than the one that this device last signed: it was exchanged",
    "state_lost": "what this device last signed is no longer beside its ledger, so nobody can tell whether it is whole",
    "key_lost": (
        "the device's key was gone and a new one was made: whoever trusts the old one must be told the new one"
        " (`appliance keys show`)"
    ),
    "lost": "the database was gone",
    "damaged": "the database was damaged",
}
"""What a person reads of a reason; the others are nobody's fault."""


class Begun(NamedTuple):
    """The epoch that the device goes on in."""

    state: Signed
    complaint: str | None
    """What a person must look at, None where all is as it was left."""

    unwritable: str | None = None
    """Why nothing can be signed at present, None where it can; the device works all the same."""


def open_epoch(
    db: Database, signed_path: Path, *, device: str, key: SigningKey, boot: int, clock: Clock, set_aside: Path | None
) -> Begun:
    """Go on in the database's epoch, or begin one: then the first record says who writes and what went before.

    Raises:
        StorageError: something that must be written first cannot be.
    """
    last = signed.read(signed_path)
    with db.reading() as connection:
        size = audit.size(connection)
        fault = why_not(connection, last, size, key.key_id)
        found = _found(connection, size) if fault else None
        predecessor = _predecessor(last, key, connection) if fault else None
    if fault is not None:
        past.end_epoch(db, clock.now(), Cited(fault, predecessor, found))
        size = 0
    if size:
        state = _continued(db, last, device, boot)
        return Begun(state, None, _unwritable(signed_path, state))
    cited = _cited(db, last, key, set_aside)
    epoch = database.epoch(db)
    origin = ORIGIN.format(device=device, epoch=epoch)
    state = Signed(epoch=epoch, origin=origin, size=0, root=EMPTY_ROOT.hex(), boot=boot)
    # What is cited lies in the database by now, so the state of the epoch before may go. Where it cannot be written,
    # nothing of this epoch is signed, and the next start begins another one.
    unwritable = _unwritable(signed_path, state)
    facts: JsonObject = {
        "device": device,
        "key_id": key.key_id,
        "key": str(Verifier(origin, key.public)),
        "epoch": epoch,
        "origin": origin,
        "reason": cited.reason,
        "predecessor": cited.predecessor,
        "found": cited.found,
        "set_aside": str(set_aside) if set_aside else None,
    }
    with db.atomic():
        audit.append(db, AuditRecord(kind="epoch", moment=clock.moment(), facts=facts))
        past.was_cited(db)
    return Begun(state, _complaint(cited, set_aside), unwritable)


def _unwritable(path: Path, state: Signed) -> str | None:
    """Write down the state from which the device goes on; say why it cannot be, which stops nothing but signatures."""
    try:
        signed.write(path, state)
    except StorageError as error:
        return f"nothing is signed: {error}"
    return None


def origin_of(connection: sqlite3.Connection, device: str) -> str:
    """Return the origin of the current epoch, as its first record fixed it."""
    for row in audit.rows(connection, limit=1):
        if row.kind == "epoch":
            facts = json.loads(row.body)["facts"]
            # A ledger from before there were checkpoints names its device only.
            return str(facts.get("origin") or ORIGIN.format(device=facts["device"], epoch=facts["epoch"]))
    return ORIGIN.format(device=device, epoch=tree.current(connection))


def why_not(connection: sqlite3.Connection, last: Signed | None, size: int, key_id: str) -> str | None:
    """Say why the ledger does not go on from the *last* signed state under the key *key_id*, None if it does."""
    fault = _why_not_from(connection, last, size)
    if fault not in (None, "state_lost") or not size:
        return fault
    # Both are gone when somebody deleted the folder of keys: the key is what others have to be told.
    return "key_lost" if _key_of(connection) not in (None, key_id) else fault


def _why_not_from(connection: sqlite3.Connection, last: Signed | None, size: int) -> str | None:
    if last is None:
        return "state_lost" if size else None
    if last.epoch != tree.current(connection):
        return "swapped" if size else None
    if size < last.size:
        return "rolled_back"
    try:
        return None if tree.root(connection, last.size).hex() == last.root else "rewritten"
    except LookupError:
        return "rewritten"


def _key_of(connection: sqlite3.Connection) -> str | None:
    """Return the key that signs the current epoch, as its first record and its changes of the key say."""
    row = connection.execute(
        f"select body from audit where {LANDMARKS} and kind in ('epoch', 'key_rotated') order by seq desc limit 1"  # noqa: S608 -- our own text
    ).fetchone()
    return None if row is None else json.loads(row["body"])["facts"].get("key_id")


def _found(connection: sqlite3.Connection, size: int) -> JsonObject:
    found: JsonObject = {"epoch": tree.current(connection), "size": size, "key_id": _key_of(connection)}
    try:
        found["root"] = tree.root(connection, size).hex()
    except LookupError as error:
        found["root"], found["fault"] = None, str(error)
    return found


def _continued(db: Database, last: Signed | None, device: str, boot: int) -> Signed:
    if last is not None:
        return last.model_copy(update={"boot": boot})
    # From before there were checkpoints: nothing was signed yet.
    with db.reading() as connection:
        origin = origin_of(connection, device)
    return Signed(epoch=database.epoch(db), origin=origin, size=0, root=EMPTY_ROOT.hex(), boot=boot)


def _cited(db: Database, last: Signed | None, key: SigningKey, set_aside: Path | None) -> Cited:
    """Return what the first record cites, and see to it that it outlives the signed state which it was taken from."""
    cited = past.cited(db)
    if cited is None:
        reason = "damaged" if set_aside else "first" if last is None else "lost"
        cited = Cited(reason, None)
    if cited.predecessor is None and last is not None and last.epoch != database.epoch(db):
        with db.reading() as connection:
            cited = cited._replace(predecessor=_predecessor(last, key, connection))
    past.cite(db, cited)
    return cited


def _predecessor(last: Signed | None, key: SigningKey, connection: sqlite3.Connection) -> JsonObject | None:
    if last is None:
        return None
    text = str(Checkpoint(last.origin, last.size, bytes.fromhex(last.root)))
    if last.epoch == tree.current(connection) and _key_of(connection) not in (None, key.key_id):
        # Another key must not vouch for it; what the old one signed is in the table, if that was written in time.
        kept = checkpoints.latest(connection)
        note = kept.note if kept is not None and kept.size == last.size else None
    else:
        # Ed25519 has one signature for one text: this is the checkpoint that was given out, or would have been.
        note = str(notes.sign(text, last.origin, key)) if last.size else None
    return {
        "epoch": last.epoch,
        "origin": last.origin,
        "size": last.size,
        "root": last.root,
        "checkpoint": note,
    }


def _complaint(cited: Cited, set_aside: Path | None) -> str | None:
    said = _SAID.get(cited.reason)
    if said is None:
        return None
    if set_aside is not None:
        kept = f"what was there lies in {set_aside}, "
    elif cited.found is not None:
        kept = f"what was there is kept (`appliance audit verify --epoch {cited.found['epoch']}`), "
    else:
        kept = ""
    return f"{said}; {kept}a new epoch was begun"
