"""What lies in a folder of laws to a set that may come into force, or to every reason why it may not.

Covers: a set that is not signed by the device's owner, for another site or device, older than the last one, or not made
of exactly the files that are there; files that break the language or have findings of level error; two files for one
workflow; a text that changed under the same version.
Does not cover: what happens then; `law_sets` decides.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import tzinfo
from typing import Final, NamedTuple

from appliance.agent import law_folder
from appliance.agent.law_folder import Found
from appliance.contracts.toolspec import ToolSpec
from appliance.errors import TrustError, WireError
from appliance.policy.workflow import check, load
from appliance.policy.workflow.compiled import Compiled
from appliance.policy.workflow.complaint import Refused
from appliance.policy.workflow.world import World
from appliance.storage import laws as kept_laws
from appliance.storage.laws import KeptSet
from appliance.trust import notes
from appliance.trust.law_set import LawSet, SignedLaw, check_set
from appliance.trust.notes import Verifier

MAX_SET_BYTES: Final = 160 * 1024
"""Of all texts together, as JSON. A record of the ledger holds them for replays and is written again every few thousand
records, and it has to fit into one message to a controller (256 KiB) with the catalogue of tools beside them."""

MOST_COMPLAINTS_N: Final = 20
_COMPLAINT_CHARS: Final = 500


class Here(NamedTuple):
    """The device that laws are read for."""

    site: str
    device: str
    tools: tuple[ToolSpec, ...]
    """Every tool, internal ones too."""

    world: World
    zone: tzinfo


class Law(NamedTuple):
    """A law that can be put into force, and its text."""

    compiled: Compiled
    text: str


class Accepted(NamedTuple):
    """A set that may be in force."""

    laws: tuple[Law, ...]
    number: int = 0
    note: str = ""
    owner: Verifier | None = None
    remarks: tuple[str, ...] = ()
    """What else lay there; nothing that keeps the set from being used."""


class NotAccepted(NamedTuple):
    """Why a set may not."""

    complaints: tuple[str, ...]


def read_folder(
    found: Found, owner: Verifier | None, here: Here, before: KeptSet | None = None, *, floor: int = 0
) -> Accepted | NotAccepted:
    """Judge what lay in a folder of laws.

    Args:
        owner: who has to have signed it; nobody, on a device without an owner.
        before: the set in force.
        floor: a signed set below this number is an old one.
    """
    if found.faults:
        return NotAccepted(bounded(found.faults))
    signed: LawSet | None = None
    if owner is not None:
        checked = _signed(found, owner, here, before, floor)
        if isinstance(checked, NotAccepted):
            return checked
        signed = checked
    laws: list[Law] = []
    complaints: list[str] = []
    for name, raw in found.files:
        one = _law(name, raw, here)
        complaints += one.complaints if isinstance(one, NotAccepted) else ()
        laws += [one] if isinstance(one, Law) else ()
    complaints += _beside_each_other(laws, before)
    if signed is not None and not complaints:
        complaints += _unlike(signed, laws)
    if complaints:
        return NotAccepted(bounded(complaints))
    remarks = [f"{name!a} in the folder of laws is no file of laws; it is not in force" for name in found.unexpected]
    if found.note is not None and signed is None:
        remarks.append(
            f"{law_folder.NOTE} was not checked: this device has no owner (`appliance workflow owner trust`)"
        )
    return Accepted(
        laws=tuple(sorted(laws, key=lambda law: law.compiled.name)),
        number=0 if signed is None else signed.number,
        note="" if signed is None or found.note is None else found.note.decode(),
        owner=owner,
        remarks=bounded(remarks),
    )


def _signed(found: Found, owner: Verifier, here: Here, before: KeptSet | None, floor: int) -> LawSet | NotAccepted:
    """Return the set that the folder's note signs, if the folder may be that set."""
    if found.note is None:
        what = "holds laws without their signature" if found.files else "is empty"
        why = f"this device takes only what its owner {owner.public.key_id} signed (`appliance workflow sign`)"
        return NotAccepted((f"the folder of laws {what}, and {why}",))
    try:
        signed = check_set(found.note, owner)
    except (WireError, TrustError) as error:
        return NotAccepted((f"{law_folder.NOTE}: {error}",))
    if not signed.holds_at(here.site, here.device):
        return NotAccepted((elsewhere(signed, here),))
    newest = max(floor, 0 if before is None else before.number)
    if signed.number < newest:
        return NotAccepted(
            (f"set {signed.number} is older than set {newest}, which this device has had; sign it as set {newest + 1}",)
        )
    if before is not None and signed.number == before.number and notes.parse(before.note.encode()).text != str(signed):
        return NotAccepted(
            (f"set {signed.number} is not the set {before.number} that this device has; sign it as set {newest + 1}",)
        )
    # Only what is signed is read any further.
    known = {law.sha256 for law in signed.laws}
    complaints = [
        f"{name!a} is not one of the files that were signed; sign the set again, or take the file away"
        for name in (
            *(file.name for file in found.files if kept_laws.digest_of(file.raw) not in known),
            *found.unexpected,
        )
    ]
    return NotAccepted(bounded(complaints)) if complaints else signed


def elsewhere(signed: LawSet, here: Here) -> str:
    """Say that *signed* is for other devices than this one."""
    where = f"site {signed.site}" + (f", devices {', '.join(signed.devices)}" if signed.devices else "")
    return f"set {signed.number} is signed for {where}; this is {here.device} at {here.site}"


def _shown(name: str) -> str:
    """Write a file's name so that it is one word of one line, whatever somebody called the file."""
    return name if name.isprintable() else f"{name!a}"


def _law(name: str, raw: bytes, here: Here) -> Law | NotAccepted:
    loaded = load.parse(raw, name, here.tools, here.zone)
    if isinstance(loaded, Refused):
        return NotAccepted(tuple(one.sentence(_shown(name)) for one in loaded.complaints))
    errors = tuple(one.sentence(_shown(name)) for one in check.check(loaded, here.world) if one.level == "error")
    return NotAccepted(errors) if errors else Law(loaded.compiled, raw.decode())


def _beside_each_other(laws: Sequence[Law], before: KeptSet | None) -> list[str]:
    """Say what is wrong with *laws* as a set."""
    complaints = []
    known = {} if before is None else {law.name: law for law in before.laws}
    seen: set[str] = set()
    for law in (law.compiled for law in laws):
        if law.name in seen:
            complaints.append(f"two files are the workflow {law.name}; keep one of them")
        seen.add(law.name)
        old = known.get(law.name)
        if old is not None and old.digest != law.digest and law.version <= old.version:
            complaints.append(
                f"{law.name} is another text than the one in force, and its version {law.version} is not above"
                f" {old.version}; write `version: {old.version + 1}`"
            )
    size = sum(len(json.dumps(law.text, ensure_ascii=False).encode()) for law in laws)
    if size > MAX_SET_BYTES:
        complaints.append(
            f"the laws take {-(-size // 1024)} KiB in a record of the ledger; at most {MAX_SET_BYTES // 1024}, so that"
            " a replay and a controller get them whole"
        )
    return complaints


def _unlike(signed: LawSet, laws: Sequence[Law]) -> list[str]:
    """Say where *laws* are not what was signed."""
    here = {
        SignedLaw(law.compiled.name, law.compiled.version, law.compiled.digest, len(law.text.encode())) for law in laws
    }
    missing = [f"{law.name} version {law.version} is signed, and its file is not here" for law in signed.laws
               if law not in here]  # fmt: skip
    return missing or [f"{law.name} version {law.version} is not signed" for law in sorted(here - set(signed.laws))]


def bounded(complaints: Sequence[str]) -> tuple[str, ...]:
    """Return as many as a person reads and a record bears."""
    some = tuple(one[:_COMPLAINT_CHARS] for one in complaints[:MOST_COMPLAINTS_N])
    rest = len(complaints) - len(some)
    return (*some, f"and {rest} more; `appliance workflow check` lists them") if rest else some
