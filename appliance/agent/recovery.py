"""After a power cut: what was begun and not finished is marked for a person, never repeated."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import NamedTuple

from appliance.agent import ledger_facts
from appliance.agent.ledger_facts import Heard, Scribe
from appliance.agent.plan import Versions
from appliance.contracts import forms
from appliance.contracts.audit import AuditRecord, Moment
from appliance.contracts.decision import CallFacts, Decided, Resolved, Step
from appliance.contracts.local import Outcome
from appliance.contracts.record import JsonObject
from appliance.contracts.request import OriginKind, Request
from appliance.storage import audit, inbox, outbox
from appliance.storage.database import Database

REASON = "The power went while this was under way: it may or may not have happened. Look, then say which."


class LastKnown(NamedTuple):
    """What the ledger has of a request that was begun."""

    calls: tuple[JsonObject, ...] = ()
    """As they are shown to a person."""

    doubtful: int = 0
    """Number of the call that may or may not have happened."""

    decided: int | None = None


def recover(db: Database, moment: Callable[[], Moment], versions: Versions, *, reports: bool) -> list[Outcome]:
    """Record what the last run left open.

    Returns:
        An `indeterminate` outcome for every request whose act may have happened.
    """
    found = []
    scribe = Scribe(moment, versions, lambda _: None)
    for request in inbox.taken(db):
        known = last_known(db, request)
        said = Outcome(request_id=request.request_id, status="indeterminate", calls=known.calls, reason=REASON,
                       code="power-cut")  # fmt: skip
        with db.atomic():
            record = scribe.in_doubt(request, known.decided, known.doubtful, said)
            audit.append(db, record)
            if reports:
                envelope_id = f"{request.request_id}:indeterminate"
                outbox.enqueue(
                    db,
                    envelope_id=envelope_id,
                    kind="turn",
                    at=record.moment.at,
                    body=ledger_facts.report(request, (), said, versions),
                )
            inbox.done(db, request.request_id, said.model_dump(mode="json"))
        found.append(said)
    return found


def drop_stale(db: Database, moment: Callable[[], Moment], versions: Versions, *, reports: bool) -> int:
    """Refuse what an operator said before this start, unless the clock can tell that it is still fresh.

    Without a trusted clock nobody can say how long the power was off; with one, the request's own expiry decides.

    Returns:
        How many were refused.
    """
    dropped = 0
    for request in inbox.queued(db):
        now = moment()
        if request.origin.kind is not OriginKind.OPERATOR or now.clock == "trusted":
            continue
        reason = "It was said before the device restarted; say it again."
        said = Outcome(request_id=request.request_id, status="refused", reason=reason, code="stale")
        with db.atomic():
            heard = Heard(request, "booting", now.at, time.perf_counter())
            audit.append(db, Scribe(moment, versions, lambda _: None).closed(heard, said))
            if reports:
                body = ledger_facts.report(request, (), said, versions)
                envelope_id = f"{request.request_id}:refused"
                outbox.enqueue(db, envelope_id=envelope_id, kind="turn", at=now.at, body=body)
            inbox.done(db, request.request_id, said.model_dump(mode="json"))
        dropped += 1
    return dropped


def resolve(db: Database, moment: Moment, request_id: str, *, happened: bool, note: str, peer: str) -> bool:
    """Record what a person found out about an indeterminate request.

    Returns:
        Whether there was one.
    """
    outcome = inbox.outcome(db, request_id)  # type: ignore[arg-type]
    if outcome is None or outcome.get("status") != "indeterminate":
        return False
    facts = Resolved(happened=happened, peer=peer).to_json()
    personal: JsonObject = {"note": note} if note else {}
    with db.atomic():
        record = AuditRecord(kind="resolved", moment=moment, request_id=request_id, facts=facts, personal=personal)
        audit.append(db, record)
        status = "done" if happened else "failed"
        inbox.done(db, request_id, {**outcome, "status": status, "reason": f"Resolved by a person. {note}".strip()})  # type: ignore[arg-type]
    return True


def last_known(db: Database, request: Request) -> LastKnown:
    """Return the calls as the records before the cut have them, and which one is in doubt."""
    calls: list[JsonObject] = []
    doubtful, decided = 0, None
    for row in audit.of_request(db, request.request_id):
        try:
            facts = forms.read(row.kind, json.loads(row.body)["facts"])
        except ValueError:
            continue  # an older form; what it says is in the ledger, and the outcome is in doubt all the same
        if isinstance(facts, Decided):
            decided, doubtful, calls = row.seq, 0, [_shown(call) for call in facts.calls]
        elif isinstance(facts, Step):
            doubtful = facts.next_call
    for n, call in enumerate(calls):
        call["state"] = "done" if n < doubtful else "indeterminate" if n == doubtful else "skipped"
    return LastKnown(tuple(calls), doubtful, decided)


def _shown(call: CallFacts) -> JsonObject:
    return {
        "name": call.tool,
        "arguments": call.arguments,
        "spans": {name: [list(span) for span in spans] for name, spans in call.spans.items()},
        "confidence": call.confidence,
        "verdict": call.verdict.verdict,
        "rule": call.verdict.rule,
    }
