"""usage, prune, hold, redact: how much of the ledger stays, and what nobody may take out of it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import click

from appliance.cli.moments import read_moment
from appliance.cli.signing import Signature, signed
from appliance.contracts.local import LocalReply
from appliance.contracts.retaining import HoldRecords, PruneRecords, RedactRecords, ReleaseHold, RetainingRequest
from appliance.contracts.selection import Selection
from appliance.errors import AlreadyRunning, ApplianceError, DaemonUnavailable, StorageError, UsageError
from appliance.storage import database, holds, meta
from appliance.storage.usage import Usage, measured
from appliance.terminal import tell, tell_json
from appliance.transport.local import LocalClient

if TYPE_CHECKING:
    from appliance.cli.auditing import Ledger

PATIENCE_S: Final = 600.0
"""How long a redaction or a pruning of years may take."""

as_json = click.option("--json", "as_json", is_flag=True, help="One JSON object instead of sentences.")
reason = click.option("--reason", required=True, help="Why; it is kept with the record of it.")


@click.command(name="usage")
@as_json
@click.pass_obj
def usage_(ledger: Ledger, as_json: bool) -> None:  # noqa: FBT001 -- click passes flags
    """Say how much room the records take, how long that lasts, and what keeps them from being pruned."""
    from appliance import settings

    chosen = settings.load(ledger.home.root).ledger
    enrolled = ledger.home.enrolment.exists()
    found = measured(ledger.database, quota_mb=chosen.quota_mb, keep_days=chosen.keep_days, enrolled=enrolled)
    if as_json:
        tell_json(found)
        return
    for sentence in sentences(found):
        tell(sentence)


@click.command()
@signed
@as_json
@click.pass_obj
def prune(ledger: Ledger, by: Signature, as_json: bool) -> None:  # noqa: FBT001 -- click passes flags
    """Prune now what [ledger] keep_days and quota_mb let go; the daemon does it a little at a time by itself."""
    _tell(_asked(ledger, PruneRecords(**by.fields())), as_json=as_json)


@click.group()
def hold() -> None:
    """Keep records for an inquiry: neither pruned nor redacted until they are released."""


@hold.command(name="add")
@click.option("--request", "request_id", help="The records of one request.")
@click.option("--after", type=click.IntRange(0), help="Records above this number.")
@click.option("--before", type=click.IntRange(1), help="Records below this number; up to the newest when absent.")
@click.option("--from", "since", help="Records from this time on, e.g. 2026-11-22T03:00:00Z.")
@click.option("--to", "until", help="Records up to this time.")
@click.option("--epoch", help="Of an earlier epoch, which `past` holds.")
@reason
@signed
@as_json
@click.pass_obj
def add(
    ledger: Ledger,
    request_id: str | None,
    after: int | None,
    before: int | None,
    since: str | None,
    until: str | None,
    epoch: str | None,
    reason: str,
    by: Signature,
    as_json: bool,  # noqa: FBT001 -- click passes flags
) -> None:
    """Place a hold on the records of a request, on a run of numbers, or on a time."""
    records = Selection(
        request_id=request_id,
        after=after,
        before=before,
        since=read_moment(since),
        until=read_moment(until),
        epoch=epoch,
    )
    if (fault := records.fault()) is not None:
        raise UsageError(fault)
    _tell(_asked(ledger, HoldRecords(records=records, reason=_said(reason), **by.fields())), as_json=as_json)


@hold.command(name="list")
@click.option("--all", "released_too", is_flag=True, help="Those that were released as well.")
@as_json
@click.pass_obj
def list_(ledger: Ledger, released_too: bool, as_json: bool) -> None:  # noqa: FBT001 -- click passes flags
    """List the holds in force."""
    reader = database.open_reader(ledger.database)
    found = holds.every(reader) if released_too else holds.active(reader)
    if as_json:
        tell_json([h._asdict() for h in found])
        return
    for h in found:
        why = h.reason or "[erased]"
        ended = f", released {h.released_at[:19]}" if h.released_at else ""
        tell(f"{h.hold_id:>4}  {h.first:,} to {h.last:,} of {h.epoch}  since {h.at[:19]} by {h.by}{ended}: {why}")
    if not found:
        tell("No record is on hold.")


@hold.command(name="release")
@click.argument("hold_id", type=click.IntRange(1))
@reason
@signed
@as_json
@click.pass_obj
def release(ledger: Ledger, hold_id: int, reason: str, by: Signature, as_json: bool) -> None:  # noqa: FBT001 -- click passes flags
    """Let a hold go; the ledger keeps that it was there."""
    _tell(_asked(ledger, ReleaseHold(hold_id=hold_id, reason=_said(reason), **by.fields())), as_json=as_json)


@click.command()
@click.option("--request", "request_id", help="What was said in one request, and in answer to its questions.")
@click.option("--seq", type=click.IntRange(1), help="What is in the record of this number.")
@click.option("--older-than", "older_than_days", type=click.FloatRange(0), help="Everything older than so many DAYS.")
@click.option("--field", "fields", multiple=True, help="Only this value, e.g. text; may be given again.")
@reason
@signed
@as_json
@click.pass_obj
def redact(
    ledger: Ledger,
    request_id: str | None,
    seq: int | None,
    older_than_days: float | None,
    fields: tuple[str, ...],
    reason: str,
    by: Signature,
    as_json: bool,  # noqa: FBT001 -- click passes flags
) -> None:
    """Erase what somebody said, everywhere on the device; that it was said, and what came of it, stays and verifies."""
    request = RedactRecords(
        request_id=request_id,
        seq=seq,
        older_than_days=older_than_days,
        fields=fields,
        reason=_said(reason),
        **by.fields(),
    )
    _tell(_asked(ledger, request), as_json=as_json)


def sentences(found: Usage) -> list[str]:
    """Write a ledger's size and prospects for a person."""
    mb = 2**20
    oldest = f", the oldest of {found.oldest_at:%Y-%m-%d}" if found.oldest_at else ""
    room = f"{found.used_bytes / mb:,.1f} of {found.quota_bytes / mb:,.0f} MB ({found.share:.0%})"
    segments = f"{found.segments_sealed_n:,} sealed, {found.segments_pruned_n:,} pruned, {found.segments_held_n:,} held"
    lines = [
        f"room      {room}; the file has {found.file_bytes / mb:,.1f} MB",
        f"records   {found.records_n:,} here of {found.newest:,}{oldest}; {found.earlier_n:,} of earlier epochs",
        f"segments  {segments} (256 records each)",
    ]
    if found.days_left is not None and found.days_kept is not None:
        left = f"reached in {_span(found.days_left)}, then" if found.days_left >= 1 else "reached,"
        lines.append(f"quota     {left} the newest {_span(found.days_kept)} stay, at the present rate")
    if found.prunable:
        lines.append("pruning   the oldest segments go, a little at a time")
    elif found.stop:
        lines.append(f"pruning   stuck: {found.stop}")
    else:
        lines.append("pruning   nothing has to go")
    return lines


def _span(days: float) -> str:
    return f"{days / 365:,.1f} years" if days > 730 else f"{days:,.0f} days"


def _asked(ledger: Ledger, request: RetainingRequest) -> LocalReply:
    """Ask the daemon; do it here while none runs."""
    if ledger.database != ledger.home.database:
        raise UsageError("--database names another ledger: only this home's own is pruned, held or redacted")
    try:
        return LocalClient(ledger.home.root).request(request, timeout_s=PATIENCE_S)
    except DaemonUnavailable as unavailable:
        if isinstance(request, PruneRecords) or request.person:
            raise  # the record of a pruning wants a signature at once, and only the daemon signs and looks at PINs
        try:
            return _done_here(ledger, request)
        except AlreadyRunning:
            raise unavailable from None  # it runs, and does not answer: two writers are one too many


def _done_here(ledger: Ledger, request: RetainingRequest) -> LocalReply:
    from appliance import settings
    from appliance.agent.clock import SystemClock
    from appliance.agent.retaining import Bounds, Retaining
    from appliance.storage.ownership import own

    if not ledger.database.exists():
        raise StorageError(f"no database at {ledger.database}; start the appliance once to make it")
    chosen = settings.load(ledger.home.root)
    with own(ledger.home):
        opened = database.open_database(ledger.database)
        try:
            bounds = Bounds(
                keep_days=chosen.ledger.keep_days,
                quota_mb=chosen.ledger.quota_mb,
                personal_days=chosen.privacy.personal_days,
            )
            clock = SystemClock(int(meta.get(opened.db, "boot") or 0))
            enrolled = ledger.home.enrolment.exists()
            # A command has no peer to ask the kernel about: it is the peer.
            who = f"uid:{os.getuid()} pid:{os.getpid()}"
            return Retaining(opened.db, clock, bounds, enrolled=lambda: enrolled).handle(request, who)
        finally:
            opened.db.close()


def _tell(reply: LocalReply, *, as_json: bool) -> None:
    if not reply.ok:
        kind = {"storage": StorageError, "malformed": UsageError}.get(reply.error or "", ApplianceError)
        raise kind(reply.message or str(reply.error))
    if as_json:
        tell_json({"message": reply.message, **reply.result})
    else:
        tell(reply.message)


def _said(reason: str) -> str:
    text = " ".join(reason.split())
    if not text:
        raise UsageError("--reason is empty; say why, it is kept with the record")
    return text[:500]
