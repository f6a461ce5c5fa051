"""The ledger's standing and its proof as styled text."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, tzinfo
from typing import Final

from textual.content import Content

from appliance.tui.glance import Ledger
from appliance.tui.glyphs import Glyphs
from appliance.tui.proof import Begun, Proof, Rotated, Signed
from appliance.tui.widgets.glance_bar import ago

REASONS: Final = {
    "first": "the first ledger of this device",
    "damaged": "the database was damaged",
    "restored": "a backup was restored",
    "rolled_back": "the database was older than what had been signed",
    "rewritten": "the database was not the one that had been signed",
    "swapped": "the database was another one",
    "key_lost": "the device's key was gone, and a new one was made",
    "lost": "the database was gone",
    "state_lost": "what had been signed last was gone",
}

COMMAND: Final = "appliance audit verify --checkpoint FILE --key VERIFIER"

HOW: Final = (
    "Keep a checkpoint and the verifier where this device cannot reach them. Later, here or elsewhere:",
    COMMAND,
    "tells whether every record up to it is still the one that was signed.",
    "The signature alone is checked by any tool that reads C2SP signed notes.",
)


def proof_lines(
    ledger: Ledger, proof: Proof, now: datetime, glyphs: Glyphs, zone: tzinfo | None, width: int
) -> Iterator[Content]:
    """Write the page: where the ledger stands, the newest checkpoint, the key, how to verify, and what was before."""
    yield from _standing(ledger, proof, now, glyphs)
    yield from _newest(proof.newest, ledger, zone, width)
    yield _heading("How to verify")
    for said in HOW:
        yield from _block(said, "$text-accent" if said == COMMAND else "", width)
    yield Content("")
    if proof.rotations:
        yield _heading("Keys of before")
        yield from (_rotated(each, glyphs, zone) for each in proof.rotations)
        yield Content("")
    if len(proof.epochs) > 1:
        yield _heading("Ledgers of this device")
        yield from (line for each in proof.epochs for line in _begun(each, zone))
        yield Content("")
    if proof.earlier:
        yield _heading("Earlier checkpoints")
        yield from (_earlier(each, zone) for each in proof.earlier)


def size_text(used_bytes: int) -> str:
    """Write a size in one unit."""
    for limit, unit in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if used_bytes >= limit:
            return f"{used_bytes / limit:.1f} {unit}"
    return f"{used_bytes} B"


def _standing(ledger: Ledger, proof: Proof, now: datetime, glyphs: Glyphs) -> Iterator[Content]:
    yield _field("records", Content.styled(f"{ledger.records:,}", "bold"))
    signed = ledger.checkpoint
    if signed is None:
        yield _field("signed", Content.styled("nothing yet", "$text-warning"))
    else:
        age = f", {ago(now, signed.at)} ago" if signed.at else ""
        rest = f"; the newest {ledger.unsigned:,} not yet" if ledger.unsigned else ""
        sign = (f"{glyphs.done} ", "bold $text-success")
        yield _field("signed", Content.assemble(sign, f"up to {signed.size:,}{age}{rest}"))
        yield _field("root", Content.styled(signed.root, "$text-accent"))
    if ledger.quota_bytes:
        share = ledger.used_bytes / ledger.quota_bytes
        said = f"{size_text(ledger.used_bytes)} of {size_text(ledger.quota_bytes)}"
        style = "$text-warning" if share >= 0.8 else "$quiet"
        more = [f"{share:.0%}"]
        if ledger.days_left is not None:
            more.append(f"{ledger.days_left:,.0f} days left")
        if ledger.pruned_n:
            more.append(f"{ledger.pruned_n:,} pruned")
        if ledger.holds_n:
            more.append(f"holds: {ledger.holds_n}")
        yield _field("room", Content.assemble(said, (f"  {', '.join(more)}", style)))
    newest = proof.epochs[0] if proof.epochs else None
    if newest is not None and newest.reason not in ("first", ""):
        said = f"{REASONS.get(newest.reason, newest.reason)}{'; ' + newest.saved if newest.saved else ''}"
        yield _field("began", Content.styled(said, "$text-warning"))
    yield Content("")


def _newest(newest: Signed | None, ledger: Ledger, zone: tzinfo | None, width: int) -> Iterator[Content]:
    if newest is not None:
        at = f"{newest.at.astimezone(zone):%Y-%m-%d %H:%M:%S}"
        yield _heading(f"Newest checkpoint  {at}", "c copies it")
        for line in newest.note.rstrip("\n").split("\n"):
            yield from _block(line, "$text-accent", width)
        yield Content("")
    if ledger.verifier:
        yield _heading(f"Key  {ledger.key_id}", "k copies the verifier")
        yield from _block(ledger.verifier, "$text-accent", width)
        yield Content("")


def _block(text: str, style: str, width: int) -> Iterator[Content]:
    """Write *text* with room before it, on as many lines as it takes; what goes on stands a little further in."""
    for n, line in enumerate(_folded(text, max(20, width - 4))):
        yield Content.assemble("  " if n == 0 or not style else "    ", (line, style))


def _folded(text: str, width: int) -> list[str]:
    """Break *text* at its spaces; a word that is longer than a line begins one."""
    lines = [""]
    for word in text.split(" "):
        joined = f"{lines[-1]} {word}".lstrip()
        if len(joined) <= width:
            lines[-1] = joined
        else:
            lines += [word[at : at + width] for at in range(0, len(word), width)]
    return [line for line in lines if line] or [""]


def _rotated(each: Rotated, glyphs: Glyphs, zone: tzinfo | None) -> Content:
    how = ("  compromised", "bold $text-error") if each.compromised else ("  vouched for it", "$quiet")
    return Content.assemble(
        (f"  {each.at.astimezone(zone):%Y-%m-%d %H:%M}  ", "$quiet"),
        f"{each.old_key} {glyphs.arrow} {each.new_key}",
        how,
    )


def _begun(each: Begun, zone: tzinfo | None) -> Iterator[Content]:
    said = REASONS.get(each.reason, each.reason or "begun")
    at = f"  {each.at.astimezone(zone):%Y-%m-%d %H:%M}  "
    yield Content.assemble((at, "$quiet"), (each.epoch, "bold"), f"  {said}{'; ' + each.saved if each.saved else ''}")
    if each.cited:
        yield Content.styled(f"{' ' * len(at)}goes on from {each.cited}", "$quiet")


def _earlier(each: Signed, zone: tzinfo | None) -> Content:
    lines = each.note.split("\n")
    root = lines[2] if len(lines) > 2 else ""
    return Content.assemble(
        (f"  {each.at.astimezone(zone):%Y-%m-%d %H:%M:%S}  ", "$quiet"), f"{each.size:>9,}  ", (root, "$text-accent")
    )


def _heading(text: str, hint: str = "") -> Content:
    return Content.assemble((text, "bold $text-primary"), (f"   {hint}" if hint else "", "$quiet"))


def _field(name: str, value: Content) -> Content:
    return Content.assemble((f"{name:<9}", "$quiet"), value)
