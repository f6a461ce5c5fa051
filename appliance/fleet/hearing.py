"""A message to what a device said in it, if it was that device that said it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from appliance.contracts.envelope import Batch, Desc, Reported, Response, State, parse_signed
from appliance.contracts.packing import unpacked
from appliance.contracts.topics import Channel, Topic
from appliance.errors import MalformedTopic, TrustError, WireError
from appliance.fleet import ledgers
from appliance.transport.messages import Incoming
from appliance.trust.keys import PublicKey
from appliance.trust.signature import opened

Said = State | Desc | Reported | Batch | Response | ledgers.Root | None

_PAYLOADS: Final[dict[Channel, type[State | Desc | Reported | Batch | Response]]] = {
    Channel.STATE: State,
    Channel.DESC: Desc,
    Channel.REPORTED: Reported,
    Channel.AUDIT: Batch,
    Channel.EVT: Batch,
    Channel.RSP: Response,
}


class Heard(NamedTuple):
    """A device said something, and its key says that it did."""

    device: str
    channel: Channel
    said: Said
    """None where whoever keeps it reads the payload."""

    payload: bytes
    key: PublicKey


class Wrong(NamedTuple):
    """A message that cannot be believed; kept with the faults."""

    device: str
    what: str
    text: str
    signer: str = ""
    """Whose key it says it is of, where that is not the device's present one."""


def heard(message: Incoming, key_of: Callable[[str], PublicKey | None]) -> Heard | Wrong:
    """Read *message* with the keys that this controller knows."""
    try:
        topic = Topic.parse(message.topic)
    except MalformedTopic as error:
        return Wrong("", "malformed_topic", str(error))
    key = key_of(topic.device)
    if key is None:
        return Wrong(topic.device, "unknown_device", "it is not enrolled with this controller")
    payload = message.payload
    try:
        payload = unpacked(payload, message.content_type)
        said = _said(topic, key, payload)
    except TrustError as error:
        return Wrong(topic.device, *_what(topic, key, payload, str(error)))
    except WireError as error:
        return Wrong(topic.device, "malformed", str(error))
    speaker = getattr(said, "device", topic.device)
    if speaker != topic.device:
        return Wrong(topic.device, "wrong_device", f"speaks as {speaker!r}")
    return Heard(topic.device, topic.channel, said, payload, key)


def _said(topic: Topic, key: PublicKey, payload: bytes) -> Said:
    if topic.channel is Channel.CHECKPOINT:
        return ledgers.read_checkpoint(payload, key)
    record = _PAYLOADS.get(topic.channel)
    return None if record is None else opened(payload, record, {key.key_id: key})


def _what(topic: Topic, key: PublicKey, payload: bytes, text: str) -> tuple[str, str, str]:
    """Name a message that cannot be believed: one by another key may be of a device whose statement is to come."""
    if topic.channel is Channel.CHECKPOINT:
        return "checkpoint_refused", text, ""
    try:
        signer = parse_signed(payload).key
    except WireError:
        return "bad_signature", text, ""
    return ("bad_signature", text, "") if signer == key.key_id else ("unknown_key", text, signer)
