"""The verifier finds every kind of tampering, on real files, and names the first bad record."""

import json
import shutil
import threading

import pytest

from appliance.contracts.pruning import Pruned, over_roots
from appliance.errors import StorageError, TrustError
from appliance.ledger import proofs, segments, snapshot
from appliance.ledger.verdict import Given
from appliance.ledger.verify import verify
from appliance.storage import audit, checkpoints, database, past, tree
from appliance.trust import keys, notes, rotation
from appliance.trust.notes import Checkpoint

from .conftest import BEGAN, Device

INSERTED = """
    update audit set seq = -seq where seq > 400;
    update audit set seq = 1 - seq where seq < 0;
    insert into audit select 401, kind, request_id, at, leaf, body, personal from audit where seq = 10
"""
DELETED_AND_NUMBERED_ANEW = """
    delete from audit where seq = 300;
    update audit set seq = -seq where seq > 300;
    update audit set seq = -seq - 1 where seq < 0
"""
ADDED_WORDS = """
    update audit set personal = json_set(personal, '$.more', json('{"salt":"a","value":1}')) where seq = 4
"""
ANOTHER_EPOCH = """
    update meta set value = 'e2' where key = 'epoch';
    update checkpoints set epoch = 'e2';
    update tree set epoch = 'e2'
"""


def changed(body):
    return body | {"facts": {"n": -1}}


def stranger(tmp_path):
    return keys.load_or_make(tmp_path / "stranger.key")


def test_an_untouched_ledger_is_consistent_and_says_what_that_does_not_prove(device):
    found = device.look()

    assert (found.state, found.rows_n, found.size, found.bad_seq) == ("consistent-unanchored", 700, 700, None)
    assert (found.root, found.origin) == (audit.head(device.db.connection)[1], device.origin)
    assert "does not prove" in found.reason


def test_with_the_key_alone_it_says_up_to_where_the_device_signed_and_what_is_left_open(device):
    device.write(5)

    found = device.look(key=device.key.public)

    assert (found.state, found.signed_size) == ("consistent-unanchored", 700)
    assert "later ones were not cut off" in found.reason
    assert "701 to 705 are younger" in found.reason


def test_with_a_checkpoint_it_is_anchored_also_after_it_has_grown(device):
    signed = device.notes[300]
    device.write(1)

    found = device.look_with(signed)

    assert (found.state, found.signed_size, found.reason.startswith("Records 701 to 701 are younger")) == (
        "anchored",
        700,
        True,
    )


def test_every_checkpoint_ever_given_out_anchors_it(device):
    assert {device.look_with(note).state for note in device.notes.values()} == {"anchored"}


@pytest.mark.parametrize(
    ("sql", "bad"),
    [
        ("update audit set body = replace(body, '\"n\":307', '\"n\":308') where seq = 307", 307),
        ("update audit set body = replace(body, '2026', '2027') where seq = 1", 1),
        ("delete from audit where seq = 5", 5),
        ("delete from audit where seq between 250 and 270", 250),
        ("delete from audit where seq between 257 and 512", 257),
        ("delete from audit where seq = 1", 1),
        ("update audit set seq = 900 where seq = 9", 9),
        ("update audit set kind = 'boot' where seq = 3", 3),
        ("update audit set request_id = 'other' where seq = 600", 600),
        ("update audit set request_id = null where seq = 600", 600),
        ("update audit set at = '2026-11-22T12:00:09+00:00' where seq = 8", 8),
        ("update audit set at = 'then' where seq = 8", 8),
        ("update audit set leaf = randomblob(32) where seq = 11", 11),
        ("update audit set leaf = 'no hash' where seq = 11", 11),
        ("update audit set personal = replace(personal, 'words 512', 'other 512') where seq = 512", 512),
        (ADDED_WORDS, 4),
        ("update audit set personal = 'words' where seq = 4", 4),
        ("update audit set personal = '[]' where seq = 4", 4),
        ("update audit set body = body || ' ' where seq = 2", 2),
        ("update audit set body = 'not json' where seq = 12", 12),
        ("update audit set body = x'ff00ff' where seq = 12", 12),
        ("update audit set body = '[1]' where seq = 12", 12),
        ("update audit set seq = -seq where seq in (14, 15); update audit set seq = 29 + seq where seq < 0", 14),
        (INSERTED, 401),
        (DELETED_AND_NUMBERED_ANEW, 300),
        ("insert into audit select 0, kind, request_id, at, leaf, body, personal from audit where seq = 10", 1),
        ("insert into audit select 701, kind, request_id, at, leaf, body, personal from audit where seq = 10", 701),
    ],
)  # fmt: skip
def test_tampering_by_hand_is_found_at_its_first_record_without_any_key(device, sql, bad):
    device.tamper(sql)

    found = device.look()

    assert (found.state, found.bad_seq, found.bad_upto) == ("broken", bad, bad), found.reason
    assert found.reason


def test_an_edit_that_also_exchanges_the_leaf_is_found_by_the_root_of_its_segment(device):
    device.rewrite(307, changed, leaf=True)

    # Of the checkpoints between 257 and 512 the file keeps the last; the one over 300 was kept elsewhere, and holds.
    assert (device.look().bad_seq, device.look().bad_upto) == (257, 512)
    found = device.look_with(device.notes[300])
    assert (found.state, found.bad_seq, found.bad_upto) == ("broken", 301, 512)


def test_an_edit_that_also_exchanges_leaf_and_roots_is_found_between_two_checkpoints(device):
    device.rewrite(560, changed, leaf=True, roots=True)

    found = device.look(key=device.key.public)

    assert (found.state, found.bad_seq, found.bad_upto) == ("broken", 513, 700)
    assert "the device signed another history" in found.reason


def test_an_edit_under_no_checkpoint_of_the_file_is_found_with_the_one_kept_elsewhere(device):
    device.rewrite(560, changed, leaf=True, roots=True)
    device.tamper("delete from checkpoints")

    assert device.look(key=device.key.public).state == "consistent-unanchored"
    found = device.look_with(device.notes[600])
    assert (found.state, found.bad_seq, found.bad_upto) == ("broken", 1, 600)


def test_a_root_that_was_exchanged_is_found(device):
    device.tamper("update tree set hash = randomblob(32) where n = 1")

    found = device.look()

    assert (found.state, found.bad_seq, found.bad_upto) == ("broken", 257, 512)
    assert "the root was exchanged" in found.reason


def test_erasing_what_people_said_leaves_the_ledger_whole(device):
    device.tamper(
        "update audit set personal = null where seq % 2; update audit set personal = json_remove(personal, '$.text')"
    )

    assert device.look_with(device.notes[700]).state == "anchored"


def test_a_cut_end_is_found_by_the_checkpoints_that_were_forgotten(device):
    device.tamper("delete from audit where seq > 650")

    found = device.look()

    assert (found.state, found.bad_seq) == ("broken", 651)


def test_a_cut_end_is_found_by_the_roots_that_were_forgotten(device):
    device.tamper("delete from audit where seq > 500; delete from checkpoints")

    found = device.look()

    assert (found.state, found.bad_seq) == ("broken", 501)


def test_a_cut_that_forgets_nothing_is_found_only_with_a_checkpoint_kept_elsewhere(device):
    device.tamper(
        "delete from audit where seq > 500; delete from checkpoints where size > 500; delete from tree where n > 0"
    )

    assert device.look().state == "consistent-unanchored"
    assert device.look(key=device.key.public).signed_size == 256
    found = device.look_with(device.notes[700])
    assert (found.state, found.bad_seq) == ("broken", 501)
    assert "the end is missing" in found.reason


def test_an_emptied_ledger_is_found_with_a_checkpoint(device):
    device.tamper("delete from audit; delete from checkpoints; delete from tree")

    assert device.look().size == 0
    assert (device.look_with(device.notes[100]).state, device.look_with(device.notes[100]).bad_seq) == ("broken", 1)


def rewritten_from_the_first(device, key):
    """Write the whole ledger anew, roots and checkpoints too, signed by *key*."""
    for seq in range(2, 701):
        device.rewrite(seq, changed, leaf=True)
    device.regrow()
    for row in device.db.rows("select size from checkpoints"):
        size = row["size"]
        text = str(Checkpoint(device.origin, size, tree.root(device.db.connection, size)))
        note = str(notes.sign(text, device.origin, key))
        device.db.execute("update checkpoints set note = ? where size = ?", (note, size))


def test_a_ledger_written_anew_and_signed_by_another_key_is_found_with_the_key(device, tmp_path):
    rewritten_from_the_first(device, stranger(tmp_path))

    assert device.look().state == "consistent-unanchored"
    found = device.look(key=device.key.public)
    assert (found.state, found.bad_seq) == ("broken", 1)
    assert "not by the device's key" in found.reason


def test_a_ledger_written_anew_by_whoever_has_the_key_is_found_with_a_checkpoint_kept_elsewhere(device):
    rewritten_from_the_first(device, device.key)

    assert device.look(key=device.key.public).state == "consistent-unanchored"
    found = device.look_with(device.notes[300])
    assert (found.state, found.bad_seq) == ("broken", 257)


def test_an_old_copy_that_was_put_back_is_found(device, tmp_path):
    old = device.copy(tmp_path / "old")
    device.write(80)
    newer = device.sign()

    found = old.look_with(newer)

    assert (found.state, found.bad_seq) == ("broken", 701)
    old.db.close()


def test_two_continuations_of_one_ledger_do_not_both_fit_a_checkpoint(device, tmp_path):
    fork = device.copy(tmp_path / "fork")
    device.write(50)
    fork.write(50, facts=lambda seq: {"n": seq, "other": True})
    mine, theirs = device.sign(), fork.sign()

    assert (device.look_with(mine).state, fork.look_with(theirs).state) == ("anchored", "anchored")
    for found in (device.look_with(theirs), fork.look_with(mine)):
        assert (found.state, found.bad_seq, found.bad_upto) == ("broken", 513, 750)
    fork.db.close()


def test_a_checkpoint_of_another_epoch_is_not_of_this_ledger(device, tmp_path):
    shutil.copytree(device.path.parent / "keys", tmp_path / "other" / "keys")
    other = Device(tmp_path / "other", "e2")
    other.begin()
    other.write(800)

    found = device.look_with(other.sign())

    assert found.state == "broken"
    assert "another ledger" in found.reason
    other.db.close()


def test_a_database_that_claims_another_epoch_is_found(device):
    device.tamper(ANOTHER_EPOCH)

    found = device.look()

    assert (found.state, found.bad_seq) == ("broken", 1)
    assert "begins epoch e1" in found.reason


def test_a_checkpoint_by_another_key_is_refused(device, tmp_path):
    forged = device.sign(by=stranger(tmp_path), keep=False)

    with pytest.raises(TrustError, match="not signed by that key"):
        device.look_with(forged)


def test_a_forged_checkpoint_in_the_file_is_found_with_the_key(device, tmp_path):
    device.write(1)
    device.sign(by=stranger(tmp_path))

    found = device.look(key=device.key.public)

    assert (found.state, "701 records is not by the device's key" in found.reason) == ("broken", True)


@pytest.mark.parametrize(
    "note",
    ["", "nonsense", "edge-agent-appliance/barn/e1\n700\nAAAA\n\n\u2014 x AAAAAAAA\n"],
    ids=["empty", "text", "short root"],
)
def test_a_checkpoint_in_the_file_that_is_none_is_found(device, note):
    device.db.execute("update checkpoints set note = ? where size = 700", (note,))

    assert device.look().state == "broken"


def test_a_checkpoint_kept_under_another_size_is_found(device):
    device.tamper("update checkpoints set size = 699 where size = 700")

    assert "kept for 699 records is one for 700" in device.look().reason


def prune(device, *segments):
    """Take segments away as the retention does."""
    roots = [device.db.row("select hash from tree where level = 1 and n = ?", (n,))["hash"] for n in segments]
    runs = tuple((n, n) for n in segments)
    said = Pruned(why="age", by="device", records_n=256, segments=runs, roots=over_roots(roots))
    device.write(1, kind="pruned", facts=lambda _: said.model_dump(mode="json"))
    for n in segments:
        device.tamper(f"delete from audit where seq > {n * 256} and seq <= {n * 256 + 256}")


def test_pruned_records_leave_the_rest_provable(device):
    prune(device, 1)
    device.sign()

    found = device.look_with(device.notes[600])

    assert (found.state, found.rows_n, found.size, found.pruned) == ("anchored", 445, 701, ((257, 512),))


def test_an_edit_beside_pruned_records_is_still_found(device):
    prune(device, 1)
    device.sign()
    device.rewrite(20, changed, leaf=True, roots=False)

    assert device.look().bad_seq == 1
    assert device.look().state == "broken"


def test_a_checkpoint_that_ends_among_pruned_records_anchors_nothing_and_says_so(device):
    prune(device, 1)
    device.sign()

    found = device.look_with(device.notes[300])

    assert (found.state, found.unheld, found.bad_seq) == ("consistent-unanchored", 300, None)
    assert "ends inside records 257 to 512, which were pruned" in found.reason
    assert "neither borne out nor contradicted" in found.reason
    assert "One over 512 records, or a later one, holds." in found.reason
    assert device.look_with(device.notes[512]).state == "anchored"


def test_a_checkpoint_inside_a_pruned_segment_is_tied_to_a_later_one_by_a_proof_made_before(device):
    joined = proofs.between(device.db.connection, device.notes[300])
    prune(device, 1)
    device.sign()

    newer = proofs.check_between(joined, device.notes[300], device.key.public)

    assert newer.size == 700
    assert device.look_with(joined.note).state == "anchored"
    with pytest.raises(StorageError, match="only one over 512 records or a later one"):
        proofs.between(device.db.connection, device.notes[300])


def test_a_checkpoint_after_records_that_were_lost_is_neither_borne_out_nor_contradicted(device):
    key, checkpoint = device.key.public, device.notes[600]
    salvaged(device, {*range(1, 301), *range(530, 651)}, {"saved": 421, "last": 650, "missing": [[301, 529]]})

    found = verify(device.path, Given(key, checkpoint), epoch="e1")

    assert (found.state, found.unheld) == ("consistent-unanchored", 600)
    assert "lost with a damaged file: it is neither borne out" in found.reason


def test_pruning_that_nobody_signed_is_deletion(device, monkeypatch):
    monkeypatch.setattr(snapshot, "SIGNED_WITHIN_S", 0.1)
    prune(device, 0)

    found = device.look(key=device.key.public)

    assert (found.state, found.bad_seq) == ("broken", 1)
    assert "is not signed" in found.reason


def test_pruning_whose_checkpoint_comes_a_moment_later_is_waited_for(device):
    prune(device, 1)
    signing = threading.Timer(0.3, device.sign)
    signing.start()

    found = device.look(key=device.key.public)

    signing.join()
    assert (found.state, found.signed_size, found.pruned) == ("consistent-unanchored", 701, ((257, 512),))


def prune_and_sign(device):
    prune(device, 2)
    device.sign()


def redact(device):
    device.tamper("update audit set personal = null where seq % 2; update audit set personal = '{}' where seq % 3 = 0")


def end_the_epoch(device):
    past.end_epoch(device.db, BEGAN, past.Cited("restored", None))
    device.epoch = "e2"
    device.write(600)


@pytest.mark.parametrize(
    "meanwhile",
    [
        lambda device: device.write(400),
        lambda device: prune(device, 2),
        prune_and_sign,
        lambda device: prune(device, 0, 1, 2, 3, 4),
        redact,
        end_the_epoch,
    ],
    ids=["append", "prune", "prune and sign", "prune everything", "redact", "end the epoch"],
)
def test_what_a_daemon_does_during_a_look_is_no_fault(device, meanwhile):
    device.write(700)
    signed = device.sign()
    left = [meanwhile]

    def told(_rows_n):
        if left:
            left.pop()(device)

    found = verify(device.path, Given(device.key.public, signed), progress=told)

    assert (found.state, found.rows_n, found.size, found.pruned) == ("anchored", 1400, 1400, ()), found.reason


def test_what_somebody_takes_before_a_look_is_missing_however_busy_the_daemon_is(device):
    device.write(700)
    signed = device.sign()
    device.tamper("delete from audit where seq between 1025 and 1280")

    found = verify(
        device.path, Given(device.key.public, signed), progress=lambda _rows_n: device.write(1) or device.sign()
    )

    assert (found.state, found.bad_seq) == ("broken", 1025)


def test_a_pruned_root_that_was_exchanged_is_found(device):
    prune(device, 1)
    device.sign()
    device.tamper("update tree set hash = randomblob(32) where n = 1")

    assert device.look().state == "broken"


def test_more_missing_than_was_pruned_is_deletion(device):
    prune(device, 1)
    device.sign()
    device.tamper("delete from audit where seq <= 256")

    found = device.look()

    assert (found.state, found.bad_seq) == ("broken", 1)


def test_a_change_of_the_key_is_followed_from_either_side(device, tmp_path):
    old, new = device.key, stranger(tmp_path)
    said = rotation.stated(old, new, device="barn", n=1, at=BEGAN)
    device.write(1, kind="key_rotated", facts=lambda _: {"rotation": said.model_dump(mode="json")})
    device.key = new
    device.write(9)
    newest = device.sign()

    assert device.look_with(newest, old.public).state == "anchored"
    assert device.look_with(newest, new.public).state == "anchored"
    assert device.look(key=old.public).signed_size == 710


def test_a_change_of_the_key_that_the_old_one_did_not_sign_is_not_followed(device, tmp_path):
    said = rotation.stated(stranger(tmp_path), stranger(tmp_path), device="barn", n=1, at=BEGAN)
    forged = said.statement.model_copy(update={"old_key": device.key.public.raw.hex()})
    facts = {"rotation": said.model_copy(update={"statement": forged}).model_dump(mode="json")}
    device.write(1, kind="key_rotated", facts=lambda _: facts)
    newest = device.sign(by=stranger(tmp_path))

    with pytest.raises(TrustError):
        device.look_with(newest)
    assert "not signed by" in device.look(key=device.key.public).reason


def test_a_ledger_from_before_there_was_a_tree_verifies(device):
    bodies = json.loads(device.db.row("select body from audit where seq = 3")["body"])

    device.rewrite(3, lambda body: body | {"format": 1}, leaf=True)
    device.tamper("delete from checkpoints")
    device.regrow()

    assert bodies["format"] == 2
    assert device.look().state == "consistent-unanchored"


def test_an_epoch_that_nobody_has_is_said(device):
    with pytest.raises(StorageError, match="no records of an epoch 'e9'"):
        verify(device.path, epoch="e9")


def test_a_file_that_is_no_database_is_said(tmp_path):
    (tmp_path / "x.db").write_text("no database")

    with pytest.raises(StorageError):
        verify(tmp_path / "x.db")


def test_many_records_are_checked_in_processes_with_the_same_result(device):
    device.rewrite(307, changed)
    table = segments.Table(device.path, "e1", is_current=True)

    assert list(segments.summaries(table, 700, [100, 300, 700], parallel_from_n=0)) == list(
        segments.summaries(table, 700, [100, 300, 700])
    )


def test_progress_tells_of_every_record(device):
    seen = []

    verify(device.path, progress=seen.append)

    assert sum(seen) == 700


def test_what_the_device_remembers_finds_a_careless_cut_and_proves_nothing(device):
    remembered = Checkpoint(device.origin, 700, tree.root(device.db.connection, 700))
    assert device.look(remembered=remembered).state == "consistent-unanchored"

    device.tamper("delete from audit where seq > 690; delete from checkpoints where size > 690")

    assert device.look(remembered=remembered).bad_seq == 691


def test_an_empty_database_is_an_empty_ledger(tmp_path):
    database.open_database(tmp_path / "a.db", epoch="e1").db.close()

    found = verify(tmp_path / "a.db")

    assert (found.state, found.size) == ("consistent-unanchored", 0)


def salvaged(device, kept, facts=None):
    """Make *device*'s ledger an earlier epoch of a new one, with only the records numbered *kept*."""
    records = [row for row in audit.rows(device.db.connection) if row.seq in kept]
    with device.db.reading() as connection:
        roots = [tuple(row) for row in connection.execute("select level, n, hash from tree")]
        signed = [(one.size, one.at, one.note) for one in checkpoints.history(connection)]
    device.db.close()
    device.path.unlink()
    device.db = database.open_database(device.path, epoch="e2").db
    device.epoch = "e2"
    past.take_over(device.db, "e1", records, roots=roots, checkpoints=signed)
    device.origin = "edge-agent-appliance/barn/e2"
    device.begin()
    if facts is not None:
        device.write(1, kind="salvaged", facts=lambda _: {"epoch": "e1", "records": facts})
    device.sign()


def test_a_salvaged_epoch_verifies_as_far_as_it_is_there(device):
    key, checkpoint = device.key.public, device.notes[512]
    salvaged(device, {*range(1, 301), *range(400, 651)}, {"saved": 551, "last": 650, "missing": [[301, 399]]})

    found = verify(device.path, Given(key, checkpoint), epoch="e1")

    # The root over 257 to 512 was saved, so the checkpoint over 512 still holds; it says nothing of single records.
    assert (found.state, found.rows_n, found.lost) == ("consistent-unanchored", 551, ((301, 399),))
    assert (found.anchored_upto, found.unverifiable) == (512, ((257, 300), (400, 512)))
    assert "lost with a damaged file" in found.reason


def test_an_edit_in_a_salvaged_epoch_is_found(device):
    salvaged(device, {*range(1, 301), *range(400, 651)}, {"saved": 551, "last": 650, "missing": [[301, 399]]})
    device.tamper("update past set body = replace(body, '\"n\":450', '\"n\":451') where seq = 450")

    found = verify(device.path, epoch="e1")

    assert (found.state, found.bad_seq) == ("broken", 450)


def test_what_is_missing_of_an_earlier_epoch_and_was_not_said_to_be_lost_was_deleted(device):
    salvaged(device, {*range(1, 301), *range(400, 701)}, {"saved": 601, "last": 700, "missing": [[301, 350]]})

    found = verify(device.path, epoch="e1")

    assert (found.state, found.bad_seq) == ("broken", 301)


def test_an_earlier_epoch_that_is_whole_is_anchored(device):
    key, checkpoint = device.key.public, device.notes[700]
    past.end_epoch(device.db, BEGAN, past.Cited("restored", None))
    device.begin()

    found = verify(device.path, Given(key, checkpoint), epoch="e1")

    assert (found.state, found.size) == ("anchored", 700)
    assert device.look().size == 1


def test_an_earlier_epoch_that_ends_before_what_the_next_one_cites_was_cut(device):
    cited = {"epoch": "e1", "size": 700, "checkpoint": str(device.notes[700])}
    device.tamper("delete from audit where seq > 600; delete from checkpoints where size > 600")
    past.end_epoch(device.db, BEGAN, past.Cited("rolled_back", None))
    device.write(1, kind="epoch", facts=lambda _: {"epoch": "e2", "predecessor": cited})

    found = verify(device.path, epoch="e1")

    assert (found.state, found.bad_seq) == ("broken", 601)
