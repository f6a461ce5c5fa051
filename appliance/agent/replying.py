"""A request's progress in the inbox to the answer that its controller is owed."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from appliance.contracts.envelope import FINAL, MAX_SPREAD_S, LifeCycle, Response, payload_of
from appliance.contracts.record import JsonObject
from appliance.storage import replies
from appliance.storage.database import Database
from appliance.storage.replies import Progress

_SETTLED: Final[dict[str, tuple[LifeCycle, int]]] = {
    "done": ("executed", 200),
    "refused": ("rejected", 422),
    "failed": ("failed", 500),
    "indeterminate": ("indeterminate", 500),
}

REFUSED: Final[dict[str, tuple[LifeCycle, int]]] = {
    "expired": ("expired", 410),
    "unknown_tool": ("rejected", 404),
    "unknown_event": ("rejected", 404),
    "nothing_to_do": ("rejected", 404),
    "roles": ("rejected", 403),
    "declined": ("rejected", 403),
    "disabled-tools": ("rejected", 403),
    "laws": ("rejected", 403),
    "denied": ("rejected", 403),
    "not_waiting": ("rejected", 409),
    "ignored": ("rejected", 409),
    "stale": ("rejected", 409),
    "salvaged": ("rejected", 409),
    "emergency-stop": ("rejected", 423),
    "maintenance": ("rejected", 423),
    "no_model": ("rejected", 503),
    "recordable": ("rejected", 507),
    "storage": ("rejected", 507),
    "fault": ("failed", 500),
}
"""Refusals whose status says more than 422; what a workflow denies is 403."""

CALL_FIELDS: Final = (
    "name",
    "arguments",
    "confidence",
    "verdict",
    "rule",
    "state",
    "message",
    "output",
    "postcondition",
)
"""Of a call, what its asker is told; `sharing` decides how much of it leaves."""


def advance(db: Database, device: str, now: datetime, *, limit: int = 100) -> None:
    """Bring every owed answer up to what the inbox says now."""
    for progress in replies.moved(db, limit=limit):
        before = Response.model_validate(progress.owed.response, strict=False)
        after = answer(progress, before, now)
        if after is not None:
            final = after.life in FINAL
            due = _spread(progress.owed.not_before, before.at, now)
            replies.update(db, progress.owed.request_id, payload_of(after), final=final, not_before=due)


def _spread(not_before: datetime | None, before: datetime, now: datetime) -> datetime | None:
    """Return when the next answer to a whole site's command may leave: each device keeps its own distance.

    A site does the same at the same moment, so that its last answers would come as one, too.
    """
    if not_before is None:
        return None
    return now + min(max(not_before - before, timedelta(0)), timedelta(seconds=MAX_SPREAD_S))


def answer(progress: Progress, before: Response, now: datetime) -> Response | None:
    """Return the newer answer, or None while there is none."""
    life: LifeCycle
    match progress.inbox_status:
        case "queued":
            return None
        case "taken":
            life, status, code, text, result = "accepted", 202, "accepted", "Under way.", {}
        case "parked":
            said = _object(progress.waits_for or {}, "outcome")
            # A person at the device is asked; the command is neither refused nor done.
            life, status, code, text, result = "accepted", 202, _word(said, "status"), _reason(said), _calls(said)
        case "done":
            said = progress.outcome or {}
            word = _word(said, "status")
            code = _word(said, "code") or word
            life, status = _SETTLED.get(word, ("indeterminate", 500))
            if word == "refused":
                life, status = ("rejected", 403) if code.startswith("workflow:") else REFUSED.get(code, (life, status))
            text, result = _reason(said), _calls(said)
        case _:
            life, status, code, result = "indeterminate", 500, "forgotten", {}
            text = "The device no longer has this request; its ledger says what became of it."
    after = before.model_copy(
        update={"life": life, "status": status, "code": code, "text": text[:2000], "result": result, "at": now}
    )
    same = (before.life, before.status, before.code, before.text) == (after.life, after.status, after.code, after.text)
    return None if same else after


def _calls(said: JsonObject) -> JsonObject:
    calls = said.get("calls")
    kept = [
        {name: call[name] for name in CALL_FIELDS if name in call}
        for call in (calls if isinstance(calls, list) else [])
        if isinstance(call, dict)
    ]
    question = {name: said[name] for name in ("question", "choices") if said.get(name)}
    return {"status": _word(said, "status"), "calls": kept, **question}  # type: ignore[dict-item]


def _object(value: JsonObject, name: str) -> JsonObject:
    found = value.get(name)
    return found if isinstance(found, dict) else {}


def _word(said: JsonObject, name: str) -> str:
    return str(said.get(name) or "")


def _reason(said: JsonObject) -> str:
    return str(said.get("reason") or said.get("question") or "")
