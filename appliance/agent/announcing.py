"""What the device has to say to signed messages."""

from __future__ import annotations

from typing import Final, NamedTuple

from appliance.contracts.clock import Clock
from appliance.contracts.enrolment import Enrolment
from appliance.contracts.envelope import MAX_ROTATIONS_N, Batch, Desc, DeviceWord, Keys, Reported, Response, State
from appliance.contracts.packing import packed
from appliance.contracts.record import JsonObject
from appliance.contracts.rotation import SignedRotation
from appliance.contracts.topics import Channel, Topic
from appliance.storage import counters, database
from appliance.storage.database import Database
from appliance.transport.messages import Message, Will
from appliance.trust.keys import SigningKey
from appliance.trust.signature import sealed

ANSWER_EXPIRY_S: Final = 86_400


class Identity(NamedTuple):
    """Who signs, and how the device came by that key."""

    key: SigningKey
    rotations: tuple[SignedRotation, ...] = ()


class Description(NamedTuple):
    """What the device is, as its parts know it."""

    software: str
    bundle: JsonObject
    tools: tuple[JsonObject, ...]


class Announcer:
    """Writes and signs every message of one device, for one start of it."""

    def __init__(
        self,
        *,
        db: Database,
        enrolment: Enrolment,
        identity: Identity,
        boot: int,
        nonce: str,
        clock: Clock,
        pack_from_bytes: int = 0,
    ) -> None:
        self._db = db
        self._identity = identity
        self._boot = boot
        self._nonce = nonce
        self._clock = clock
        self._pack_from_bytes = pack_from_bytes
        self._epoch = database.epoch(db)
        self._site, self._device = enrolment.site, enrolment.device

    def rekey(self, identity: Identity) -> None:
        """Sign with another key from here on."""
        self._identity = identity

    def will(self, session: int) -> Will:
        """Return what the broker says for us should the connection numbered *session* break."""
        state = self.state("lost", session)
        return Will(self._topic(Channel.STATE), sealed(self._identity.key, state))

    def state(self, word: DeviceWord, session: int) -> State:
        """Return how the device is now."""
        return State(
            site=self._site,
            device=self._device,
            state=word,
            boot=self._boot,
            session=session,
            nonce=self._nonce,
            time="trusted" if self._clock.is_trusted() else "untrusted",
            epoch=self._epoch,
            counters=counters.highest_by_issuer(self._db, to_all=False),
            group_counters=counters.highest_by_issuer(self._db, to_all=True),
            at=self._clock.now(),
        )

    def state_message(self, state: State) -> Message:
        """Return the state, retained."""
        return Message(self._topic(Channel.STATE), sealed(self._identity.key, state), retain=True)

    def keys_message(self) -> Message | None:
        """Return how the device came by its key, retained; None for one that still has its first."""
        if not self._identity.rotations:
            return None
        keys = Keys(
            site=self._site,
            device=self._device,
            rotations=self._identity.rotations[-MAX_ROTATIONS_N:],
            at=self._clock.now(),
        )
        return Message(self._topic(Channel.KEYS), sealed(self._identity.key, keys), retain=True)

    def reported_message(self, reported: Reported) -> Message:
        """Return the configuration in force, retained."""
        return Message(self._topic(Channel.REPORTED), sealed(self._identity.key, reported), retain=True)

    def checkpoint_message(self, note: str) -> Message:
        """Return a signed checkpoint as it is, retained: any tool that reads signed notes can check it."""
        return Message(self._topic(Channel.CHECKPOINT), note.encode(), retain=True, content_type="text/plain")

    def desc_message(self, facts: Description, limit_bytes: int) -> Message:
        """Return what the device is, retained; without the tools' schemas when they do not fit."""
        desc = Desc(
            site=self._site,
            device=self._device,
            software=facts.software,
            epoch=self._epoch,
            bundle=facts.bundle,
            tools=facts.tools,
            boot=self._boot,
            at=self._clock.now(),
        )
        payload = sealed(self._identity.key, desc)
        if len(payload) > limit_bytes:
            names: tuple[JsonObject, ...] = tuple({"name": tool.get("name")} for tool in facts.tools)
            payload = sealed(self._identity.key, desc.model_copy(update={"tools": names}))
        return Message(self._topic(Channel.DESC), payload, retain=True)

    def batch_message(self, batch: Batch) -> Message:
        """Return a batch, with the attributes of CloudEvents beside it."""
        kinds = {item.kind for item in batch.items}
        kind = kinds.pop().replace("_", "-") if len(kinds) == 1 else "mixed"
        first, last = batch.items[0].seq, batch.items[-1].seq
        channel, name = (Channel.AUDIT, None) if batch.stream == "audit" else (Channel.EVT, kind)
        attributes = (
            ("specversion", "1.0"),
            ("id", f"{batch.epoch}/{batch.stream}/{first}-{last}"),
            ("source", f"/edge/v1/{self._site}/{self._device}"),
            ("type", f"edge.{batch.stream}.{kind}"),
            ("time", self._clock.now().isoformat()),
            ("firstseq", str(first)),
            ("lastseq", str(last)),
        )
        payload, form = packed(sealed(self._identity.key, batch), from_bytes=self._pack_from_bytes)
        return Message(self._topic(channel, name), payload, attributes=attributes, content_type=form)

    def response_message(self, topic: str, response: Response) -> Message:
        """Return an answer, with the correlation of its command."""
        return Message(
            topic,
            sealed(self._identity.key, response),
            correlation=bytes.fromhex(response.correlation),
            expiry_s=ANSWER_EXPIRY_S,
        )

    def _topic(self, channel: Channel, name: str | None = None) -> str:
        return str(Topic.make(self._site, self._device, channel, name))
