"""After a power cut: what was begun and not finished is marked for a person, never repeated."""

from __future__ import annotations

import json
from collections.abc import Callable

from appliance.agent import ledger_facts
from appliance.agent.plan import Plan, Versions
from appliance.contracts.audit import AuditRecord, Moment
from appliance.contracts.local import Outcome
from appliance.contracts.record import JsonObject
from appliance.contracts.request import OriginKind, Request
from appliance.storage import audit, inbox, outbox
from appliance.storage.database import Database

REASON = "The power went while this was under way: it may or may not have happened. Look, then say which."


def recover(db: Database, moment: Callable[[], Moment], versions: Versions, *, reports: bool) -> list[Outcome]:
    """Record what the last run left open.

    Returns:
        An `indeterminate` outcome for every request whose act may have happened.
    """
    found = []
    for request in inbox.taken(db):
        calls, doubtful = _last_known(db, request)
        said = Outcome(request_id=request.request_id, status="indeterminate", calls=calls, reason=REASON,
                       code="power-cut")  # fmt: skip
        facts: JsonObject = {"calls": list(calls), "doubtful_call": doubtful, "status": "indeterminate"}
        now = moment()
        with db.atomic():
            record = AuditRecord(
                kind="indeterminate",
                moment=now,
                request_id=request.request_id,
                facts=facts,
                personal={"reason": REASON},
            )
            audit.append(db, record)
            if reports:
                envelope_id = f"{request.request_id}:indeterminate"
                outbox.enqueue(
                    db,
                    envelope_id=envelope_id,
                    kind="turn",
                    at=now.at,
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
            record = ledger_facts.record(
                "settled", request, Plan(), (), moment=now, versions=versions, spec_of=lambda _: None, outcome=said
            )
            audit.append(db, record)
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
    facts: JsonObject = {"happened": happened, "peer": peer}
    personal: JsonObject = {"note": note} if note else {}
    with db.atomic():
        record = AuditRecord(kind="resolved", moment=moment, request_id=request_id, facts=facts, personal=personal)
        audit.append(db, record)
        status = "done" if happened else "failed"
        inbox.done(db, request_id, {**outcome, "status": status, "reason": f"Resolved by a person. {note}".strip()})  # type: ignore[arg-type]
    return True


def _last_known(db: Database, request: Request) -> tuple[tuple[JsonObject, ...], int]:
    """Return the calls as the last record before the cut had them, and which one is in doubt."""
    for row in reversed(audit.of_request(db, request.request_id)):
        facts = json.loads(row.body)["facts"]
        if "next_call" in facts:
            doubtful = int(facts["next_call"])
            calls = [dict(call) for call in facts["calls"]]
            for n, call in enumerate(calls):
                call["name"] = call.pop("gen_ai.tool.name")
                if n == doubtful:
                    call["state"] = "indeterminate"
                elif n > doubtful:
                    call["state"] = "skipped"
            return tuple(calls), doubtful
    return (), 0
