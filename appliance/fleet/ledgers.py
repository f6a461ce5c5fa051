"""A device's records and signed checkpoints to one question: is this still the ledger that it was?

The controller grows the same tree that the device does, over what it has received, and holds every signed checkpoint
against it. Two checkpoints that agree with one tree agree with each other, so nothing else has to be compared.

Covers: history that was rewritten, rolled back or continued twice (`forked`), records that came before this controller
knew the device (their roots are taken on trust until the next checkpoint proves them), a new ledger that does not
cite the old one, or that shows no first record although another one is known (`unlinked`).
Does not cover: a device that lies from its first record on.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from appliance.contracts import tree
from appliance.contracts.envelope import Item
from appliance.contracts.tree import Subtree
from appliance.errors import WireError
from appliance.fleet.home import FleetHome, iso
from appliance.storage.tree import WIDTH, WIDTH_BITS
from appliance.trust import notes
from appliance.trust.keys import PublicKey

LEAF_CHARS: Final = 64

SET_ASIDE: Final = " set aside "
"""In the name of a ledger that a person has put away; no device may use it."""

SET_ASIDES: Final = "select kept_as from closures where device = ? and kept_as is not null"
"""Which ledgers those are: by what the person did, for what a device calls its own may look like such a name."""

FORKED: Final = "forked"
UNLINKED: Final = "unlinked"
_PRODUCT: Final = "edge-agent-appliance"
_EPOCH_CHARS: Final = 64


class Fault(NamedTuple):
    """Something that a person must look at."""

    what: str
    text: str


class Root(NamedTuple):
    """What a checkpoint says, after its signature was found to hold."""

    epoch: str
    size: int
    root: bytes


class Broken(NamedTuple):
    """A checkpoint that does not agree with the records that are here."""

    size: int
    root: bytes
    fault: Fault


class _Before(NamedTuple):
    """A ledger that a new one should cite."""

    epoch: str
    size: int
    """That the device has signed for; 0 where no checkpoint of it counts."""

    root: bytes


def read_checkpoint(payload: bytes, key: PublicKey) -> Root:
    """Read a signed checkpoint.

    Raises:
        WireError: malformed, or of another kind of log.
        TrustError: *key* did not sign it.
    """
    note = notes.parse(payload)
    said = notes.parse_checkpoint(note.text)
    # Which name the device had when that ledger began does not matter: the key is this device's alone.
    parts = said.origin.split("/")
    if len(parts) != 3 or parts[0] != _PRODUCT or not 0 < len(parts[2]) <= _EPOCH_CHARS or SET_ASIDE in parts[2]:
        raise WireError(f"a checkpoint of {said.origin[:120]!r}, which is no ledger of an appliance")
    notes.verified(note, [notes.Verifier(said.origin, key)])
    return Root(parts[2], said.size, said.root)


def subtrees(home: FleetHome, device: str, epoch: str) -> Subtree:
    """Return the subtrees over what has been received; it raises LookupError where something never was."""

    def subtree(height: int, n: int) -> bytes:
        kept = home.db.row(
            "select hash from nodes where device = ? and epoch = ? and height = ? and n = ?",
            [device, epoch, height, n],
        )
        if kept is not None:
            return bytes(kept["hash"])
        if height <= WIDTH_BITS:
            leaves = _leaves(home, device, epoch, n << height, (n + 1) << height)
            if len(leaves) == 1 << height:
                return tree.folded(leaves)
        if height == 0:
            raise LookupError(f"record {n + 1} of {device} is not here")
        return tree.node_hash(subtree(height - 1, 2 * n), subtree(height - 1, 2 * n + 1))

    return subtree


def check(home: FleetHome, device: str, epoch: str, items: Sequence[Item], upto: int) -> Fault | None:
    """Look whether *items* are records in order that agree with what is here, before anything is stored."""
    expected = 0
    for item in items:
        if expected and item.seq != expected:
            return Fault("audit_refused", f"audit {expected} is missing before {item.seq}")
        expected = item.seq + 1
        if _leaf_only(item) is not None:
            continue  # the device's owner shares counts only: the tree grows all the same
        said = _body(item)
        if said is None:
            return Fault("audit_refused", f"audit {item.seq} has no body that can be read")
        if (said.get("seq"), said.get("kind")) != (item.seq, item.kind):
            return Fault("audit_refused", f"audit {item.seq} is another record by its own body")
    again = {item.seq: leaf_of(item) for item in items if item.seq <= upto}
    if again:
        known = home.db.rows(
            "select seq, leaf from records where device = ? and epoch = ? and stream = 'audit' and seq between ? and ?",
            [device, epoch, min(again), max(again)],
        )
        for row in known:
            if row["leaf"] is not None and bytes(row["leaf"]) != again.get(row["seq"], row["leaf"]):
                return Fault(FORKED, f"epoch {epoch}: record {row['seq']} came a second time with other content")
    return None


def begin_at(home: FleetHome, device: str, epoch: str, size: int, roots: Sequence[str]) -> Fault | None:
    """Take the roots of the first *size* records, which this controller never had, from the device."""
    wanted = tree.peaks(size)
    if len(roots) != len(wanted):
        return Fault("audit_refused", f"audit begins at {size + 1}, and the device cannot show what came before")
    known = subtrees(home, device, epoch)
    for (height, n), root in zip(wanted, roots, strict=True):
        try:
            if known(height, n) != bytes.fromhex(root):
                return Fault(FORKED, f"epoch {epoch}: what the device says of its first {size} records has changed")
        except LookupError:
            _keep_node(home, device, epoch, height, n, bytes.fromhex(root))
    return None


def grow(home: FleetHome, device: str, epoch: str, first: int, last: int) -> None:
    """Keep the roots that records *first* to *last* complete; the records are stored already."""
    known = subtrees(home, device, epoch)
    for size in range(-(-first // WIDTH) * WIDTH, last + 1, WIDTH):
        height, n = WIDTH_BITS, size // WIDTH - 1
        _keep_node(home, device, epoch, height, n, known(height, n))
        while n & 1:
            height, n = height + 1, n >> 1
            _keep_node(home, device, epoch, height, n, known(height, n))


def take_checkpoint(
    home: FleetHome, device: str, said: Root, note: str, upto: int, now: datetime
) -> tuple[bool, list[Fault]]:
    """Keep a checkpoint whose signature holds, and hold it against the *upto* records that are here.

    One of a history that a person has put away is evidence of that one, and says nothing against what was accepted in
    its place, however often it comes again.

    Returns:
        Whether it is new, and what it shows.
    """
    if not _agrees(home, device, said, upto) and (put_away := _put_away(home, device, said)) is not None:
        new = _keep_checkpoint(home, device, put_away, note, now)
        if new:
            mark(home, device, put_away.epoch, said.size, said.root, checked=1)
        return new, []
    if not _keep_checkpoint(home, device, said, note, now):
        return False, []
    faults = [one.fault for one in settle(home, device, said.epoch, upto)]
    of_size = home.db.rows(
        "select 1 from checkpoints where device = ? and epoch = ? and size = ?", [device, said.epoch, said.size]
    )
    if len(of_size) > 1:
        faults.append(Fault(FORKED, f"epoch {said.epoch}: two histories of {said.size} records were signed"))
    return True, faults


def settle(home: FleetHome, device: str, epoch: str, upto: int) -> list[Broken]:
    """Hold every checkpoint that has not been against the *upto* records that are here, and return what broke."""
    broken = []
    waiting = home.db.rows(
        "select size, root from checkpoints where device = ? and epoch = ? and size <= ? and checked = 0 order by size",
        [device, epoch, upto],
    )
    for row in waiting:
        try:
            found = tree.root(row["size"], subtrees(home, device, epoch))
        except LookupError:
            continue  # of a time before this controller knew the device, and smaller than what it was told
        size, root = int(row["size"]), bytes(row["root"])
        is_equal = found == root
        mark(home, device, epoch, size, root, checked=1 if is_equal else -1)
        if not is_equal:
            text = f"epoch {epoch}: the device signed another history up to {size} than it sent"
            broken.append(Broken(size, root, Fault(FORKED, text)))
    return broken


def mark(home: FleetHome, device: str, epoch: str, size: int, root: bytes, *, checked: int) -> None:
    """Remember whether a checkpoint agrees with the records."""
    home.db.execute(
        "update checkpoints set checked = ? where device = ? and epoch = ? and size = ? and root = ?",
        [checked, device, epoch, size, root],
    )


def begun(
    home: FleetHome, device: str, epoch: str, first: Item, now: datetime, *, accepted: bool = False
) -> Fault | None:
    """Note a new ledger of *device* by its first record, and whether it goes on from the one before.

    Args:
        accepted: a person has put away what was here under the same name, and takes this one.
    """
    facts = (_body(first) or {}).get("facts")
    cited = facts.get("predecessor") if isinstance(facts, dict) else None
    before = _before(home, device, epoch)
    fault = None
    text = json.dumps(cited, sort_keys=True) if cited else ""
    if accepted:
        standing = "accepted by a person"
    elif first.seq != 1:
        # Of its first record, which would cite the ledger before, there is nothing to be seen.
        why = f"epoch {epoch} begins at {first.seq}, and another ledger of {device} is here"
        fault = Fault(UNLINKED, why) if before is not None else None
        standing = UNLINKED if fault else "joined later"
    elif before is None:
        standing = "first"
    else:
        fault = _unlinked(home, device, epoch, cited, before)
        standing = UNLINKED if fault else "goes on"
    home.db.execute(
        "insert into epochs (device, epoch, began_at, cites, standing) values (?, ?, ?, ?, ?)"
        " on conflict (device, epoch) do update set cites = excluded.cites, standing = excluded.standing",
        [device, epoch, iso(now), text, standing],
    )
    return fault


def _before(home: FleetHome, device: str, epoch: str) -> _Before | None:
    """Return the newest other ledger of *device* that ever came here, by its records, a checkpoint or its name."""
    place = [device, epoch]
    known = home.db.row(
        "select epoch from (select epoch, began_at as at, 0 as size from epochs where device = ? and epoch <> ?"  # noqa: S608 -- our own words
        " union all select epoch, case when checked < 0 then '' else received_at end as at, size from checkpoints"
        " where device = ? and epoch <> ?"
        # Put away, and what was accepted in its place has not come yet.
        " union all select epoch, accepted_at as at, 0 as size from closures where device = ? and epoch <> ?"
        " and accepted_at is not null) known"
        f" where epoch not in ({SET_ASIDES}) order by at desc, size desc, epoch limit 1",
        [*place, *place, *place, device],
    )
    if known is None:
        return None
    signed = home.db.row(
        "select size, root from checkpoints where device = ? and epoch = ? and checked >= 0 order by size desc limit 1",
        [device, known["epoch"]],
    )
    if signed is None:
        return _Before(str(known["epoch"]), 0, b"")
    return _Before(str(known["epoch"]), int(signed["size"]), bytes(signed["root"]))


def _keep_checkpoint(home: FleetHome, device: str, said: Root, note: str, now: datetime) -> bool:
    written_n = home.db.execute(
        "insert into checkpoints (device, epoch, size, root, note, received_at, checked)"
        " values (?, ?, ?, ?, ?, ?, 0) on conflict (device, epoch, size, root) do nothing",
        [device, said.epoch, said.size, said.root, note, iso(now)],
    )
    return written_n == 1


def _put_away(home: FleetHome, device: str, said: Root) -> Root | None:
    """Return *said* under the name of the ledger that was put away with it, or with the records that it signs."""
    for row in home.db.rows(f"{SET_ASIDES} and epoch = ? order by n", [device, said.epoch]):
        there = said._replace(epoch=str(row["kept_as"]))
        stands = home.db.row(
            "select 1 as one from checkpoints where device = ? and epoch = ? and size = ? and root = ?",
            [device, there.epoch, said.size, said.root],
        )
        if stands is not None or _agrees(home, device, there, said.size):
            return there
    return None


def _agrees(home: FleetHome, device: str, said: Root, upto: int) -> bool:
    try:
        return said.size <= upto and tree.root(said.size, subtrees(home, device, said.epoch)) == said.root
    except LookupError:
        return False


def leaf_of(item: Item) -> bytes:
    """Return the hash that stands for a record in the tree."""
    if (only := _leaf_only(item)) is not None:
        return only
    return tree.leaf_hash(str(item.body.get("body", "")).encode())


def _unlinked(home: FleetHome, device: str, epoch: str, cited: Any, before: _Before) -> Fault | None:
    known = f"a checkpoint of {before.epoch} of {before.size} records" if before.size else f"ledger {before.epoch}"
    if not isinstance(cited, dict):
        return Fault(UNLINKED, f"epoch {epoch} cites no predecessor; here is {known}")
    size = cited.get("size", cited.get("seq"))
    if cited.get("epoch") != before.epoch or not isinstance(size, int):
        return Fault(UNLINKED, f"epoch {epoch} cites {str(cited.get('epoch'))[:64]!r}; here is {known}")
    if size < before.size:
        return Fault(UNLINKED, f"epoch {epoch} goes on from record {size}; here is {known}")
    root = cited.get("root", cited.get("hash"))
    if before.size and size == before.size and root not in (None, before.root.hex()):
        return Fault(UNLINKED, f"epoch {epoch} cites another history than was signed; here is {known}")
    return None


def _leaf_only(item: Item) -> bytes | None:
    text = item.body.get("leaf")
    if set(item.body) != {"leaf"} or not isinstance(text, str) or len(text) != LEAF_CHARS:
        return None
    try:
        return bytes.fromhex(text)
    except ValueError:
        return None


def _body(item: Item) -> dict[str, Any] | None:
    text = item.body.get("body")
    if not isinstance(text, str) or set(item.body) not in ({"body"}, {"body", "personal"}):
        return None
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) else None


def _leaves(home: FleetHome, device: str, epoch: str, after: int, upto: int) -> list[bytes]:
    rows = home.db.rows(
        "select leaf from records where device = ? and epoch = ? and stream = 'audit' and seq > ? and seq <= ?"
        " and leaf is not null order by seq",
        [device, epoch, after, upto],
    )
    return [bytes(row["leaf"]) for row in rows]


def _keep_node(home: FleetHome, device: str, epoch: str, height: int, n: int, hashed: bytes) -> None:
    home.db.execute(
        "insert into nodes (device, epoch, height, n, hash) values (?, ?, ?, ?, ?) on conflict do nothing",
        [device, epoch, height, n, hashed],
    )
