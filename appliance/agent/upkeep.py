"""What a long life of the link needs now and then: room in the outbox, credentials in order, trouble said in words.

Each is said once when it comes and once when it goes, to the ledger and to whoever watches the device's health.

Covers: certificates that end (told 30, 7 and 1 days before; a reason to be degraded from 7 on), credentials replaced
while the daemon runs, also half of them (the connection stays until they fit together), a broker that only a person can
persuade. A month before the device's own certificate ends it asks for the next one: a request lies beside it, for
whoever comes by. Does not cover: who carries it; `fleet renew` takes what comes back.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Final, Protocol

from appliance.agent.rationing import Ration
from appliance.contracts.clock import Clock
from appliance.contracts.enrolment import BrokerSettings
from appliance.contracts.record import JsonObject
from appliance.errors import LinkError, TrustError
from appliance.storage import meta
from appliance.storage.database import Database
from appliance.transport import credentials
from appliance.transport.reasons import Reason, Treatment
from appliance.trust import certificates
from appliance.trust.certificates import End

LOOK_S: Final = 5.0
CERTIFICATES_S: Final = 3600.0
SAME_AGAIN_S: Final = 3600.0
"""The ledger hears of the same refusal once an hour, however often a broker changes its mind."""

STEPS_DAYS: Final = (30, 7, 1, 0)
"""Days before a certificate ends at which it is told; 0: it has ended."""

MISSING_DAYS: Final = 7
"""From here on the device is degraded; a month of it would teach everybody to look away."""


class Connection(Protocol):
    """What of a link is looked after."""

    @property
    def trouble(self) -> Reason | None:
        """What the broker refuses at present."""

    def refuse_session(self, reason: str) -> None:
        """Begin the connection anew."""

    def hurry(self) -> None:
        """Try again soon."""


class Upkeep:
    """Looks after one device's link; used by the uplink's thread."""

    def __init__(
        self,
        db: Database,
        broker: BrokerSettings,
        *,
        clock: Clock,
        ration: Ration,
        note: Callable[[str, JsonObject], None],
        trouble: Callable[[str, str | None], None],
    ) -> None:
        self._db = db
        self._broker = broker
        self._clock = clock
        self._ration = ration
        self._note = note
        self._trouble = trouble
        self._look_at_s = 0.0
        self._certificates_at_s = 0.0
        self._in_use = credentials.mark(broker)
        self._reported: Reason | None = None
        self._noted_s: dict[int, float] = {}
        self._ends: End | None = None

    def look(self, link: Connection) -> None:
        """Do what is due.

        Raises:
            StorageError: something could not be written down; it is done again at the next look.
        """
        now_s = self._clock.monotonic_s()
        if now_s < self._look_at_s:
            return
        self._look_at_s = now_s + LOOK_S
        self._trouble("controllers", self._ration.look())
        self._tell_refused(link.trouble)
        self._take_credentials(link)
        if now_s >= self._certificates_at_s:
            self._certificates_at_s = now_s + CERTIFICATES_S
            self._tell_ends()

    def facts(self) -> JsonObject:
        """Return what the status says of all this."""
        end = self._ends
        return {
            "events_dropped": self._ration.dropped_n,
            "certificate_ends": None if end is None else end.at.isoformat(),
        }

    def _tell_refused(self, found: Reason | None) -> None:
        if found == self._reported:
            return
        lasting = found is not None and found.treatment in (Treatment.PERSON, Treatment.RIVAL)
        now_s = self._clock.monotonic_s()
        if found is not None and now_s - self._noted_s.get(found.code, -SAME_AGAIN_S) >= SAME_AGAIN_S:
            self._noted_s[found.code] = now_s
            self._note("the broker refused", {"code": found.code, "why": found.words, "then": found.treatment.value})
        self._trouble("broker", found.words if found is not None and lasting else None)
        self._reported = found

    def _take_credentials(self, link: Connection) -> None:
        mark = credentials.mark(self._broker)
        if mark == self._in_use:
            return
        try:
            credentials.context(self._broker)
            credentials.password(self._broker)
        except LinkError as error:
            # Certificate and key are two files; between the two they do not fit, and a moment later they do.
            self._trouble("credentials", f"the new credentials cannot be used, the old connection stays: {error}")
            return
        self._trouble("credentials", None)
        self._note("credentials were replaced", {"files": ", ".join(sorted(name for name, *_ in mark))})
        self._in_use = mark
        self._certificates_at_s = 0.0
        link.refuse_session("certificate, key or password were replaced")
        link.hurry()

    def _tell_ends(self) -> None:
        try:
            found = certificates.ends(self._broker)
        except TrustError as error:
            self._trouble("certificate", str(error))
            return
        self._ends = found[0] if found else None
        if self._ends is None or not self._clock.is_trusted():
            self._trouble("certificate", None)  # without a clock nobody knows
            return
        days = (self._ends.at - self._clock.now()).total_seconds() / 86_400
        step = next((s for s in reversed(STEPS_DAYS) if days <= s), None)
        text = _words(self._ends, days, self._ends.at)
        self._trouble("certificate", text if days <= MISSING_DAYS else None)
        said = f"{self._ends.serial:x}:{step}"
        if step is not None and meta.get(self._db, "certificate-told") != said:
            facts: JsonObject = {
                "what": self._ends.what,
                "at": self._ends.at.isoformat(),
                "days_left": int(days),
                "file": self._ends.path,
            }
            self._note("a certificate ends", facts | self._ask_ahead(self._ends))
            meta.put(self._db, "certificate-told", said)

    def _ask_ahead(self, end: End) -> JsonObject:
        """Put a request for a newer certificate beside the device's own; it holds no secret."""
        if end.path != self._broker.certificate_file:
            return {}
        try:
            return {"request": str(certificates.ask_ahead(self._broker))}
        except TrustError as error:
            return {"no_request": str(error)}


def _words(end: End, days: float, at: datetime) -> str:
    when = f"ended on {at:%Y-%m-%d}" if days <= 0 else f"ends on {at:%Y-%m-%d}, in {days:.0f} days"
    return f"{end.what} {when}; replace {end.path}, the connection takes it by itself"
