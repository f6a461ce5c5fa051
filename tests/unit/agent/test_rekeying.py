"""Whenever the power fails during a rotation, the device has exactly one working key, and its ledger says which."""

import os
from datetime import UTC, datetime

import pytest

from appliance.agent import rekeying
from appliance.contracts.audit import AuditRecord, Moment
from appliance.contracts.tree import EMPTY_ROOT
from appliance.errors import TrustError
from appliance.storage import audit, checkpoints, database, signed
from appliance.storage.signed import Signed
from appliance.trust import keys, notes, rotation
from appliance.trust.notes import Verifier

NOW = datetime(2026, 11, 22, tzinfo=UTC)
MOMENT = Moment(at=NOW, monotonic_s=0.0, boot=1, clock="trusted")
STEPS = ("prepared", "decided", "cosigned", "kept", "installed")


class StandingClock:
    def now(self):
        return NOW

    def monotonic_s(self):
        return 0.0

    def is_trusted(self):
        return True

    def moment(self):
        return MOMENT


class PowerCutError(BaseException):
    pass


class Device:
    """A home with a key and a ledger; `db` is closed by a power cut."""

    def __init__(self, home):
        self.home = home
        self.first = keys.load_or_make(home / keys.DEVICE_KEY)
        self.open()
        audit.append(self.db, AuditRecord(kind="boot", moment=MOMENT))
        epoch = database.epoch(self.db)
        self.origin = f"edge-agent-appliance/lamp/{epoch}"
        state = Signed(epoch=epoch, origin=self.origin, size=0, root=EMPTY_ROOT.hex(), boot=1)
        signed.write(home / "signed.jsonl", state)

    def open(self):
        self.db = database.open_database(self.home / "appliance.db").db

    @property
    def cosign(self):
        return rekeying.cosigning(self.db, self.home / "signed.jsonl", StandingClock())

    def rotate(self, *, cut_at=None, compromised=False):
        def step(name):
            if name == cut_at:
                raise PowerCutError

        return rekeying.rotate(
            self.home,
            self.db,
            device="lamp",
            moment=MOMENT,
            peer="test",
            reason="test",
            compromised=compromised,
            cosign=self.cosign,
            step=step,
        )

    def restart(self):
        self.db.close()
        self.open()
        return rekeying.finish(self.home, self.db, self.cosign)

    def signers(self, *public):
        """Who of *public* signed the newest checkpoint."""
        note = notes.parse(checkpoints.latest(self.db.connection).note.encode())
        verifiers = [Verifier(self.origin, key) for key in public]
        return {verifier.public.key_id for verifier in notes.verified(note, verifiers)}


@pytest.fixture
def device(tmp_path):
    found = Device(tmp_path)
    yield found
    found.db.close()


def test_a_rotation_is_a_record_and_the_checkpoint_over_it_is_signed_by_both(device):
    new = device.rotate()

    assert rotation.current(device.home).key_id == new.key_id
    decided = rekeying.newest(device.db)
    assert decided.statement.new_key == new.public.raw.hex()
    assert device.signers(device.first.public, new.public) == {device.first.key_id, new.key_id}
    assert rotation.followed(device.first.public, [decided]).key_id == new.key_id


def test_after_that_checkpoint_the_new_key_signs_alone(device):
    new = device.rotate()
    audit.append(device.db, AuditRecord(kind="boot", moment=MOMENT))
    device.cosign(new)

    assert device.signers(new.public) == {new.key_id}
    with pytest.raises(TrustError):
        device.signers(device.first.public)


@pytest.mark.parametrize("cut_at", STEPS)
@pytest.mark.parametrize("restarts_n", [1, 2])
def test_a_power_cut_at_any_step_leaves_one_key_and_the_ledger_says_which(device, cut_at, restarts_n):
    with pytest.raises(PowerCutError):
        device.rotate(cut_at=cut_at)

    finished = [device.restart() for _ in range(restarts_n)]

    decided = rekeying.newest(device.db)
    present = rotation.current(device.home)
    if cut_at == "prepared":
        assert decided is None
        assert present.key_id == device.first.key_id
        assert rotation.kept(device.home) == ()
    else:
        assert present.public.raw.hex() == decided.statement.new_key
        assert rotation.kept(device.home) == (decided,)
        assert device.signers(device.first.public, present.public) == {device.first.key_id, present.key_id}
    assert finished[0] == (cut_at in ("decided", "cosigned", "kept"))
    assert not any(finished[1:])
    left = {path.name for path in (device.home / "keys").glob("device.key*")}
    assert left == {"device.key"}
    assert device.rotate().key_id == rotation.current(device.home).key_id


@pytest.mark.parametrize("cut_at", ["linked", "exchanged", "overwritten"])
def test_a_power_cut_while_the_files_are_exchanged_leaves_one_key(device, cut_at):
    with pytest.raises(PowerCutError):
        device.rotate(cut_at="kept")
    present, old, following = (device.home / p for p in (keys.DEVICE_KEY, rotation.OLD_KEY, rotation.NEXT_KEY))
    os.link(present, old)
    if cut_at in ("exchanged", "overwritten"):
        following.replace(present)
    if cut_at == "overwritten":
        old.chmod(0o600)
        old.write_bytes(b"half of noth")

    device.restart()

    assert rotation.current(device.home).public.raw.hex() == rekeying.newest(device.db).statement.new_key
    left = {path.name for path in (device.home / "keys").glob("device.key*")}
    assert left == {"device.key"}


def test_a_prepared_key_that_was_cut_while_it_was_made_is_dropped(device):
    (device.home / rotation.NEXT_KEY).write_bytes(b"-----BEGIN PRIV")

    assert device.restart() is False
    assert rotation.current(device.home).key_id == device.first.key_id
    assert not (device.home / rotation.NEXT_KEY).exists()


def test_a_compromised_key_does_not_sign_the_checkpoint_over_its_end(device):
    new = device.rotate(compromised=True)

    assert device.signers(new.public) == {new.key_id}
    with pytest.raises(TrustError):
        device.signers(device.first.public)


def test_a_rotation_that_cannot_be_recorded_changes_nothing(device):
    device.db.connection.execute("pragma query_only = on")

    with pytest.raises(Exception, match="read"):
        device.rotate()

    assert rotation.current(device.home).key_id == device.first.key_id
    device.restart()
    assert rotation.current(device.home).key_id == device.first.key_id


@pytest.mark.parametrize("damage", ["gone", "torn", "not ours"])
def test_statements_that_were_lost_are_written_anew_from_the_ledger(device, damage):
    device.rotate()
    device.rotate()
    kept = rotation.kept(device.home)
    path = device.home / rotation.ROTATIONS
    match damage:
        case "gone":
            path.unlink()
        case "torn":
            path.write_bytes(path.read_bytes()[:100])
        case _:
            path.write_text("[]x")

    device.restart()

    assert rotation.kept(device.home) == kept
    assert rotation.followed(device.first.public, kept).raw == rotation.current(device.home).public.raw


def test_a_power_cut_and_lost_statements_at_once_leave_one_key(device):
    device.rotate()
    with pytest.raises(PowerCutError):
        device.rotate(cut_at="decided")
    (device.home / rotation.ROTATIONS).unlink()

    assert device.restart() is True

    assert [r.statement.n for r in rotation.kept(device.home)] == [1, 2]
    assert rotation.current(device.home).public.raw.hex() == rekeying.newest(device.db).statement.new_key
