"""A person's word on a request that waits: a yes, an answer, an approval; the request goes on its way with it.

Covers: nothing waits, or not any more; a word of somebody who may not give it; arguments corrected by hand.
Does not cover: what the request then comes to; it is judged anew, as what whoever asked for it may do.
"""

from __future__ import annotations

import time
from datetime import datetime
from typing import NamedTuple

from appliance.agent import ledger_facts
from appliance.agent.approving import counted
from appliance.agent.ledger_facts import Heard, Scribe
from appliance.agent.plan import Kept, Plan, outcome
from appliance.agent.reading import Reader
from appliance.contracts.audit import Moment
from appliance.contracts.clock import Clock
from appliance.contracts.decision import Approval
from appliance.contracts.people import PersonRole
from appliance.contracts.request import Answer, Approve, Confirmed, Origin, OriginKind, Request, RequestId
from appliance.policy.workflow.people import outranks, still_good, who
from appliance.policy.workflow.timing import elapsed_s
from appliance.storage import audit, inbox, people
from appliance.storage.database import Database


class Onward(NamedTuple):
    """The request that waited, with the word that it waited for."""

    heard: Heard
    plan: Plan


class Away(NamedTuple):
    """A word that does not count, or one that ends what waited."""

    heard: Heard
    reason: str
    code: str


def has_lapsed(kept: Kept, until: datetime, now: Moment) -> bool:
    """Return whether what waits has waited too long, also where the wall clock was set meanwhile."""
    passed_s = None if kept.since is None else elapsed_s(kept.since, now)
    if kept.since is None or passed_s is None:
        return now.at >= until
    return passed_s >= (until - kept.since.at).total_seconds()


class _Parked(NamedTuple):
    request: Request
    kept: Kept
    until: datetime


class Waiting:
    """Takes people's words on what waits."""

    def __init__(self, db: Database, reader: Reader, clock: Clock, scribe: Scribe) -> None:
        self._db = db
        self._reader = reader
        self._clock = clock
        self._scribe = scribe

    def word(self, heard: Heard, body: Confirmed | Answer | Approve) -> Onward | Away:
        """Take the word in *heard*."""
        match body:
            case Confirmed():
                return self._confirmed(heard, body)
            case Answer():
                return self._answered(heard, body)
            case Approve():
                return self._approved(heard, body)

    def _confirmed(self, heard: Heard, body: Confirmed) -> Onward | Away:
        parked = self._parked(body.of, "confirm")
        if parked is None:
            return Away(heard, "Nothing waits for that confirmation.", "not_waiting")
        # Corrected, it is as if whoever corrects had asked in the name of whoever did.
        asker = parked.request.origin if body.edits else None
        if why := _against(heard.request.origin, "operator", asker):
            return Away(heard, why, "roles")
        onward = self._taken(heard, parked)
        if not body.yes:
            return Away(onward, "Declined.", "declined")
        plan = self._reader.edited(parked.kept.plan, body.edits, heard.now)
        return Onward(onward, plan.model_copy(update={"confirmed": True}))

    def _answered(self, heard: Heard, body: Answer) -> Onward | Away:
        parked = self._parked(body.of, "answer")
        if parked is None:
            return Away(heard, "Nothing waits for that answer.", "not_waiting")
        # A viewer's own question is answered by a viewer: it comes to nothing that a viewer may not do.
        if why := _against(heard.request.origin, "viewer", parked.request.origin):
            return Away(heard, why, "roles")
        begun = time.perf_counter()
        plan = self._reader.answered(parked.kept.plan, body.text, heard.now)
        took_ms = (time.perf_counter() - begun) * 1000
        return Onward(self._taken(heard, parked)._replace(reading_ms=took_ms), plan)

    def _approved(self, heard: Heard, body: Approve) -> Onward | Away:
        parked = self._parked(RequestId(body.of), "approve")
        if parked is None:
            return Away(heard, "Nothing waits for that approval.", "not_waiting")
        origin = heard.request.origin
        given = counted(parked.kept, parked.request.origin, origin, self._clock.moment(), yes=body.yes)
        if isinstance(given, str):
            return Away(heard, given, "roles")
        onward = self._taken(heard, parked)
        if not body.yes:
            return Away(onward, f"{origin.person} refuses.", "declined")
        return Onward(onward._replace(given=given, until=parked.until, since=parked.kept.since), parked.kept.plan)

    def _parked(self, of: RequestId, waits: str) -> _Parked | None:
        row = inbox.parked(self._db, of)
        if row is None:
            return None
        kept = Kept.model_validate(row.waits_for, strict=False)
        if has_lapsed(kept, row.expires_at, self._clock.moment()):
            return None
        if kept.given:
            # Whoever approved before and may not any more has approved nothing.
            needed = {want.of: want.role for want in kept.wanted}
            good = still_good(kept.given, people.roles(self._db))
            left = tuple(one for one in good if one.of in needed and outranks(one.who.role, needed[one.of]))
            kept = kept.model_copy(update={"given": left})
        return _Parked(row.request, kept, row.expires_at) if kept.waits_for == waits else None

    def _taken(self, heard: Heard, parked: _Parked) -> Heard:
        """Close the row that carried a person's word; return the request it speaks of, on its way again."""
        request = heard.request
        plan = Plan(text=request.body.text if isinstance(request.body, Answer) else "")
        said = outcome(request.request_id, "done", plan=plan, reason=f"answers {parked.request.request_id}")
        with self._db.atomic():
            note = audit.append(self._db, self._scribe.answered(request, parked.request.request_id))
            inbox.done(self._db, request.request_id, said.model_dump(mode="json"))
        approval = Approval(
            request_id=request.request_id,
            note=note,
            origin=ledger_facts.asker(request.origin),
            at=request.received_at,
            asked_as=request.body.kind,
            yes=request.body.yes if isinstance(request.body, Confirmed | Approve) else True,
            edited=tuple(request.body.edits) if isinstance(request.body, Confirmed) else (),
        )
        return heard._replace(
            request=parked.request,
            continues=parked.kept.seq,
            known=parked.kept.plan,
            approval=approval,
            given=parked.kept.given,
        )


def _against(origin: Origin, least: PersonRole, asker: Origin | None) -> str:
    """Say why *origin* may not give a word; empty where it may.

    Args:
        asker: whose request goes on with words of *origin*; it is judged as theirs, so they are lent to nobody below.
    """
    if origin.kind is not OriginKind.OPERATOR:
        return "Only a person at the device does that."
    mine = who(origin).role
    if not outranks(mine, least):
        return f"Only a person at the device who may act does that, not a {mine}."
    if asker is None:
        return ""
    theirs = "operator" if asker.kind is not OriginKind.OPERATOR else who(asker).role
    return "" if outranks(mine, theirs) else f"This was asked by an {theirs}, for whom a {mine} does not speak."
