"""An incident archive to a verdict, with nothing but the file and the device's public key.

Covers: every part exchanged, cut or made up (hashes, under a signed note), a record that the signed log does not hold
(inclusion proofs), words that are not the ones that were committed to, a log that was rewritten since an older
checkpoint (consistency proof), a bundle manifest that decided nothing here, a report that does not tell what the
records say (it is written again and compared, if this software is of the version that wrote it). A key that was changed
since the one that is given is followed by the statements in the file.
Does not cover: what is not in it. An archive shows the records that were asked for, not that there are no others;
`appliance audit verify` on the whole ledger does. Nor that the device told the truth when it wrote them.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, Literal, NamedTuple, TypeVar

from pydantic import TypeAdapter, ValidationError

from appliance import __version__
from appliance.contracts import tree
from appliance.contracts.canonical import canonical
from appliance.contracts.record import Record
from appliance.contracts.rotation import SignedRotation
from appliance.errors import TrustError, UsageError, WireError
from appliance.ledger import archive_format as form
from appliance.ledger import report
from appliance.ledger.archive_format import Manifest, ProofLine, RecordLine, SinceProof
from appliance.storage import audit
from appliance.trust import notes, rotation
from appliance.trust.keys import PublicKey
from appliance.trust.notes import Checkpoint, Verifier

_FAULTS_N: Final = 20
"""Enough to see what happened; a file of nonsense has thousands."""

_STATEMENTS: Final = TypeAdapter(tuple[SignedRotation, ...])

_R = TypeVar("_R", bound=Record)


class ArchiveVerdict(Record):
    """What a look at an archive found."""

    state: Literal["verified", "partial", "broken", "unknown key", "another log"]
    """`partial`: nothing is wrong with it, and some of its records have no proof. `unknown key`: it is signed by a key
    that the given one does not lead to; `another log`: by that key perhaps, and not of the log that it is the name of.
    Both say nothing about the records."""

    faults: tuple[str, ...] = ()
    """What is wrong, and in which part; none where it is verified."""

    device: str = ""
    origin: str = ""
    size: int = 0
    """Records under the checkpoint."""

    records_n: int = 0
    unproven_n: int = 0
    """Records that the device exported without a proof: it vouches for this file, its log does not for them."""

    words_n: int = 0
    """Personal values that are in it and are the ones that were committed to."""

    withheld_n: int = 0
    rotations_n: int = 0
    """Changes of the key between the given one and the one that signed."""

    software: str = ""
    is_report_checked: bool = True
    """False: `report.html` and `README.txt` are those that the device signed, and another version of the software wrote
    them, so that they cannot be held against the records."""

    since: int | None = None
    """Size of the older checkpoint that this log is shown to go on from."""


class _Broken(Exception):
    """One part is not what it must be."""


class _Contents(NamedTuple):
    manifest: Manifest
    parts: Mapping[str, bytes]
    checkpoint: Checkpoint | None


def verify_archive(path: Path, keys: Sequence[PublicKey], origin: str | None = None) -> ArchiveVerdict:
    """Check the archive at *path* against the device's public *keys* (several where it changed its key).

    Args:
        origin: the log that it must be of; whichever these keys sign for, when absent.
    """
    try:
        return verify_parts(form.open_archive(path), keys, origin)
    except UsageError as error:
        return ArchiveVerdict(state="broken", faults=(str(error),))


def verify_parts(parts: Mapping[str, bytes], keys: Sequence[PublicKey], origin: str | None = None) -> ArchiveVerdict:
    """Check the *parts* of an archive."""
    try:
        manifest = _parsed(form.MANIFEST, Manifest, parts[form.MANIFEST])
        led, caveat = _followed(parts, keys)
        verifiers = [Verifier(manifest.origin, key) for key in (*keys, *led)]
        if _claimed(manifest).raw not in {verifier.public.raw for verifier in verifiers}:
            return ArchiveVerdict(state="unknown key", faults=(caveat or _stranger(manifest, keys),))
        _check_signature(parts, manifest, verifiers)
        if origin not in {None, manifest.origin}:
            of = f"it is of {manifest.origin[:100]!a}, the key is of {origin[:100]!a}" if origin else ""
            said = f"{of}: after a restore a log has another name under the same key; ask for the one of now"
            return ArchiveVerdict(state="another log", faults=(said,))
        checkpoint = _stated(parts, manifest, verifiers)
    except _Broken as broken:
        return ArchiveVerdict(state="broken", faults=(str(broken),))
    contents = _Contents(manifest, parts, checkpoint)
    faults = [*_altered(contents)]
    is_report_checked = True
    words_n = records_n = unproven_n = 0
    try:
        for fault, words, is_proven in _records(contents):
            records_n += 1
            words_n += words
            unproven_n += not is_proven
            if fault and len(faults) < _FAULTS_N:
                faults.append(fault)
        if records_n != manifest.records_n:
            raise _Broken(f"{form.RECORDS}: {records_n} records; {form.MANIFEST} says {manifest.records_n}")
        if unproven_n != manifest.unproven_n:
            raise _Broken(f"{form.RECORDS}: {unproven_n} without proof; {form.MANIFEST} says {manifest.unproven_n}")
        since = _since(contents, verifiers)
        _check_key(contents)
        _check_bundle(contents)
        is_report_checked = manifest.software == __version__
        if is_report_checked and not faults:
            _check_report(contents)
    except _Broken as broken:
        faults.append(str(broken))
        since = None
    return ArchiveVerdict(
        state="broken" if faults else "partial" if unproven_n else "verified",
        faults=tuple(faults[:_FAULTS_N]),
        device=manifest.device,
        origin=manifest.origin,
        size=manifest.size,
        records_n=records_n,
        unproven_n=unproven_n,
        words_n=words_n,
        withheld_n=sum(len(w.names) for w in manifest.withheld),
        since=since,
        rotations_n=_steps(manifest, keys, led),
        software=manifest.software,
        is_report_checked=is_report_checked,
    )


def _followed(parts: Mapping[str, bytes], keys: Sequence[PublicKey]) -> tuple[list[PublicKey], str]:
    """Return the keys that *keys* passed their trust on to, by the statements in the file, and why that ends."""
    if form.ROTATIONS not in parts:
        return [], ""
    try:
        rotations = _STATEMENTS.validate_json(parts[form.ROTATIONS])
    except ValidationError as error:
        raise _Broken(f"{form.ROTATIONS}: it holds no statements of changes of a key") from error
    led: list[PublicKey] = []
    for key in keys:
        known = key
        for change in rotations:
            try:
                following = rotation.followed(known, [change])
            except TrustError as error:
                return led, str(error)
            if following.raw != known.raw:
                led.append(following)
                known = following
    return led, ""


def _steps(manifest: Manifest, keys: Sequence[PublicKey], led: Sequence[PublicKey]) -> int:
    """Return how many changes of the key lie between the given ones and the one that signed."""
    if any(str(Verifier(manifest.origin, key)) == manifest.key for key in keys):
        return 0
    return next((n for n, key in enumerate(led, 1) if str(Verifier(manifest.origin, key)) == manifest.key), 0)


def _claimed(manifest: Manifest) -> PublicKey:
    """Return the key that the archive says it is signed by."""
    try:
        return notes.parse_verifier(manifest.key).public
    except (TrustError, WireError) as error:
        raise _Broken(f"{form.MANIFEST}: it names no key: {error}") from error


def _stranger(manifest: Manifest, keys: Sequence[PublicKey]) -> str:
    given = ", ".join(key.key_id for key in keys)
    return (
        f"it is signed by {manifest.key[:200]!a}, and the given key {given} does not lead there: it is another"
        " device's, or older than a change of the key that this file does not tell of; ask the device for its key"
    )


def _check_report(contents: _Contents) -> None:
    """Write the pages for people again: the same software gives the same bytes for the same records."""
    manifest = contents.manifest.model_copy(update={"files": {}})
    lines = [*_lines(form.RECORDS, RecordLine, contents.parts[form.RECORDS])]
    try:
        written = {form.REPORT: report.page(manifest, lines), form.README: report.readme(manifest).encode()}
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise _Broken(f"{form.REPORT}: it cannot be written from these records ({type(error).__name__})") from error
    for name, data in written.items():
        if contents.parts[name] != data:
            raise _Broken(f"{name}: it does not tell what the records say; software {manifest.software} writes another")


def _stated(parts: Mapping[str, bytes], manifest: Manifest, keys: Sequence[Verifier]) -> Checkpoint | None:
    """Return the archive's checkpoint, None where the manifest says that there is none."""
    found = None
    if form.CHECKPOINT in parts:
        found = _checkpoint(form.CHECKPOINT, parts[form.CHECKPOINT], manifest.origin, keys)
    elif manifest.size:
        raise _Broken(f"{form.CHECKPOINT}: missing")
    stated = (0, "") if found is None else (found.size, base64.b64encode(found.root).decode())
    if stated != (manifest.size, manifest.root):
        raise _Broken(f"{form.CHECKPOINT}: it is of another size or root than {form.MANIFEST} says")
    return found


def signed_text(origin: str, manifest: bytes) -> str:
    """Return what the device signs: one line of it is what `sha256sum -c` reads."""
    return f"{form.HEADING}\n{origin}\n{hashlib.sha256(manifest).hexdigest()}  {form.MANIFEST}\n"


def _check_signature(parts: Mapping[str, bytes], manifest: Manifest, keys: Sequence[Verifier]) -> None:
    text = _signed(form.SIGNATURE, parts[form.SIGNATURE], keys)
    if text != signed_text(manifest.origin, parts[form.MANIFEST]):
        raise _Broken(f"{form.MANIFEST}: it is not what the device signed in {form.SIGNATURE}")
    if canonical_json(manifest) != parts[form.MANIFEST]:
        raise _Broken(f"{form.MANIFEST}: it can be read in two ways")
    if not any(str(key) == manifest.key for key in keys):
        raise _Broken(f"{form.MANIFEST}: it names another key than the one that signed it")


def canonical_json(manifest: Manifest) -> bytes:
    """Return the one way to write a manifest: indented, for people."""
    return json.dumps(manifest.model_dump(mode="json"), indent=2, sort_keys=True, ensure_ascii=True).encode() + b"\n"


def _altered(contents: _Contents) -> Iterator[str]:
    listed = contents.manifest.files
    for name in form.ORDER:
        data = contents.parts.get(name)
        if name in {form.MANIFEST, form.SIGNATURE}:
            continue
        if (data is None) != (name not in listed):
            yield f"{name}: {'missing' if data is None else 'not in the list of the manifest'}"
        elif data is not None and form.packed(data) != listed[name]:
            yield f"{name}: it is not the file that the device signed (SHA-256 or size differs)"
    if unknown := sorted(set(listed) - set(form.ORDER)):
        yield f"{form.MANIFEST}: it lists {unknown[0][:80]!a}, which no archive holds"


def _records(contents: _Contents) -> Iterator[tuple[str | None, int, bool]]:
    """Yield for every record what is wrong with it, how many of its words were checked, and whether it has a proof."""
    records = _lines(form.RECORDS, RecordLine, contents.parts[form.RECORDS])
    proofs = _lines(form.PROOFS, ProofLine, contents.parts[form.PROOFS])
    withheld: dict[int, set[str]] = {}
    for w in contents.manifest.withheld:
        withheld.setdefault(w.seq, set()).update(w.names)
    newest = 0
    for record in records:
        where = f"{form.RECORDS}: record {record.seq}"
        if record.seq <= newest:
            raise _Broken(f"{where} is there twice, or out of order")
        newest = record.seq
        fault = _fault(record, withheld.get(record.seq, set()), contents.manifest.epoch)
        if record.leaf is not None:
            if record.leaf != tree.leaf_hash(record.body.encode()).hex():
                fault = fault or "its leaf is not its hash"
        else:
            proof = next(proofs, None)
            if proof is None or proof.seq != record.seq:
                raise _Broken(f"{form.PROOFS}: the proof of record {record.seq} is missing or out of order")
            if contents.checkpoint is None or not _is_included(record, proof, contents.checkpoint):
                fault = fault or f"the log of {contents.manifest.size} records that the device signed does not hold it"
        yield None if fault is None else f"{where}: {fault}", len(record.personal or {}), record.leaf is None
    if next(proofs, None) is not None:
        raise _Broken(f"{form.PROOFS}: it has proofs of records that are not in {form.RECORDS}")


def _is_included(record: RecordLine, proof: ProofLine, checkpoint: Checkpoint) -> bool:
    leaf = tree.leaf_hash(record.body.encode())
    path = _hashes(form.PROOFS, proof.path)
    return tree.is_included(leaf, record.seq - 1, checkpoint.size, path, checkpoint.root)


def _fault(record: RecordLine, withheld: set[str], epoch: str) -> str | None:
    """Say what is wrong with *record* itself."""
    try:
        body = json.loads(record.body)
        if canonical(body) != record.body.encode():
            return "its bytes are not in canonical form"
        if body["seq"] != record.seq:
            return f"its body is that of record {body['seq']!r}"
        if body["kind"] == "epoch" and body["facts"].get("epoch", epoch) != epoch:
            return "it begins another epoch"
        committed, kept = dict(body["personal"]), record.personal or {}
        if set(kept) | withheld != set(committed) or set(kept) & withheld:
            return "it has other personal values than were committed to and are said to be withheld"
        for name, value in kept.items():
            if (
                set(value) != {"salt", "value"}
                or audit.commitment(str(value["salt"]), value["value"]) != committed[name]
            ):
                return f"its personal value {name!a} is not the one that was committed to"
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, WireError) as error:
        return f"it cannot be read: {type(error).__name__}: {str(error)[:100]}"
    return None


def _since(contents: _Contents, keys: Sequence[Verifier]) -> int | None:
    """Check that the log goes on from the older checkpoint, if there is one."""
    if (form.SINCE in contents.parts) != (form.SINCE_PROOF in contents.parts):
        raise _Broken(f"{form.SINCE} and {form.SINCE_PROOF} go together")
    if form.SINCE not in contents.parts:
        return None
    if contents.checkpoint is None:
        raise _Broken(f"{form.SINCE_PROOF}: there is no checkpoint that it could lead to")
    old = _checkpoint(form.SINCE, contents.parts[form.SINCE], contents.manifest.origin, keys)
    proof = _parsed(form.SINCE_PROOF, SinceProof, contents.parts[form.SINCE_PROOF])
    new = contents.checkpoint
    path = _hashes(form.SINCE_PROOF, proof.path)
    if (proof.old, proof.new) != (old.size, new.size) or not tree.is_consistent(
        old.size, new.size, old.root, new.root, path
    ):
        raise _Broken(f"{form.SINCE_PROOF}: the log does not go on from the older checkpoint: history was rewritten")
    return old.size


def _check_key(contents: _Contents) -> None:
    """The key file is for people with other tools; it must not be another key than the one that signed."""
    if contents.parts[form.PUBLIC_KEY] != notes.parse_verifier(contents.manifest.key).public.pem():
        raise _Broken(f"{form.PUBLIC_KEY}: it is not the key that signed this archive")


def _check_bundle(contents: _Contents) -> None:
    included = {sha256 for sha256, here in contents.manifest.bundles.items() if here}
    found = contents.parts.get(form.BUNDLE)
    if included != (set() if found is None else {hashlib.sha256(found).hexdigest()}):
        raise _Broken(f"{form.BUNDLE}: it is not the manifest of the bundle that decided")


def _checkpoint(name: str, data: bytes, origin: str, keys: Sequence[Verifier]) -> Checkpoint:
    try:
        checkpoint = notes.parse_checkpoint(_signed(name, data, keys))
    except WireError as error:
        raise _Broken(f"{name}: {error}") from error
    if checkpoint.origin != origin:
        raise _Broken(f"{name}: it is of another log, {checkpoint.origin[:100]!a}")
    return checkpoint


def _signed(name: str, data: bytes, keys: Sequence[Verifier]) -> str:
    try:
        note = notes.parse(data)
        notes.verified(note, keys)
    except (WireError, TrustError) as error:
        raise _Broken(f"{name}: {error}") from error
    return note.text


def _lines(name: str, record: type[_R], data: bytes) -> Iterator[_R]:
    """Read JSON lines, each in its one form."""
    if data and not data.endswith(b"\n"):
        raise _Broken(f"{name}: its last line is cut off")
    for n, line in enumerate(data.split(b"\n")[:-1], start=1):
        yield _parsed(f"{name}: line {n}", record, line, exact=True)


def _parsed(name: str, record: type[_R], data: bytes, *, exact: bool = False) -> _R:
    try:
        found = record.model_validate_json(data)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, fault["loc"]))[:100] or "as a whole"
        raise _Broken(f"{name}: {place!a}: {fault['msg']}") from error
    try:
        if exact and line(found) != data + b"\n":
            raise _Broken(f"{name}: it is not in canonical form")
    except WireError as error:
        raise _Broken(f"{name}: {error}") from error
    return found


def line(record: Record) -> bytes:
    """Return the one way to write a line of a `.jsonl` part."""
    return canonical(record.model_dump(mode="json", exclude_none=True)) + b"\n"


def _hashes(name: str, texts: Sequence[str]) -> list[bytes]:
    found = []
    for text in texts:
        try:
            raw = base64.b64decode(text, validate=True)
        except ValueError as error:
            raise _Broken(f"{name}: not base64: {text[:60]!a}") from error
        if len(raw) != 32:
            raise _Broken(f"{name}: a hash of {len(raw)} bytes; 32 wanted")
        found.append(raw)
    return found
