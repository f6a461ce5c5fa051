"""Every message that must be refused is refused by its own code, recorded, answered, and leaves nothing behind."""

import random
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from appliance.agent.downlink import Downlink
from appliance.agent.refusals import MOST_PER_MINUTE, Codes
from appliance.contracts.bundle import Accepted, NotAdmitted
from appliance.contracts.canonical import canonical
from appliance.contracts.enrolment import BrokerSettings, EnrolledController, Enrolment, Role
from appliance.contracts.envelope import Ack, AskBody, CallBody, Command, PingBody, StopBody, TrustBody, UpdateBody
from appliance.contracts.request import OriginKind
from appliance.errors import StorageError
from appliance.storage import counters, database, inbox, replies, updates
from appliance.transport.mqtt import Incoming
from appliance.trust import keys
from appliance.trust.signature import sealed, sign

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
ASK = AskBody(text="turn on the light")


@dataclass
class Clock:
    at: datetime = NOW
    trusted: bool = True
    monotonic: float = 0.0

    def now(self):
        return self.at

    def monotonic_s(self):
        return self.monotonic

    def is_trusted(self):
        return self.trusted

    def moment(self):
        raise AssertionError("the downlink records through its callback")


@dataclass
class Bench:
    db: database.Database
    controller: keys.SigningKey
    clock: Clock = field(default_factory=Clock)
    refused: list = field(default_factory=list)
    facts: list = field(default_factory=list)
    stops: list = field(default_factory=list)
    counter: int = 0
    role: Role = Role.OPERATOR
    trust: Callable | None = None
    update: Callable | None = None

    def downlink(self):
        enrolment = Enrolment(
            site="home",
            device="lamp",
            device_key="0" * 16,
            controllers=(EnrolledController(public_key=self.controller.public.raw.hex(), name="boss", role=self.role),),
            broker=BrokerSettings(host="127.0.0.1", port=1),
        )

        def refuse(code, facts):
            self.refused.append(code)
            self.facts.append(facts)

        return Downlink(
            db=self.db,
            enrolment=enrolment,
            nonce="nonce-now",
            clock=self.clock,
            refuse=refuse,
            emergency=lambda reason, _issuer: self.stops.append(reason),
            wake=lambda: None,
            chance=random.Random(1),
            trust=self.trust,
            update=self.update,
        )

    def command(self, body=ASK, **changes):
        self.counter += 1
        fields = {
            "audience": "lamp",
            "issuer": self.controller.key_id,
            "correlation": secrets.token_hex(16),
            "counter": self.counter,
            "issued_at": NOW,
            "expires_at": NOW + timedelta(seconds=60),
            "response_topic": f"edge/v1/home/lamp/rsp/{self.controller.key_id}",
            "body": body,
            **changes,
        }
        return Command(**fields)

    def message(self, command, **changes):
        fields = {
            "topic": f"edge/v1/home/{command.audience}/cmd/{command.body.kind}",
            "payload": sealed(self.controller, command),
            "retained": False,
            "correlation": bytes.fromhex(command.correlation),
            "response_topic": command.response_topic,
            "expiry_s": 60,
            **changes,
        }
        return Incoming(**fields)

    def untouched(self):
        rows = [self.db.row(f"select count(*) as n from {t}")["n"] for t in ("inbox", "replies", "issuers")]
        return rows == [0, 0, 0]


@pytest.fixture
def bench(tmp_path):
    db = database.open_database(tmp_path / "a.db").db
    yield Bench(db, keys.load_or_make(tmp_path / "c.key"))
    db.close()


def test_a_good_command_is_a_row_an_owed_answer_and_a_used_counter(bench):
    command = bench.command()

    assert bench.downlink().receive(bench.message(command)) is None

    request = inbox.next_queued(bench.db)
    assert request.body.text == "turn on the light"
    assert request.origin.kind is OriginKind.CONTROLLER
    assert request.origin.peer == command.issuer
    assert request.origin.expires_at == command.expires_at
    assert replies.find(bench.db, request.request_id).response["life"] == "received"
    assert counters.highest(bench.db) == {command.issuer: 1}
    assert bench.refused == []


def altered(key):
    def change(bench, command):
        return bench.message(command, **key)

    return change


def resigned(**changes):
    def change(bench, command):
        again = Command(**{**dict(command), **changes})
        return bench.message(command, payload=sealed(bench.controller, again))

    return change


def by_a_stranger(bench, command):
    stranger = keys.load_or_make(bench.db.path.parent / "stranger.key")
    return bench.message(command, payload=sealed(stranger, command))


def with_a_broken_signature(bench, command):
    signed = sign(bench.controller, command.model_dump(mode="json"))
    broken = signed.model_copy(update={"signature": "0" * 128})
    return bench.message(command, payload=canonical(broken.model_dump(mode="json")))


REFUSALS = [
    ("retained", altered({"retained": True}), Codes.RETAINED),
    ("no correlation", altered({"correlation": None}), Codes.NO_CORRELATION),
    ("short correlation", altered({"correlation": b"short"}), Codes.NO_CORRELATION),
    ("no response topic", altered({"response_topic": None}), Codes.NO_RESPONSE_TOPIC),
    ("answer elsewhere", altered({"response_topic": "edge/v1/home/door/rsp/x"}), Codes.NO_RESPONSE_TOPIC),
    ("answer to the command topic", altered({"response_topic": "edge/v1/home/lamp/cmd/ask"}), Codes.NO_RESPONSE_TOPIC),
    ("answer to all from unicast", altered({"response_topic": "edge/v1/home/all/rsp/x"}), Codes.NO_RESPONSE_TOPIC),
    ("no expiry", altered({"expiry_s": None}), Codes.NO_EXPIRY),
    ("oversized", altered({"payload": b"x" * 70_000}), Codes.OVERSIZED),
    ("malformed", altered({"payload": b"{}"}), Codes.MALFORMED),
    ("binary", altered({"payload": bytes(range(256))}), Codes.MALFORMED),
    ("other correlation", altered({"correlation": b"0" * 16}), Codes.ALTERED),
    ("stranger", by_a_stranger, Codes.UNKNOWN_ISSUER),
    ("signature", with_a_broken_signature, Codes.BAD_SIGNATURE),
    ("another issuer's name", resigned(issuer="0" * 16), Codes.BAD_SIGNATURE),
    ("another device", resigned(audience="door"), Codes.WRONG_AUDIENCE),
    ("another device's topic", altered({"topic": "edge/v1/home/door/cmd/ask"}), Codes.WRONG_AUDIENCE),
    ("another site's topic", altered({"topic": "edge/v1/farm/lamp/cmd/ask"}), Codes.WRONG_AUDIENCE),
    ("made for one, sent to all", altered({"topic": "edge/v1/home/all/cmd/ask"}), Codes.WRONG_AUDIENCE),
    ("kind and topic differ", altered({"topic": "edge/v1/home/lamp/cmd/ping"}), Codes.MALFORMED),
    ("unknown command", altered({"topic": "edge/v1/home/lamp/cmd/format-disk"}), Codes.UNKNOWN_COMMAND),
    ("for a later version", altered({"topic": "edge/v1/home/lamp/cmd/set-config"}), Codes.NOT_YET),
    ("no topic of ours", altered({"topic": "sensors/temp"}), Codes.MALFORMED),
    ("upward channel", altered({"topic": "edge/v1/home/lamp/state"}), Codes.UNEXPECTED),
    ("expired", resigned(expires_at=NOW, issued_at=NOW - timedelta(seconds=5)), Codes.EXPIRED),
    ("from the future", resigned(issued_at=NOW + timedelta(hours=1), expires_at=NOW + timedelta(hours=2)),
     Codes.FROM_THE_FUTURE),
    ("good for ever", resigned(expires_at=NOW + timedelta(days=30)), Codes.BAD_LIFETIME),
    ("expires before issued", resigned(issued_at=NOW + timedelta(seconds=90)), Codes.BAD_LIFETIME),
    ("an earlier start's nonce", resigned(nonce="nonce-before"), Codes.WRONG_NONCE),
]  # fmt: skip


@pytest.mark.parametrize(("change", "code"), [r[1:] for r in REFUSALS], ids=[r[0] for r in REFUSALS])
def test_what_must_be_refused_is_refused_recorded_and_leaves_nothing(bench, change, code):
    message = change(bench, bench.command())

    answer = bench.downlink().receive(message)

    assert bench.refused == [code.word]
    assert bench.facts[0]["status"] == code.status
    assert bench.untouched()
    if answer is not None:
        assert answer.topic.startswith("edge/v1/home/lamp/rsp/")
        assert answer.response.status == code.status


@pytest.mark.parametrize(("name", "change"), [r[:2] for r in REFUSALS if r[0] in ("expired", "stranger", "no expiry")])
def test_a_refusal_is_answered_with_its_status_when_it_can_be(bench, name, change):
    command = bench.command()

    answer = bench.downlink().receive(change(bench, command))

    assert answer.correlation == bytes.fromhex(command.correlation)
    assert answer.response.life == ("expired" if name == "expired" else "rejected")


def test_every_code_has_a_case_or_a_test_of_its_own():
    elsewhere = {Codes.CORRELATION_REUSED, Codes.REPLAY, Codes.ROLE, Codes.NONCE_NEEDED}

    assert {case[2] for case in REFUSALS} | elsewhere == set(Codes)


def test_a_role_may_only_what_it_may(bench):
    bench.role = Role.OBSERVER
    downlink = bench.downlink()

    downlink.receive(bench.message(bench.command()))
    downlink.receive(bench.message(bench.command(StopBody())))
    downlink.receive(bench.message(bench.command(PingBody())))

    assert bench.refused == ["role", "role"]
    assert bench.stops == []
    assert inbox.next_queued(bench.db) is None


def test_an_observers_acknowledgement_deletes_nothing(bench):
    bench.role = Role.OBSERVER
    ack = Ack(audience="lamp", issuer=bench.controller.key_id, stream="evt", epoch=database.epoch(bench.db), upto=9)
    message = Incoming(
        "edge/v1/home/lamp/ack",
        sealed(bench.controller, ack),
        retained=False,
        correlation=None,
        response_topic=None,
        expiry_s=None,
    )

    assert bench.downlink().receive(message) is None
    assert bench.refused == ["role"]


def test_the_same_command_again_is_the_same_request_also_after_a_restart(bench):
    message = bench.message(bench.command())
    bench.downlink().receive(message)
    replies.sent(bench.db, replies.unsent(bench.db, NOW, limit=1)[0])

    bench.downlink().receive(message)

    assert bench.db.row("select count(*) as n from inbox")["n"] == 1
    assert len(replies.unsent(bench.db, NOW, limit=9)) == 1  # answered again
    assert bench.refused == []


def test_a_used_counter_is_a_replay_also_after_a_restart(bench):
    bench.downlink().receive(bench.message(bench.command(counter=7)))

    bench.downlink().receive(bench.message(bench.command(counter=7)))

    assert bench.refused == ["replay"]


def test_counters_may_overtake_each_other_within_the_window_only(bench):
    downlink = bench.downlink()

    for counter in (2000, 1999, 2000 - 1023, 2000 - 1024):
        downlink.receive(bench.message(bench.command(counter=counter)))

    assert bench.db.row("select count(*) as n from inbox")["n"] == 3
    assert bench.refused == ["replay"]


def test_a_correlation_cannot_be_used_for_two_commands(bench):
    first = bench.command()
    bench.downlink().receive(bench.message(first))

    bench.downlink().receive(bench.message(bench.command(AskBody(text="other"), correlation=first.correlation)))

    assert bench.refused == ["correlation_reused"]


def test_without_trusted_time_an_act_needs_the_nonce_of_this_start(bench):
    bench.clock = Clock(at=datetime(1970, 1, 1, tzinfo=UTC), trusted=False)
    downlink = bench.downlink()

    downlink.receive(bench.message(bench.command()))
    assert bench.refused == ["nonce_needed"]
    downlink.receive(bench.message(bench.command(nonce="nonce-now")))

    request = inbox.next_queued(bench.db)
    assert request.origin.expires_at is None
    assert bench.refused == ["nonce_needed"]


def test_a_stop_needs_no_trusted_time_and_no_queue(bench):
    bench.clock = Clock(at=datetime(1970, 1, 1, tzinfo=UTC), trusted=False)

    bench.downlink().receive(bench.message(bench.command(StopBody(reason="smoke"))))

    assert bench.stops == ["smoke"]
    assert inbox.next_queued(bench.db) is None


def test_a_stop_stops_even_when_it_cannot_be_recorded(bench):
    message = bench.message(bench.command(StopBody(reason="smoke")))
    downlink = bench.downlink()
    bench.db.connection.execute("drop table replies")

    with pytest.raises(StorageError):
        downlink.receive(message)

    assert bench.stops == ["smoke"]


def test_a_command_that_cannot_be_kept_is_left_to_the_broker(bench):
    message = bench.message(bench.command())
    downlink = bench.downlink()
    bench.db.connection.execute("drop table inbox")

    with pytest.raises(StorageError):
        downlink.receive(message)

    assert counters.highest(bench.db) == {}


def test_group_commands_that_act_are_for_a_later_version(bench):
    key = bench.controller.key_id
    group = {"audience": "all", "response_topic": f"edge/v1/home/all/rsp/{key}"}
    downlink = bench.downlink()

    answer = downlink.receive(bench.message(bench.command(CallBody(tool="x"), **group)))
    downlink.receive(bench.message(bench.command(PingBody(), **group)))

    assert bench.refused == ["not_in_this_version"]
    assert answer.topic == f"edge/v1/home/lamp/rsp/{key}"
    # spread over some seconds, so that a site does not answer at once
    assert replies.unsent(bench.db, NOW, limit=9) == []
    assert len(replies.unsent(bench.db, NOW + timedelta(seconds=5), limit=9)) == 1


def test_a_flood_of_refusals_does_not_fill_the_ledger(bench):
    downlink = bench.downlink()
    message = bench.message(bench.command(), payload=b"{}")

    for _ in range(1000):
        downlink.receive(message)
    assert len(bench.refused) == MOST_PER_MINUTE
    bench.clock.monotonic = 61.0
    downlink.receive(message)

    assert bench.facts[-1]["unrecorded_before_n"] == 1000 - MOST_PER_MINUTE


def test_an_acknowledgement_of_an_earlier_epoch_has_no_effect(bench):
    ack = Ack(audience="lamp", issuer=bench.controller.key_id, stream="evt", epoch="before", upto=9)
    message = Incoming(
        "edge/v1/home/lamp/ack",
        sealed(bench.controller, ack),
        retained=False,
        correlation=None,
        response_topic=None,
        expiry_s=None,
    )

    assert bench.downlink().receive(message) is None
    assert bench.refused == []


def test_a_document_of_trust_is_handed_over_once_and_answered(bench):
    brought = []

    def trust(data, issuer):
        brought.append((data, issuer))
        return Accepted(kind="revocations", number=3, signers=())

    bench.trust = trust
    command = bench.command(TrustBody(document='{"payload": "..."}'))
    downlink = bench.downlink()
    downlink.receive(bench.message(command))
    downlink.receive(bench.message(command))

    (owed,) = bench.db.rows("select response from replies")
    assert brought == [(b'{"payload": "..."}', bench.controller.key_id)]
    assert '"executed"' in owed["response"]
    assert "revocations 3 is in force" in owed["response"]
    assert inbox.next_queued(bench.db) is None


def test_a_document_that_does_not_hold_is_answered_with_the_reason(bench):
    bench.trust = lambda _data, _issuer: NotAdmitted(code="threshold", reason="signed by 1 of the keys")
    bench.downlink().receive(bench.message(bench.command(TrustBody(document="{}"))))

    (owed,) = bench.db.rows("select response from replies")

    assert '"rejected"' in owed["response"]
    assert '"threshold"' in owed["response"]


@pytest.mark.parametrize("role", [Role.OBSERVER, Role.SAFETY])
def test_only_an_operator_may_bring_documents(bench, role):
    bench.role = role
    bench.trust = lambda _data, _issuer: pytest.fail("handed over")

    bench.downlink().receive(bench.message(bench.command(TrustBody(document="{}"))))

    assert bench.refused == [Codes.ROLE.word]


INSTALL = UpdateBody(action="install", delivery="release-2.tar")
ACTIVATE = UpdateBody(action="activate", bundle="b")


def test_an_update_is_kept_with_who_wants_it_and_its_answer_is_owed(bench):
    woken = []
    bench.update = lambda: woken.append(1)
    message = bench.message(bench.command(INSTALL))
    downlink = bench.downlink()

    downlink.receive(message)
    downlink.receive(message)

    found = updates.find(bench.db)
    assert found.peer == f"controller:{bench.controller.key_id} name:boss"
    assert (found.action, found.name, found.is_begun) == ("install", "release-2.tar", False)
    assert found.expires_at == NOW + timedelta(seconds=60)
    assert woken == [1]
    assert inbox.next_queued(bench.db) is None
    assert replies.open_ones(bench.db, limit=9) == []  # nobody asks the inbox about it
    assert not replies.find(bench.db, found.request_id).final


@pytest.mark.parametrize(
    ("role", "may"),
    [
        (Role.OBSERVER, set()),
        (Role.SAFETY, set()),
        (Role.OPERATOR, {"install", "rollback"}),
        (Role.KEEPER, {"install", "activate", "rollback"}),
    ],
)
def test_who_may_update_is_as_at_the_device(bench, role, may):
    bench.role = role
    bench.update = lambda: updates.done(bench.db)
    downlink = bench.downlink()

    for body in (INSTALL, ACTIVATE, UpdateBody(action="rollback")):
        downlink.receive(bench.message(bench.command(body)))

    assert len(bench.refused) == 3 - len(may)
    assert set(bench.refused) <= {"role"}
    assert all(f"update {action}" not in facts["text"] for facts in bench.facts for action in may)


def test_an_update_needs_the_nonce_where_the_device_does_not_know_the_time(bench):
    bench.clock.trusted = False
    bench.role, bench.update = Role.KEEPER, lambda: None
    downlink = bench.downlink()

    downlink.receive(bench.message(bench.command(ACTIVATE)))
    downlink.receive(bench.message(bench.command(ACTIVATE, nonce="nonce-now")))

    assert bench.refused == ["nonce_needed"]
    assert updates.find(bench.db).expires_at is None


def test_a_device_without_anybody_to_carry_it_out_takes_no_update(bench):
    bench.downlink().receive(bench.message(bench.command(INSTALL)))

    assert bench.refused == ["not_in_this_version"]
    assert updates.find(bench.db) is None


def test_a_law_takes_a_keeper_for_an_operator(bench):
    bench.role = Role.KEEPER

    bench.downlink().receive(bench.message(bench.command()))

    assert inbox.next_queued(bench.db).origin.role == "operator"


@pytest.mark.parametrize(
    "fields",
    [
        {"action": "install"},
        {"action": "install", "delivery": "a.tar", "bundle": "a"},
        {"action": "activate"},
        {"action": "activate", "delivery": "a.tar"},
        {"action": "rollback", "bundle": "a"},
        {"action": "install", "delivery": "../a.tar"},
        {"action": "install", "delivery": "a.tar\n"},
        {"action": "revoke"},
    ],
)
def test_an_update_says_exactly_what_it_needs(fields):
    with pytest.raises(ValidationError):
        UpdateBody.model_validate(fields)
