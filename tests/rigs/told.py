"""A write log to what the world knows at each moment of it: what was done, said to a client, or sent to the broker.

What is read is what left the process, byte by byte: the answers on the Unix socket, and on the broker's connection the
PUBACKs, the records, the answers to commands and the signed checkpoints.
"""

import hashlib
import json

from appliance.agent.downlink import request_id_of
from appliance.contracts.envelope import Batch, Command, Response, parse_payload, parse_signed
from appliance.contracts.packing import PACKED, PLAIN, unpacked
from appliance.contracts.topics import Channel, Topic
from appliance.trust import notes

LOCAL, BROKER = 1, 2
PUBLISH, PUBACK = 3, 4


class Told:
    """Grows with the log; every field says what must still be true after a cut."""

    def __init__(self, world):
        self.world = str(world)
        self.acted = []  # buttons, in order
        self.outcomes = {}  # request id -> final status
        self.kept = set()  # request ids that somebody was told are received
        self.taken = {}  # request id of a command whose delivery was acknowledged -> SHA-256 of the message
        self.records = {}  # epoch -> {seq: body}, sent to the broker
        self.events = {}  # epoch -> {seq: envelope id}
        self.checkpoints = []  # notes.Note
        self.keys = set()  # ids of the device keys that signed something
        self.erased = set()  # request ids whose words were said to be erased
        self.pruned_n = 0  # segments that were said to be pruned
        self.held = {}  # hold -> (first, last)
        self.is_latched = None  # None: a stop or a release is under way
        self._lines = {}
        self._asked = {}  # connection -> the last line that was heard on it
        self._packets = {}
        self._heard = {}  # (connection, packet id) -> message

    @property
    def has_kept(self):
        """Whether somebody was told of something pruned, held or erased."""
        return bool(self.pruned_n or self.held or self.erased)

    def feed(self, op):
        """Take note of one operation."""
        if op.kind == "W" and op.path == self.world:
            self.acted += op.data.decode().split()
        elif op.kind in "SH":
            if op.offset == LOCAL:
                for line in self._whole_lines(op):
                    self._local(op, line)
            else:
                for first, body in self._whole_packets(op):
                    self._packet(op, first, body)

    def _whole_lines(self, op):
        text = self._lines.get((op.kind, op.file), b"") + op.data
        *lines, self._lines[op.kind, op.file] = text.split(b"\n")
        return [json.loads(line) for line in lines if line.strip()]

    def _local(self, op, line):
        if op.kind == "H":
            self._asked[op.file] = line
            if line.get("op") == "release_hold":
                self.held.pop(line["hold_id"], None)
            if line.get("op") in ("stop", "release"):
                self.is_latched = None
            return
        if not line.get("ok"):
            return
        if line["message"].startswith("Stopped"):
            self.is_latched = True
        if line["message"].startswith("Released"):
            self.is_latched = False
        result = line["result"]
        if self._asked.get(op.file, {}).get("op") == "redact":
            self.erased.add(self._asked[op.file]["request_id"])
        if "segments_n" in result:
            self.pruned_n += result["segments_n"]
        if "first" in result:
            self.held[result["hold_id"]] = (result["first"], result["last"])
        if "request_id" in result and "status" in result:
            self.kept.add(result["request_id"])
            if result["status"] not in ("waiting", "asked"):
                self.outcomes[result["request_id"]] = result["status"]

    # ---- MQTT 5, as much as is needed

    def _whole_packets(self, op):
        buffer = self._packets.get((op.kind, op.file), b"") + op.data
        found = []
        while len(buffer) > 1:
            size, at = _varint(buffer, 1)
            if size is None or len(buffer) < at + size:
                break
            found.append((buffer[0], buffer[at : at + size]))
            buffer = buffer[at + size :]
        self._packets[op.kind, op.file] = buffer
        return found

    def _packet(self, op, first, body):
        if first >> 4 == PUBLISH:
            topic_n = int.from_bytes(body[:2], "big")
            topic, at = Topic.parse(body[2 : 2 + topic_n].decode()), 2 + topic_n
            packet_id = None
            if first & 0x06:
                packet_id, at = int.from_bytes(body[at : at + 2], "big"), at + 2
            size, at = _varint(body, at)
            payload = body[at + size :]
            # The content type is among the properties that are skipped here; no JSON begins with gzip's first bytes.
            payload = unpacked(payload, PACKED if payload.startswith(b"\x1f\x8b") else PLAIN)
            if op.kind == "H":
                self._heard[op.file, packet_id] = (topic, payload)
            else:
                self._published(topic, payload)
        elif first >> 4 == PUBACK and op.kind == "S":
            self._acknowledged(*self._heard.pop((op.file, int.from_bytes(body[:2], "big"))))

    def _acknowledged(self, topic, payload):
        if topic.channel is Channel.CMD and topic.name in ("ask", "call"):
            request_id = request_id_of(parse_payload(parse_signed(payload), Command))
            self.taken[str(request_id)] = hashlib.sha256(payload).hexdigest()

    def _published(self, topic, payload):
        if topic.channel is Channel.CHECKPOINT:
            self.checkpoints.append(notes.parse(payload))
            return
        signed = parse_signed(payload)
        self.keys.add(signed.key)
        if topic.channel is Channel.RSP:
            response = parse_payload(signed, Response)
            if response.request_id is None:
                return
            self.kept.add(response.request_id)
            status = {"executed": "done", "rejected": "refused", "failed": "failed"}.get(response.life)
            if status:
                self.outcomes[response.request_id] = status
        elif topic.channel in (Channel.AUDIT, Channel.EVT):
            batch = parse_payload(signed, Batch)
            if batch.stream == "audit":
                self.records.setdefault(batch.epoch, {}).update({i.seq: i.body["body"] for i in batch.items})
            else:
                self.events.setdefault(batch.epoch, {}).update({i.seq: i.id for i in batch.items})


def _varint(data, at):
    """Return a variable byte integer and where it ends; (None, at) when it is not whole yet."""
    value, shift = 0, 0
    while at < len(data):
        value |= (data[at] & 0x7F) << shift
        at += 1
        if not data[at - 1] & 0x80:
            return value, at
        shift += 7
    return None, at
