"""Some records to one signed file that somebody elsewhere can check and read.

Covers: the records that were asked for and those needed to understand them, a proof of each against a checkpoint, what
is withheld, the same bytes for the same input; the finished file is checked before it is handed out. Of an earlier
epoch, of which a damaged file may have left holes: the newest of its checkpoints that can still be joined to what is
here; records that no proof leads to are marked, or left out.
Does not cover: records after the newest checkpoint (the caller asks the device for a fresh one), records that were
pruned; checkpoints of an earlier epoch under a key that has been replaced since (its records go without proofs).
"""

from __future__ import annotations

import base64
import contextlib
import functools
import json
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from appliance.contracts import tree as maths
from appliance.contracts.audit import AuditRow
from appliance.contracts.canonical import canonical
from appliance.contracts.record import JsonObject
from appliance.contracts.selection import Selection
from appliance.contracts.workflow import LawNamed
from appliance.errors import StorageError, TrustError, UsageError, WireError
from appliance.ledger import archive_check, report, selecting, trusting
from appliance.ledger import archive_format as form
from appliance.ledger.archive_format import Manifest, ProofLine, RecordLine, SinceProof, Withheld
from appliance.ledger.segments import Table
from appliance.ledger.selecting import Source
from appliance.storage import audit, checkpoints, tree
from appliance.trust import notes
from appliance.trust.keys import SigningKey
from appliance.trust.notes import Checkpoint, Verifier


class Exported(NamedTuple):
    """The file, and what it is."""

    data: bytes
    manifest: Manifest


class Occasion(NamedTuple):
    """Who exports when, with what."""

    at: datetime
    clock_trusted: bool
    software: str
    note: str = ""
    with_words: bool = False
    proven_only: bool = False
    """Leave out what no proof leads to, instead of marking it."""

    since: bytes | None = None
    """An older checkpoint's note, to show that nothing was rewritten since."""

    bundle: Callable[[str], bytes | None] = lambda _sha256: None
    """Finds a model bundle's manifest by its hash."""


def newest_asked(reader: sqlite3.Connection, selections: Sequence[Selection]) -> int:
    """Return the number of the newest record that *selections* mean: what a checkpoint has to cover.

    Raises:
        UsageError: they mean none, or more than an archive holds.
    """
    return max(selecting.asked(selecting.source(reader, selections), selections))


def export(
    reader: sqlite3.Connection,
    selections: Sequence[Selection],
    checkpoint: bytes | None,
    key: SigningKey,
    occasion: Occasion,
) -> Exported:
    """Write the archive of the records that *selections* mean.

    Args:
        checkpoint: a signed note over all of them; of an earlier epoch None, what there is of it is taken.

    Raises:
        UsageError: nothing is meant, or too much, or the older checkpoint is of another log.
        StorageError: the ledger does not bear the checkpoint out; `appliance audit verify` says where it is broken.
    """
    ledger = selecting.source(reader, selections)
    wanted = selecting.asked(ledger, selections)
    chosen = sorted(wanted | selecting.context(ledger, wanted))
    subtree = functools.lru_cache(maxsize=65_536)(tree.subtrees(reader, ledger.epoch))
    head: Checkpoint | None
    if ledger.is_current:
        head = _present(checkpoint, key, chosen[-1])
    else:
        checkpoint, head = _standing(ledger, key, subtree)
    paths = {seq: path for seq in chosen if head is not None and (path := _path(seq, head, subtree)) is not None}
    if ledger.is_current and len(paths) != len(chosen):
        raise StorageError("a proof cannot be made, hashes are missing; `appliance audit verify` says more")
    if occasion.proven_only:
        chosen = [seq for seq in chosen if seq in paths]
        if not wanted & paths.keys():
            raise UsageError(
                "none of these records can be proven any more; without --proven-only they are exported as such"
            )
    rows = list(ledger.rows(chosen))
    lines = [_line(row, wanted, with_words=occasion.with_words, proven=row.seq in paths) for row in rows]
    if len(lines) != len(chosen):
        raise StorageError("records disappeared while they were read; try again")
    first = json.loads(next(audit.rows(reader, limit=1)).body)["facts"]
    origin = head.origin if head is not None else _origin(ledger, first)
    me = Verifier(origin, key.public)
    parts = {
        form.RECORDS: b"".join(archive_check.line(line) for line in lines),
        form.PROOFS: b"".join(
            archive_check.line(ProofLine(seq=seq, path=paths[seq])) for seq in chosen if seq in paths
        ),
        form.PUBLIC_KEY: key.public.pem(),
    }
    if head is not None and checkpoint is not None:
        parts[form.CHECKPOINT] = checkpoint
    if occasion.since is not None:
        if head is None:
            raise UsageError("--since: no checkpoint of this epoch can be joined to anything any more")
        parts |= {form.SINCE: occasion.since, form.SINCE_PROOF: _since(occasion.since, head, subtree)}
    if changes := trusting.changes(reader):
        parts[form.ROTATIONS] = canonical([change.model_dump(mode="json") for change in changes]) + b"\n"
    bundles = _bundles(lines, occasion.bundle)
    if found := next((data for data in bundles.values() if data is not None), None):
        parts[form.BUNDLE] = found
    manifest = Manifest(
        made_at=occasion.at.isoformat(),
        clock="trusted" if occasion.clock_trusted else "untrusted",
        software=occasion.software,
        device=str(first.get("device", "")),
        epoch=ledger.epoch,
        origin=origin,
        key=str(me),
        size=0 if head is None else head.size,
        root="" if head is None else base64.b64encode(head.root).decode(),
        records_n=len(lines),
        unproven_n=len(lines) - len(paths.keys() & set(chosen)),
        selection=tuple(selections),
        words="included" if occasion.with_words else "left out",
        withheld=tuple(_withheld(rows, lines)),
        configured_by=_configured(lines),
        bundles={sha256: data is not None and data == found for sha256, data in bundles.items()},
        workflow=_laws(lines),
        note=occasion.note,
        files={},
    )
    parts[form.REPORT] = report.page(manifest, lines)
    parts[form.README] = report.readme(manifest).encode()
    manifest = manifest.model_copy(update={"files": {name: form.packed(parts[name]) for name in sorted(parts)}})
    parts[form.MANIFEST] = archive_check.canonical_json(manifest)
    signed = notes.sign(archive_check.signed_text(origin, parts[form.MANIFEST]), origin, key)
    parts[form.SIGNATURE] = str(signed).encode()
    verdict = archive_check.verify_parts(parts, (key.public,), origin)
    if verdict.state == "broken":
        raise StorageError(
            f"the ledger does not bear its checkpoint out: {verdict.faults[0]}; `appliance audit verify`"
        )
    data = form.pack(parts)
    if len(data) > form.MAX_BYTES:
        raise UsageError(f"that is more than {form.MAX_BYTES >> 20} MiB; ask for fewer records")
    return Exported(data, manifest)


def _present(checkpoint: bytes | None, key: SigningKey, newest: int) -> Checkpoint:
    """Return what *checkpoint* says, if this device's key signed it and it covers *newest*."""
    if checkpoint is None:
        raise StorageError(f"record {newest} is not under a checkpoint yet; try again in a minute")
    try:
        head = notes.parse_checkpoint(notes.parse(checkpoint).text)
        notes.verified(notes.parse(checkpoint), (Verifier(head.origin, key.public),))
    except (WireError, TrustError) as error:
        raise StorageError(f"the newest checkpoint cannot be used: {error}") from error
    if newest > head.size:
        raise StorageError(f"record {newest} is not under a checkpoint yet; try again in a minute")
    return head


def _standing(ledger: Source, key: SigningKey, subtree: maths.Subtree) -> tuple[bytes | None, Checkpoint | None]:
    """Return the newest checkpoint of an earlier epoch that the records and roots which are left still lead to."""
    kept = [one.note for one in checkpoints.history(ledger.reader, ledger.epoch)]
    kept += [str(note) for note in trusting.cited(ledger.reader, Table(Path(), ledger.epoch, is_current=False))]
    signed: list[tuple[Checkpoint, bytes]] = []
    for note in (text.encode() for text in kept):
        with contextlib.suppress(WireError, TrustError):  # of a key that was replaced since
            head = notes.parse_checkpoint(notes.parse(note).text)
            notes.verified(notes.parse(note), (Verifier(head.origin, key.public),))
            signed.append((head, note))
    for head, note in sorted(signed, key=lambda one: -one[0].size):
        with contextlib.suppress(LookupError):  # over records that are gone
            if maths.root(head.size, subtree) == head.root:
                return note, head
    return None, None


def _path(seq: int, head: Checkpoint, subtree: maths.Subtree) -> tuple[str, ...] | None:
    """Return the proof of a record under *head*; None where what it takes is not here."""
    if seq > head.size:
        return None
    try:
        return _b64(maths.inclusion(seq - 1, head.size, subtree))
    except LookupError:
        return None


def _origin(ledger: Source, first: JsonObject) -> str:
    """Return the name of an earlier epoch's log: what its beginning says, else the present one's with its epoch."""
    begun = next(iter(ledger.rows([1])), None)
    stated = json.loads(begun.body)["facts"].get("origin") if begun is not None else None
    return stated if isinstance(stated, str) else f"edge-agent-appliance/{first.get('device', '')}/{ledger.epoch}"


def _line(row: AuditRow, asked: set[int], *, with_words: bool, proven: bool) -> RecordLine:
    kept = (row.personal or {}).items() if with_words else ()
    # A redacted value may have left its name behind.
    personal = {name: value for name, value in kept if isinstance(value, dict) and set(value) == {"salt", "value"}}
    leaf = None if proven else row.leaf.hex()
    return RecordLine(seq=row.seq, asked=row.seq in asked, body=row.body, personal=personal or None, leaf=leaf)


def _since(note: bytes, head: Checkpoint, subtree: maths.Subtree) -> bytes:
    try:
        old = notes.parse_checkpoint(notes.parse(note).text)
    except WireError as error:
        raise UsageError(f"--since: {error}") from error
    if old.origin != head.origin:
        raise UsageError(f"--since: that checkpoint is of {old.origin}, this log is {head.origin}")
    if old.size > head.size:
        raise UsageError(f"--since: that checkpoint covers {old.size} records, the ledger has {head.size}: it was cut")
    try:
        path = maths.consistency(old.size, head.size, subtree)
    except LookupError as error:
        raise StorageError(f"--since: that checkpoint cannot be joined: {error}") from error
    return archive_check.line(SinceProof(old=old.size, new=head.size, path=_b64(path)))


def _withheld(rows: Sequence[AuditRow], lines: Sequence[RecordLine]) -> Iterable[Withheld]:
    for row, line in zip(rows, lines, strict=True):
        kept = row.personal or {}
        missing = sorted(set(json.loads(line.body)["personal"]) - set(line.personal or {}))
        here = tuple(name for name in missing if isinstance(kept.get(name), dict))
        gone = tuple(name for name in missing if name not in here)
        if here:
            yield Withheld(seq=line.seq, names=here, why="left out")
        if gone:
            yield Withheld(seq=line.seq, names=gone, why="erased")


def _bundles(lines: Sequence[RecordLine], find: Callable[[str], bytes | None]) -> dict[str, bytes | None]:
    """Return the manifest, or None, of every bundle that decided among *lines*."""
    used = {json.loads(line.body)["facts"].get("versions", {}).get("bundle_sha256", "") for line in lines if line.asked}
    return {sha256: find(sha256) for sha256 in sorted(used) if isinstance(sha256, str) and sha256}


def _configured(lines: Sequence[RecordLine]) -> int | None:
    """Return the newest configuration that a decision here cites."""
    return max((line.seq for line in lines if json.loads(line.body)["kind"] == "configured"), default=None)


def _laws(lines: Sequence[RecordLine]) -> tuple[LawNamed, ...] | None:
    """Return every law of the configurations among *lines*; None where there is no configuration."""
    bodies = [json.loads(line.body) for line in lines]
    configured = [body["facts"]["configuration"] for body in bodies if body["kind"] == "configured"]
    found = {
        LawNamed(name=law["name"], version=law["version"], digest=law["digest"])
        for configuration in configured
        for law in configuration.get("laws", ())
    }
    return tuple(sorted(found, key=lambda law: (law.name, law.version, law.digest))) if configured else None


def _b64(hashes: Sequence[bytes]) -> tuple[str, ...]:
    return tuple(base64.b64encode(h).decode() for h in hashes)
