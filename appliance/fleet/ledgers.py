"""A device's records and signed checkpoints to one question: is this still the ledger that it was?

The controller grows the same tree that the device does, over what it has received, and holds every signed checkpoint
against it. Two checkpoints that agree with one tree agree with each other, so nothing else has to be compared.

Covers: history that was rewritten, rolled back or continued twice (`forked`), records that came before this controller
knew the device (their roots are taken on trust until the next checkpoint proves them), a new ledger that does not
cite the old one (`unlinked`). Does not cover: a device that lies from its first record on.
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
    if len(parts) != 3 or parts[0] != _PRODUCT or not 0 < len(parts[2]) <= _EPOCH_CHARS:
        raise WireError(f"a checkpoint of {said.origin[:120]!r}, which is no ledger of an appliance")
    notes.verified(note, [notes.Verifier(said.origin, key)])
    return Root(parts[2], said.size, said.root)


def subtrees(home: FleetHome, device: str, epoch: str) -> Subtree:
    """Return the subtrees over what has been received; it raises LookupError where something never was."""

    def subtree(height: int, n: int) -> bytes:
        kept = next(
            home.db.query(
                "select hash from nodes where device = ? and epoch = ? and height = ? and n = ?",
                [device, epoch, height, n],
            ),
            None,
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
        known = home.db.query(
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


def take_checkpoint(home: FleetHome, device: str, said: Root, note: str, now: datetime) -> bool:
    """Keep a checkpoint whose signature holds; `settle` holds it against the records.

    Returns:
        Whether it is new.
    """
    return (
        home.db.execute(
            "insert into checkpoints (device, epoch, size, root, note, received_at, checked)"
            " values (?, ?, ?, ?, ?, ?, 0) on conflict (device, epoch, size, root) do nothing",
            [device, said.epoch, said.size, said.root, note, iso(now)],
        ).rowcount
        == 1
    )


def settle(home: FleetHome, device: str, epoch: str, upto: int) -> list[Fault]:
    """Hold every checkpoint that has not been against the *upto* records that are here."""
    faults = []
    waiting = list(
        home.db.query(
            "select size, root from checkpoints where device = ? and epoch = ? and size <= ? and checked = 0",
            [device, epoch, upto],
        )
    )
    for row in waiting:
        try:
            found = tree.root(row["size"], subtrees(home, device, epoch))
        except LookupError:
            continue  # of a time before this controller knew the device, and smaller than what it was told
        is_equal = found == bytes(row["root"])
        home.db.execute(
            "update checkpoints set checked = ? where device = ? and epoch = ? and size = ? and root = ?",
            [1 if is_equal else -1, device, epoch, row["size"], row["root"]],
        )
        if not is_equal:
            faults.append(
                Fault(FORKED, f"epoch {epoch}: the device signed another history up to {row['size']} than it sent")
            )
    twice = list(
        home.db.query(
            "select size from checkpoints where device = ? and epoch = ? group by size having count(*) > 1",
            [device, epoch],
        )
    )
    faults += [Fault(FORKED, f"epoch {epoch}: two histories of {row['size']} records were signed") for row in twice]
    return faults


def begun(home: FleetHome, device: str, epoch: str, first: Item, now: datetime) -> Fault | None:
    """Note a new ledger of *device* by its first record, and whether it goes on from the one before."""
    facts = (_body(first) or {}).get("facts")
    cited = facts.get("predecessor") if isinstance(facts, dict) else None
    before = next(
        home.db.query(
            "select epoch, max(size) as size, root from checkpoints where device = ? and epoch <> ? and checked >= 0"
            " group by epoch order by max(received_at) desc limit 1",
            [device, epoch],
        ),
        None,
    )
    fault = None
    text = json.dumps(cited, sort_keys=True) if cited else ""
    if first.seq != 1:
        standing = "joined later"
    elif before is None:
        standing = "first"
    else:
        fault = _unlinked(home, device, epoch, cited, dict(before))
        standing = UNLINKED if fault else "goes on"
    home.db.table("epochs").upsert(
        {
            "device": device,
            "epoch": epoch,
            "began_at": iso(now),
            "cites": text,
            "standing": standing,
        },
        pk=("device", "epoch"),
    )
    return fault


def leaf_of(item: Item) -> bytes:
    """Return the hash that stands for a record in the tree."""
    if (only := _leaf_only(item)) is not None:
        return only
    return tree.leaf_hash(str(item.body.get("body", "")).encode())


def _unlinked(home: FleetHome, device: str, epoch: str, cited: Any, before: dict[str, Any]) -> Fault | None:
    known = f"{before['epoch']} of {before['size']} records"
    if not isinstance(cited, dict):
        return Fault(UNLINKED, f"epoch {epoch} cites no predecessor; here is a checkpoint of {known}")
    size = cited.get("size", cited.get("seq"))
    if cited.get("epoch") != before["epoch"] or not isinstance(size, int):
        return Fault(UNLINKED, f"epoch {epoch} cites {str(cited.get('epoch'))[:64]!r}; here is a checkpoint of {known}")
    if size < before["size"]:
        return Fault(UNLINKED, f"epoch {epoch} goes on from record {size}; here is a checkpoint of {known}")
    root = cited.get("root", cited.get("hash"))
    if size == before["size"] and root not in (None, bytes(before["root"]).hex()):
        return Fault(UNLINKED, f"epoch {epoch} cites another history than was signed: {known}")
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
    rows = home.db.query(
        "select leaf from records where device = ? and epoch = ? and stream = 'audit' and seq > ? and seq <= ?"
        " and leaf is not null order by seq",
        [device, epoch, after, upto],
    )
    return [bytes(row["leaf"]) for row in rows]


def _keep_node(home: FleetHome, device: str, epoch: str, height: int, n: int, hashed: bytes) -> None:
    home.db.execute(
        "insert or ignore into nodes (device, epoch, height, n, hash) values (?, ?, ?, ?, ?)",
        [device, epoch, height, n, hashed],
    )
