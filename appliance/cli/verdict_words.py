"""What a look at a ledger found, in sentences: the verdict with the number it is about, and everything to ask about.

Covers: what an anchor is about and what it leaves open, how the epoch began, what was erased, held or left unsigned
without an explanation. Does not cover: the judgement itself, see `ledger.verify`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from appliance.ledger.verdict import Began, Verification
from appliance.terminal import Styled

TAIL_MOST: Final = 256
TAIL_AGE: Final = timedelta(minutes=1)
"""A device signs at the latest so many records or so long after a record, unless its settings say otherwise."""

_COLOURS: Final = {"anchored": "green", "consistent-unanchored": "yellow", "broken": "red"}

Line = tuple[str | Styled, ...]


def told(found: Verification, warned: Sequence[str]) -> Iterator[Line]:
    """Yield the lines that a person reads."""
    root = f", root {found.root[:16]}" if found.root else ""
    but = f", except records {_runs(found.unverifiable)}" if found.unverifiable else ""
    upto = f" up to record {found.anchored_upto}" if found.state == "anchored" else ""
    state = Styled(found.state + upto + but, fg="yellow" if but else _COLOURS[found.state], bold=True)
    yield state, f": {found.rows_n} records, epoch {found.epoch}{root}"
    if found.bad_seq is not None:
        last = "" if found.bad_upto == found.bad_seq else f", or one of those up to {found.bad_upto}"
        yield (f"first bad record: {found.bad_seq}{last}",)
    if found.signed_size:
        yield (f"signed by the device: records 1 to {found.signed_size}",)
    if found.pruned:
        yield (f"pruned: {_runs(found.pruned)}",)
    if found.lost:
        yield (f"lost: {_runs(found.lost)}",)
    if found.began is not None:
        yield (_began(found.began),)
    if found.state == "anchored":
        yield (anchor(found),)
    if found.reason:
        yield (found.reason,)
    for warning in warned:
        yield (Styled(f"look at this: {warning}", fg="yellow"),)


def anchor(found: Verification) -> str:
    """Say what `anchored` is about, and what it is not about."""
    said = (
        f"Records 1 to {found.anchored_upto} are the ones that were signed when your checkpoint was made"
        f"{', but for those named above' if found.unverifiable else ''}."
    )
    if found.size > found.anchored_upto:
        said += (
            f" What came after record {found.anchored_upto} may have been cut off, or replaced by whoever has the"
            " device's key; only a later checkpoint kept elsewhere tells."
        )
    else:
        said += " Whether more came after it, and was cut off, only a later checkpoint kept elsewhere tells."
    return said


def warnings(found: Verification, *, knows_key: bool, now: datetime) -> Iterator[str]:
    """Yield what changes no verdict, and what somebody should be asked about."""
    if found.unverifiable:
        yield (
            f"records {_runs(found.unverifiable)} are here, and nothing signed covers them any more: others of their"
            " segment were lost with a damaged file"
        )
    if knows_key and (said := _tail(found, now)):
        yield said
    if found.erased_unexplained:
        yield (
            f"personal values of records {_runs(found.erased_unexplained)} are gone, and no `redacted` record says so:"
            " they were not erased by `audit redact` or by their age"
        )
    yield from found.holds_unexplained
    began = found.began
    if began is not None and began.predecessor_epoch and not began.predecessor_here:
        yield (
            f"the records of the epoch before, {began.predecessor_epoch}, are not in this file: ask where they are (a"
            " restore keeps them in the file or in what it set aside)"
        )


def _tail(found: Verification, now: datetime) -> str:
    if not found.unsigned_tail:
        return ""
    try:
        since = datetime.fromisoformat(found.unsigned_since)
    except ValueError:
        since = now
    age = now - (since if since.tzinfo is not None else since.replace(tzinfo=UTC))
    if found.unsigned_tail <= TAIL_MOST and age <= TAIL_AGE:
        return ""
    return (
        f"the newest {found.unsigned_tail} records, from {found.unsigned_since[:19] or 'an unknown time'} on,"
        f" are signed by nobody; a device signs at the latest {TAIL_MOST} records or 60 seconds after a record, unless"
        " it lost its power, could not sign (`appliance status` says why) or its settings say otherwise"
    )


def _began(began: Began) -> str:
    said = f"epoch began: {began.reason or 'its first record gives no reason'}"
    if not began.predecessor_epoch:
        return f"{said}, with no ledger before it"
    size = f", {began.predecessor_size} records by its last checkpoint" if began.predecessor_size else ""
    here = (
        f"`--epoch {began.predecessor_epoch}` verifies them" if began.predecessor_here else "they are not in this file"
    )
    return f"{said}, after epoch {began.predecessor_epoch}{size}: {here}"


def _runs(runs: Sequence[tuple[int, int]]) -> str:
    return ", ".join(f"{first} to {last}" if first < last else f"{first}" for first, last in runs)
