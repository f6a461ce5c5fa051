"""Our messages over MQTT 5: the one file that imports paho.

A `Link` belongs to one thread, which calls `step` in a loop; callbacks run inside `step`. Nothing is queued: what
cannot be sent now stays with the caller, and a new paho client is built for each connection, so nothing stale is sent
twice.

Covers: a broker that is absent, accepts and never answers, stops answering, takes the session away, forgets the
session; a handler that cannot keep a message (it stays unacknowledged, the broker delivers it again). Does not cover:
certificates while the clock is wrong.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
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
from appliance.transport import credentials
from appliance.transport.backoff import Backoff
from appliance.transport.messages import Incoming, Message, Opened, Will

__all__ = ["BrokerSettings", "Incoming", "Link", "Message", "Opened", "Will"]

LASTING_S: Final = 60.0
"""A connection that held this long was a good one; shorter ones count as failures, so that a takeover war stays
slow."""

SILENCE: Final = 1.5
"""Keepalives without a byte from the broker after which the connection is dead."""

_TAKEN_OVER: Final = 0x8E
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
    ) -> None:
        self._broker = broker
        self._client_id = client_id
        self._filters = filters
        self._on_message = on_message
        self._on_opened = on_opened
        self._on_lost = on_lost
        self._will = will
        self._window_n = window_n
        self._monotonic = monotonic
        self._backoff = Backoff(broker.reconnect_s[0], broker.reconnect_s[1], broker.first_connect_s, chance)
        self._next_at_s: float | None = None
        self._client: paho.Client | None = None
        self._began_s = 0.0
        self._heard_s = 0.0
        self._up = False
        self._ended: str | None = None
        self._tls: credentials.RememberingContext | None = None
        self._flight: dict[int, Callable[[bool], None]] = {}
        self._wake_out, self._wake_in = socket.socketpair()
        self._wake_out.setblocking(False)  # noqa: FBT003 -- the socket's own signature
        self._wake_in.setblocking(False)  # noqa: FBT003 -- the socket's own signature

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted us and nothing says otherwise."""
        return self._up

    @property
    def room(self) -> int:
        """How many more messages may be in flight now."""
        return max(0, self._window_n - len(self._flight)) if self._up else 0

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
        pending = _undelivered(sock) > 0
        try:
            readable, writable, _ = select.select(
                [sock, self._wake_out], [sock] if client.want_write() else [], [], 0.0 if pending else wait_s
            )
            self._drain_wake()
            if pending or sock in readable:
                self._heard_s = self._monotonic()
                client.loop_read(16)
            if sock in writable or client.want_write():
                client.loop_write()
            client.loop_misc()
        except (OSError, ValueError, LookupError, struct.error, MQTTException) as error:
            # The last ones are what paho raises at bytes that are no MQTT.
            self._drop(f"the connection broke: {error}")
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
        self._flight[info.mid] = settled
        return True

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
        end_s = self._monotonic() + _FAREWELL_S
        if self.publish(farewell, taken.append):
            while not taken and self._monotonic() < end_s:
                self.step(0.05)

    def _maybe_connect(self, wait_s: float) -> None:
        now_s = self._monotonic()
        if self._next_at_s is None:
            self._next_at_s = now_s + self._backoff.pause(now_s)
        if now_s < self._next_at_s:
            select.select([self._wake_out], [], [], min(wait_s, self._next_at_s - now_s))
            self._drain_wake()
            return
        self._next_at_s = None
        self._ended = None
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
        client.on_socket_open = self._tune
        # Its presence keeps paho from writing to the socket inside publish(): only `step` does.
        client.on_socket_register_write = _nothing
        self._tls = credentials.context(self._broker)
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
        properties.MaximumPacketSize = MAX_MESSAGE_BYTES + 4096  # the topic and the properties beside the payload
        client.connect(
            self._broker.host,
            self._broker.port,
            keepalive=self._broker.keepalive_s,
            clean_start=False,
            properties=properties,
        )
        self._began_s = self._heard_s = self._monotonic()
        return client

    def _watch(self) -> None:
        """Give up a connection on which nothing comes any more, and one that was never accepted."""
        if self._client is None:
            return
        now_s = self._monotonic()
        if not self._up and now_s - self._began_s > self._broker.connect_timeout_s:
            self._drop(self._ended or "the broker accepted the connection and never answered")
        elif self._up and now_s - self._heard_s > SILENCE * self._broker.keepalive_s:
            self._drop(f"nothing heard for {now_s - self._heard_s:.0f} s")
        elif self._client.socket() is None:
            self._drop(self._ended or "the connection broke")

    def _drop(self, reason: str) -> None:
        client, self._client = self._client, None
        was_up, self._up = self._up, False
        if was_up and self._monotonic() - self._began_s > LASTING_S:
            self._backoff.settled()
        if client is not None:
            client.on_disconnect = None
            self._shut(client)
        flight, self._flight = self._flight, {}
        for settled in flight.values():
            settled(False)  # noqa: FBT003 -- one fact, named by the callback
        self._on_lost(reason)

    @staticmethod
    def _shut(client: paho.Client) -> None:
        """Close the socket without the DISCONNECT packet, so that the last will stands."""
        sock: Any = client.socket()
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            with contextlib.suppress(OSError):
                sock.close()

    def _drain_wake(self) -> None:
        with contextlib.suppress(OSError):
            while self._wake_out.recv(4096):
                pass

    def _tune(self, _client: paho.Client, _data: Any, sock: Any) -> None:
        """Let the kernel notice a black hole: unacknowledged bytes end the connection after half a keepalive."""
        option = getattr(socket, "TCP_USER_TIMEOUT", None)
        if option is not None:
            with contextlib.suppress(OSError, AttributeError):
                sock.setsockopt(socket.IPPROTO_TCP, option, self._broker.keepalive_s * 500)

    def _connected(
        self, client: paho.Client, _data: Any, flags: paho.ConnectFlags, code: ReasonCode, properties: Properties | None
    ) -> None:
        if code.is_failure:
            self._ended = f"the broker refused us: {code}"
            self._shut(client)
            return
        offered = getattr(properties, "MaximumPacketSize", None)
        if self._filters:
            # retain handling 1: what is retained comes once per session; as published: else it cannot be recognised
            options = SubscribeOptions(qos=1, retainAsPublished=True, retainHandling=1)
            client.subscribe([(each, options) for each in self._filters])
        self._up = True
        room = MAX_MESSAGE_BYTES if offered is None else min(MAX_MESSAGE_BYTES, int(offered) - 4096)
        self._on_opened(Opened(flags.session_present, max(1024, room)))

    def _disconnected(
        self, _client: paho.Client, _data: Any, _flags: Any, code: ReasonCode, _properties: Properties | None
    ) -> None:
        if self._ended is None:
            taken = getattr(code, "value", None) == _TAKEN_OVER
            self._ended = "another client took this session over" if taken else f"disconnected: {code}"

    def _published(
        self, _client: paho.Client, _data: Any, mid: int, code: ReasonCode, _properties: Properties | None
    ) -> None:
        settled = self._flight.pop(mid, None)
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
                )
            )
        except LinkError as error:
            self.refuse_session(str(error))
            return
        if message.qos:
            client.ack(message.mid, message.qos)


def _topic_of(message: paho.MQTTMessage) -> str:
    try:
        return message.topic
    except UnicodeDecodeError:
        return "\N{REPLACEMENT CHARACTER}"


def _publish_properties(message: Message) -> Properties:
    properties = _properties(PacketTypes.PUBLISH)
    properties.PayloadFormatIndicator = 1
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


def _undelivered(sock: Any) -> int:
    """Count bytes that TLS has decrypted already: `select` does not see them."""
    return int(sock.pending()) if isinstance(sock, ssl.SSLSocket) else 0


def _nothing(*_: Any) -> None:
    """Take a callback that `step` makes needless."""
