"""Our messages over MQTT 5: the one file that imports paho.

A `Link` belongs to one thread, which calls `step` in a loop; callbacks run inside `step`. Nothing is queued: what
cannot be sent now stays with the caller, and a new paho client is built for each connection, so nothing stale is sent
twice.

Covers: a broker that is absent, accepts and never answers, stops answering, takes the session away, forgets the
session, refuses us or what we say (`reasons`, `patience`), takes less at once or shorter packets than we would send; a
clock that nobody vouches for (`credentials`); a handler that cannot keep a message (it stays unacknowledged, the broker
delivers it again). Does not cover: a broker that confirms what it then loses; the controller's own acknowledgement is
for that.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from collections.abc import Callable
from random import Random
from typing import Any, Final

import paho.mqtt.client as paho
from paho.mqtt import MQTTException
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from appliance.contracts.enrolment import BrokerSettings
from appliance.contracts.envelope import MAX_MESSAGE_BYTES
from appliance.errors import LinkError
from appliance.transport import credentials, ends
from appliance.transport.messages import Incoming, Message, Opened, Will
from appliance.transport.patience import Patience
from appliance.transport.reasons import BROKEN, Reason, reason

__all__ = ["BrokerSettings", "Incoming", "Link", "Message", "Opened", "Will"]

SILENCE: Final = 1.5
"""Keepalives without a byte from the broker, or taken by it, after which the connection is dead; and without a
confirmation, when everything has left."""

LEAST_BYTES: Final = 1024
"""No message is cut below this, whatever a broker says."""

_BESIDE_BYTES: Final = 4096
"""A packet's topic and properties, beside its payload."""

_TOO_MANY, _TOO_LARGE, _NO_RETAIN, _NO_QOS, _NO_WILDCARD = 0x93, 0x95, 0x9A, 0x9B, 0xA2
_NOBODY: Final = 0x10
_PING_BYTES: Final = 64
"""A ping, also inside TLS, is shorter than this; a message of ours never is."""

_LOOK_S: Final = 5.0
_FAREWELL_S: Final = 3.0


class Link:
    """One session with one broker, kept up for ever; used by one thread."""

    def __init__(
        self,
        broker: BrokerSettings,
        client_id: str,
        *,
        filters: tuple[str, ...],
        on_message: Callable[[Incoming], None],
        on_opened: Callable[[Opened], None],
        on_lost: Callable[[str], None],
        will: Callable[[], Will] | None = None,
        window_n: int = 16,
        chance: Random,
        monotonic: Callable[[], float] = time.monotonic,
        time_trusted: Callable[[], bool] = lambda: True,
        holding: bool = False,
    ) -> None:
        self._broker = broker
        self._client_id = client_id
        self._filters = filters
        self._on_message = on_message
        self._on_opened = on_opened
        self._on_lost = on_lost
        self._will = will
        self._window_n = self._most_n = self._wanted_n = window_n
        self._most_bytes = self._limit_bytes = MAX_MESSAGE_BYTES
        self._keepalive_s = float(broker.keepalive_s)
        self._monotonic = monotonic
        self._time_trusted = time_trusted
        self._looked_s = 0.0
        self._patience = Patience(broker, chance)
        self._next_at_s: float | None = None
        self._client: paho.Client | None = None
        self._began_s = 0.0
        self._heard_s = self._moved_s = 0.0
        self._left_bytes = 0
        self._up = False
        self._ended: str | None = None
        self._is_closed_in_order = self._is_unsaid = self._is_hurried = False
        self._tls: credentials.RememberingContext | None = None
        self._flight: dict[int, Callable[[bool], None]] = {}
        self.nobody_listened = False
        """Of the newest confirmation: the broker had nobody to give the message to. Not every broker tells."""

        self._holding = holding
        self._held: list[tuple[int, int]] = []
        self._wake_out, self._wake_in = socket.socketpair()
        self._wake_out.setblocking(False)  # noqa: FBT003 -- the socket's own signature
        self._wake_in.setblocking(False)  # noqa: FBT003 -- the socket's own signature

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted us and nothing says otherwise."""
        return self._up

    @property
    def trouble(self) -> Reason | None:
        """What the broker refuses, or last ended the connection for; None once that is over."""
        return self._patience.trouble

    @property
    def room(self) -> int:
        """How many more messages may be in flight now; none for a while after the broker has refused one."""
        if not self._up or self._patience.holds(self._monotonic()):
            return 0
        return max(0, self._window_n - len(self._flight))

    @property
    def descriptor(self) -> int | None:
        """The connection's socket, for one loop that waits on many links; None while there is no connection."""
        sock = self._client.socket() if self._client is not None else None
        return sock.fileno() if sock is not None and sock.fileno() >= 0 else None

    @property
    def wants_write(self) -> bool:
        """Whether something waits for the socket to take it."""
        return self._client is not None and self._client.want_write()

    @property
    def next_attempt_s(self) -> float | None:
        """When the next attempt to connect is due, on the monotonic clock; None unless one is waited for."""
        return self._next_at_s if self._client is None else None

    @property
    def window(self) -> int:
        """How many messages may be in flight on this connection: what we want, or the broker takes, if that is less."""
        return self._window_n

    def hurry(self) -> None:
        """Make the next attempt as soon as may be: what stood in the way is gone."""
        self._is_hurried = True
        self._patience.forgive()

    def wake(self) -> None:
        """End a `step` that waits; the one call that any thread may make."""
        with contextlib.suppress(OSError):
            self._wake_in.send(b"\0")

    def step(self, wait_s: float) -> None:
        """Move the connection on: read, write, ping, or try again when it is time; returns after *wait_s* at most."""
        if self._client is None:
            self._maybe_connect(wait_s)
            return
        client, sock = self._client, self._client.socket()
        if sock is None:
            self._drop(self._ended or "the connection broke")
            return
        pending = ends.undelivered(sock) > 0
        try:
            readable, writable = ends.ready(
                [sock, self._wake_out], [sock] if client.want_write() else [], 0.0 if pending else wait_s
            )
            self._drain_wake()
            if pending or sock in readable:
                self._heard_s = self._monotonic()
                self._is_closed_in_order = ends.is_closed_in_order(sock)
                client.loop_read(16)
            if sock in writable or client.want_write():
                client.loop_write()
            client.loop_misc()
        except (OSError, ValueError, LookupError, struct.error, MQTTException) as error:
            # The last ones are what paho raises at bytes that are no MQTT.
            self._drop(self._ended or f"the connection broke: {error}")
            return
        self._watch()

    def publish(self, message: Message, settled: Callable[[bool], None]) -> bool:
        """Hand *message* to the broker if there is room now.

        Args:
            settled: called once with whether the broker took it; also when the connection breaks first.

        Returns:
            Whether it was handed over; if not, nothing was kept and *settled* is not called.
        """
        if self._client is None or self.room == 0:
            return False
        info = self._client.publish(
            message.topic, message.payload, qos=1, retain=message.retain, properties=_publish_properties(message)
        )
        if info.rc != paho.MQTT_ERR_SUCCESS:
            return False
        if not self._flight:
            self._moved_s = self._monotonic()
        self._flight[info.mid] = settled
        return True

    def acknowledge(self) -> None:
        """Tell the broker that everything delivered so far is kept; for a link that was made *holding*."""
        held, self._held = self._held, []
        for mid, qos in held:
            if self._client is not None:
                self._client.ack(mid, qos)

    def refuse_session(self, reason: str) -> None:
        """Break the connection so that the broker delivers again what was not acknowledged."""
        self._ended = reason
        if self._client is not None:
            self._shut(self._client)

    def close(self, farewell: Message | None = None) -> None:
        """Say *farewell*, wait a moment for the broker to take it, and disconnect; the session stays."""
        if self._client is not None and self._up:
            if farewell is not None:
                self._say_farewell(farewell)
            client = self._client  # the farewell may have ended it
            if client is not None:
                client.disconnect()
                with contextlib.suppress(OSError, ValueError):
                    client.loop_write()
        if self._client is not None:
            self._drop("closed")
        self._wake_in.close()
        self._wake_out.close()

    def _say_farewell(self, farewell: Message) -> None:
        taken: list[bool] = []
        self._window_n = len(self._flight) + 1
        self._patience.forgive()
        end_s = self._monotonic() + _FAREWELL_S
        if self.publish(farewell, taken.append):
            while not taken and self._monotonic() < end_s:
                self.step(0.05)

    def _maybe_connect(self, wait_s: float) -> None:
        now_s = self._monotonic()
        if self._next_at_s is None:
            self._next_at_s = now_s + self._patience.pause(now_s)
        if self._is_hurried:
            self._is_hurried = False
            self._next_at_s = self._patience.sooner(now_s, self._next_at_s)
        if now_s < self._next_at_s:
            ends.ready([self._wake_out], [], min(wait_s, self._next_at_s - now_s))
            self._drain_wake()
            return
        self._next_at_s = None
        self._ended = None
        self._is_unsaid = False
        try:
            self._client = self._connect()
        except (OSError, ValueError, LinkError) as error:
            if self._tls is not None and self._tls.last is not None:
                self._tls.last.close()
            self._on_lost(f"cannot reach {self._broker.host}:{self._broker.port}: {error}")

    def _connect(self) -> paho.Client:
        client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=self._client_id, protocol=paho.MQTTv5, manual_ack=True
        )
        client.connect_timeout = self._broker.connect_timeout_s
        client.max_inflight_messages_set(self._window_n + 2)
        client.on_connect = self._connected
        client.on_disconnect = self._disconnected
        client.on_message = self._delivered
        client.on_publish = self._published
        client.on_subscribe = self._subscribed
        client.on_socket_open = self._tune
        # Its presence keeps paho from writing to the socket inside publish(): only `step` does.
        client.on_socket_register_write = _nothing
        self._window_n = self._most_n
        self._keepalive_s = float(self._broker.keepalive_s)
        self._tls = credentials.context(self._broker, dates=self._time_trusted())
        if self._tls is not None:
            client.tls_set_context(self._tls)
        if self._broker.username is not None:
            client.username_pw_set(self._broker.username, credentials.password(self._broker))
        if self._will is not None:
            will = self._will()
            properties = _properties(PacketTypes.WILLMESSAGE)
            properties.WillDelayInterval = self._broker.will_delay_s
            client.will_set(will.topic, will.payload, qos=1, retain=True, properties=properties)
        properties = _properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = self._broker.session_expiry_s
        properties.ReceiveMaximum = self._broker.receive_max
        properties.MaximumPacketSize = MAX_MESSAGE_BYTES + _BESIDE_BYTES
        client.connect(
            self._broker.host,
            self._broker.port,
            keepalive=self._broker.keepalive_s,
            clean_start=False,
            properties=properties,
        )
        self._began_s = self._heard_s = self._moved_s = self._monotonic()
        self._left_bytes = 0
        return client

    def _watch(self) -> None:
        """Give up a connection on which nothing comes any more, and one that was never accepted."""
        if self._client is None:
            return
        now_s = self._monotonic()
        self._watch_what_leaves(ends.unsent(self._client.socket()), now_s)
        patience_s = SILENCE * self._keepalive_s or float("inf")
        if not self._up and now_s - self._began_s > self._broker.connect_timeout_s:
            self._drop(self._ended or "the broker accepted the connection and never answered")
        elif self._up and now_s - self._heard_s > patience_s:
            self._drop(f"nothing heard for {now_s - self._heard_s:.0f} s")
        elif self._flight and now_s - self._moved_s > patience_s:
            self._drop(f"the broker has confirmed nothing for {now_s - self._moved_s:.0f} s")
        elif self._client.socket() is None:
            self._drop(self._ended or "the connection broke")
        elif self._up and now_s - self._looked_s > _LOOK_S:
            self._looked_s = now_s
            self._patience.lasts(now_s - self._began_s)
            if self._tls is not None and not self._tls.dates and self._time_trusted():
                self.refuse_session("the time is known now: the broker's certificate is checked again, with its dates")

    def _watch_what_leaves(self, left_bytes: int, now_s: float) -> None:
        """Note progress on a slow wire: a ping waits behind what was sent before it, and so does its answer."""
        if self._left_bytes > _PING_BYTES and left_bytes < self._left_bytes:
            self._heard_s = now_s
        if left_bytes > _PING_BYTES:
            self._moved_s = now_s
        self._left_bytes = left_bytes

    def _drop(self, reason: str) -> None:
        client, self._client = self._client, None
        was_up, self._up = self._up, False
        if was_up:
            good = self._patience.lasts(self._monotonic() - self._began_s)
            self._patience.ended(good=good, unsaid=self._is_unsaid)
            self._most_n = self._wanted_n if good else self._most_n
        if client is not None:
            client.on_disconnect = None
            self._shut(client)
        self._held.clear()
        flight, self._flight = self._flight, {}
        for settled in flight.values():
            settled(False)  # noqa: FBT003 -- one fact, named by the callback
        self._on_lost(reason)

    @staticmethod
    def _shut(client: paho.Client) -> None:
        """Close the socket without the DISCONNECT packet, so that the last will stands."""
        ends.shut(client.socket())

    def _drain_wake(self) -> None:
        with contextlib.suppress(OSError):
            while self._wake_out.recv(4096):
                pass

    def _tune(self, _client: paho.Client, _data: Any, sock: Any) -> None:
        ends.tune(sock, unacknowledged_s=self._broker.keepalive_s / 2)

    def _connected(
        self, client: paho.Client, _data: Any, flags: paho.ConnectFlags, code: ReasonCode, properties: Properties | None
    ) -> None:
        found = reason(code.value) if code.is_failure else self._unfit(properties)
        if found is not None:
            self._note(found, f"the broker refused us: {_told(found, properties)}")
            self._shut(client)
            return
        offered = getattr(properties, "MaximumPacketSize", None)
        self._window_n = max(1, min(self._most_n, getattr(properties, "ReceiveMaximum", self._most_n)))
        self._keepalive_s = float(getattr(properties, "ServerKeepAlive", self._broker.keepalive_s))
        if self._filters:
            # retain handling 1: what is retained comes once per session; as published: else it cannot be recognised
            options = SubscribeOptions(qos=1, retainAsPublished=True, retainHandling=1)
            client.subscribe([(each, options) for each in self._filters])
        self._up = True
        room = self._most_bytes if offered is None else min(self._most_bytes, int(offered) - _BESIDE_BYTES)
        self._limit_bytes = max(LEAST_BYTES, room)
        self._on_opened(Opened(flags.session_present, self._limit_bytes, self._tls is None or self._tls.dates))

    def _unfit(self, properties: Properties | None) -> Reason | None:
        """Say why a broker that lets us in is of no use: it would refuse the first message all the same."""
        if getattr(properties, "MaximumQoS", 1) < 1:
            return reason(_NO_QOS)
        if self._will is not None and not getattr(properties, "RetainAvailable", 1):
            return reason(_NO_RETAIN)
        wild = any("+" in each or "#" in each for each in self._filters)
        return reason(_NO_WILDCARD) if wild and not getattr(properties, "WildcardSubscriptionAvailable", 1) else None

    def _note(self, found: Reason, text: str) -> None:
        """Keep why the broker ends this, and what the next attempt does about it."""
        self._ended = text
        self._patience.refused(found)
        if found.code == _TOO_LARGE:
            self._most_bytes = max(LEAST_BYTES, self._limit_bytes // 2)
        elif found.code == _TOO_MANY:
            self._most_n = max(1, self._window_n // 2)

    def _disconnected(
        self, _client: paho.Client, _data: Any, flags: Any, code: ReasonCode, properties: Properties | None
    ) -> None:
        if self._ended is not None:
            return
        if flags.is_disconnect_packet_from_server:
            found = reason(code.value)
            self._note(found, _told(found, properties))
        else:
            self._ended = BROKEN.words
            self._is_unsaid = self._is_closed_in_order

    def _subscribed(
        self, client: paho.Client, _data: Any, _mid: int, codes: list[ReasonCode], _properties: Properties | None
    ) -> None:
        answers = zip(self._filters, codes, strict=False)
        self._patience.subscribed({wanted: reason(code.value) for wanted, code in answers if code.is_failure})
        if any(code.is_failure for code in codes) and self.trouble is not None:
            # A device that cannot hear is not there: its controllers must not believe that a command reaches it.
            self._ended = f"the broker refused us: {self.trouble.words}"
            self._shut(client)

    def _published(
        self, _client: paho.Client, _data: Any, mid: int, code: ReasonCode, _properties: Properties | None
    ) -> None:
        settled = self._flight.pop(mid, None)
        self._moved_s = self._monotonic()
        self._patience.published(reason(code.value) if code.is_failure else None, self._moved_s)
        self.nobody_listened = code.value == _NOBODY
        if settled is not None:
            settled(not code.is_failure)

    def _delivered(self, client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        if self._ended is not None:
            return  # a message before this one could not be kept; all of them come again
        properties = message.properties
        try:
            self._on_message(
                Incoming(
                    _topic_of(message),
                    bytes(message.payload),
                    bool(message.retain),
                    getattr(properties, "CorrelationData", None),
                    getattr(properties, "ResponseTopic", None),
                    getattr(properties, "MessageExpiryInterval", None),
                    getattr(properties, "ContentType", None),
                )
            )
        except LinkError as error:
            self.refuse_session(str(error))
            return
        if message.qos and self._holding:
            self._held.append((message.mid, message.qos))
        elif message.qos:
            client.ack(message.mid, message.qos)


def _told(found: Reason, properties: Properties | None) -> str:
    """Return the words for *found*, with what the broker itself says; where it sends us is told, not followed."""
    more = [str(getattr(properties, name, "")) for name in ("ReasonString", "ServerReference")]
    return "; ".join([found.words, *(text[:200] for text in more if text)])


def _topic_of(message: paho.MQTTMessage) -> str:
    try:
        return message.topic
    except UnicodeDecodeError:
        return "\N{REPLACEMENT CHARACTER}"


def _publish_properties(message: Message) -> Properties:
    properties = _properties(PacketTypes.PUBLISH)
    properties.PayloadFormatIndicator = 0 if message.content_type.endswith("+gzip") else 1
    properties.ContentType = message.content_type
    if message.correlation is not None:
        properties.CorrelationData = message.correlation
    if message.response_topic is not None:
        properties.ResponseTopic = message.response_topic
    if message.expiry_s is not None:
        properties.MessageExpiryInterval = message.expiry_s
    if message.attributes:
        properties.UserProperty = list(message.attributes)
    return properties


def _properties(packet: int) -> Properties:
    return Properties(packet)  # type: ignore[no-untyped-call]


def _nothing(*_: Any) -> None:
    """Take a callback that `step` makes needless."""
