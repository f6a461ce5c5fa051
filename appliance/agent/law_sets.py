"""The owner's files of laws to the set that is in force; whole or not at all.

Covers: a folder that cannot be accepted (the accepted set stays in force, taken from the database), an accepted set
that cannot be used any more (nothing acts, with the reason), an owner who was exchanged.
Does not cover: what makes a set acceptable (`law_acceptance`), the runs of laws (`laws`), who may write the home of a
device without an owner.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from appliance.agent import law_folder
from appliance.agent.law_acceptance import Accepted, Here, Law, NotAccepted, bounded, elsewhere, read_folder
from appliance.contracts.audit import AuditRecord, Moment
from appliance.contracts.workflow import LawNamed, LawsRead
from appliance.errors import StorageError, TrustError, WireError
from appliance.policy.workflow import load
from appliance.policy.workflow.compiled import Compiled
from appliance.policy.workflow.complaint import Refused
from appliance.storage import audit
from appliance.storage import laws as kept_laws
from appliance.storage.database import Database
from appliance.storage.laws import KeptLaw, KeptSet
from appliance.trust import notes
from appliance.trust import owner as owners
from appliance.trust.law_set import check_set


class InForceLaws(NamedTuple):
    """What is in force, and what is to be said about it."""

    compiled: tuple[Compiled, ...] = ()
    texts: dict[str, str] = {}  # noqa: RUF012 -- the default of a tuple's field, never written to
    """By digest."""

    number: int = 0
    signed_by: str = ""
    """Key id of the owner; empty where nobody signed."""

    barred: str = ""
    """Why nothing may act: there should be laws, and none can be used."""

    complaints: tuple[str, ...] = ()
    """Why what lies in the folder is not in force."""

    remarks: tuple[str, ...] = ()
    """What else lies there; it changes nothing."""


class Chosen(NamedTuple):
    """What is to be in force, and what changes by that."""

    in_force: InForceLaws
    new: Accepted | None
    """To be kept; None where what is in force already stays."""


def choose(root: Path, db: Database, here: Here) -> Chosen:
    """Read the laws in the home *root*, and say what is in force; nothing is written before `keep`.

    Raises:
        StorageError: the database cannot be read.
    """
    kept = kept_laws.accepted(db)
    owned = True  # as long as nothing says that it is not
    try:
        owner = owners.current(root, notes.parse_verifier(kept.owner) if kept is not None and kept.owner else None)
        owned = owner is not None
        law_folder.finish(root)
        floor = max(owners.floor(root), kept_laws.highest_recorded(db) if kept is None else 0) if owned else 0
        found = read_folder(law_folder.read(root / law_folder.FOLDER), owner, here, kept, floor=floor)
    except TrustError as error:
        found = NotAccepted((str(error),))
    except OSError as error:
        found = NotAccepted((f"{root / law_folder.FOLDER}: {error.strerror}; try again",))
    if isinstance(found, Accepted):
        known = () if kept is None else kept.laws
        is_new = (found.note, _named(found)) != ("" if kept is None else kept.note, known)
        return Chosen(_in_force(found, ()), found if is_new else None)
    before = from_storage(db, kept, here, owned=owned)
    if isinstance(before, Accepted):
        return Chosen(_in_force(before, found.complaints), None)
    if kept is None:
        why = f"no laws were ever accepted here, and these cannot be: {found.complaints[0]}"
        return Chosen(InForceLaws(barred=why, complaints=found.complaints), None)
    complaints = bounded((*before.complaints, *found.complaints))
    return Chosen(InForceLaws(barred=before.complaints[0], complaints=complaints), None)


def keep(root: Path, db: Database, chosen: Chosen, moment: Moment) -> None:
    """Keep a new set with its record, or the record of why there is none; call it in the transaction that adopts it.

    Raises:
        StorageError: the home *root* or the database cannot be written.
    """
    with db.atomic():
        if chosen.new is not None:
            if chosen.new.owner is not None:
                # First: a cut between the two leaves a device that still waits for this set, and takes no older one.
                _raise_floor(root, chosen.new.number)
            for law in chosen.new.laws:
                kept_laws.keep_text(db, law.text)
            owner = "" if chosen.new.owner is None else str(chosen.new.owner)
            kept_laws.accept(db, chosen.new.number, chosen.new.note, owner, _named(chosen.new), moment.at)
            kept_laws.forget_texts(db)
        if chosen.new is not None or chosen.in_force.complaints:
            audit.append(db, record(chosen.in_force, moment))


def _raise_floor(root: Path, number: int) -> None:
    try:
        owners.raise_floor(root, number)
    except TrustError as error:
        raise StorageError(str(error)) from error


def record(in_force: InForceLaws, moment: Moment) -> AuditRecord:
    """Return the record of what is in force from here on."""
    facts = LawsRead(
        number=in_force.number,
        signed_by=in_force.signed_by,
        laws=tuple(LawNamed(name=law.name, version=law.version, digest=law.digest) for law in in_force.compiled),
        barred=in_force.barred,
        complaints=in_force.complaints,
    )
    return AuditRecord(kind="laws", moment=moment, facts=facts.to_json())


def earlier(db: Database, digests: Iterable[str], here: Here) -> tuple[Compiled, ...]:
    """Return the older laws with *digests*, for runs that finish on them; those that cannot be used are left out."""
    found = (_compiled(db, digest, digest[:16], here) for digest in digests)
    return tuple(law.compiled for law in found if isinstance(law, Law))


def files_of(db: Database) -> dict[str, bytes]:
    """Return the accepted set as the files of a folder; a text that is lost is left out, and so refuses the set."""
    kept = kept_laws.accepted(db)
    if kept is None:
        return {}
    texts = {f"{law.name}.yaml": kept_laws.text_of(db, law.digest) for law in kept.laws}
    files = {name: text.encode() for name, text in texts.items() if text is not None}
    return {**files, law_folder.NOTE: kept.note.encode()} if kept.note else files


def from_storage(db: Database, kept: KeptSet | None, here: Here, *, owned: bool = False) -> Accepted | NotAccepted:
    """Compile the accepted set again.

    Args:
        owned: the device has an owner; then a set that nobody signed is not enough.
    """
    if kept is None:
        return NotAccepted(("no laws were ever accepted here",))
    if not kept.note:
        if owned:
            return NotAccepted(("nobody signed the laws that were in force, and this device has an owner now",))
        signer = None
    else:
        try:
            signer = notes.parse_verifier(kept.owner)
            signed = check_set(kept.note.encode(), signer)
        except (WireError, TrustError) as error:
            return NotAccepted((f"the accepted set of laws is damaged: {error}; load it again",))
        if not signed.holds_at(here.site, here.device):
            return NotAccepted((elsewhere(signed, here),))
        if [(law.name, law.version, law.sha256) for law in signed.laws] != [tuple(law) for law in kept.laws]:
            return NotAccepted(("the accepted set of laws is damaged: it is not what was signed; load it again",))
    found = [_compiled(db, law.digest, law.name, here) for law in kept.laws]
    complaints = [why for one in found if isinstance(one, NotAccepted) for why in one.complaints]
    if complaints:
        return NotAccepted(bounded(complaints))
    return Accepted(tuple(one for one in found if isinstance(one, Law)), kept.number, kept.note, signer)


def _compiled(db: Database, digest: str, name: str, here: Here) -> Law | NotAccepted:
    text = kept_laws.text_of(db, digest)
    if text is None:
        return NotAccepted((f"the text of the accepted law {name} is lost; load the set again",))
    loaded = load.parse(text.encode(), f"the accepted law {name}", here.tools, here.zone)
    if isinstance(loaded, Refused):
        return NotAccepted(tuple(one.sentence(loaded.name) for one in loaded.complaints))
    return Law(loaded.compiled, text)


def _named(accepted: Accepted) -> tuple[KeptLaw, ...]:
    return tuple(KeptLaw(law.compiled.name, law.compiled.version, law.compiled.digest) for law in accepted.laws)


def _in_force(accepted: Accepted, complaints: tuple[str, ...]) -> InForceLaws:
    return InForceLaws(
        compiled=tuple(law.compiled for law in accepted.laws),
        texts={law.compiled.digest: law.text for law in accepted.laws},
        number=accepted.number,
        signed_by="" if accepted.owner is None or not accepted.note else accepted.owner.public.key_id,
        complaints=complaints,
        remarks=accepted.remarks,
    )
