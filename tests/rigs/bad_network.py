"""A wire between MQTT clients and a broker that can be bad in every way that wires and brokers are.

It understands where packets begin and end, so that a single acknowledgement can be held back, lost or answered
otherwise. Faults are set from the test's thread and read by the wire's own, which runs the loop.
"""

import asyncio
import contextlib
import socket
import struct
import threading
from collections import Counter

CONNECT, CONNACK, PUBLISH, PUBACK, DISCONNECT = 1, 2, 3, 4, 14
UP, DOWN = "up", "down"
RESET = struct.pack("ii", 1, 0)


class Faults:
    """What is wrong at present; every field may be set at any time."""

    def __init__(self):
        self.black_hole = False
        """Bytes go in and never come out, in both directions; connections stay open."""

        self.deaf = None
        """`up` or `down`: only that direction swallows; the other goes on, as on a half-open connection."""

        self.chunk_n = None
        """At most so many bytes in one write."""

        self.delay_s = 0.0
        """Of each packet."""

        self.ack_delay_s = 0.0
        """Of each PUBACK from the broker, in order."""

        self.drop_acks_n = 0
        """So many of the broker's next PUBACKs vanish."""

        self.drop_word = None
        """A PUBLISH from the broker whose topic ends so is lost; the broker is told that it arrived."""

        self.puback_code = None
        """Every PUBACK from the broker says this instead, and the broker never sees the message."""

        self.refuse_code = None
        """Each CONNECT is answered with this."""

        self.refuse_connections = False


class BadNetwork:
    """A TCP forwarder on loopback with faults; one thread, one loop."""

    def __init__(self, to_port):
        self.to_port = to_port
        self.faults = Faults()
        self.connections_n = 0
        self.seen = Counter()
        """Packets that passed, by way and kind; and by its name, how often each fault was felt."""

        self._pairs = set()
        self._loop = asyncio.new_event_loop()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def reset(self):
        """End every connection as a machine does that has lost its memory: RST, not FIN."""
        self._call(self._reset)

    def hang_up(self):
        """End every connection in order."""
        self._call(self._hang_up)

    def say(self, packet):
        """Say *packet* to every client, as if the broker did, and then end the connection."""
        self._call(self._say, packet)

    def close(self):
        self._call(self._reset)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._listener.close()

    def _call(self, function, *arguments):
        done = threading.Event()

        def run():
            function(*arguments)
            done.set()

        self._loop.call_soon_threadsafe(run)
        assert done.wait(10)

    def _run(self):
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._accept, sock=self._listener))
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    def _reset(self):
        for pair in list(self._pairs):
            self.seen["ended"] += 1
            for writer in pair:
                with contextlib.suppress(OSError):
                    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                writer.transport.abort()

    def _hang_up(self):
        for pair in list(self._pairs):
            self.seen["ended"] += 1
            for writer in pair:
                writer.close()

    def _say(self, packet):
        for near, far in list(self._pairs):
            self.seen["said"] += 1
            near.write(packet)
            near.close()
            far.transport.abort()

    async def _accept(self, reader, near):
        self.connections_n += 1
        if self.faults.refuse_connections:
            self.seen["refused at the door"] += 1
            near.transport.abort()
            return
        try:
            far_reader, far = await asyncio.open_connection("127.0.0.1", self.to_port)
        except OSError:
            near.transport.abort()
            return
        pair = (near, far)
        self._pairs.add(pair)
        for writer in pair:
            writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            await asyncio.gather(self._pump(UP, reader, far, near), self._pump(DOWN, far_reader, near, far))
        finally:
            self._pairs.discard(pair)
            for writer in pair:
                writer.close()

    async def _pump(self, way, reader, writer, back):
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                packet = await _packet(reader)
                self.seen[way, packet[0] >> 4] += 1
                await self._pass(way, packet, writer, back)
        while self.faults.black_hole or self.faults.deaf == way:  # noqa: ASYNC110 -- set from another thread
            await asyncio.sleep(0.02)  # the end of a connection is swallowed like everything else
        writer.close()

    async def _pass(self, way, packet, writer, back):
        faults, kind = self.faults, packet[0] >> 4
        if faults.delay_s:
            self.seen["slow"] += 1
            await asyncio.sleep(faults.delay_s)
        if way == DOWN and kind == PUBACK and faults.ack_delay_s:
            self.seen["late"] += 1
            await asyncio.sleep(faults.ack_delay_s)
        if faults.black_hole or faults.deaf == way:
            self.seen["swallowed", way] += len(packet)
            return
        if way == UP and kind == CONNECT and faults.refuse_code is not None:
            self.seen["refused"] += 1
            back.write(bytes([CONNACK << 4, 3, 0, faults.refuse_code, 0]))
            back.close()
            return
        if way == UP and kind == PUBLISH and faults.puback_code is not None and packet[0] & 0x06:
            self.seen["not taken"] += 1
            back.write(bytes([PUBACK << 4, 4, *_message_id(packet), faults.puback_code, 0]))
            return
        if way == DOWN and kind == PUBACK and faults.drop_acks_n > 0:
            faults.drop_acks_n -= 1
            self.seen["dropped"] += 1
            return
        if way == DOWN and kind == PUBLISH and faults.drop_word and _topic(packet).endswith(faults.drop_word):
            self.seen["lost"] += 1
            if packet[0] & 0x06:
                back.write(bytes([PUBACK << 4, 2, *_message_id(packet)]))
            return
        step = faults.chunk_n or len(packet)
        if step < len(packet):
            self.seen["in pieces"] += 1
        for start in range(0, len(packet), step):
            writer.write(packet[start : start + step])
            await writer.drain()


async def _packet(reader):
    head = bytearray(await reader.readexactly(1))
    length = shift = 0
    while True:
        byte = (await reader.readexactly(1))[0]
        head.append(byte)
        length |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            break
    return bytes(head) + await reader.readexactly(length)


def _body(packet):
    start = 1
    while packet[start] & 0x80:
        start += 1
    return packet[start + 1 :]


def _topic(packet):
    body = _body(packet)
    return body[2 : 2 + int.from_bytes(body[:2], "big")].decode(errors="replace")


def _message_id(packet):
    body = _body(packet)
    at = 2 + int.from_bytes(body[:2], "big")
    return body[at : at + 2]


def disconnect(code):
    """The packet with which a broker ends a connection."""
    return bytes([DISCONNECT << 4, 2, code, 0])
