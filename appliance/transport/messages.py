"""What a link is given and what it gives: plain values, without a trace of the library."""

from __future__ import annotations

from typing import NamedTuple


class Message(NamedTuple):
    """What is to be published, at QoS 1."""

    topic: str
    payload: bytes
    retain: bool = False
    correlation: bytes | None = None
    response_topic: str | None = None
    expiry_s: int | None = None
    attributes: tuple[tuple[str, str], ...] = ()
    """User properties: the CloudEvents attributes of a batch."""

    content_type: str = "application/json"


class Incoming(NamedTuple):
    """What was delivered."""

    topic: str
    payload: bytes
    retained: bool
    correlation: bytes | None
    response_topic: str | None
    expiry_s: int | None
    content_type: str | None = None


class Will(NamedTuple):
    """What the broker says for us when we fall silent."""

    topic: str
    payload: bytes


class Opened(NamedTuple):
    """A connection was made."""

    session_present: bool
    max_message_bytes: int
    dates_checked: bool = True
    """False: the clock is not believed, so it counts for nothing when a certificate ends."""
