"""A collector believes only what a device's key says, and no lie of one device costs another one anything."""

import json
import random
import socket
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.contracts import receipts, tree
from appliance.contracts.canonical import canonical
from appliance.contracts.enrolment import MAY, Role
from appliance.contracts.envelope import Batch, Desc, Item, Response, State
from appliance.errors import StorageError
from appliance.fleet import enrolling, faults, ingest, views
from appliance.fleet.collector import Collector
from appliance.fleet.devices import last_words
from appliance.transport.messages import Incoming
from appliance.trust import keys, notes
from appliance.trust.signature import sealed, sign

NOW = datetime(2026, 11, 22, tzinfo=UTC)


class Fed:
    """A collector that is handed messages as its link would hand them over."""

    def __init__(self, home, folder):
        self.home = home
        for name in ("fan", "door"):
            enrolling.enrol_here(home, folder / name, device=name, role=Role.OPERATOR, replace=False, now=NOW)
        self.keys = {name: keys.load(folder / name / keys.DEVICE_KEY) for name in ("lamp", "fan", "door")}
        self.seen = []
        self.time_s = 0.0
        self.collector = self.another()

    def another(self, share=None):
        """A colleague, with a connection of its own to the same rows."""
        return Collector(
            self.home,
            now=lambda: NOW,
            chance=random.Random(1),
            share=share,
            on_seen=self.seen.append,
            monotonic=lambda: self.time_s,
        )

    def say(self, *messages, collector=None):
        to = collector or self.collector
        to._arrived += messages
        to._commit()

    def owed(self, device="lamp", stream="evt", epoch="e1", collector=None):
        ack = (collector or self.collector)._acks.get((device, epoch, stream))
        return None if ack is None else (ack.upto, ack.resume)

    def message(self, record, *, by=None, topic=None, channel="evt/turn"):
        by = by or self.keys[record.device]
        return incoming(topic or f"edge/v1/site/{record.device}/{channel}", sealed(by, record))

    def records(self, device="lamp"):
        rows = self.home.db.rows("select seq from records where device = ? order by seq", [device])
        return [row["seq"] for row in rows]

    def faults(self, device="lamp"):
        return {row["what"] for row in self.home.db.rows("select what from faults where device = ?", [device])}


def incoming(topic, payload):
    return Incoming(topic, payload, retained=False, correlation=None, response_topic=None, expiry_s=None)


def batch(first, last, *, device="lamp", stream="evt", epoch="e1", after=None, body=None, **more):
    items = tuple(Item(seq=n, id=f"{n}", kind="turn", at=NOW, body=body or {"n": n}) for n in range(first, last + 1))
    after = first - 1 if after is None else after
    return Batch(device=device, epoch=epoch, stream=stream, after=after, floor=0, items=items).model_copy(update=more)


def ledger(first, last, said="done", **more):
    texts = [json.dumps({"seq": n, "kind": "turn", "said": said}) for n in range(first, last + 1)]
    items = tuple(
        Item(seq=n, id=f"{n}", kind="turn", at=NOW, body={"body": text}) for n, text in enumerate(texts, start=first)
    )
    return batch(first, last, stream="audit").model_copy(update={"items": items, **more})


@pytest.fixture
def fed(home, tmp_path):
    fed = Fed(home, tmp_path)
    yield fed
    fed.collector.close()


def test_everything_that_arrived_together_is_stored_and_owed(fed):
    fed.say(*(fed.message(batch(n, n + 4, device=d)) for n in (1, 6) for d in ("lamp", "fan")))

    assert fed.records() == fed.records("fan") == list(range(1, 11))
    assert fed.owed() == fed.owed("fan") == (10, False)


def test_nothing_is_owed_beyond_what_is_committed(fed):
    fed.say(fed.message(batch(1, 5)), fed.message(batch(11, 15)))

    assert fed.owed() == (5, True)
    assert fed.records() == [1, 2, 3, 4, 5]


def test_a_device_that_speaks_as_another_is_refused_whatever_the_topic(fed):
    as_fan = batch(1, 5, device="fan")

    fed.say(fed.message(as_fan, by=fed.keys["lamp"], topic="edge/v1/site/lamp/evt/turn"))
    fed.say(fed.message(as_fan, by=fed.keys["lamp"], topic="edge/v1/site/fan/evt/turn"))

    assert fed.records("fan") == []
    assert (fed.faults("lamp"), fed.faults("fan")) == ({"wrong_device"}, {"unknown_key"})
    assert (fed.owed("lamp"), fed.owed("fan")) == (None, None)


def test_a_batch_that_was_altered_on_its_way_is_refused(fed):
    message = fed.message(batch(1, 5))

    fed.say(message._replace(payload=message.payload.replace(b'{"n":5}', b'{"n":6}')))

    assert (fed.records(), fed.faults(), fed.owed()) == ([], {"bad_signature"}, None)


def test_a_wrapper_written_otherwise_is_read_by_its_meaning(fed):
    signed = sign(fed.keys["lamp"], batch(1, 2).model_dump(mode="json")).model_dump(mode="json")

    fed.say(incoming("edge/v1/site/lamp/evt/turn", json.dumps(signed, indent=3).encode()))

    assert (fed.records(), fed.faults()) == ([1, 2], set())


@pytest.mark.parametrize(
    "inside",
    [
        b'{"n":1},"signature":"' + b"0" * 128 + b'"',
        b'{"n":1},"key":"0000000000000000"',
        b'{"n":1,"n":1}',
    ],
    ids=["signature twice", "key twice", "name twice"],
)
def test_a_wrapper_with_a_name_twice_is_refused_before_its_signature_counts(fed, inside):
    key = fed.keys["lamp"]
    payload = b'{"key":"%s","payload":%s,"signature":"%s"}' % (
        key.key_id.encode(),
        inside,
        key.sign(inside).hex().encode(),
    )

    fed.say(incoming("edge/v1/site/lamp/evt/turn", payload))

    assert (fed.records(), fed.faults()) == ([], {"malformed"})


def test_a_jump_to_the_end_of_the_numbers_hurts_nobody_else(fed):
    fed.say(
        fed.message(batch(1, 5)),
        fed.message(batch(2**53 - 1, 2**53 - 1, after=5)),
        fed.message(batch(1, 5, device="fan")),
    )

    assert fed.records("fan") == [1, 2, 3, 4, 5]
    assert fed.owed("fan") == (5, False)
    assert fed.owed() == (2**53 - 1, False)
    assert fed.home.db.rows("select first, last from gaps") == [{"first": 6, "last": 2**53 - 2}]


def test_a_jump_in_a_ledger_is_not_taken(fed):
    fed.say(fed.message(ledger(1, 5), channel="audit"), fed.message(ledger(90, 99, after=5), channel="audit"))

    assert fed.records() == [1, 2, 3, 4, 5]
    assert fed.owed(stream="audit") == (5, True)


def test_another_epoch_changes_nothing_of_the_one_that_is_here(fed):
    fed.say(fed.message(batch(1, 5)), fed.message(batch(1, 3, epoch="e2")), fed.message(batch(6, 7)))

    assert (fed.owed(), fed.owed(epoch="e2")) == ((7, False), (3, False))


@pytest.mark.parametrize(
    "liar",
    [
        batch(1, 5, epoch="e\0"),
        batch(1, 5).model_copy(update={"items": (Item(seq=1, id="a\0b", kind="turn", at=NOW, body={}),)}),
        batch(1, 5).model_copy(update={"items": (Item(seq=1, id="a", kind="\0", at=NOW, body={}),)}),
    ],
    ids=["epoch", "id", "kind"],
)
def test_what_no_row_can_hold_is_a_fault_of_its_device_and_of_no_other(fed, liar):
    fed.say(fed.message(batch(1, 5, device="fan")), fed.message(liar), fed.message(batch(1, 5, device="door")))

    assert fed.records("fan") == fed.records("door") == [1, 2, 3, 4, 5]
    assert (fed.records(), fed.faults()) == ([], {"not_understood"})
    assert (fed.owed("fan"), fed.owed("door")) == ((5, False), (5, False))


def test_a_text_with_a_nul_inside_a_body_is_kept_as_it_is(fed):
    fed.say(fed.message(batch(1, 1, body={"said": "a\0b", "z": "ä\u2028\U0001f600"})))

    [row] = fed.home.db.rows("select body from records")
    assert json.loads(row["body"]) == {"said": "a\0b", "z": "ä\u2028\U0001f600"}


def test_a_state_with_numbers_beyond_any_database_is_a_fault(fed):
    state = State(
        site="site", device="lamp", state="ready", boot=1, session=1, nonce="n", time="trusted", epoch="e1", at=NOW
    )
    key = fed.keys["lamp"]
    said = canonical(state.model_dump(mode="json")).replace(b'"boot":1', b'"boot":' + b"9" * 30)
    payload = b'{"key":"%s","payload":%s,"signature":"%s"}' % (key.key_id.encode(), said, key.sign(said).hex().encode())

    fed.say(incoming("edge/v1/site/lamp/state", payload), fed.message(state, channel="state"))

    assert fed.faults() == {"malformed"}
    assert fed.home.db.row("select boot from devices where device = 'lamp'") == {"boot": 1}


@pytest.mark.parametrize(
    "payload",
    [b"", b"{", b"[" * 100_000, b'{"a":' * 5000, b"\xff\xfe", b" " * 300_000, b'{"key":NaN}', b"null"],
    ids=["empty", "cut", "deep", "deep object", "no text", "long", "nan", "null"],
)
def test_a_message_that_is_none_is_a_fault_and_the_next_one_is_read(fed, payload):
    fed.say(incoming("edge/v1/site/lamp/evt/turn", payload), fed.message(batch(1, 5)))

    assert (fed.faults(), fed.records()) == ({"malformed"}, [1, 2, 3, 4, 5])


def test_more_records_than_a_batch_may_have_are_refused(fed):
    half = batch(1, 1000)
    huge = half.model_copy(update={"items": half.items + batch(1001, 1500).items})

    fed.say(fed.message(huge))

    assert (fed.records(), fed.faults()) == ([], {"malformed"})


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_bytes_whatever_end_the_collector(fed, data):
    good = fed.message(batch(1, 3), channel="evt/turn")
    topic = data.draw(
        st.sampled_from([good.topic, "edge/v1/site/lamp/state", "edge/v1/site/lamp/checkpoint", "x", "\0"])
    )
    place = data.draw(st.integers(0, len(good.payload) - 1))
    noise = data.draw(st.binary(max_size=40))
    kind = data.draw(st.sampled_from([None, "application/json+gzip", "text/plain"]))

    payload = good.payload[:place] + noise + good.payload[place + len(noise) :]
    fed.say(incoming(topic, payload)._replace(content_type=kind))

    assert fed.records() in ([], [1, 2, 3])


def test_a_rewritten_record_is_flagged_at_once_also_when_both_arrive_together(fed):
    fed.say(fed.message(ledger(1, 9), channel="audit"), fed.message(ledger(5, 12, "other"), channel="audit"))

    assert fed.faults() == {"forked"}
    assert fed.owed(stream="audit") is None


def test_a_checkpoint_of_another_history_is_flagged_at_once(fed):
    fed.say(fed.message(ledger(1, 9), channel="audit"))
    leaves = [tree.leaf_hash(json.dumps({"seq": n, "kind": "turn", "said": "other"}).encode()) for n in range(1, 9)]
    origin = "edge-agent-appliance/lamp/e1"
    text = str(notes.Checkpoint(origin, 8, tree.root(8, tree.over(leaves))))
    note = str(notes.sign(text, origin, fed.keys["lamp"])).encode()

    fed.say(incoming("edge/v1/site/lamp/checkpoint", note))

    assert fed.faults() == {"forked"}
    assert "FORKED" in fed.seen[-1].said.what


def test_a_batch_that_came_before_its_turn_waits_for_a_colleague(fed):
    first, second = fed.another("a"), fed.another("b")

    fed.say(fed.message(batch(6, 9)), collector=second)
    assert fed.owed(collector=second) is None
    fed.say(fed.message(batch(1, 5)), collector=first)
    fed.time_s += 1.0
    fed.say(collector=second)

    assert (fed.owed(collector=first), fed.owed(collector=second)) == ((5, False), (9, False))
    assert fed.records() == list(range(1, 10))
    for each in (first, second):
        each.close()


def test_a_batch_whose_turn_never_comes_is_asked_for_again(fed):
    second = fed.another("b")

    fed.say(fed.message(batch(6, 9)), collector=second)
    for _ in range(4):
        fed.time_s += 1.0
        fed.say(collector=second)

    assert fed.owed(collector=second) == (0, True)
    assert not second._taking.is_waiting
    second.close()


def test_a_batch_that_two_collectors_have_is_stored_once(fed):
    first, second = fed.another("a"), fed.another("b")

    for each in (first, second):
        fed.say(fed.message(batch(1, 5)), collector=each)

    assert fed.owed(collector=first) == fed.owed(collector=second) == (5, False)
    assert [seen.new for seen in fed.seen] == [True, False]
    assert fed.records() == [1, 2, 3, 4, 5]
    for each in (first, second):
        each.close()


def test_a_device_that_was_enrolled_again_is_believed_without_a_restart(fed, tmp_path):
    fed.say(fed.message(batch(1, 5)))
    enrolling.forget(fed.home, "lamp")
    enrolling.enrol_here(fed.home, tmp_path / "new", device="lamp", role=Role.OPERATOR, replace=False, now=NOW)
    new = keys.load(tmp_path / "new" / keys.DEVICE_KEY)

    fed.say(fed.message(batch(6, 7), by=new))

    assert (fed.records(), fed.faults()) == ([1, 2, 3, 4, 5, 6, 7], set())


def commits_of(fed):
    """Count the commits from here on; SQLite's own."""
    commits = []
    fed.home.db.connection.set_trace_callback(lambda sql: sql.lower() == "commit" and commits.append(sql))
    return commits


@pytest.fixture
def on_sqlite(rows_in):
    if rows_in is not None:
        pytest.skip("counts what SQLite is told")


def everything_of(fed, device, n):
    """One of everything that a device says of itself, and one that nobody can believe."""
    fields = {"site": "site", "device": device, "epoch": "e1", "at": NOW + timedelta(seconds=n)}
    state = State(state="ready", boot=1, session=1, nonce="n", time="trusted", **fields)
    fed.home.db.execute(
        "insert into commands (correlation, device) values (?, ?) on conflict do nothing", ["0" * 32, "all"]
    )
    answer = Response(device=device, correlation="0" * 32, life="executed", status=200, code=f"c{n}", at=NOW)
    return [
        fed.message(state, channel="state"),
        fed.message(Desc(software=f"{n}", **fields), channel="desc"),
        fed.message(answer, channel=f"rsp/{fed.home.key.key_id}"),
        fed.message(batch(n * 5 + 1, n * 5 + 5, device=device)),
        incoming(f"edge/v1/site/{device}/state", b"{}"),
    ]


def test_whatever_has_arrived_together_is_one_commit(fed, on_sqlite):
    messages = [m for n in range(4) for device in ("lamp", "fan", "door") for m in everything_of(fed, device, n)]
    commits = commits_of(fed)

    fed.say(*messages)

    assert len(messages) == 60
    assert len(commits) == 1
    assert fed.records("fan") == list(range(1, 21))
    assert len([seen for seen in fed.seen if seen.new]) == 3 * 4 * 4


def test_what_is_seen_is_committed_and_what_could_not_be_is_neither_seen_nor_owed(fed, on_sqlite):
    messages = everything_of(fed, "lamp", 0)
    fed.home.db.execute("create trigger full before insert on records begin select raise(abort, 'full'); end")

    with pytest.raises(StorageError):
        fed.say(*messages)

    assert (fed.seen, fed.owed(), fed.faults()) == ([], None, set())
    fed.collector._arrived.clear()
    fed.home.db.execute("drop trigger full")
    fed.say(*messages)
    assert (fed.owed(), fed.faults()) == ((5, False), {"malformed"})
    assert [row["times"] for row in fed.home.db.rows("select times from faults")] == [1]


def test_one_message_that_no_row_can_hold_costs_the_others_of_its_commit_nothing(fed):
    bad = State(
        site="site", device="fan", state="ready", boot=1, session=1, nonce="a\0b", time="trusted", epoch="e", at=NOW
    )

    fed.say(*everything_of(fed, "lamp", 0), fed.message(bad, channel="state"), *everything_of(fed, "door", 0))

    assert fed.faults("fan") == {"not_understood"}
    assert fed.records("lamp") == fed.records("door") == [1, 2, 3, 4, 5]
    states = fed.home.db.rows("select device from devices where state = 'ready' order by device")
    assert [row["device"] for row in states] == ["door", "lamp"]


def test_a_flood_of_bad_messages_is_one_row_and_one_commit(fed, on_sqlite):
    commits = commits_of(fed)

    fed.say(*(incoming(f"edge/v1/site/made-up-{n}/state", b"{}") for n in range(300)))
    fed.say(*(incoming("edge/v1/site/lamp/state", b"{}") for n in range(300)))

    assert len(commits) == 2
    rows = fed.home.db.rows("select device, what, times from faults order by device")
    assert [(r["device"], r["what"], r["times"]) for r in rows] == [
        ("", "unknown_device", 300),
        ("lamp", "malformed", 300),
    ]


def test_the_keys_are_not_read_again_for_every_stranger(fed, on_sqlite):
    stranger = keys.fleeting()
    asked = []
    fed.home.db.connection.set_trace_callback(lambda sql: "public_key" in sql and asked.append(sql))

    fed.say(*(incoming("edge/v1/site/ghost/state", b"{}") for n in range(50)))
    fed.say(*(fed.message(batch(1, 5), by=stranger) for n in range(50)))

    assert len(asked) == 3  # all of them once, and each of the two names once


def test_faults_under_names_that_nobody_enrolled_are_shown(fed):
    fed.say(incoming("edge/v1/site/ghost/state", b"{}"), incoming("nonsense", b""))
    ingest.store_fault(fed.home, "gone", "forked", "two histories", NOW)

    lines = "\n".join(views.stranger_lines(faults.of_strangers(fed.home)))

    for word in ("unknown_device", "'ghost'", "malformed_topic", "gone (not enrolled): forked"):
        assert word in lines


def test_an_answer_that_nobody_asked_for_is_a_fault_and_no_row(fed):
    answer = Response(device="lamp", correlation="1" * 32, life="executed", status=200, code="x", at=NOW)

    fed.say(fed.message(answer, channel=f"rsp/{fed.home.key.key_id}"))

    assert fed.faults() == {"unknown_answer"}
    assert fed.home.db.rows("select * from answers") == []


@pytest.mark.parametrize("role", [role for role in Role if "ack" not in MAY[role]])
def test_a_controller_that_may_not_acknowledge_collects_and_says_nothing(fed, tmp_path, role):
    enrolling.enrol_here(fed.home, tmp_path / "aud", device="aud", role=role, replace=False, now=NOW)
    fed.keys["aud"] = keys.load(tmp_path / "aud" / keys.DEVICE_KEY)

    fed.say(fed.message(batch(1, 5, device="aud")), fed.message(batch(1, 5)))
    fed.collector._greet()

    assert fed.records("aud") == [1, 2, 3, 4, 5]
    assert (fed.owed("aud"), fed.owed("lamp")) == (None, (5, False))


def test_an_acknowledgement_names_the_record_at_its_mark(fed):
    fed.say(fed.message(batch(1, 5)), fed.message(ledger(1, 9), channel="audit"))
    fed.home.db.execute("update devices set epoch = 'e1' where device = 'lamp'")
    said = {ack.stream: ack.of for ack in fed.collector._acks.values()}
    fed.collector._acks.clear()
    fed.collector._greet()

    text = json.dumps({"seq": 9, "kind": "turn", "said": "done"})
    assert said == {"evt": receipts.of_event(5, "5", "turn", NOW), "audit": tree.leaf_hash(text.encode()).hex()}
    assert {ack.stream: ack.of for ack in fed.collector._acks.values()} == said


def test_of_a_closed_history_nothing_is_acknowledged_in_a_greeting_either(fed):
    fed.home.db.execute("update devices set epoch = 'e1' where device = 'lamp'")
    fed.say(fed.message(batch(1, 5)))
    fed.say(fed.message(batch(1, 5, body={"other": 1})))
    fed.collector._acks.clear()

    fed.collector._greet()

    assert fed.owed() is None


def test_a_broker_that_is_not_there_is_said_at_once(home):
    said = []
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    home.use_broker(enrolling.broker_at(f"127.0.0.1:{port}"))
    assert home.broker.first_connect_s > 0
    collector = Collector(
        home,
        now=lambda: NOW,
        chance=random.Random(1),
        on_link=said.append,
        monotonic=lambda: 0.0,
        sleep=lambda _s: None,
    )

    for _ in range(20):
        collector.step(0.05)
        if said:
            break

    assert said
    collector.close()


def test_what_a_device_said_last_is_known_and_so_is_its_will(fed):
    fields = {"site": "site", "device": "lamp", "nonce": "n", "time": "trusted", "epoch": "e1"}
    for second, word in enumerate(("ready", "degraded", "lost")):
        at = NOW if word == "lost" else NOW + timedelta(seconds=second)
        ingest.store_state(fed.home, State(state=word, boot=2, session=1, at=at, **fields), NOW)
    ingest.store_state(fed.home, State(state="lost", boot=1, session=9, at=NOW, **fields), NOW)
    fed.say(fed.message(batch(1, 5)))

    said = last_words(fed.home, "lamp")

    assert {(s["state"], s["boot"], s["session"]) for s in said.states} == {
        ("ready", 2, 1),
        ("degraded", 2, 1),
        ("lost", 2, 1),
    }
    assert [(r["stream"], r["seq"], r["body"]) for r in said.records] == [("evt", 5, {"n": 5})]


def test_a_message_by_a_key_that_was_replaced_is_not_called_a_strangers(fed, tmp_path):
    old, new = fed.keys["lamp"], keys.load_or_make(tmp_path / "next.key")
    fed.home.db.execute(
        "insert into rotations (device, new_key, old_key, at, statement, accepted_at)"
        " values ('lamp', ?, ?, '', '', '')",
        [new.public.raw.hex(), old.public.raw.hex()],
    )
    fed.home.db.execute("update devices set public_key = ? where device = 'lamp'", [new.public.raw.hex()])

    fed.say(fed.message(batch(1, 5), by=old))
    fed.say(fed.message(batch(1, 5), by=keys.load_or_make(tmp_path / "stranger.key")))

    assert (fed.records(), fed.faults()) == ([], {"retired_key", "unknown_key"})
