"""Every message that must be refused is refused by its own code, recorded, answered, and leaves nothing behind."""

import random
import secrets
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from appliance.agent.downlink import Downlink
from appliance.agent.refusals import MOST_PER_MINUTE, UNRECORDED, Codes
from appliance.agent.replying import advance
from appliance.contracts.bundle import Accepted, NotAdmitted
from appliance.contracts.canonical import canonical
from appliance.contracts.enrolment import BrokerSettings, EnrolledController, Enrolment, Role
from appliance.contracts.envelope import (
    Ack,
    AskBody,
    CallBody,
    Command,
    DiagnoseBody,
    EventBody,
    PingBody,
    SetConfigBody,
    StopBody,
    TrustBody,
    UpdateBody,
)
from appliance.contracts.local import Outcome
from appliance.contracts.request import OriginKind
from appliance.errors import StorageError
from appliance.storage import counters, database, floors, inbox, replies, updates
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
    floors: Path | None = None
    more: tuple = ()
    broken: bool = False

    def downlink(self):
        enrolment = Enrolment(
            site="home",
            device="lamp",
            device_key="0" * 16,
            controllers=(
                EnrolledController(public_key=self.controller.public.raw.hex(), name="boss", role=self.role),
                *self.more,
            ),
            broker=BrokerSettings(host="127.0.0.1", port=1),
        )

        def refuse(code, facts):
            if self.broken:
                raise StorageError("no space left on the disk")
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
            floors=self.floors,
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


def to_all(wanted):
    def change(bench, _command):
        topic = f"edge/v1/home/all/rsp/{bench.controller.key_id}"
        return bench.message(bench.command(wanted, audience="all", response_topic=topic))

    return change


def body(wanted):
    return lambda bench, _command: bench.message(bench.command(wanted))


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
    ("released from afar", altered({"topic": "edge/v1/home/lamp/cmd/release"}), Codes.LOCAL_ONLY),
    ("approved from afar", altered({"topic": "edge/v1/home/lamp/cmd/approve"}), Codes.LOCAL_ONLY),
    ("configured as a whole site", to_all(SetConfigBody(version=1)), Codes.NOT_TO_ALL),
    ("a device that cannot", body(DiagnoseBody()), Codes.NOT_YET),
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
    elsewhere = {Codes.CORRELATION_REUSED, Codes.REPLAY, Codes.ROLE, Codes.NONCE_NEEDED, Codes.COUNTERS_LOST}
    elsewhere |= {Codes.REVOKED}
    # of configurations: tests/unit/agent/test_configuring.py
    elsewhere |= {Codes.OLD_VERSION, Codes.OTHER_VERSION, Codes.OWNER_ONLY, Codes.BAD_CONFIG}

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

    # How long it may wait is known all the same: nobody knows the time, but the broker counts the interval down.
    request = inbox.next_queued(bench.db)
    assert request.origin.expires_at == datetime(1970, 1, 1, 0, 1, tzinfo=UTC)
    assert bench.refused == ["nonce_needed"]


def test_without_trusted_time_a_command_waits_no_longer_than_the_broker_says(bench):
    bench.clock = Clock(at=datetime(1970, 1, 1, tzinfo=UTC), trusted=False)

    bench.downlink().receive(bench.message(bench.command(nonce="nonce-now"), expiry_s=7))

    assert inbox.next_queued(bench.db).origin.expires_at == datetime(1970, 1, 1, 0, 0, 7, tzinfo=UTC)


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


def group(bench):
    return {"audience": "all", "response_topic": f"edge/v1/home/all/rsp/{bench.controller.key_id}"}


def test_a_command_to_all_is_a_request_that_says_so_and_its_answers_are_spread(bench):
    bench.downlink().receive(bench.message(bench.command(CallBody(tool="x"), **group(bench), spread_s=30.0)))

    request = inbox.next_queued(bench.db)
    assert request.origin.to_all
    assert replies.unsent(bench.db, NOW, limit=9) == []
    assert len(replies.unsent(bench.db, NOW + timedelta(seconds=30), limit=9)) == 1


def test_the_last_answer_to_all_keeps_its_distance_too(bench):
    bench.downlink().receive(bench.message(bench.command(CallBody(tool="x"), **group(bench), spread_s=30.0)))
    request = inbox.next_queued(bench.db)
    first = replies.find(bench.db, request.request_id).not_before - NOW
    done = Outcome(request_id=request.request_id, status="done", code="done")
    inbox.done(bench.db, request.request_id, done.model_dump(mode="json"))
    later = NOW + timedelta(seconds=12)

    advance(bench.db, "lamp", later)

    assert replies.find(bench.db, request.request_id).not_before == later + first


def test_an_answer_that_was_put_off_leaves_all_the_same_when_the_clock_is_set_back(bench):
    bench.downlink().receive(bench.message(bench.command(PingBody(), **group(bench))))

    assert len(replies.unsent(bench.db, datetime(1970, 1, 1, tzinfo=UTC), limit=9)) == 1


def test_what_is_said_to_a_workflow_is_a_request(bench):
    bench.downlink().receive(bench.message(bench.command(EventBody(event="door_closed", workflow="airlock"))))

    assert inbox.next_queued(bench.db).body.event == "door_closed"


def test_used_counters_outlive_the_database(bench, tmp_path):
    bench.floors = tmp_path / "floors"
    floors.begin(bench.floors, "grant")
    bench.downlink().receive(bench.message(bench.command(counter=70)))
    bench.db.close()
    bench.db = database.open_database(tmp_path / "new.db").db

    downlink = bench.downlink()
    for counter in (70, 69, 71):
        downlink.receive(bench.message(bench.command(counter=counter)))

    assert bench.refused == ["replay", "replay"]
    assert floors.read(bench.floors).counters == {bench.controller.key_id: 71}


def test_with_database_and_file_lost_only_what_does_not_act_is_obeyed(bench, tmp_path):
    bench.floors = tmp_path / "floors"
    downlink = bench.downlink()

    downlink.receive(bench.message(bench.command()))
    downlink.receive(bench.message(bench.command(StopBody(reason="smoke"))))
    assert downlink.memory.lost
    assert bench.refused == ["counters_lost"]
    assert bench.stops == ["smoke"]

    floors.begin(bench.floors, "a new grant")
    bench.downlink().receive(bench.message(bench.command()))
    assert bench.refused == ["counters_lost"]


def test_a_lost_file_is_made_again_from_the_database(bench, tmp_path):
    bench.floors = tmp_path / "floors"
    floors.begin(bench.floors, "grant")
    bench.downlink().receive(bench.message(bench.command(counter=5)))
    bench.floors.unlink()

    downlink = bench.downlink()

    assert not downlink.memory.lost
    assert floors.read(bench.floors).counters == {bench.controller.key_id: 5}


def test_only_counters_above_the_grants_count(bench):
    key = bench.controller.public.raw.hex()
    bench.more = (EnrolledController(public_key=key, name="boss", role=Role.OPERATOR, counter=10),)
    downlink = bench.downlink()

    downlink.receive(bench.message(bench.command(counter=10)))
    downlink.receive(bench.message(bench.command(counter=11)))

    assert bench.refused == ["replay"]
    assert bench.db.row("select count(*) as n from inbox")["n"] == 1


def test_a_revoked_key_is_not_listened_to_any_more_not_even_for_a_stop(bench):
    downlink = bench.downlink()
    downlink.memory.accept(1, [bench.controller.key_id])

    downlink.receive(bench.message(bench.command(StopBody(reason="smoke"))))

    assert bench.refused == ["revoked_key"]
    assert bench.stops == []


def test_several_threads_that_bring_the_same_command_make_one_request(bench):
    downlink = bench.downlink()
    message = bench.message(bench.command())
    threads = [threading.Thread(target=downlink.receive, args=(message,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert bench.db.row("select count(*) as n from inbox")["n"] == 1
    assert bench.refused == []


def flood(bench, downlink, n, **changes):
    message = bench.message(bench.command(), **changes)
    for _ in range(n):
        downlink.receive(message)


def test_a_flood_of_refusals_does_not_fill_the_ledger_and_the_rest_is_a_number(bench):
    downlink = bench.downlink()

    flood(bench, downlink, 1000, payload=b"{}")
    downlink.settle()
    assert bench.refused == ["malformed"] * MOST_PER_MINUTE
    bench.clock.monotonic += 61.0
    downlink.settle()
    downlink.settle()

    assert bench.refused[MOST_PER_MINUTE:] == [UNRECORDED]
    assert bench.facts[-1]["codes"] == {"malformed": 1000 - MOST_PER_MINUTE}
    assert bench.facts[-1]["at_least"] is False


def test_junk_does_not_crowd_out_what_a_controller_signed(bench):
    downlink = bench.downlink()

    flood(bench, downlink, 40, payload=b"{}")
    flood(bench, downlink, 40, correlation=b"x" * 16)
    bench.clock.monotonic += 61.0
    downlink.settle()

    assert Counter(bench.refused) == {
        "malformed": MOST_PER_MINUTE, "altered_properties": MOST_PER_MINUTE, UNRECORDED: 1
    }  # fmt: skip
    assert bench.facts[-1]["codes"] == {"malformed": 10, "altered_properties": 10}


@pytest.mark.parametrize(("sent_n", "counted_n", "at_least"), [(41, 11, False), (1030, 940, True)])
def test_what_was_only_counted_outlives_a_process_that_is_killed(bench, sent_n, counted_n, at_least):
    flood(bench, bench.downlink(), sent_n, payload=b"{}")

    after = bench.downlink()
    after.settle()

    assert bench.refused[-1] == UNRECORDED
    assert counted_n <= bench.facts[-1]["refused_n"] <= sent_n - MOST_PER_MINUTE
    assert bench.facts[-1]["at_least"] is at_least
    bench.downlink().settle()
    assert bench.refused.count(UNRECORDED) == 1


def test_a_count_that_cannot_be_written_is_written_later(bench):
    downlink = bench.downlink()
    flood(bench, downlink, 40, payload=b"{}")
    bench.clock.monotonic += 61.0
    bench.broken = True
    with pytest.raises(StorageError):
        downlink.settle()

    bench.broken = False
    downlink.settle()

    assert bench.facts[-1]["codes"] == {"malformed": 10}


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
    assert replies.moved(bench.db, limit=9) == []  # nobody asks the inbox about it
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
    # What time it is nobody knows; how long it may wait is known.
    assert updates.find(bench.db).expires_at == bench.clock.now() + timedelta(seconds=60)


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
        {"action": "rollback", "delivery": "a.tar"},
        {"action": "install", "delivery": "../a.tar"},
        {"action": "install", "delivery": "a.tar\n"},
        {"action": "revoke"},
    ],
)
def test_an_update_says_exactly_what_it_needs(fields):
    with pytest.raises(ValidationError):
        UpdateBody.model_validate(fields)


def test_a_command_whose_number_could_not_be_kept_outside_comes_again_and_counts_once(bench, tmp_path, monkeypatch):
    bench.floors = tmp_path / "floors"
    floors.begin(bench.floors, "grant")
    downlink = bench.downlink()
    message = bench.message(bench.command())
    write = floors.write

    def fails(*_):
        raise StorageError("disk full")

    monkeypatch.setattr(floors, "write", fails)
    with pytest.raises(StorageError):  # so that the broker delivers it again
        downlink.receive(message)
    monkeypatch.setattr(floors, "write", write)

    downlink.receive(message)

    assert bench.db.row("select count(*) as n from inbox")["n"] == 1
    assert floors.read(bench.floors).counters == {bench.controller.key_id: 1}
    assert bench.refused == []


def test_a_power_cut_between_the_row_and_the_number_outside_is_made_good_by_the_next_start(
    bench, tmp_path, monkeypatch
):
    bench.floors = tmp_path / "floors"
    floors.begin(bench.floors, "grant")
    downlink = bench.downlink()

    def cut(*_):
        raise SystemExit

    monkeypatch.setattr(floors, "write", cut)
    with pytest.raises(SystemExit):
        downlink.receive(bench.message(bench.command()))
    monkeypatch.undo()

    bench.downlink()

    assert floors.read(bench.floors).counters == {bench.controller.key_id: 1}
