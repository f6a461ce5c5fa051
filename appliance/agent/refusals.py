"""Why a message from outside was refused: the codes, their statuses, and a record that no flood can fill."""

from __future__ import annotations

import json
import math
from collections import Counter, deque
from collections.abc import Callable
from enum import Enum
from typing import Final

from appliance.contracts.clock import Clock
from appliance.contracts.record import JsonObject
from appliance.storage import meta
from appliance.storage.database import Database

MOST_PER_MINUTE: Final = 30
"""Refusals recorded each by itself, of what nobody signed and of what somebody signed."""

MINUTE_S: Final = 60.0
UNRECORDED: Final = "not_recorded_singly"
"""In the place of a code: a record of how many were refused beside those that have one each."""

_EXACT_N: Final = 16
_COUNTED: Final = "refusals_counted"


class Codes(Enum):
    """A word for machines and a status, as in HTTP; docs/reference/wire.md is printed from it."""

    word: str
    status: int

    def __init__(self, word: str, status: int) -> None:
        self.word = word
        self.status = status

    MALFORMED = ("malformed", 400)
    ALTERED = ("altered_properties", 400)
    NO_CORRELATION = ("no_correlation", 400)
    NO_RESPONSE_TOPIC = ("no_response_topic", 400)
    NO_EXPIRY = ("no_expiry", 400)
    BAD_LIFETIME = ("bad_lifetime", 400)
    FROM_THE_FUTURE = ("from_the_future", 400)
    UNKNOWN_ISSUER = ("unknown_issuer", 401)
    BAD_SIGNATURE = ("bad_signature", 401)
    REVOKED = ("revoked_key", 401)
    WRONG_AUDIENCE = ("wrong_audience", 403)
    ROLE = ("role", 403)
    LOCAL_ONLY = ("local_only", 403)
    OWNER_ONLY = ("owner_only", 403)
    NOT_TO_ALL = ("not_to_all", 403)
    UNKNOWN_COMMAND = ("unknown_command", 404)
    UNEXPECTED = ("unexpected_channel", 404)
    RETAINED = ("retained", 405)
    CORRELATION_REUSED = ("correlation_reused", 409)
    REPLAY = ("replay", 409)
    OLD_VERSION = ("old_version", 409)
    OTHER_VERSION = ("version_used", 409)
    EXPIRED = ("expired", 410)
    WRONG_NONCE = ("wrong_nonce", 412)
    OVERSIZED = ("oversized", 413)
    BAD_CONFIG = ("bad_config", 422)
    NONCE_NEEDED = ("nonce_needed", 428)
    NOT_YET = ("not_in_this_version", 501)
    COUNTERS_LOST = ("counters_lost", 503)


class Refused(Exception):
    """A message that is not obeyed, and why; it never leaves the downlink, which turns it into an answer."""

    def __init__(self, code: Codes, text: str, issuer: str | None = None) -> None:
        """Say no.

        Args:
            issuer: whose signature it is, once that was found to hold; with `BAD_SIGNATURE`, whose it says it is.
        """
        super().__init__(text)
        self.code = code
        self.text = text
        self.issuer = issuer


class Sparing:
    """Records refusals: each by itself, and too many in a minute as numbers by code.

    Whoever may publish can send junk; a captured command can be altered by everybody who heard it, but only while it
    stays recognisable. So what nobody signed has an allowance of its own, and what a controller's key signed another:
    the one cannot crowd out the other. What exceeds its allowance is counted in the database until the minute is over,
    and is then one record.

    Covers: a flood; a process that is killed in the middle of one (the next start writes the record). From the
    seventeenth on the count is written down each time it has grown by a sixteenth, not each time: a flood must not wear
    out the card. After a kill the number is then a little too low, and the record says `at_least`.
    """

    def __init__(self, db: Database, record: Callable[[str, JsonObject], None], clock: Clock) -> None:
        self._db = db
        self._record = record
        self._clock = clock
        self._recent: dict[bool, deque[float]] = {
            True: deque(maxlen=MOST_PER_MINUTE),
            False: deque(maxlen=MOST_PER_MINUTE),
        }
        self._counted: Counter[str] = Counter(json.loads(meta.get(db, _COUNTED) or "{}"))
        self._kept_n = self._counted.total()
        self._is_exact = self._kept_n <= _EXACT_N
        self._due_s = clock.monotonic_s() if self._kept_n else math.inf

    def __call__(self, refused: Refused, facts: JsonObject) -> None:
        """Record *refused*, or count it where this minute has had enough of its kind.

        Raises:
            StorageError: it can be neither.
        """
        now_s = self._clock.monotonic_s()
        recent = self._recent[_is_signed(refused)]
        if len(recent) < MOST_PER_MINUTE or now_s - recent[0] >= MINUTE_S:
            self._record(refused.code.word, facts)
            recent.append(now_s)
            return
        self._counted[refused.code.word] += 1
        self._due_s = min(self._due_s, now_s + MINUTE_S)
        if self._counted.total() - self._kept_n > self._kept_n // _EXACT_N:
            meta.put(self._db, _COUNTED, json.dumps(self._counted))
            self._kept_n = self._counted.total()

    def settle(self) -> None:
        """Write the record of what was only counted, once its minute is over; often called, rarely with effect.

        Raises:
            StorageError: it cannot be written; the next call tries again.
        """
        if self._clock.monotonic_s() < self._due_s:
            return
        counted: JsonObject = {word: self._counted[word] for word in sorted(self._counted)}
        n = self._counted.total()
        reason = f"{n:,}{'' if self._is_exact else ' or more'} others were refused, without a record of each"
        facts: JsonObject = {"reason": reason, "refused_n": n, "codes": counted, "at_least": not self._is_exact}
        with self._db.atomic():
            self._record(UNRECORDED, facts)
            meta.put(self._db, _COUNTED, "{}")
        self._counted.clear()
        self._kept_n, self._is_exact, self._due_s = 0, True, math.inf


def _is_signed(refused: Refused) -> bool:
    """Tell whether a key that this device listens to signed what was refused."""
    return refused.issuer is not None and refused.code not in {Codes.BAD_SIGNATURE, Codes.REVOKED}
