"""The maintenance lock: while somebody works on the machine nothing acts, also after a restart."""

from __future__ import annotations

import json

from appliance.agent.laws import Answered
from appliance.contracts.audit import AuditRecord
from appliance.contracts.clock import Clock
from appliance.contracts.record import JsonObject
from appliance.contracts.request import Origin, OriginKind, Request
from appliance.policy.workflow.people import is_same, outranks, who
from appliance.storage import audit, meta
from appliance.storage.database import Database

_KEY = "maintenance"


class MaintenanceLock:
    """Set and released by people at the device; the emergency stop goes past it."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    def text(self) -> str:
        """Return who has locked the device, since when and why; empty where nobody has. From any thread."""
        held = self._held()
        if held is None:
            return ""
        why = f": {held['why']}" if held["why"] else ""
        return f"{held['by']}, {held['at'][:16]}{why}"

    def set(self, request: Request, *, on: bool, why: str) -> Answered:
        """Set the lock or release it, in the transaction of the request."""
        origin, held = request.origin, self._held()
        by = _name(origin)
        if origin.kind is not OriginKind.OPERATOR or not outranks(who(origin).role, "operator"):
            return Answered(done=False, code="roles", reason="The maintenance lock is for operators at the device.")
        if on and held is not None:
            return Answered(done=False, code="maintenance", reason=f"It is locked already: {self.text()}.")
        if not on and held is None:
            return Answered(done=False, code="maintenance", reason="There is no maintenance lock.")
        if held is not None and not is_same(held["by"], by) and not outranks(who(origin).role, "admin"):
            return Answered(done=False, code="roles", reason=f"Only {held['by']} or an admin releases this lock.")
        moment = self._clock.moment()
        kept = {"by": by, "why": " ".join(why.split())[:200], "at": moment.at.isoformat()}
        meta.put(self._db, _KEY, json.dumps(kept) if on else "")
        facts: JsonObject = {"on": on, "by": by, "role": origin.role}
        personal: JsonObject = {"why": kept["why"]} if on and kept["why"] else {}
        audit.append(
            self._db,
            AuditRecord(
                kind="maintenance", moment=moment, request_id=request.request_id, facts=facts, personal=personal
            ),
        )
        said = "Locked for maintenance: nothing acts until it is released." if on else "Released."
        return Answered(done=True, code="maintenance", reason=said)

    def _held(self) -> dict[str, str] | None:
        text = meta.get(self._db, _KEY)
        return json.loads(text) if text else None


def _name(origin: Origin) -> str:
    """Name whoever holds the lock: the enrolled person, else the account of the local client."""
    return origin.person or origin.peer.split(" ")[0]
