"""What a broker says when it refuses or ends a connection: every reason code of MQTT 5, in words, and what follows.

A code that is not here is a fault of the broker's and treated as one that may pass. Nothing makes a device give up for
ever: whoever mends a broker must not have to walk to every device. docs/reference/link.md is printed from here.

Source:
    MQTT Version 5.0, OASIS Standard, tables 3-1, 3-10, 3-13 and section 3.4.2.1 for PUBACK, 3.9.3 for SUBACK.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple


class Treatment(StrEnum):
    """When the next attempt is made."""

    RETRY = "retry"
    """As after any broken connection: full jitter between the shortest and the longest pause."""

    SLOWLY = "retry slowly"
    """The broker asks for room: minutes."""

    PERSON = "wait for a person"
    """Only somebody can mend it; asked again every quarter of an hour at most, and at once with new credentials."""

    SHRINK = "retry with less"
    """The same again would fail again: smaller messages, or fewer at once."""

    RIVAL = "retry, then slowly"
    """Another client has our name; after some rounds minutes, so that neither is banned."""


class Reason(NamedTuple):
    """Why a connection was refused, or ended."""

    code: int
    words: str
    treatment: Treatment


_R, _S, _P = Treatment.RETRY, Treatment.SLOWLY, Treatment.PERSON

TABLE: Final = {
    reason.code: reason
    for reason in (
        Reason(0x00, "the broker ended the connection", _R),
        Reason(0x80, "the broker gives no reason", _R),
        Reason(0x81, "the broker could not read a packet; something between it and the device may alter them", _S),
        Reason(0x82, "the broker saw an error of the protocol", _S),
        Reason(0x83, "the broker has a reason of its own", _S),
        Reason(0x84, "the broker does not speak MQTT 5", _P),
        Reason(0x85, "the broker does not accept this client id", _P),
        Reason(0x86, "the broker does not accept the user name or password", _P),
        Reason(0x87, "the broker does not authorize this device", _P),
        Reason(0x88, "the broker is not available", _S),
        Reason(0x89, "the broker is busy", _S),
        Reason(0x8A, "the broker has banned this device", _P),
        Reason(0x8B, "the broker shuts down", _R),
        Reason(0x8C, "the broker wants another way of authentication", _P),
        Reason(0x8D, "the broker heard nothing for too long", _R),
        Reason(0x8E, "another client took this session over: two have the name of this device", Treatment.RIVAL),
        Reason(0x8F, "the broker does not accept what is subscribed to", _P),
        Reason(0x90, "the broker does not accept a topic", _P),
        Reason(0x91, "the broker still holds a message of this number", _R),
        Reason(0x93, "the broker got more at once than it takes", Treatment.SHRINK),
        Reason(0x94, "the broker does not accept a topic alias", _R),
        Reason(0x95, "the broker does not take packets this large", Treatment.SHRINK),
        Reason(0x96, "the broker gets messages too fast", _S),
        Reason(0x97, "a quota at the broker is used up", _S),
        Reason(0x98, "somebody at the broker ended the connection", _S),
        Reason(0x99, "the broker does not accept the form of a payload", _P),
        Reason(0x9A, "the broker keeps no retained messages, and the state of a device is one", _P),
        Reason(0x9B, "the broker does not take QoS 1", _P),
        Reason(0x9C, "the broker asks to use another server for now", _P),
        Reason(0x9D, "the broker has moved to another server", _P),
        Reason(0x9E, "the broker has no shared subscriptions", _P),
        Reason(0x9F, "the broker gets connections too fast", _S),
        Reason(0xA0, "the broker ends every connection after a time", _R),
        Reason(0xA1, "the broker has no subscription identifiers", _R),
        Reason(0xA2, "the broker has no subscriptions with wildcards", _P),
    )
}

BROKEN: Final = Reason(-1, "the connection broke", Treatment.RETRY)
"""No code at all: the wire, the machine, or a broker that goes without a word."""

UNSAID: Final = Reason(
    -1,
    "the broker ends each connection soon and does not say why: another client may have the name of this device",
    Treatment.RIVAL,
)
"""Mosquitto says nothing to the one that is thrown out; neither does a broker that falls again and again."""


def reason(code: int) -> Reason:
    """Return what *code* means here."""
    return TABLE.get(code) or Reason(code, f"the broker says 0x{code:02X}, which MQTT 5 does not know", _S)


def page(stamp: str) -> str:
    """Return docs/reference/link.md; *stamp* says how it is made."""
    rows = [f"| 0x{each.code:02X} | {each.words} | {each.treatment} |" for each in TABLE.values()]
    rows += [f"| none, three times | {UNSAID.words} | {UNSAID.treatment} |"]
    said = [f"- **{each}**: {_docs(each)}" for each in Treatment]
    return "\n".join(
        [
            "# Reason codes of the broker\n",
            stamp,
            "What the status, the log and the ledger say when a broker refuses or ends a connection, refuses a message",
            "or a subscription, and when the device tries again: to connect, or, where a message was refused, to say",
            "anything at all. [Why](../explanation/the-link.md), [what to do](../how-to/when-the-link-is-bad.md).\n",
            *said,
            "",
            "| code | in words | what follows |",
            "|---|---|---|",
            *rows,
            "",
        ]
    )


def _docs(treatment: Treatment) -> str:
    return {
        Treatment.RETRY: "0 to 30 s after a good connection, then full jitter up to 120 s; never 15 times a minute",
        Treatment.SLOWLY: "1 to 5 minutes",
        Treatment.PERSON: "5 to 15 minutes, and at once when certificate, key or password were replaced",
        Treatment.SHRINK: "as `retry`, with half the size of a message, or half as many at once",
        Treatment.RIVAL: "as `retry`; from the third time in a row on as `retry slowly`",
    }[treatment]
