"""The device signs what is durable, in order, and nothing that contradicts what it signed before."""

import itertools
import json
import sqlite3
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

from appliance.agent import checkpointing, epochs
from appliance.agent.checkpointing import Checkpointer
from appliance.contracts import tree as maths
from appliance.contracts.audit import AuditRecord, Moment
from appliance.contracts.home import Home
from appliance.errors import StorageError
from appliance.storage import audit, checkpoints, database, signed, tree
from appliance.trust import keys, notes
from appliance.trust.notes import Verifier

BEGAN = datetime(2026, 11, 22, 12, tzinfo=UTC)


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self):
        self.s = 0.0

    def now(self):
        return BEGAN + timedelta(seconds=self.s)

    def monotonic_s(self):
        return self.s

    def is_trusted(self):
        return True

    def moment(self):
        return Moment(at=self.now(), monotonic_s=self.s, boot=1, clock="trusted")


class Device:
    """A home's ledger from start to start, without the rest of the daemon."""

    def __init__(self, root):
        self.home = Home(root)
        self.clock = Clock()
        self.key = keys.load_or_make(root / keys.DEVICE_KEY)
        self.refused, self.told, self.begun = [], [], None

    def start(self, **options):
        self.db = database.open_database(self.home.database).db
        self.begun = epochs.open_epoch(
            self.db, self.home.signed, device="barn", key=self.key, boot=1, clock=self.clock, set_aside=None
        )
        self.checkpointer = Checkpointer(
            self.db,
            self.home.signed,
            self.begun.state,
            key=self.key,
            clock=self.clock,
            every_n=options.get("every_n", 256),
            every_s=options.get("every_s", 60.0),
            on_refused=self.refused.append,
            on_signed=self.told.append,
        )
        return self

    def write(self, n=1, **facts):
        with self.db.atomic():
            for _ in range(n):
                audit.append(self.db, AuditRecord(kind="note", moment=self.clock.moment(), facts=facts))

    def stop(self):
        self.checkpointer.stop()
        self.db.close()

    def end_at_once(self):
        """Power cut: nothing is signed any more."""
        self.db.close()

    @property
    def first(self):
        return json.loads(self.db.row("select body from audit where seq = 1")["body"])["facts"]

    def opened(self, note):
        read = notes.parse(note.encode())
        notes.verified(read, [Verifier(self.begun.state.origin, self.key.public)])
        return notes.parse_checkpoint(read.text)


@pytest.fixture
def device(tmp_path):
    made = Device(tmp_path)
    yield made.start()
    made.db.close()


def test_a_checkpoint_covers_what_is_durable_and_is_kept_and_told(device):
    device.write(9)

    note = device.checkpointer.sign()

    said = device.opened(note)
    with device.db.reading() as connection:
        assert (said.size, said.root) == (10, tree.root(connection, 10))
        assert checkpoints.latest(connection).note == note
    assert device.told == [note]
    assert (signed.read(device.home.signed).size, signed.read(device.home.signed).root) == (10, said.root.hex())


def test_the_same_ledger_has_the_same_checkpoint_and_is_told_once(device):
    assert device.checkpointer.sign() == device.checkpointer.sign()
    assert len(device.told) == 1


def test_every_checkpoint_extends_the_one_before(device):
    said = []
    for n in (1, 5, 300, 2, 600):
        device.write(n)
        said.append(device.opened(device.checkpointer.sign()))

    with device.db.reading() as connection:
        for old, new in itertools.pairwise(said):
            path = maths.consistency(old.size, new.size, tree.subtrees(connection))
            assert maths.is_consistent(old.size, new.size, old.root, new.root, path)


def test_of_each_run_of_256_records_the_newest_checkpoint_is_kept(device):
    for _ in range(30):
        device.write(20)
        device.checkpointer.sign()

    with device.db.reading() as connection:
        assert [kept.size for kept in checkpoints.history(connection)] == [241, 501, 601]


@pytest.mark.parametrize(
    "tampering",
    [
        "update audit set leaf = randomblob(32) where seq = 7",
        "delete from audit where seq > 8",
        "delete from audit where seq = 7",
        "insert into audit select 99, kind, request_id, at, leaf, body, personal from audit where seq = 7",
        "update meta set value = 'other' where key = 'epoch'",
    ],
    ids=["rewritten", "cut", "deleted", "inserted", "exchanged"],
)
def test_a_ledger_that_was_changed_while_the_device_runs_is_never_signed_again(device, tampering):
    device.write(9)
    before = device.checkpointer.sign()
    device.db.connection.executescript(tampering)
    device.write(3, other=True)

    assert device.checkpointer.sign() is None
    assert device.refused
    assert device.told == [before]
    assert signed.read(device.home.signed).size == 10


def test_what_is_signed_was_written_down_first(device):
    device.write(5)
    device.home.signed.unlink()
    device.home.signed.mkdir()  # for root, too, a folder is no file
    try:
        assert device.checkpointer.sign() is None
        assert device.told == []
        with device.db.reading() as connection:
            assert checkpoints.latest(connection) is None
    finally:
        device.home.signed.rmdir()

    assert device.opened(device.checkpointer.sign()).size == 6


def test_a_checkpoint_that_could_not_be_kept_is_kept_later(device):
    device.write(5)
    device.db.connection.execute(
        "create temp trigger full before insert on main.checkpoints begin select raise(abort, 'disk full'); end"
    )
    assert device.checkpointer.sign() is None
    assert signed.read(device.home.signed).size == 6  # the state may be ahead of what was given out, never behind

    device.db.connection.execute("drop trigger full")

    assert device.opened(device.checkpointer.sign()).size == 6
    assert len(device.told) == 1


def test_it_signs_by_itself_after_so_many_records_and_so_many_seconds(tmp_path):
    device = Device(tmp_path).start(every_n=10, every_s=0.2)
    device.checkpointer.start()
    device.write(12)
    wait_for(lambda: len(device.told) == 2)

    device.write(1)
    time.sleep(0.5)
    assert len(device.told) == 2  # its clock stands: no second has passed
    device.clock.s += 5
    wait_for(lambda: len(device.told) == 3)

    device.write(1)
    device.stop()
    assert device.opened(device.told[-1]).size == 15


def wait_for(condition):
    until = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_threads_that_ask_at_once_get_checkpoints_that_fit(device):
    notes_signed = []

    def ask():
        for _ in range(10):
            device.write(3)
            notes_signed.append(device.checkpointer.sign())

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    said = {}
    for note in notes_signed:
        checkpoint = device.opened(note)
        assert said.setdefault(checkpoint.size, checkpoint.root) == checkpoint.root
    assert max(said) == 121


def test_a_new_key_signs_what_the_old_one_had(device, tmp_path):
    before = device.checkpointer.sign()
    device.key = keys.load_or_make(tmp_path / "new.key")

    device.checkpointer.rekey(device.key)

    assert device.opened(device.told[-1]).root == notes.parse_checkpoint(notes.parse(before.encode()).text).root


def test_without_a_daemon_it_is_signed_under_the_same_rules(device):
    device.write(5)
    device.stop()

    note = checkpointing.sign_once(device.home, device.key, device.clock)
    assert device.opened(note).size == 6

    device.db = database.open_database(device.home.database).db
    device.db.execute("delete from audit where seq > 3")
    device.db.close()
    with pytest.raises(StorageError, match="rolled_back"):
        checkpointing.sign_once(device.home, device.key, device.clock)


def test_a_start_that_finds_what_was_signed_goes_on(device):
    device.write(5)
    device.stop()
    epoch = device.begun.state.epoch

    device.start()

    assert (device.begun.complaint, device.begun.state.epoch, device.begun.state.size) == (None, epoch, 6)


def test_a_start_with_the_key_that_a_change_of_the_key_put_in_goes_on(device, tmp_path):
    device.key = keys.load_or_make(tmp_path / "new.key")
    facts = {"key_id": device.key.key_id}
    audit.append(device.db, AuditRecord(kind="key_rotated", moment=device.clock.moment(), facts=facts))
    device.stop()
    epoch = device.begun.state.epoch

    device.start()

    assert (device.begun.complaint, device.begun.state.epoch) == (None, epoch)


def test_a_start_after_a_power_cut_goes_on_with_records_that_nobody_signed(device):
    device.checkpointer.sign()
    device.write(5)
    device.end_at_once()

    device.start()

    assert device.begun.complaint is None
    assert device.opened(device.checkpointer.sign()).size == 6


def test_the_first_record_says_who_writes_and_that_nothing_went_before(device):
    facts = device.first

    assert facts["origin"] == f"edge-agent-appliance/barn/{facts['epoch']}"
    assert notes.parse_verifier(facts["key"]).public.raw == device.key.public.raw
    assert (facts["reason"], facts["predecessor"]) == ("first", None)


def old_copy(device):
    """Put back the database as it was three records ago."""
    device.db.checkpoint()
    before = device.home.database.read_bytes()
    device.write(3)
    device.stop()
    device.home.database.write_bytes(before)


def cut_tail(device):
    device.db.execute("delete from audit where seq > 4")
    device.db.close()


def other_history(device):
    device.db.execute("update audit set leaf = randomblob(32) where seq = 4")
    device.db.close()


def other_ledger(device):
    device.db.execute("update meta set value = 'e9' where key = 'epoch'")
    device.db.close()


def emptied(device):
    device.db.execute("delete from audit")
    device.db.close()


def deleted(device):
    device.stop()
    device.home.database.unlink()


def state_gone(device):
    device.db.close()
    device.home.signed.unlink()


def state_and_checkpoints_gone(device):
    """Nobody signed anything here, the file seems to say."""
    device.stop()
    device.home.signed.unlink()
    with sqlite3.connect(device.home.database) as attacker:
        attacker.execute("delete from checkpoints")
    attacker.close()


def key_gone(device):
    device.stop()
    (device.home.root / keys.DEVICE_KEY).unlink()
    device.key = keys.load_or_make(device.home.root / keys.DEVICE_KEY)


def keys_gone(device):
    key_gone(device)
    device.home.signed.unlink()


@pytest.mark.parametrize(
    ("happening", "reason"),
    [
        (old_copy, "rolled_back"),
        (cut_tail, "rolled_back"),
        (emptied, "rolled_back"),
        (other_history, "rewritten"),
        (other_ledger, "swapped"),
        (deleted, "lost"),
        (state_gone, "state_lost"),
        (state_and_checkpoints_gone, "state_lost"),
        (key_gone, "key_lost"),
        (keys_gone, "key_lost"),
    ],
)
def test_a_database_that_does_not_go_on_from_what_was_signed_begins_a_new_epoch(device, happening, reason):
    device.write(5)
    last = device.checkpointer.sign()
    epoch, size = device.begun.state.epoch, 6
    happening(device)
    if happening is old_copy:
        last, size = device.told[-1], 9
    if happening is deleted:
        last = device.told[-1]

    device.start()

    facts = device.first
    assert facts["reason"] == reason
    assert facts["epoch"] not in {epoch, "e9"}
    assert device.begun.complaint
    if happening not in (state_gone, state_and_checkpoints_gone, keys_gone):
        cited = facts["predecessor"]
        assert (cited["epoch"], cited["size"], cited["checkpoint"]) == (epoch, size, last)
    kept = device.db.row("select count(*) as n from past")["n"]
    assert kept == {old_copy: 6, cut_tail: 4, emptied: 0, deleted: 0}.get(happening, 6)
    # From here on everything is as after any start.
    said = device.opened(device.checkpointer.sign())
    assert said.origin.endswith(facts["epoch"])
    device.write(2)
    device.stop()
    device.start()
    assert device.begun.complaint is None


def test_where_the_signed_state_cannot_be_written_the_device_starts_and_signs_nothing(device, monkeypatch):
    device.write(3)
    device.stop()
    kept = signed.write

    def refuses(path, _state):
        raise StorageError(f"{path} cannot be written: Operation not permitted")

    monkeypatch.setattr(signed, "write", refuses)
    device.start()
    device.write(1)

    assert device.begun.unwritable.startswith("nothing is signed: ")
    assert device.checkpointer.sign() is None

    monkeypatch.setattr(signed, "write", kept)
    assert device.opened(device.checkpointer.sign()).size == 5
    device.stop()


def test_a_power_cut_in_the_middle_of_a_new_epoch_loses_no_citation(device):
    """Whatever was written before the cut, the first record of the new epoch still cites what was signed."""
    device.write(5)
    device.checkpointer.sign()
    epoch = device.begun.state.epoch
    cut_tail(device)
    device.start()
    state = signed.read(device.home.signed)
    # As if the power had gone after the state of the new epoch was written, before its first record was.
    device.db.execute("insert or replace into meta values ('cited', ?)", (json.dumps(cited_of(device)),))
    device.db.execute("delete from audit")
    device.db.execute("delete from checkpoints where epoch = ?", (state.epoch,))
    device.end_at_once()

    device.start()

    assert device.begun.state.epoch == state.epoch
    assert (device.first["predecessor"]["epoch"], device.first["reason"]) == (epoch, "rolled_back")


def cited_of(device):
    facts = device.first
    return {"reason": facts["reason"], "predecessor": facts["predecessor"], "found": facts["found"]}
