"""A controller notices when a ledger is not the one that it was: rewritten, rolled back, begun anew in silence."""

import json
import sqlite3
from datetime import UTC, datetime

import pytest
import sqlite_utils

from appliance.contracts import tree
from appliance.contracts.enrolment import Role
from appliance.contracts.envelope import Batch, Item, State
from appliance.errors import TrustError, WireError
from appliance.fleet import enrolling, ingest, ledgers, views
from appliance.fleet.devices import devices
from appliance.fleet.home import make, open_home
from appliance.fleet.schema import migrations
from appliance.fleet.standing import standing
from appliance.trust import keys, notes

NOW = datetime(2026, 11, 22, tzinfo=UTC)


@pytest.fixture
def home(tmp_path):
    home = make(tmp_path / "fleet", site="site")
    home.use_broker(enrolling.broker_at("127.0.0.1:1883"))
    enrolling.enrol_here(home, tmp_path / "lamp", device="lamp", role=Role.OPERATOR, replace=False, now=NOW)
    yield home
    home.close()


@pytest.fixture
def key(home, tmp_path):
    return keys.load(tmp_path / "lamp" / keys.DEVICE_KEY)


def bodies(last, *, said="done", first=None):
    texts = [json.dumps({"seq": n, "kind": "turn", "facts": {"said": said}}) for n in range(1, last + 1)]
    if first is not None:
        texts[0] = json.dumps({"seq": 1, "kind": "turn", "facts": first})
    return texts


def subtree_of(texts):
    return tree.over([tree.leaf_hash(text.encode()) for text in texts])


def root_of(texts, size):
    return tree.root(size, subtree_of(texts[:size]))


def note_of(key, texts, size, *, device="lamp", epoch="e1"):
    origin = f"edge-agent-appliance/{device}/{epoch}"
    text = str(notes.Checkpoint(origin, size, root_of(texts, size)))
    return str(notes.sign(text, origin, key)).encode()


def send(home, texts, first, last, *, epoch="e1", floor=0, before=None, after=None):
    return ingest.store_batch(
        home,
        Batch(
            device="lamp",
            epoch=epoch,
            stream="audit",
            after=first - 1 if after is None else after,
            floor=floor,
            items=tuple(
                Item(seq=n, id=f"audit-{n}", kind="turn", at=NOW, body={"body": texts[n - 1]})
                for n in range(first, last + 1)
            ),
            before=before,
        ),
        NOW,
    )


def state_of(epoch, *, state="ready"):
    return State(
        site="site", device="lamp", state=state, boot=1, session=1, nonce="n", time="trusted", epoch=epoch, at=NOW
    )


def checkpoint(home, key, texts, size, **more):
    said = ledgers.read_checkpoint(note_of(key, texts, size, **more), key.public)
    with home.db.atomic():
        ledgers.take_checkpoint(home, "lamp", said, "note", NOW)
        return ledgers.settle(home, "lamp", said.epoch, ingest.reached(home, "lamp", said.epoch, "audit"))


def standings(home):
    return [row["checked"] for row in home.db.query("select checked from checkpoints order by epoch, size")]


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 511, 700, 1000])
def test_the_controllers_tree_has_the_root_that_the_device_signs(home, size):
    texts = bodies(1000)
    for first in range(1, 1001, 100):
        send(home, texts, first, first + 99)

    assert tree.root(size, ledgers.subtrees(home, "lamp", "e1")) == root_of(texts, size)


def test_a_checkpoint_that_agrees_is_kept_and_checked_also_when_the_records_come_after_it(home, key):
    texts = bodies(300)
    send(home, texts, 1, 100)

    assert checkpoint(home, key, texts, 80) == []
    assert checkpoint(home, key, texts, 280) == []
    assert standings(home) == [1, 0]
    assert send(home, texts, 101, 300).faults == ()
    assert standings(home) == [1, 1]


def test_history_that_was_rewritten_after_it_was_signed_is_a_fork(home, key):
    checkpoint(home, key, bodies(300), 280)

    result = send(home, bodies(300, said="rewritten"), 1, 300)

    assert [fault.what for fault in result.faults] == [ledgers.FORKED]
    assert standings(home) == [-1]


def test_a_device_that_was_rolled_back_and_went_on_is_a_fork_at_its_next_checkpoint(home, key):
    texts = bodies(300)
    send(home, texts, 1, 300)

    went_on = texts[:250] + bodies(320, said="another night")[250:]

    assert [fault.what for fault in checkpoint(home, key, went_on, 320)] == []
    assert [fault.what for fault in send(home, went_on, 301, 320).faults] == [ledgers.FORKED]


def test_two_checkpoints_of_one_size_and_two_histories_are_a_fork_before_any_record(home, key):
    checkpoint(home, key, bodies(10), 10)

    assert [fault.what for fault in checkpoint(home, key, bodies(10, said="other"), 10)] == [ledgers.FORKED]


def test_a_site_that_shares_counts_only_is_checked_all_the_same(home, key):
    texts = bodies(300)
    items = tuple(
        Item(seq=n, id=f"audit-{n}", kind="turn", at=NOW, body={"leaf": tree.leaf_hash(text.encode()).hex()})
        for n, text in enumerate(texts, start=1)
    )
    ingest.store_batch(home, Batch(device="lamp", epoch="e1", stream="audit", after=0, floor=0, items=items), NOW)

    assert checkpoint(home, key, texts, 290) == []
    assert [fault.what for fault in checkpoint(home, key, bodies(300, said="other"), 280)] == [ledgers.FORKED]


@pytest.mark.parametrize("size", [1, 100, 255, 256, 700])
def test_a_controller_that_joins_later_is_given_the_roots_and_a_checkpoint_proves_them(home, key, size):
    texts = bodies(900)
    shown = tuple(subtree_of(texts)(height, n).hex() for height, n in tree.peaks(size))

    asked = send(home, texts, size + 1, 900, floor=size)
    taken = send(home, texts, size + 1, 900, floor=size, before=shown)

    assert asked == ingest.Stored(0, 0, resume=True)
    assert (taken.upto, taken.faults) == (900, ())
    assert checkpoint(home, key, texts, 850) == []
    assert standings(home) == [1]


def test_roots_that_were_made_up_are_a_fork_at_the_next_checkpoint(home, key):
    texts = bodies(300)

    send(home, texts, 129, 300, floor=128, before=("ab" * 32,))

    assert [fault.what for fault in checkpoint(home, key, texts, 290)] == [ledgers.FORKED]


def test_a_device_that_cannot_show_what_came_before_is_refused(home):
    refused = send(home, bodies(9), 5, 9, floor=4, before=())

    assert (refused.upto, [fault.what for fault in refused.faults]) == (0, ["audit_refused"])


def test_a_new_epoch_that_cites_the_last_checkpoint_goes_on(home, key):
    texts = bodies(40)
    send(home, texts, 1, 40)
    checkpoint(home, key, texts, 40)
    cited = {"predecessor": {"epoch": "e1", "size": 40, "root": root_of(texts, 40).hex()}, "reason": "restored"}

    result = send(home, bodies(3, first=cited), 1, 3, epoch="e2")

    assert result.faults == ()
    assert next(home.db.query("select standing from epochs where epoch = 'e2'"))["standing"] == "goes on"


@pytest.mark.parametrize(
    "cited",
    [
        {},
        {"predecessor": None},
        {"predecessor": "e1"},
        {"predecessor": {"epoch": "e0", "size": 40}},
        {"predecessor": {"epoch": "e1", "size": 12, "root": "ab" * 32}},
        {"predecessor": {"epoch": "e1", "size": 40, "root": "ab" * 32}},
    ],
    ids=str,
)
def test_a_new_epoch_that_does_not_cite_the_last_checkpoint_is_flagged_and_kept(home, key, cited):
    texts = bodies(40)
    send(home, texts, 1, 40)
    checkpoint(home, key, texts, 40)

    result = send(home, bodies(3, first=cited), 1, 3, epoch="e2")

    assert [fault.what for fault in result.faults] == [ledgers.UNLINKED]
    assert result.upto == 3
    assert next(home.db.query("select standing from epochs where epoch = 'e2'"))["standing"] == ledgers.UNLINKED


@pytest.mark.parametrize("origin", ["go.sum database tree", "edge-agent-appliance/lamp", "edge-agent-appliance/lamp/"])
def test_a_checkpoint_of_another_kind_of_log_is_refused(key, origin):
    text = str(notes.Checkpoint(origin, 3, root_of(bodies(3), 3)))
    name = origin.replace(" ", "-")

    with pytest.raises(WireError, match="no ledger of an appliance"):
        ledgers.read_checkpoint(str(notes.sign(text, name, key)).encode(), key.public)


def test_a_checkpoint_by_another_key_or_altered_is_refused(tmp_path, key):
    stranger = keys.load_or_make(tmp_path / "stranger.key")

    with pytest.raises(TrustError):
        ledgers.read_checkpoint(note_of(stranger, bodies(3), 3), key.public)
    with pytest.raises(TrustError):
        ledgers.read_checkpoint(note_of(key, bodies(3), 3).replace(b"lamp/e1\n3", b"lamp/e1\n4"), key.public)


def test_what_is_known_of_a_device_says_how_far_its_signature_and_its_records_agree(home, key):
    texts = bodies(300)
    send(home, texts, 1, 300)
    checkpoint(home, key, texts, 290)
    ingest.store_state(home, state_of("e1"), NOW)

    known = standing(home, "lamp")
    listed = devices(home, NOW)[0]

    assert (listed.audit_upto, listed.signed_upto) == (300, 290)
    assert [(e["epoch"], e["upto"], e["checked"], e["broken"], e["size"]) for e in known.epochs] == [
        ("e1", 300, 1, 0, 290)
    ]
    assert known.key_id == key.key_id
    assert json.loads(json.dumps(known.facts()))["epochs"][0]["root"] == root_of(texts, 290).hex()


def test_a_fork_is_said_loudly(home, key):
    send(home, bodies(300), 1, 300)
    for fault in checkpoint(home, key, bodies(300, said="other"), 290):
        ingest.store_fault(home, "lamp", fault.what, fault.text, NOW)

    lines = "\n".join(views.ledger_lines(standing(home, "lamp")))

    assert "1 CONTRADICT them" in lines
    assert "! forked" in lines
    assert devices(home, NOW)[0].faults == ("forked",)


def test_what_a_device_calls_its_epoch_cannot_steer_a_terminal(home):
    send(home, bodies(3), 1, 3, epoch="e\x1b[2Jx")

    assert "\x1b" not in "\n".join(views.ledger_lines(standing(home, "lamp")))


def test_an_emergency_stop_is_not_called_locked(home):
    ingest.store_state(home, state_of("e1", state="locked"), NOW)

    assert "stopped" in "\n".join(views.device_table(devices(home, NOW)))


def test_exported_records_have_their_leaf_as_text(home):
    texts = bodies(2)
    send(home, texts, 1, 2)

    exported = [json.loads(json.dumps(r)) for r in views.records(home, device="lamp", stream="audit")]

    assert [r["leaf"] for r in exported] == [tree.leaf_hash(text.encode()).hex() for text in texts]


def test_a_controller_from_before_there_were_trees_goes_on_with_what_it_has(tmp_path):
    texts = bodies(300)
    folder = tmp_path / "controller"
    make(folder, site="site").close()
    (folder / "fleet.db").unlink()
    old = sqlite_utils.Database(sqlite3.connect(folder / "fleet.db", isolation_level=None))
    migrations.apply(old, stop_before="m002_ledgers")
    old["records"].insert_all(
        {"device": "lamp", "epoch": "e1", "stream": "audit", "seq": n, "id": f"audit-{n}", "kind": "turn", "at": "",
         "body": json.dumps({"body": text, "hash": "0" * 64}), "received_at": ""}
        for n, text in enumerate(texts, start=1)
    )  # fmt: skip
    old["streams"].insert({"device": "lamp", "epoch": "e1", "stream": "audit", "upto": 300, "hash": "0" * 64})
    old.close()

    home = open_home(folder)

    assert tree.root(300, ledgers.subtrees(home, "lamp", "e1")) == root_of(texts, 300)
    assert ingest.reached(home, "lamp", "e1", "audit") == 300
    home.close()
