"""A file of a stick to the message that a broker would have brought, and which files come before which."""

from __future__ import annotations

from appliance.agent.downlink import request_id_of
from appliance.contracts.envelope import (
    CORRELATION_BYTES,
    MAX_MESSAGE_BYTES,
    Ack,
    Command,
    Desired,
    parse_payload,
    parse_signed,
)
from appliance.contracts.request import RequestId
from appliance.contracts.topics import Channel, Topic
from appliance.errors import WireError
from appliance.transport.messages import Incoming


def brought(data: bytes, site: str, device: str) -> tuple[Incoming, RequestId | None]:
    """Return the message that a broker would have brought to *device*; what is none is given to be refused."""
    own = str(Topic.make(site, device, Channel.CMD, "unreadable"))
    nowhere = str(Topic.make(site, device, Channel.RSP, "stick"))
    try:
        signed = parse_signed(data, limit_bytes=MAX_MESSAGE_BYTES)
        match signed.payload.get("record"):
            case "ack":
                ack = parse_payload(signed, Ack)
                return _plain(str(Topic.make(site, ack.audience, Channel.ACK)), data), None
            case "desired":
                wanted = parse_payload(signed, Desired)
                return _plain(str(Topic.make(site, wanted.audience, Channel.DESIRED)), data), None
            case _:
                command = parse_payload(signed, Command)
        topic = str(Topic.make(site, command.audience, Channel.CMD, command.body.kind))
    except WireError:
        return Incoming(own, data, False, bytes(CORRELATION_BYTES), nowhere, 1), None  # noqa: FBT003 -- not retained
    lifetime_s = max(1, int((command.expires_at - command.issued_at).total_seconds()))
    correlation = bytes.fromhex(command.correlation)
    message = Incoming(topic, data, False, correlation, command.response_topic, lifetime_s)  # noqa: FBT003 -- the same
    return message, request_id_of(command)


def issued(file: tuple[str, bytes]) -> tuple[int, str]:
    """Return by what files are ordered: as a broker would have brought them, the emergency stop before all."""
    return (urgency(file[1]), file[0])


def urgency(data: bytes) -> int:
    """Return a stop's, an acknowledgement's and a configuration's place, 0, or a command's: its counter.

    The oldest command first: most others are for a device as the earlier ones leave it, and those that are more than a
    window of counters behind the newest would be refused.
    """
    try:
        payload = parse_signed(data).payload
    except WireError:
        return 0
    counter, body = payload.get("counter"), payload.get("body")
    is_stop = isinstance(body, dict) and body.get("kind") == "stop"
    return counter if isinstance(counter, int) and not is_stop else 0


def _plain(topic: str, data: bytes) -> Incoming:
    return Incoming(topic, data, retained=False, correlation=None, response_topic=None, expiry_s=None)
