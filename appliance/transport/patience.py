"""What a broker refuses to how long a link holds back, and to what it says is wrong.

A refused connection and a refused subscription end the connection; the next attempt comes when the reason's treatment
says. A refused publication holds back every publication of the link for as long: what is refused is said again, and
without a pause it would be said again at once.

Covers: brokers that refuse in words (`reasons`), and one that ends connection after connection without a word, as
Mosquitto does when another client comes in under the same name. Does not cover: which publication was refused; one that
only some topics are closed to holds back the others too.
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Final

from appliance.contracts.enrolment import BrokerSettings
from appliance.transport.backoff import ROUNDS_N, SLOW_S, Backoff
from appliance.transport.reasons import UNSAID, Reason, Treatment

LASTING_S: Final = 60.0
"""A connection that held this long was a good one; shorter ones count as failures, so that a takeover war stays
slow."""

RIVAL_LASTING_S: Final = SLOW_S[1] + LASTING_S
"""A rival that is as patient as we are comes back within `SLOW_S`; before that it cannot be called gone."""

_CONNECTION: Final = "connection"
_PUBLICATION: Final = "publication"


class Patience:
    """How one link takes a refusal; times are seconds of a monotonic clock."""

    def __init__(self, broker: BrokerSettings, chance: Random) -> None:
        shortest_s, longest_s = broker.reconnect_s
        self._backoff = Backoff(shortest_s, longest_s, broker.first_connect_s, chance)
        self._publishing = Backoff(shortest_s, longest_s, shortest_s, chance)
        self._after = Treatment.RETRY
        self._refused: dict[str, Reason] = {}
        self._deaf: dict[str, Reason] = {}
        self._held_until_s = float("-inf")
        self._short_n = 0

    @property
    def trouble(self) -> Reason | None:
        """What the broker refuses, or last ended the connection for; None once it has taken it, or one has lasted."""
        found = (*self._deaf.values(), *self._refused.values())
        return found[0] if found else None

    def pause(self, now_s: float) -> float:
        """Return how long to wait before the next attempt to connect, and count it."""
        after, self._after = self._after, Treatment.RETRY
        return self._backoff.pause(now_s, after)

    def sooner(self, now_s: float, at_s: float) -> float:
        """Return when an attempt planned for *at_s* may be made at the earliest."""
        return self._backoff.sooner(now_s, at_s)

    def forgive(self) -> None:
        """Hold back no longer: what stood in the way is gone, as far as anybody knows."""
        self._after = Treatment.RETRY
        self._held_until_s = float("-inf")

    def holds(self, now_s: float) -> bool:
        """Tell whether nothing is to be published now."""
        return now_s < self._held_until_s

    def refused(self, found: Reason) -> None:
        """Take that the broker does not let us in, or ends the connection, for *found*."""
        self._refused[_CONNECTION] = found
        self._after = found.treatment

    def subscribed(self, refused: Mapping[str, Reason]) -> None:
        """Take the answer to what was subscribed to: *refused*, by filter; whatever is not in it was granted."""
        self._deaf = {
            wanted: found._replace(words=f"{found.words} (subscription to {wanted})")
            for wanted, found in refused.items()
        }
        if self._deaf:
            self._after = next(iter(self._deaf.values())).treatment

    def published(self, refused: Reason | None, now_s: float) -> None:
        """Take the answer to a publication; what was on its way when another was refused changes nothing more."""
        if self.holds(now_s):
            return
        if refused is None:
            if self._refused.pop(_PUBLICATION, None) is not None:
                self._publishing.settled()
        else:
            self._refused[_PUBLICATION] = refused
            self._held_until_s = now_s + self._publishing.pause(now_s, refused.treatment)

    def lasts(self, for_s: float) -> bool:
        """Tell whether a connection that holds for *for_s* is a good one; then what ended others is forgotten."""
        found = self._refused.get(_CONNECTION)
        if for_s <= (RIVAL_LASTING_S if found is not None and found.treatment is Treatment.RIVAL else LASTING_S):
            return False
        self._refused.pop(_CONNECTION, None)
        self._short_n = 0
        self._backoff.settled()
        return True

    def ended(self, *, good: bool, unsaid: bool) -> None:
        """Take the end of a connection that was let in.

        Args:
            good: it had lasted.
            unsaid: the broker closed it in order and gave no reason; a wire that breaks does not do that.
        """
        if good:
            return
        self._short_n += unsaid
        if self._short_n < ROUNDS_N:
            return
        if unsaid:
            self._refused[_CONNECTION] = UNSAID
        if self._after is Treatment.RETRY:
            self._after = Treatment.SLOWLY
