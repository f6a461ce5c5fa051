"""Why a message from outside was refused: the codes, their statuses, and a record that no flood can fill."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import Final

from appliance.contracts.record import JsonObject

MOST_PER_MINUTE: Final = 30
"""Refusals recorded in full; the next record says how many were not."""


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
    WRONG_AUDIENCE = ("wrong_audience", 403)
    ROLE = ("role", 403)
    UNKNOWN_COMMAND = ("unknown_command", 404)
    UNEXPECTED = ("unexpected_channel", 404)
    RETAINED = ("retained", 405)
    CORRELATION_REUSED = ("correlation_reused", 409)
    REPLAY = ("replay", 409)
    EXPIRED = ("expired", 410)
    WRONG_NONCE = ("wrong_nonce", 412)
    OVERSIZED = ("oversized", 413)
    NONCE_NEEDED = ("nonce_needed", 428)
    NOT_YET = ("not_in_this_version", 501)


class Refused(Exception):
    """A message that is not obeyed, and why; it never leaves the downlink, which turns it into an answer."""

    def __init__(self, code: Codes, text: str, issuer: str | None = None) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.issuer = issuer


class Sparing:
    """Records refusals until there are too many in a minute, then counts them."""

    def __init__(self, record: Callable[[str, JsonObject], None], monotonic_s: Callable[[], float]) -> None:
        self._record = record
        self._monotonic_s = monotonic_s
        self._recent: deque[float] = deque(maxlen=MOST_PER_MINUTE)
        self._unrecorded_n = 0

    def __call__(self, code: str, facts: JsonObject) -> None:
        """Record a refusal, unless this minute has had enough of them."""
        now_s = self._monotonic_s()
        if len(self._recent) == MOST_PER_MINUTE and now_s - self._recent[0] < 60.0:
            self._unrecorded_n += 1
            return
        self._record(code, {**facts, "unrecorded_before_n": self._unrecorded_n})
        self._recent.append(now_s)
        self._unrecorded_n = 0
