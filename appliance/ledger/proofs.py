"""A ledger to texts that prove something of it to outsiders, and such a text to a yes or no.

Two forms, both of the C2SP family, so that tools of others read them: a `tlog-proof` says that a record is in a ledger;
the body of an `add-checkpoint` request says that an older checkpoint is the beginning of a newer one (a witness takes
it as it is).

Covers: a proof for another record, of another ledger, cut, extended or altered (strict, bounded).
Does not cover: what stands in the record; read it.

Source:
    c2sp.org/tlog-proof, c2sp.org/tlog-witness (add-checkpoint).
"""

from __future__ import annotations

import base64
import re
import sqlite3
from typing import Final, NamedTuple

from appliance.contracts import tree as maths
from appliance.errors import StorageError, TrustError, UsageError, WireError
from appliance.storage import audit, checkpoints, tree
from appliance.storage.checkpoints import SignedCheckpoint
from appliance.trust import notes
from appliance.trust.keys import PublicKey
from appliance.trust.notes import Checkpoint, Note, Verifier

INCLUSION: Final = "c2sp.org/tlog-proof@v1"
MAX_PROOF_BYTES: Final = notes.MAX_NOTE_BYTES + 16 * 1024
MAX_HASHES_N: Final = 128
"""A tree of 2**63 records needs 63 for a record, and two more than that for a consistency proof."""

_OLD: Final = re.compile(r"old (?P<old>0|[1-9][0-9]{0,17})")
_INDEX: Final = re.compile(r"index (?P<index>0|[1-9][0-9]{0,17})")


class Inclusion(NamedTuple):
    """That a record is in the ledger of a checkpoint."""

    leaf_index: int
    """Counted from 0: the record's number less one."""

    hashes: tuple[bytes, ...]
    note: Note
    extra: bytes | None = None
    """What others may have added; nobody vouches for it."""

    def __str__(self) -> str:
        extra = "" if self.extra is None else f"extra {_encoded(self.extra)}\n"
        return f"{INCLUSION}\n{extra}index {self.leaf_index}\n{_lines(self.hashes)}\n{self.note}"


class Consistency(NamedTuple):
    """That the ledger of an older checkpoint is the beginning of a newer one's."""

    old: int
    hashes: tuple[bytes, ...]
    note: Note

    def __str__(self) -> str:
        return f"old {self.old}\n{_lines(self.hashes)}\n{self.note}"


def of_record(connection: sqlite3.Connection, seq: int, *, size: int | None = None) -> Inclusion:
    """Return the proof that record *seq* is in the ledger, under the newest checkpoint or the one over *size* records.

    Raises:
        UsageError: there is no such record or checkpoint; the message says what there is.
        StorageError: hashes that are needed are missing.
    """
    signed = _signed(connection, size)
    if not 1 <= seq <= signed.size:
        newest = audit.size(connection)
        more = "; `appliance audit checkpoint` signs the rest" if 1 <= seq <= newest else ""
        raise UsageError(f"the checkpoint covers records 1 to {signed.size}, there is no {seq} among them{more}")
    try:
        path = maths.inclusion(seq - 1, signed.size, tree.subtrees(connection))
    except LookupError as error:
        raise StorageError(f"record {seq} cannot be proved: {error}; were they pruned?") from error
    return Inclusion(seq - 1, tuple(path), notes.parse(signed.note.encode()))


def body(connection: sqlite3.Connection, seq: int) -> bytes:
    """Return the exact bytes of record *seq*: what a proof of it is about.

    Raises:
        UsageError: it is not here.
    """
    for row in audit.rows(connection, after=seq - 1, limit=1):
        if row.seq == seq:
            return row.body.encode()
    raise UsageError(f"record {seq} is not here: it was pruned, or never written")


def between(connection: sqlite3.Connection, older: Note) -> Consistency:
    """Return the proof that the ledger of the *older* checkpoint is the beginning of what the newest one covers.

    Raises:
        UsageError: it is of another ledger, or newer than the newest here.
        StorageError: hashes that are needed are missing.
    """
    signed = _signed(connection, None)
    old, new = notes.parse_checkpoint(older.text), notes.parse_checkpoint(notes.parse(signed.note.encode()).text)
    if old.origin != new.origin:
        raise UsageError(f"that checkpoint is of {old.origin}, this ledger is {new.origin}")
    if old.size > new.size:
        raise UsageError(f"that checkpoint covers {old.size} records, the newest one here {new.size}")
    try:
        subtrees = tree.subtrees(connection)
        path = maths.consistency(old.size, new.size, subtrees)
        if maths.root(old.size, subtrees) != old.root:
            raise UsageError(
                f"this ledger had another root over {old.size} records: there is no such proof, look closer"
            )
    except LookupError as error:
        upto = -(-old.size // tree.WIDTH) * tree.WIDTH
        raise StorageError(
            f"a checkpoint over {old.size} records cannot be joined: {error}; if they were pruned, only one over {upto}"
            " records or a later one can, and a proof that was made before"
        ) from error
    return Consistency(old.size, tuple(path), notes.parse(signed.note.encode()))


def parse(data: bytes) -> Inclusion | Consistency:
    """Read either proof.

    Raises:
        WireError: too long, or not exactly one of the forms.
    """
    if len(data) > MAX_PROOF_BYTES:
        raise WireError(f"a proof of {len(data):,} bytes; {MAX_PROOF_BYTES:,} are allowed")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise WireError(f"not a proof: not UTF-8 text (byte {error.start})") from error
    head, blank, rest = text.partition("\n\n")
    lines = head.split("\n")
    if not blank or len(lines) > MAX_HASHES_N + 3:
        raise WireError("not a proof: no empty line between its hashes and a checkpoint, or too many hashes")
    note = notes.parse(rest.encode())
    notes.parse_checkpoint(note.text)
    if found := _OLD.fullmatch(lines[0]):
        return Consistency(int(found["old"]), _hashes(lines[1:]), note)
    if lines.pop(0) != INCLUSION:
        raise WireError(f"not a proof: its first line is neither {INCLUSION!r} nor 'old' and a number")
    extra = None
    if lines and lines[0].startswith("extra "):
        extra = notes.decoded(lines.pop(0).removeprefix("extra "), "extra")
    found = _INDEX.fullmatch(lines.pop(0)) if lines else None
    if found is None:
        raise WireError("not a proof: no index of the record")
    return Inclusion(int(found["index"]), _hashes(lines), note, extra)


def check_record(proof: Inclusion, body: bytes, key: PublicKey) -> Checkpoint:
    """Return the checkpoint that *proof* leads to from the record with exactly the bytes *body*.

    Raises:
        TrustError: *key* did not sign it, or the record is not in its ledger at that place.
    """
    checkpoint = _vouched(proof.note, key)
    leaf = maths.leaf_hash(body)
    if not maths.is_included(leaf, proof.leaf_index, checkpoint.size, proof.hashes, checkpoint.root):
        raise TrustError(
            f"these bytes are not record {proof.leaf_index + 1} of {checkpoint.origin}: the proof leads elsewhere"
        )
    return checkpoint


def check_between(proof: Consistency, older: Note, key: PublicKey) -> Checkpoint:
    """Return the newer checkpoint, if the ledger of the *older* one is its beginning.

    Raises:
        TrustError: *key* did not sign both, or they are of two histories.
    """
    old, new = _vouched(older, key), _vouched(proof.note, key)
    if old.origin != new.origin:
        raise TrustError(f"one checkpoint is of {old.origin}, the other of {new.origin}")
    if old.size != proof.old or not maths.is_consistent(old.size, new.size, old.root, new.root, proof.hashes):
        raise TrustError(f"the checkpoint over {old.size} records is not shown to be the beginning of the newer one")
    return new


def _vouched(note: Note, key: PublicKey) -> Checkpoint:
    checkpoint = notes.parse_checkpoint(note.text)
    notes.verified(note, [Verifier(checkpoint.origin, key)])
    return checkpoint


def _signed(connection: sqlite3.Connection, size: int | None) -> SignedCheckpoint:
    newest = checkpoints.latest(connection)
    if newest is None:
        raise UsageError("there is no checkpoint yet; `appliance audit checkpoint` signs one")
    if size is None:
        return newest
    kept = checkpoints.history(connection)
    found = next((one for one in kept if one.size == size), None)
    if found is None:
        near = (
            ", ".join(str(one.size) for one in kept if one.size >= size)[:80] or f"none, the newest has {newest.size}"
        )
        raise UsageError(f"no checkpoint over exactly {size} records is kept; larger ones: {near}")
    return found


def _hashes(lines: list[str]) -> tuple[bytes, ...]:
    found = tuple(notes.decoded(line, "a hash of the proof") for line in lines)
    if any(len(one) != 32 for one in found):
        raise WireError("not a proof: a hash that has not 32 bytes")
    return found


def _lines(hashes: tuple[bytes, ...]) -> str:
    return "".join(f"{_encoded(one)}\n" for one in hashes)


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()
