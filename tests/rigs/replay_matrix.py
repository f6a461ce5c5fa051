"""The replay matrix: every message that must be refused, as a table, and a whole device to which they are sent.

A row makes a message from a good command; `check` publishes it and looks at what the controller hears, what the ledger
says, and what was left behind.
"""

import json
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from appliance.agent.commands.table import KINDS
from appliance.agent.refusals import Codes
from appliance.contracts.canonical import canonical
from appliance.contracts.enrolment import EnrolledController, Enrolment, Role
from appliance.contracts.envelope import (
    Ack,
    AskBody,
    CallBody,
    Desired,
    DiagnoseBody,
    EventBody,
    PingBody,
    Response,
    SetConfigBody,
    StopBody,
    TrustBody,
    parse_payload,
    parse_signed,
)
from appliance.fleet import enrolling
from appliance.storage import floors
from appliance.transport.mqtt import Message
from appliance.trust import keys
from appliance.trust.signature import sealed, sign

SITE, DEVICE = "site", "lamp"
CALL = CallBody(tool="add_note", arguments={"text": "buy milk"})


class Case(NamedTuple):
    name: str
    make: object
    """From the matrix to a message."""

    code: Codes
    answered: bool = True
    retained: bool = False
    """Only a broker that keeps `retain as published` shows it."""


class Matrix:
    """A whole device, its controller, and somebody who says what the controller would never say."""

    def __init__(self, fleet, bench, clock):
        self.fleet, self.bench, self._clock = fleet, bench, clock
        self.stranger = keys.load_or_make(fleet.folder / "stranger.key")
        self.watcher = keys.load_or_make(fleet.folder / "watcher.key")
        self.time()
        enrolling.enrol_here(
            fleet.home, bench.home.root, device=DEVICE, role=Role.OPERATOR, replace=False, now=self.now()
        )
        self._grant_more(self.watcher, Role.OBSERVER)
        bench.start()
        self.tap = fleet.tap(f"edge/v1/{SITE}/{DEVICE}/rsp/+", f"edge/v1/{SITE}/{DEVICE}/state")
        self.until(lambda: bench.daemon.status()["link"]["connected"])

    def now(self):
        return datetime.now(UTC)

    def time(self):
        """Let a time service vouch for the clock."""
        self._clock.touch()

    def no_time(self):
        self._clock.unlink()

    def _grant_more(self, key, role):
        """Let the device listen to a second controller too, as a grant of both would."""
        path = self.bench.home.enrolment
        grant = Enrolment.model_validate_json(json.dumps(json.loads(path.read_bytes())["payload"]))
        more = EnrolledController(public_key=key.public.raw.hex(), name="watcher", role=role)
        path.write_bytes(
            sealed(self.fleet.home.key, grant.model_copy(update={"controllers": (*grant.controllers, more)}))
        )

    def until(self, done, wait_s=20.0):
        self.tap.until(done, wait_s)

    # -- good commands, and what is done to them

    def good(self, body=CALL, **changes):
        # Long enough for a machine on which other tests run.
        changes.setdefault("expires_at", changes.get("issued_at", self.now()) + timedelta(seconds=900))
        return self.fleet.command(DEVICE, body, **changes)

    def message(self, command, **changes):
        return self.fleet.message(command, **changes)

    def by(self, key, body, **changes):
        command = self.good(
            body, issuer=key.key_id, response_topic=f"edge/v1/{SITE}/{DEVICE}/rsp/{key.key_id}", **changes
        )
        return self.message(command, key=key)

    def ack(self, **changes):
        fields = {"audience": DEVICE, "issuer": self.fleet.home.key.key_id, "stream": "evt", "epoch": "e", "upto": 1}
        return Ack(**{**fields, **changes})

    def desired(self, version, config=None, **changes):
        fields = {
            "audience": DEVICE,
            "issuer": self.fleet.home.key.key_id,
            "version": version,
            "issued_at": self.now(),
            "config": config or {},
        }
        return Desired(**{**fields, **changes})

    def on(self, channel, record, *, key=None, **changes):
        payload = sealed(key or self.fleet.home.key, record)
        return Message(**{"topic": f"edge/v1/{SITE}/{DEVICE}/{channel}", "payload": payload, **changes})

    # -- what came of them

    def records(self, kind, after=0):
        found = [row for row in self.bench.records if row.kind == kind and row.seq > after]
        return [json.loads(row.body)["facts"] for row in found]

    def seq(self):
        return self.bench.records[-1].seq

    def answers(self, correlation):
        heard = [m for m in self.tap.heard if "/rsp/" in m.topic and m.correlation == correlation]
        return [parse_payload(parse_signed(message.payload), Response) for message in heard]

    def rows(self):
        return [self.bench.db.row(f"select count(*) as n from {t}")["n"] for t in ("inbox", "replies", "errands")]

    def check(self, case):
        """Publish the case's message; it is refused, recorded and answered, and leaves nothing else behind."""
        message = case.make(self)
        before, after, heard = self.rows(), self.seq(), len(self.answers(message.correlation))
        self.tap.say(message)
        self.until(lambda: self.records("refused_message", after))
        (found,) = self.records("refused_message", after)
        assert (found["code"], found["status"]) == (case.code.word, case.code.status), (case.name, found)
        assert self.rows() == before, case.name
        assert not self.records("decided", after), case.name
        if case.answered:
            self.until(lambda: len(self.answers(message.correlation)) > heard)
            (answer,) = self.answers(message.correlation)[heard:]
            assert (answer.status, answer.code) == (case.code.status, case.code.word), case.name
            assert answer.life == ("expired" if case.code is Codes.EXPIRED else "rejected"), case.name

    def final(self, message, wait_s=30.0):
        """Publish a message and wait for its final answer."""
        self.tap.say(message)
        done = ("executed", "rejected", "failed", "expired", "indeterminate")
        self.until(lambda: any(a.life in done for a in self.answers(message.correlation)), wait_s)
        return [a for a in self.answers(message.correlation) if a.life in done][-1]

    def lose(self, *, database=False, beside=False):
        """Stop the device, lose what is said, and start it again."""
        self.bench.stop()
        if database:
            for path in self.bench.home.root.glob("appliance.db*"):
                path.unlink()
        if beside:
            self.bench.home.floors.unlink()
        self.restarted()

    def restarted(self):
        self.bench.start()
        self.until(lambda: self.bench.daemon.status()["link"]["connected"])


def _with(**changes):
    return lambda m: m.message(m.good(), **changes)


def _signed(body=CALL, **changes):
    return lambda m: m.message(m.good(body, **changes))


def _altered(m):
    command = m.good()
    return m.message(command, payload=sealed(m.fleet.home.key, command.model_copy(update={"body": AskBody(text="x")})))


def _unsigned(m):
    signed = sign(m.fleet.home.key, m.good().model_dump(mode="json"))
    broken = {**signed.model_dump(mode="json"), "signature": "0" * 128}
    return m.message(m.good(), payload=canonical(broken))


def _to_all(body):
    def make(m):
        topic = f"edge/v1/{SITE}/all/rsp/{m.fleet.home.key.key_id}"
        command = m.fleet.command("all", body, response_topic=topic)
        return m.message(command)

    return make


def _past(m):
    at = m.now() - timedelta(seconds=60)
    return m.message(m.good(issued_at=at, expires_at=at + timedelta(seconds=30)))


def _future(m):
    at = m.now() + timedelta(hours=1)
    return m.message(m.good(issued_at=at, expires_at=at + timedelta(seconds=30)))


def _ever(m):
    return m.message(m.good(issued_at=m.now(), expires_at=m.now() + timedelta(days=8)))


def _none_left(m):
    at = m.now()
    return m.message(m.good(issued_at=at, expires_at=at))


def _other(**changes):
    return lambda m: m.message(m.good(PingBody(), **changes))


ELSEWHERE = f"edge/v1/{SITE}/door/rsp/x"

CASES = (
    Case("retained", _with(retain=True), Codes.RETAINED, retained=True),
    Case("no correlation", _with(correlation=None), Codes.NO_CORRELATION, answered=False),
    Case("a short correlation", _with(correlation=b"short"), Codes.NO_CORRELATION, answered=False),
    Case("no response topic", _with(response_topic=None), Codes.NO_RESPONSE_TOPIC, answered=False),
    Case("an answer elsewhere", _with(response_topic=ELSEWHERE), Codes.NO_RESPONSE_TOPIC, answered=False),
    Case("no expiry", _with(expiry_s=None), Codes.NO_EXPIRY),
    Case("no signature", _with(payload=b"{}"), Codes.MALFORMED),
    Case("no JSON", _with(payload=bytes(range(128))), Codes.MALFORMED),
    Case("a field too many", _with(payload=canonical({"key": "0" * 16, "payload": {}, "signature": "0" * 128, "x": 1})),
         Codes.MALFORMED),
    Case("a wrong signature", _unsigned, Codes.BAD_SIGNATURE),
    Case("other words under the signature's topic", _altered, Codes.MALFORMED),
    Case("another correlation than was signed", _with(correlation=b"0" * 16), Codes.ALTERED),
    Case("a stranger", lambda m: m.message(m.good(), key=m.stranger), Codes.UNKNOWN_ISSUER),
    Case("in another's name", lambda m: m.message(m.good(issuer="0" * 16)), Codes.BAD_SIGNATURE),
    Case("for another device", lambda m: m.message(m.good(audience="door"), topic=f"edge/v1/{SITE}/{DEVICE}/cmd/call"),
         Codes.WRONG_AUDIENCE),
    Case("for one, sent to all", _with(topic=f"edge/v1/{SITE}/all/cmd/call"), Codes.WRONG_AUDIENCE),
    Case("kind and topic differ", _with(topic=f"edge/v1/{SITE}/{DEVICE}/cmd/ping"), Codes.MALFORMED),
    Case("unknown command", _with(topic=f"edge/v1/{SITE}/{DEVICE}/cmd/format-disk"), Codes.UNKNOWN_COMMAND),
    Case("oversized", _with(payload=b"x" * 70_000), Codes.OVERSIZED),
    Case("expired", _past, Codes.EXPIRED),
    Case("from the future", _future, Codes.FROM_THE_FUTURE),
    Case("good for ever", _ever, Codes.BAD_LIFETIME),
    Case("good for no time", _none_left, Codes.BAD_LIFETIME),
    Case("of an earlier start", _signed(nonce="before"), Codes.WRONG_NONCE),
    Case("a role that may not call", lambda m: m.by(m.watcher, CALL), Codes.ROLE),
    Case("a role that may not stop", lambda m: m.by(m.watcher, StopBody()), Codes.ROLE),
    Case("a role that may not configure", lambda m: m.by(m.watcher, SetConfigBody(version=9)), Codes.ROLE),
    Case("release from afar", _with(topic=f"edge/v1/{SITE}/{DEVICE}/cmd/release"), Codes.LOCAL_ONLY),
    Case("approval from afar", _with(topic=f"edge/v1/{SITE}/{DEVICE}/cmd/approve"), Codes.LOCAL_ONLY),
    Case("a diagnosis by a role that may not", lambda m: m.by(m.watcher, DiagnoseBody()), Codes.ROLE),
    Case("a configuration for a whole site", _to_all(SetConfigBody(version=9)), Codes.NOT_TO_ALL),
    Case("a configuration of the owner's", _signed(SetConfigBody(version=9, config={"policy": {"group_risk": "high"}})),
         Codes.OWNER_ONLY),
    Case("a configuration that breaks a bound", _signed(SetConfigBody(version=9, config={"uplink": {"batch_n": 0}})),
         Codes.BAD_CONFIG),
    Case("an acknowledgement by an observer",
         lambda m: m.on("ack", m.ack(issuer=m.watcher.key_id), key=m.watcher), Codes.ROLE, answered=False),
    Case("an acknowledgement for another", lambda m: m.on("ack", m.ack(audience="door")), Codes.WRONG_AUDIENCE,
         answered=False),
    Case("a configuration by an observer",
         lambda m: m.on("desired", m.desired(9, issuer=m.watcher.key_id), key=m.watcher), Codes.ROLE, answered=False),
    Case("a configuration by a stranger", lambda m: m.on("desired", m.desired(9), key=m.stranger),
         Codes.UNKNOWN_ISSUER, answered=False),
    Case("a configuration for another", lambda m: m.on("desired", m.desired(9, audience="door")),
         Codes.WRONG_AUDIENCE, answered=False),
    Case("roles wished for", lambda m: m.on("desired", m.desired(9, {"people": {"unnamed": "operator"}})),
         Codes.OWNER_ONLY, answered=False),
)  # fmt: skip

ELSEWHERE_TESTED = {
    # by the life of a command, below
    Codes.REPLAY, Codes.CORRELATION_REUSED, Codes.OLD_VERSION, Codes.OTHER_VERSION, Codes.REVOKED, Codes.COUNTERS_LOST,
    Codes.NONCE_NEEDED,
    # no such message can come to a device that has the whole of this version
    Codes.UNEXPECTED, Codes.NOT_YET,
}  # fmt: skip


def every_code_is_there():
    assert {case.code for case in CASES} | ELSEWHERE_TESTED == set(Codes)
    assert {kind.name for kind in KINDS.values() if kind.way == "local"} == {"release", "approve", "confirm", "answer"}


def life_of_a_command(m):
    """Replays, across restarts, a lost database, lost counters; configurations by version; a key that is revoked."""
    command = m.good()
    _replayed(m, command)
    _expired_in_the_queue(m)
    _configured(m)
    _database_and_file_lost(m, command)
    _both_lost(m, command)
    _without_the_time(m)
    _revoked(m)


def _replayed(m, command):
    message = m.message(command)
    first = m.final(message)
    assert first.life == "executed", first
    acts = len(m.records("decided"))

    # the same again: the same answer, nothing done twice; also by another start
    for again in (lambda: None, m.bench.stop):
        again()
        if m.bench.daemon is None:
            m.restarted()
        heard = len(m.answers(message.correlation))
        m.tap.say(message)
        m.until(lambda heard=heard: len(m.answers(message.correlation)) > heard)
        assert m.answers(message.correlation)[-1].life == "executed"
        assert len(m.records("decided")) == acts

    # its counter for something else, and its correlation for something else
    m.check(Case("counter", lambda m: m.message(m.good(counter=command.counter)), Codes.REPLAY))
    other = m.good(AskBody(text="something else"), correlation=command.correlation)
    after = m.seq()
    m.tap.say(m.message(other))
    m.until(lambda: m.records("refused_message", after))
    assert m.records("refused_message", after)[0]["code"] == Codes.CORRELATION_REUSED.word


def _expired_in_the_queue(m):
    acts = len(m.records("decided"))
    m.bench.daemon._worker.stop()
    late = m.message(m.good(issued_at=m.now(), expires_at=m.now() + timedelta(seconds=2)))
    slow = m.message(m.good(DiagnoseBody(), issued_at=m.now(), expires_at=m.now() + timedelta(seconds=2)))
    m.bench.daemon._wire._errands.stop()
    for one in (late, slow):
        m.tap.say(one)
        m.until(lambda one=one: m.answers(one.correlation))
    m.tap.pump(2.1)
    m.bench.stop()
    m.restarted()
    for one in (late, slow):
        m.until(lambda one=one: m.answers(one.correlation)[-1].life == "expired")
        assert m.answers(one.correlation)[-1].status == 410
    assert len(m.records("decided")) == acts


def _configured(m):
    """Once by version, and only forward."""
    assert m.final(m.message(m.good(SetConfigBody(version=5, config={"uplink": {"batch_n": 77}})))).status == 200
    m.check(Case("older", lambda m: m.message(m.good(SetConfigBody(version=4))), Codes.OLD_VERSION))
    m.check(Case("other", lambda m: m.message(m.good(SetConfigBody(version=5))), Codes.OTHER_VERSION))
    m.check(Case("older, retained", lambda m: m.on("desired", m.desired(3)), Codes.OLD_VERSION, answered=False))


def _database_and_file_lost(m, command):
    """Nothing that was used counts again; the file is made again from the database."""
    m.lose(database=True)
    m.check(Case("after a loss", lambda m: m.message(command), Codes.REPLAY))
    m.check(Case("older, after a loss", lambda m: m.message(m.good(SetConfigBody(version=4))), Codes.OLD_VERSION))
    assert m.final(m.message(m.good())).life == "executed"

    m.lose(beside=True)
    assert floors.read(m.bench.home.floors).desired == 5
    m.check(Case("after the other loss", lambda m: m.message(m.good(counter=command.counter)), Codes.REPLAY))


def _both_lost(m, command):
    """Nothing that acts, until it is enrolled anew; what is safe goes on."""
    m.lose(database=True, beside=True)
    m.check(Case("both lost", lambda m: m.message(m.good()), Codes.COUNTERS_LOST))
    m.check(Case("both lost, configured", lambda m: m.on("desired", m.desired(9)), Codes.COUNTERS_LOST, answered=False))
    assert m.final(m.message(m.good(PingBody()))).status == 200
    assert any("enrolled anew" in why for why in m.bench.daemon.status()["degraded"])
    m.bench.stop()
    enrolling.enrol_here(m.fleet.home, m.bench.home.root, device=DEVICE, role=Role.OPERATOR, replace=False, now=m.now())
    m.restarted()
    m.check(Case("from before the grant", lambda m: m.message(command), Codes.REPLAY))
    assert m.final(m.message(m.good())).life == "executed"


def _without_the_time(m):
    """Only with the nonce of this start."""
    m.no_time()
    m.check(Case("no nonce", lambda m: m.message(m.good()), Codes.NONCE_NEEDED))
    nonce = m.bench.daemon._wire._uplink._announcer._nonce
    assert m.final(m.message(m.good(nonce=nonce))).life == "executed"
    m.time()


def _revoked(m):
    """A key that was revoked is not listened to any more, also after a loss."""
    assert m.final(m.message(m.good(SetConfigBody(version=6, revoked=(m.fleet.home.key.key_id,))))).status == 200
    m.check(Case("revoked", lambda m: m.message(m.good(PingBody())), Codes.REVOKED))
    m.lose(database=True)
    m.check(Case("revoked, after a loss", lambda m: m.message(m.good(PingBody())), Codes.REVOKED))


def every_kind_is_carried_out(m):
    """Each way a command can go, to its last answer."""
    assert m.final(m.message(m.good(PingBody()))).code == "pong"
    assert m.final(m.message(m.good(AskBody(text="list the notes")))).life == "executed"
    assert m.final(m.message(m.good(EventBody(event="nothing")))).status == 404
    assert m.final(m.message(m.good(TrustBody(document="{}")))).life == "rejected"
    diagnosed = m.final(m.message(m.good(DiagnoseBody())), 90.0)
    assert diagnosed.code == "diagnosed"
    assert diagnosed.result["versions"]["software"]
    assert m.final(m.message(m.good(StopBody(reason="drill")))).code == "stopped"
    assert m.final(m.message(m.good())).status == 423
    m.bench.client.release()
