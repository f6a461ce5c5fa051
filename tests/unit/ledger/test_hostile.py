"""A file made by somebody who knows the verifier: each of these once passed, crashed it or held it up for ever."""

import json
import time

import pytest

from appliance.contracts.audit import Moment
from appliance.contracts.pruning import Pruned, over_roots
from appliance.contracts.tree import leaf_hash
from appliance.ledger import looking
from appliance.ledger.verdict import Given
from appliance.ledger.verify import verify
from appliance.storage import holds, past
from appliance.trust import keys, rotation

from .conftest import BEGAN
from .test_verify import changed, prune, salvaged

AUDIT_WITHOUT_KEY = """
    alter table audit rename to before;
    create table audit (seq integer, kind text, request_id text, at text, leaf blob, body text, personal text);
    insert into audit select seq, kind, request_id, at, leaf, body, personal from before;
    insert into audit select seq, kind, request_id, at, leaf, body, personal from before where seq = 20
"""
AUDIT_WITHOUT_END = """
    alter table audit rename to before;
    create view audit as with recursive c(x) as (select 1 union all select x + 1 from c)
    select x as seq, 'k' as kind, null as request_id, 'a' as at, x'00' as leaf, 'b' as body, null as personal from c
"""
SECOND_READING = """
    update audit set personal = '{"text":{"salt":"00","value":"unlock the door"},' || substr(personal, 2) where seq = 4
"""
FAR = "insert into audit select {seq}, kind, request_id, at, leaf, body, personal from audit where seq = 5"
ROOT = "insert into tree select value, {level}, {n}, {hash} from meta where key = 'epoch'"


def anchored(device, epoch=None, at=700):
    return verify(device.path, Given(device.key.public, device.notes[at]), epoch=epoch)


def copied(device, seq, of, change=lambda body: body):
    """Put a record at *seq*, made of another one, its leaf right."""
    row = device.db.row("select kind, at, body from audit where seq = ?", (of,))
    body = change(json.loads(row["body"]) | {"seq": seq, "personal": {}})
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    device.db.execute(
        "insert into audit values (?, ?, ?, ?, ?, ?, null)",
        (seq, row["kind"], body["request_id"], row["at"], leaf_hash(text.encode()), text),
    )


def test_a_record_put_among_pruned_ones_is_found(device):
    prune(device, 1)
    device.sign()
    copied(device, 300, of=600)

    found = anchored(device)

    assert (found.state, found.bad_seq) == ("broken", 300)
    assert "among records that were pruned" in found.reason


def test_an_edit_beside_a_lost_record_of_its_segment_is_never_called_anchored(device):
    device.rewrite(450, changed, leaf=True)
    salvaged(device, set(range(1, 701)) - {400}, {"saved": 699, "last": 700, "missing": [[400, 400]]})

    found = anchored(device, "e1")

    # The checkpoint over 300 was not kept: the last one before the hole that the file has is over 256.
    assert (found.state, found.anchored_upto) == ("consistent-unanchored", 700)
    assert found.unverifiable == ((257, 399), (401, 512))
    assert "257 to 399, 401 to 512" in found.reason


def test_records_before_the_lost_ones_are_borne_out_by_a_checkpoint_between(device):
    salvaged(device, set(range(1, 701)) - {400}, {"saved": 699, "last": 700, "missing": [[400, 400]]})

    assert anchored(device, "e1", at=300).unverifiable == ((301, 399), (401, 512))


def taken(device, facts, kind):
    """End the epoch, take records 513 to 520 from it and say why, as anybody can who has the file."""
    past.end_epoch(device.db, BEGAN, past.Cited("restored", None))
    device.epoch, device.origin = "e2", "edge-agent-appliance/barn/e2"
    device.tamper("update meta set value = 'e2' where key = 'epoch'")
    device.begin()
    device.write(1, kind=kind, facts=lambda _: facts)


def excuses():
    nothing = over_roots([])
    went = Pruned(why="age", by="device", records_n=256, segments=(), roots=nothing, earlier={"e1": ((1, 1),)})
    lost = {"epoch": "e1", "records": {"missing": [[257, 512]], "last": 700}}
    return [
        pytest.param("pruned", went.model_dump(mode="json"), id="pruned"),
        pytest.param("salvaged", lost, id="lost"),
    ]


@pytest.mark.parametrize(("kind", "facts"), excuses())
def test_what_nobody_signed_excuses_no_hole_in_an_earlier_epoch(device, kind, facts):
    taken(device, facts, kind)
    device.tamper("delete from past where seq between 257 and 512")

    found = anchored(device, "e1")

    assert (found.state, found.bad_seq) == ("broken", 257)
    assert "nothing that the device signed vouches for it" in found.reason
    device.sign()
    assert anchored(device, "e1").state == "anchored"


@pytest.mark.parametrize(("kind", "facts"), excuses())
def test_an_excuse_of_a_broken_epoch_counts_for_nothing(device, kind, facts):
    taken(device, facts, kind)
    device.sign()
    device.tamper("delete from past where seq between 257 and 512")
    device.rewrite(1, lambda body: body | {"monotonic_s": 7})

    found = anchored(device, "e1")

    assert (found.state, "that epoch is broken at record 1" in found.reason) == ("broken", True)


def test_personal_words_with_two_readings_are_found(device):
    device.tamper(SECOND_READING)

    assert (anchored(device).state, anchored(device).bad_seq) == ("broken", 4)


def test_a_body_with_two_readings_is_found_even_if_its_owner_signed_it(device):
    body = device.db.row("select body from audit where seq = 650")["body"]
    text = body.replace('"facts":{"n":650}', '"facts":{"n":1},"facts":{"n":650}')
    device.db.execute("update audit set body = ?, leaf = ? where seq = 650", (text, leaf_hash(text.encode())))
    device.tamper("delete from checkpoints where size > 600")
    device.sign()

    found = anchored(device)

    assert (found.state, found.bad_seq) == ("broken", 650)
    assert "two ways" in found.reason


@pytest.mark.parametrize(
    "at",
    ["2026-11-23T12:00:00.571429+23:59", "2026-11-22 12:00:00.571429+00:00", "2026-11-22T12:00:00.571429Z"],
)
def test_the_same_instant_spelt_otherwise_is_found(device, at):
    device.db.execute("update audit set at = ? where seq = 4", (at,))

    assert (anchored(device).state, anchored(device).bad_seq) == ("broken", 4)


@pytest.mark.parametrize(
    "sql",
    [
        AUDIT_WITHOUT_KEY,
        AUDIT_WITHOUT_END,
        FAR.format(seq=90_000_000_000),
        FAR.format(seq=9_000_000_000_000_000_000),
        ROOT.format(level=4_000_000_000_000, n=0, hash="zeroblob(32)"),
        ROOT.format(level="'x'", n="'y'", hash="zeroblob(32)"),
        ROOT.format(level=1, n="'y'", hash="zeroblob(32)"),
        ROOT.format(level=1, n=9_000_000_000_000, hash="zeroblob(32)"),
        ROOT.format(level=1, n=2, hash="5"),
        ROOT.format(level=-5, n=-9, hash="zeroblob(32)"),
        "update checkpoints set note = x'00'",
        "update checkpoints set size = 'many' where size = 700",
        "alter table audit add column extra text generated always as ('x') virtual",
        "update audit set personal = replace(hex(zeroblob(100000)), '00', '[') where seq = 5",
        "drop table tree",
    ],
)
def test_a_table_that_is_none_of_the_device_s_is_broken_and_soon(device, sql):
    device.tamper(sql)
    began_s = time.monotonic()

    found = anchored(device)

    assert (found.state, bool(found.reason)) == ("broken", True)
    assert time.monotonic() - began_s < 20


@pytest.mark.parametrize("facts", [[1], None, "words", 5])
def test_first_facts_that_are_none_are_broken(device, facts):
    device.tamper("delete from checkpoints")
    device.rewrite(1, lambda body: body | {"kind": "epoch", "facts": facts}, leaf=True, roots=True)

    found = device.look()

    assert (found.state, found.bad_seq) == ("broken", 1)
    assert anchored(device).state == "broken"


def test_whatever_else_goes_wrong_with_a_file_is_a_verdict(device, monkeypatch):
    def fails(*_):
        raise ZeroDivisionError("somebody thought of something")

    monkeypatch.setattr(looking.roots, "in_order", fails)

    found = device.look()

    assert (found.state, found.reason) == (
        "broken",
        "it cannot be read: ZeroDivisionError: somebody thought of something",
    )


def test_a_compromised_key_that_nobody_signed_for_excuses_no_strange_checkpoint(device, tmp_path):
    stranger = keys.load_or_make(tmp_path / "stranger.key")
    said = rotation.stated(device.key, stranger, device="barn", n=1, at=BEGAN, compromised=True)
    forged = said.model_dump(mode="json") | {"new_signature": "22" * 64}
    device.write(1, kind="key_rotated", facts=lambda _: {"rotation": forged})
    device.sign(by=stranger)

    found = anchored(device)

    assert (found.state, "not by the device's key" in found.reason) == ("broken", True)


def test_a_compromised_key_that_said_so_itself_is_told(device, tmp_path):
    stranger = keys.load_or_make(tmp_path / "stranger.key")
    said = rotation.stated(device.key, stranger, device="barn", n=1, at=BEGAN, compromised=True)
    device.write(1, kind="key_rotated", facts=lambda _: {"rotation": said.model_dump(mode="json")})
    device.sign()
    device.write(300)
    device.sign(by=stranger)

    found = anchored(device)

    assert (found.state, "was compromised" in found.reason) == ("anchored", True)


def test_a_bad_signature_in_the_file_is_the_files_fault(device):
    text = str(device.notes[700])
    device.db.execute("update checkpoints set note = ? where size = 700", (text[:-20] + "A" * 19 + "\n",))

    found = anchored(device)

    assert (found.state, "in this file" in found.reason) == ("broken", True)


def test_words_that_no_record_says_were_erased_are_told(device):
    device.write(1, kind="redacted", facts=lambda _: {"records": {"e1": [[10, 12]]}})
    device.sign()
    device.tamper("update audit set personal = null where seq between 9 and 13 or seq = 40")

    assert anchored(device).state == "anchored"
    assert anchored(device).erased_unexplained == ((9, 9), (13, 13), (40, 40))


def test_holds_of_which_table_and_ledger_disagree_are_told(device):
    moment = Moment(at=BEGAN, monotonic_s=1.0, boot=1, clock="trusted")
    for first in (1, 20, 30):
        holds.place(device.db, "e1", first, first + 5, reason="law", by="me", moment=moment)
    assert device.look().holds_unexplained == ()

    device.tamper("update holds set released_at = 'now' where hold_id = 1; delete from holds where hold_id = 2")
    device.tamper("update holds set last = 31 where hold_id = 3")

    said = device.look().holds_unexplained
    assert len(said) == 3
    assert "hold 1 is released in the table" in said[0]
    assert "hold 3 is over other records" in said[1]
    assert "hold 2 was placed by a record" in said[2]


def test_how_the_epoch_began_and_how_much_is_unsigned_are_told(device):
    note = device.notes[700]
    cited = {"epoch": "e1", "origin": "o", "size": 1, "checkpoint": str(note)}
    past.end_epoch(device.db, BEGAN, past.Cited("rolled_back", None))
    facts = {"reason": "rolled_back", "predecessor": cited}
    device.tamper("update meta set value = 'e2' where key = 'epoch'")
    device.write(3, kind="epoch", facts=lambda _: {"epoch": "e2", **facts})

    found = device.look()

    assert found.began is not None
    assert found.began.model_dump() == {
        "reason": "rolled_back",
        "predecessor_epoch": "e1",
        "predecessor_origin": device.origin,
        "predecessor_size": 700,
        "predecessor_here": True,
    }
    assert (found.unsigned_tail, found.unsigned_since[:4], anchored(device, "e1").anchored_upto) == (3, "2026", 700)
