"""What a device and its controllers need of a broker, one row each, asked over the wire by plain MQTT 5 clients.

`TABLE` says what each broker is known to do; docs/how-to/choose-a-broker.md shows it. A row that a broker begins to
keep, or to break, fails its test.
"""

import contextlib
import itertools
import time
from typing import NamedTuple

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

_numbers = itertools.count(1)
YES, NO = "yes", "no"
LONG_S = 20.0
QUIET_S = 1.0
"""Nothing came for this long: nothing comes."""


class Client:
    """A client that does exactly what it is told, on this thread."""

    def __init__(self, port, name, *, clean=True, expiry_s=0, receive_max=None, packet_max=None, will=None, ack=True):
        self.heard = []
        self.settled = []
        self.codes = []
        self.granted = []
        self.session_present = None
        self._paho = paho.Client(CallbackAPIVersion.VERSION2, client_id=name, protocol=paho.MQTTv5, manual_ack=True)
        self._paho.on_connect = self._opened
        self._paho.on_message = self._delivered
        self._paho.on_publish = lambda _c, _d, _mid, code, _p: self.settled.append(code.is_failure)
        self._paho.on_subscribe = lambda _c, _d, _mid, codes, _p: self.granted.append(codes)
        self._paho.on_disconnect = lambda _c, _d, _f, code, _p: self.codes.append(code.value)
        self._acks = ack
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = expiry_s
        if receive_max:
            properties.ReceiveMaximum = receive_max
        if packet_max:
            properties.MaximumPacketSize = packet_max
        if will:
            topic, payload, delay_s = will
            of_will = Properties(PacketTypes.WILLMESSAGE)
            of_will.WillDelayInterval = delay_s
            self._paho.will_set(topic, payload, qos=1, retain=True, properties=of_will)
        self._paho.connect("127.0.0.1", port, keepalive=30, clean_start=clean, properties=properties)
        self.until(lambda: self.session_present is not None)

    def subscribe(self, topic, **options):
        n = len(self.granted)
        self._paho.subscribe(topic, options=SubscribeOptions(qos=1, **options))
        self.until(lambda: len(self.granted) > n)
        return self

    def say(self, topic, payload, *, retain=False, expiry_s=None):
        properties = Properties(PacketTypes.PUBLISH)
        if expiry_s is not None:
            properties.MessageExpiryInterval = expiry_s
        n = len(self.settled)
        self._paho.publish(topic, payload, qos=1, retain=retain, properties=properties)
        self.until(lambda: len(self.settled) > n or self.codes)

    def until(self, done, wait_s=LONG_S):
        end_s = time.monotonic() + wait_s
        while not done():
            assert time.monotonic() < end_s, f"nothing after {wait_s} s"
            self._paho.loop(0.05)

    def hears(self, n=1, wait_s=LONG_S):
        """Wait until *n* messages have come, then whether more do."""
        end_s = time.monotonic() + wait_s
        while len(self.heard) < n and time.monotonic() < end_s:
            self._paho.loop(0.05)
        self.rest()
        return [payload for _topic, payload, _retain in self.heard]

    def rest(self, for_s=QUIET_S):
        end_s = time.monotonic() + for_s
        while time.monotonic() < end_s:
            self._paho.loop(0.05)

    def leave(self):
        self._paho.disconnect()
        with contextlib.suppress(OSError, ValueError):
            self._paho.loop(0.2)

    def vanish(self):
        self._paho.on_disconnect = None
        self._paho.socket().close()

    def _opened(self, _client, _data, flags, code, _properties):
        assert not code.is_failure, code
        self.session_present = flags.session_present

    def _delivered(self, client, _data, message):
        self.heard.append((message.topic, bytes(message.payload), bool(message.retain)))
        if self._acks:
            client.ack(message.mid, message.qos)


def fresh(what):
    """Return a name that nothing at the broker knows yet."""
    return f"{what}-{next(_numbers)}-{time.monotonic_ns()}"


def keeps_retained(port):
    """The newest retained message is given to whoever subscribes later; an empty one removes it."""
    topic, sayer = fresh("retained"), Client(port, fresh("sayer"))
    sayer.say(topic, b"old", retain=True)
    sayer.say(topic, b"new", retain=True)
    first = Client(port, fresh("late")).subscribe(topic).hears()
    sayer.say(topic, b"", retain=True)
    return first == [b"new"] and Client(port, fresh("later")).subscribe(topic).hears(wait_s=0) == []


def says_the_will(port):
    """The will of a client that vanished is said, and kept."""
    topic, hearer = fresh("will"), Client(port, fresh("hearer"))
    hearer.subscribe(topic)
    Client(port, fresh("mortal"), will=(topic, b"lost", 0)).vanish()
    return hearer.hears() == [b"lost"] and Client(port, fresh("late")).subscribe(topic).hears() == [b"lost"]


def keeps_a_will_back(port):
    """A will with a delay is not said of a client that is back before it."""
    topic, name, hearer = fresh("will"), fresh("mortal"), Client(port, fresh("hearer"))
    hearer.subscribe(topic)
    Client(port, name, clean=False, expiry_s=60, will=(topic, b"lost", 5)).vanish()
    back = Client(port, name, clean=False, expiry_s=60)
    hearer.rest(7.0)
    back.leave()
    return hearer.heard == []


def says_no_will_at_a_farewell(port):
    """A client that says goodbye leaves no will behind."""
    topic, hearer = fresh("will"), Client(port, fresh("hearer"))
    hearer.subscribe(topic)
    Client(port, fresh("mortal"), will=(topic, b"lost", 0)).leave()
    return hearer.hears(wait_s=0) == []


def keeps_a_session(port):
    """What is said to a client that is away waits for it, and it is told that its session was kept."""
    topic, name = fresh("cmd"), fresh("device")
    Client(port, name, clean=False, expiry_s=600).subscribe(topic).leave()
    Client(port, fresh("sayer")).say(topic, b"waits")
    back = Client(port, name, clean=False, expiry_s=600)
    return back.session_present and back.hears() == [b"waits"]


def ends_a_session(port):
    """A session ends when its expiry has passed."""
    topic, name = fresh("cmd"), fresh("device")
    Client(port, name, clean=False, expiry_s=1).subscribe(topic).leave()
    Client(port, fresh("sayer")).say(topic, b"too late")
    time.sleep(4.0)
    back = Client(port, name, clean=False, expiry_s=1)
    return not back.session_present and back.hears(wait_s=0) == []


def drops_what_has_expired(port):
    """A message whose expiry has passed is not delivered."""
    topic, name = fresh("cmd"), fresh("device")
    Client(port, name, clean=False, expiry_s=600).subscribe(topic).leave()
    sayer = Client(port, fresh("sayer"))
    sayer.say(topic, b"expired", expiry_s=1)
    sayer.say(topic, b"good", expiry_s=600)
    time.sleep(3.0)
    return Client(port, name, clean=False, expiry_s=600).hears() == [b"good"]


def shares_among(port):
    """Each message goes to one member of a shared subscription, and each member gets some."""
    topic = fresh("evt")
    members = [Client(port, fresh("collector")).subscribe(f"$share/all/{topic}") for _ in range(2)]
    sayer = Client(port, fresh("sayer"))
    for n in range(20):
        sayer.say(topic, str(n).encode())
    for member in members:
        member.rest()
    heard = [payload for member in members for _topic, payload, _retain in member.heard]
    return sorted(map(int, heard)) == list(range(20)) and all(member.heard for member in members)


def says_that_it_was_retained(port):
    """With retain-as-published a live message that is to be kept is recognised: else a retained command is not."""
    topic = fresh("cmd")
    hearer = Client(port, fresh("device")).subscribe(topic, retainAsPublished=True)
    Client(port, fresh("sayer")).say(topic, b"again and again", retain=True)
    hearer.hears()
    return [retain for _topic, _payload, retain in hearer.heard] == [True]


def gives_retained_once_a_session(port):
    """With retain handling 1 what is retained is given to a new subscription, not to a repeated one."""
    topic, hearer = fresh("state"), Client(port, fresh("device"))
    Client(port, fresh("sayer")).say(topic, b"kept", retain=True)
    hearer.subscribe(topic, retainHandling=1)
    first = hearer.hears()
    hearer.subscribe(topic, retainHandling=1)
    return first == [b"kept"] and hearer.hears(n=1) == [b"kept"]


def respects_receive_maximum(port):
    """No more messages are on their way to a client than it said it takes."""
    topic = fresh("evt")
    hearer = Client(port, fresh("slow"), receive_max=3, ack=False).subscribe(topic)
    sayer = Client(port, fresh("sayer"))
    for n in range(10):
        sayer.say(topic, str(n).encode())
    return len(hearer.hears(n=3)) == 3


def respects_packet_size(port):
    """A message longer than a client takes is not sent to it, and the others come."""
    topic = fresh("evt")
    hearer = Client(port, fresh("small"), packet_max=2000).subscribe(topic)
    sayer = Client(port, fresh("sayer"))
    sayer.say(topic, b"x" * 5000)
    sayer.say(topic, b"short")
    return hearer.hears() == [b"short"]


def says_who_was_taken_over(port):
    """A client whose id is used by another is told so."""
    name = fresh("device")
    first = Client(port, name)
    second = Client(port, name)
    end_s = time.monotonic() + 5
    while not first.codes and time.monotonic() < end_s:
        first.rest(0.1)
        second.rest(0.1)
    return first.codes == [0x8E]


class Row(NamedTuple):
    """A need, and which brokers are known to meet it."""

    need: str
    check: object
    mosquitto: str
    embedded: str

    def asked(self, port):
        return YES if self.check(port) else NO


TABLE = (
    Row("retained messages", keeps_retained, YES, YES),
    Row("last will", says_the_will, YES, YES),
    Row("will delay", keeps_a_will_back, YES, YES),
    Row("no will at a farewell", says_no_will_at_a_farewell, YES, YES),
    Row("session and its queue", keeps_a_session, YES, YES),
    Row("session expiry", ends_a_session, YES, NO),
    Row("message expiry", drops_what_has_expired, YES, YES),
    Row("shared subscriptions", shares_among, YES, YES),
    Row("retain as published", says_that_it_was_retained, YES, NO),
    Row("retain handling 1", gives_retained_once_a_session, YES, YES),
    Row("receive maximum", respects_receive_maximum, YES, NO),
    Row("packet size of the receiver", respects_packet_size, YES, NO),
    Row("takeover is said (0x8E)", says_who_was_taken_over, NO, NO),
)
