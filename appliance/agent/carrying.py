"""A stick instead of a broker: the same signed commands in, the same signed reports out, sealed to the controller.

What comes from a stick goes through the same downlink, so a stick that is used twice, or on two devices, does nothing
twice. What goes out is what no controller has acknowledged yet; until an acknowledgement comes back, by stick or by
network, every export has it again, and it counts once.

Covers: files that are no commands, for other devices, altered, expired, replayed (answered one by one; in the ledger as
numbers by code, the first of a minute one by one); more files than are taken at once (the next import goes on); a stick
that is pulled out, full, or written by somebody else at the same time; a power cut at any point.
Does not cover: delivery; only an acknowledgement says that a report arrived.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from appliance.agent import sharing, stick_files
from appliance.agent.announcing import Announcer, Description, Identity
from appliance.agent.downlink import Answer, Downlink
from appliance.agent.replying import advance
from appliance.agent.sharing import Public, Share
from appliance.agent.streams import Drain
from appliance.contracts.canonical import canonical
from appliance.contracts.clock import Clock
from appliance.contracts.enrolment import MAY, EnrolledController, Enrolment
from appliance.contracts.envelope import (
    MAX_LAWS_BYTES,
    MAX_MESSAGE_BYTES,
    Ack,
    Reported,
    Response,
)
from appliance.contracts.evidence import ArchiveSaid
from appliance.contracts.record import JsonObject
from appliance.contracts.stick import DOWN, DOWN_NAME, FOLDER, PART_BYTES, UP, Line
from appliance.contracts.topics import EVERY_DEVICE
from appliance.errors import StorageError, UsageError
from appliance.storage import database, outbox, replies
from appliance.storage.database import Database
from appliance.storage.outbox import Stream
from appliance.transport.messages import Message
from appliance.trust import parcels, staging
from appliance.trust.keys import PublicKey
from appliance.trust.parcels import Head
from appliance.trust.signature import sealed
from appliance.trust.staging import Limits

STAGING: Final = ".stick-"
LIMITS: Final = Limits(file_bytes=MAX_LAWS_BYTES + 4096, files_n=512, total_bytes=32 * 2**20)
UNUSABLE_N: Final = 64
"""Files told one by one that were not even copied; the record has the number of all."""

CONTENT_BYTES: Final = 3 * 2**20
"""Of one parcel, before it is packed: what does not pack at all still fits into one."""

STREAM_BYTES: Final[dict[Stream, int]] = {"audit": 96 * 2**20, "evt": 32 * 2**20}
"""Of one export; the rest follows with the next, once these are acknowledged."""

ANSWERS_N: Final = 500
_NEVER_S: Final = 1e12


class Taken(NamedTuple):
    """What became of one file of a stick."""

    file: str
    life: str
    status: int
    code: str
    text: str


class Carrier:
    """Reads and writes sticks for one device; one thread at a time."""

    def __init__(
        self,
        *,
        db: Database,
        home: Path,
        exports: Path,
        enrolment: Enrolment,
        identity: Identity,
        downlink: Downlink,
        boot: int,
        nonce: str,
        clock: Clock,
        describe: Callable[[], Description],
        checkpoint: Callable[[], str | None],
        report: Callable[[], Reported] | None,
        share: Share,
        public: Public,
        note: Callable[[str, JsonObject], None],
    ) -> None:
        self._db = db
        self._home = home
        self._exports = exports
        self._enrolment = enrolment
        self._key = identity.key
        self._announcer = Announcer(db=db, enrolment=enrolment, identity=identity, boot=boot, nonce=nonce, clock=clock)
        self._downlink = downlink
        self._clock = clock
        self._describe = describe
        self._checkpoint = checkpoint
        self._report = report
        self._share: Share = share
        self._public = public
        self._note = note

    def rekey(self, identity: Identity) -> None:
        """Sign with another key from here on."""
        self._key = identity.key
        self._announcer.rekey(identity)

    def take(self, stick: Path, peer: str) -> list[Taken]:
        """Take what a controller put on *stick* for this device; a second time changes nothing.

        Raises:
            UsageError: there is no such folder, or something else stands in its place.
            StorageError: the stick cannot be read, or what came from it cannot be kept.
        """
        mine = re.compile(rf"(?:{re.escape(self._enrolment.device)}|{EVERY_DEVICE})\.[a-z0-9]{{1,64}}\.[a-z]+\.json")
        with staging.opened(stick, FOLDER, DOWN) as folder, staging.private(self._home, STAGING) as into:
            if folder is None:
                return []
            copies, unusable = staging.stage(folder, into, mine, LIMITS, self._ranking())
            found = [(copy.name, copy.path.read_bytes()) for copy in copies if DOWN_NAME.fullmatch(copy.name)]
            taken = [Taken(one.name, "rejected", 400, "not_taken", one.why) for one in unusable[:UNUSABLE_N]]
            # In the order in which they were issued, as a broker would have brought them.
            advance(self._db, self._enrolment.device, self._clock.now())
            done = [self._one(name, data) for name, data in sorted(found, key=stick_files.issued)]
        facts: JsonObject = {"files": len(found), "codes": _counted(one.code for one in done)}
        facts["not_taken"] = _counted(one.what for one in unusable)
        self._note("a stick was read", {**facts, "peer": peer})
        return taken + done

    def give(self, stick: Path, peer: str) -> JsonObject:
        """Write what no controller has yet to *stick*, sealed to each controller that may acknowledge it.

        Raises:
            UsageError: there is no such folder, or no controller has said to which key to seal.
            StorageError: the stick cannot be written; what was on it stays.
        """
        to = [c for c in self._enrolment.controllers if c.sealing_key and "ack" in MAY[c.role]]
        if not to:
            raise UsageError("no controller has said to which key its reports are sealed; enrol this device again")
        advance(self._db, self._enrolment.device, self._clock.now())
        with staging.opened(stick, FOLDER, UP, make=True) as folder:
            assert folder is not None  # it was made
            sizes = [size for controller in to for size in self._give(folder, controller)]
        self._mark_answers()
        facts: JsonObject = {"files": len(sizes), "bytes": sum(sizes)}
        self._note("a stick was written", {**facts, "peer": peer})
        return facts

    def _give(self, folder: int, controller: EnrolledController) -> list[int]:
        """Write the parcels for *controller*, and return their sizes."""
        device, key_id = self._enrolment.device, PublicKey.from_hex(controller.public_key).key_id
        export = secrets.token_hex(4)
        sizes: dict[str, int] = {}
        contents = _contents(self._lines(key_id))
        following: bytes | None = next(contents)
        while following is not None:
            content, following = following, next(contents, None)
            n = len(sizes) + 1
            head = Head(device=device, controller=key_id, made_at=self._clock.now(), n=n, last=following is None)
            parcel = parcels.seal(content, head, bytes.fromhex(controller.sealing_key))
            name = f"{device}.{key_id}.{export}-{n:04}.parcel"
            staging.put(folder, name, parcel)
            sizes[name] = len(parcel)
        # What was exported before is in these again, or was acknowledged.
        before = re.compile(rf"{re.escape(device)}\.{key_id}\.[0-9a-f-]{{1,32}}\.parcel")
        staging.clear(folder, before, frozenset(sizes))
        return list(sizes.values())

    def _ranking(self) -> staging.Rank:
        """Return by what files are chosen where there are too many: what would be obeyed first, each once."""
        seen: set[bytes] = set()
        site, device = self._enrolment.site, self._enrolment.device

        def rank(path: Path) -> tuple[int, ...]:
            data = path.read_bytes()
            mark = hashlib.sha256(data).digest()
            is_news = mark not in seen and self._downlink.is_news(stick_files.brought(data, site, device)[0])
            seen.add(mark)
            return (0 if is_news else 1, stick_files.urgency(data))

        return rank

    def _one(self, name: str, data: bytes) -> Taken:
        message, request_id = stick_files.brought(data, self._enrolment.site, self._enrolment.device)
        said = self._downlink.receive(message)
        if isinstance(said, Answer):
            refused = said.response
            return Taken(name, refused.life, refused.status, refused.code, refused.text)
        if isinstance(said, Ack):
            upto = outbox.acknowledge(self._db, said.stream, said.upto, said.of)
            if upto is None:
                text = f"{said.stream} {said.upto} of another history than this device's: it was copied, or put back"
                return Taken(name, "rejected", 409, "other_history", text)
            return Taken(name, "executed", 200, "acknowledged", f"{said.stream} up to {upto}")
        owed = None if request_id is None else replies.find(self._db, request_id)
        if owed is None:
            return Taken(name, "executed", 200, "taken", "")
        answer = Response.model_validate(owed.response, strict=False)
        return Taken(name, answer.life, answer.status, answer.code, answer.text)

    def _lines(self, controller: str) -> Iterator[Line]:
        announcer = self._announcer
        keys, note = announcer.keys_message(), self._checkpoint()
        # Keys first: what follows may be signed with one that is only known from there.
        yield from [] if keys is None else [_line(keys)]
        # Older than anything the device says over a connection, and no claim that there is one.
        yield _line(announcer.state_message(announcer.state("disconnected", 0)))
        yield _line(announcer.desc_message(self._describe(), MAX_MESSAGE_BYTES))
        if self._report is not None:
            yield _line(announcer.reported_message(self._report()))
        for owed in replies.newest(self._db, limit=ANSWERS_N):
            if owed.topic.endswith(f"/{controller}"):
                answer = Response.model_validate(owed.response, strict=False)
                told = sharing.answered(self._share, answer, self._public)
                yield _line(announcer.response_message(owed.topic, told))
        yield from self._stream("audit")
        yield from self._stream("evt")
        yield from [] if note is None else [_line(announcer.checkpoint_message(note))]
        if self._share != "counts":
            for archive in sorted(self._exports.glob("*.zip")):
                yield from self._file(archive)

    def _stream(self, stream: Stream) -> Iterator[Line]:
        drain = Drain(
            self._db,
            stream,
            device=self._enrolment.device,
            epoch=database.epoch(self._db),
            batch_n=500,
            window_n=2**62,
            ack_timeout_s=_NEVER_S,
            monotonic_s=self._clock.monotonic_s,
            share=self._share,
        )
        left = STREAM_BYTES[stream]
        while left > 0 and (batch := drain.next_batch(MAX_MESSAGE_BYTES - 8192)) is not None:
            drain.mark_sent(batch)
            line = _line(self._announcer.batch_message(batch))
            drain.handed_over(batch)
            left -= len(line.payload)
            yield line

    def _file(self, archive: Path) -> Iterator[Line]:
        """Yield the parts of *archive*; the first comes with a signature over its hash and size."""
        try:
            with archive.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                said = ArchiveSaid(device=self._enrolment.device, sha256=archive.stem, bytes=size)
                signed = sealed(self._key, said).decode()
                parts = -(-size // PART_BYTES)
                for part in range(parts):
                    data = base64.b64encode(file.read(PART_BYTES)).decode()
                    payload = "" if part else signed
                    yield Line(payload=payload, file=archive.stem, part=part, parts=parts, data=data)
        except OSError as error:
            raise StorageError(f"{archive}: {error.strerror}") from error

    def _mark_answers(self) -> None:
        """Let no answer wait for a broker that may never come; every export has the newest again."""
        for owed in replies.unsent(self._db, self._clock.now(), limit=ANSWERS_N):
            replies.sent(self._db, owed)


def _contents(lines: Iterator[Line]) -> Iterator[bytes]:
    """Yield what goes into each parcel."""
    content: list[bytes] = []
    size = 0
    for line in lines:
        text = canonical(line.model_dump(mode="json", exclude_defaults=True)) + b"\n"
        if content and size + len(text) > CONTENT_BYTES:
            yield b"".join(content)
            content, size = [], 0
        content.append(text)
        size += len(text)
    yield b"".join(content)


def _line(message: Message) -> Line:
    return Line(topic=message.topic, payload=message.payload.decode())


def _counted(words: Iterable[str]) -> JsonObject:
    """Return how often each of *words* comes."""
    return dict(sorted(Counter(words).items()))
