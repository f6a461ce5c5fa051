"""A controller notices when a ledger is not the one that it was: rewritten, rolled back, begun anew in silence."""

import json
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner

from appliance import cli
from appliance.contracts import tree
from appliance.contracts.envelope import Batch, Item, State
from appliance.errors import TrustError, WireError
from appliance.fleet import histories, ingest, ledgers, retention, views
from appliance.fleet.devices import devices
from appliance.fleet.standing import standing
from appliance.trust import keys, notes

NOW = datetime(2026, 11, 22, tzinfo=UTC)


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
    return ingest.store_checkpoint(home, "lamp", said, "note", NOW)[1]


def standings(home):
    return [row["checked"] for row in home.db.rows("select checked from checkpoints order by epoch, size")]


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

    assert asked[:3] == (0, 0, True)
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
    assert home.db.row("select standing from epochs where epoch = 'e2'")["standing"] == "goes on"


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
    assert home.db.row("select standing from epochs where epoch = 'e2'")["standing"] == ledgers.UNLINKED


@pytest.mark.parametrize("epoch", ["e1", "e1 SET ASIDE 1"])
@pytest.mark.parametrize(
    ("cited", "said"),
    [
        ({}, ledgers.UNLINKED),
        ({"epoch": "e0", "size": 0}, ledgers.UNLINKED),
        ({"epoch": None, "size": 0, "root": tree.root(0, None).hex()}, "goes on"),
    ],
    ids=["that cites nothing", "that cites another", "that cites it"],
)
def test_a_new_epoch_after_one_that_never_signed_anything(home, epoch, cited, said):
    send(home, bodies(40), 1, 40, epoch=epoch)
    first = {"predecessor": {**cited, "epoch": cited["epoch"] or epoch} if cited else None}

    result = send(home, bodies(3, first=first), 1, 3, epoch="e2")

    assert [fault.what for fault in result.faults] == ([] if said == "goes on" else [said])
    assert home.db.row("select standing from epochs where epoch = 'e2'")["standing"] == said


def forked(home, *, upto=7):
    """A copy's records up to *upto* were put away; returned are its own, and what the device says from record 6 on."""
    both = bodies(5)
    copy, own = both + bodies(20, said="copy")[5:], both + bodies(20, said="own")[5:]
    send(home, copy, 1, upto)
    assert [fault.what for fault in send(home, own, 6, 7).faults] == [ledgers.FORKED]
    [decided] = histories.accept(home, "lamp", "the copy was destroyed", NOW)
    return copy, own, decided.kept_as


def own_records(home, own, last):
    shown = tuple(subtree_of(own)(height, n).hex() for height, n in tree.peaks(5))
    return send(home, own, 6, last, floor=5, before=shown)


@pytest.mark.parametrize("is_before", [True, False], ids=["before the device's own records", "after them"])
def test_a_checkpoint_of_what_was_set_aside_stays_with_that_and_closes_nothing(home, key, is_before):
    copy, own, kept_as = forked(home)

    if is_before:
        assert checkpoint(home, key, copy, 7) == []
    assert own_records(home, own, 8).upto == 8
    assert checkpoint(home, key, copy, 7) == []
    assert checkpoint(home, key, copy, 7) == []

    assert histories.closed(home) == {}
    assert send(home, own, 9, 9).upto == 9
    assert checkpoint(home, key, own, 9) == []
    rows = home.db.rows("select epoch, size, checked from checkpoints order by size")
    assert [tuple(row.values()) for row in rows] == [(kept_as, 7, 1), ("e1", 9, 1)]


def test_a_checkpoint_that_contradicted_what_is_set_aside_proves_what_was_accepted(home, key):
    copy, own = bodies(7, said="copy"), bodies(8, said="own")
    send(home, copy, 1, 7)
    assert [fault.what for fault in checkpoint(home, key, own, 7)] == [ledgers.FORKED]
    histories.accept(home, "lamp", "the copy was destroyed", NOW)
    send(home, own, 1, 8)

    assert checkpoint(home, key, own, 7) == []

    rows = home.db.rows("select epoch, checked from checkpoints order by epoch")
    assert [tuple(row.values()) for row in rows] == [("e1", 1), ("e1 set aside 1", -1)]


def test_what_nobody_has_put_away_yet_closes_the_accepted_history_again(home, key):
    copy, own, _ = forked(home)
    own_records(home, own, 12)

    assert [fault.what for fault in checkpoint(home, key, copy, 9)] == [ledgers.FORKED]
    assert list(histories.closed(home)) == [("lamp", "e1")]


def test_records_that_were_set_aside_and_come_again_are_neither_taken_nor_a_fork(home):
    copy, own, _ = forked(home)
    own_records(home, own, 8)

    again = send(home, copy, 4, 7)
    more = send(home, copy, 4, 8)

    assert (again.is_silent, again.faults, again.upto) == (True, (), 8)
    assert [fault.what for fault in more.faults] == [ledgers.FORKED]


def test_a_new_epoch_after_an_acceptance_cites_what_was_accepted_also_before_that_came(home):
    forked(home)

    result = send(home, bodies(3), 1, 3, epoch="e2")

    assert [fault.what for fault in result.faults] == [ledgers.UNLINKED]


def test_an_acceptance_settles_the_fault_and_nothing_that_is_set_aside_is_called_lost(home):
    _, own, _ = forked(home)
    own_records(home, own, 8)

    listed = devices(home, NOW)[0]

    assert (listed.gaps_n, listed.faults) == (0, ())
    assert [closed["because"] for closed in standing(home, "lamp").closures] == [
        "epoch e1: record 6 came a second time with other content"
    ]
    assert retention.kept(home).records_n == len(home.db.rows("select seq from records")) == 7 + 3


def test_what_lies_neither_in_the_accepted_history_nor_in_what_is_set_aside_is_lost(home):
    _, own, _ = forked(home, upto=7)
    shown = tuple(subtree_of(own)(height, n).hex() for height, n in tree.peaks(9))

    send(home, own, 10, 12, floor=9, before=shown)

    assert devices(home, NOW)[0].gaps_n == 2
    assert retention.kept(home).records_n == 7 + 3


@pytest.mark.parametrize("signed", [True, False], ids=["that was signed", "that nobody signed"])
def test_a_ledger_that_shows_no_first_record_is_unlinked_where_another_is_known(home, key, signed):
    send(home, bodies(2), 1, 2)
    if signed:
        checkpoint(home, key, bodies(2), 2)

    result = send(home, bodies(2, said="rewritten"), 2, 2, epoch="e2", floor=1, before=("00" * 32,))

    assert [fault.what for fault in result.faults] == [ledgers.UNLINKED]
    assert {e["epoch"]: (e["standing"], e["first"]) for e in standing(home, "lamp").epochs} == {
        "e1": ("first", 1),
        "e2": (ledgers.UNLINKED, 2),
    }


def test_what_shows_a_fork_is_not_put_on_top_of_what_is_here(home, key):
    texts = bodies(300)
    send(home, texts, 1, 300)
    went_on = texts[:250] + bodies(320, said="another night")[250:]
    checkpoint(home, key, went_on, 320)

    results = [send(home, went_on, 301, 310), send(home, went_on, 311, 320), send(home, texts, 290, 300)]

    assert [one.upto for one in results] == [310, 310, 310]  # nothing could be seen before the signed size was reached
    assert [one.is_silent for one in results] == [False, True, True]
    assert [fault.what for one in results for fault in one.faults] == [ledgers.FORKED] * 2
    assert len(home.db.rows("select seq from records")) == 310
    assert standings(home) == [-1]


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
    checkpoint(home, key, bodies(300, said="other"), 290)

    lines = "\n".join(views.ledger_lines(standing(home, "lamp")))

    assert "1 CONTRADICT them" in lines
    assert "! forked" in lines
    assert devices(home, NOW)[0].faults == ("forked",)


def test_what_a_device_calls_its_epoch_cannot_steer_a_terminal(home):
    send(home, bodies(3), 1, 3, epoch="e\x1b[2Jx")

    said = CliRunner().invoke(cli.group, ["fleet", "ledger", "lamp", "--fleet-home", str(home.path)])

    assert said.exit_code == 0
    assert "\x1b" not in said.output
    assert "\\x1b" in said.output


def test_an_emergency_stop_is_not_called_locked(home):
    ingest.store_state(home, state_of("e1", state="locked"), NOW)

    assert "stopped" in "\n".join(views.device_table(devices(home, NOW)))


def test_exported_records_have_their_leaf_as_text(home):
    texts = bodies(2)
    send(home, texts, 1, 2)

    exported = [json.loads(json.dumps(r)) for r in views.records(home, device="lamp", stream="audit")]

    assert [r["leaf"] for r in exported] == [tree.leaf_hash(text.encode()).hex() for text in texts]
