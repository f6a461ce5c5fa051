"""While a canary tries a bundle everything goes on; what changed meanwhile is looked at before the bundle decides."""

import shutil
import threading
from datetime import UTC, datetime, timedelta

import pytest

from appliance.agent.bundles import LOOK_S, Bundles
from appliance.contracts.audit import Moment
from appliance.contracts.bundle import Accepted, Admitted, NotAdmitted
from appliance.contracts.canary import CanaryReport, Check
from appliance.contracts.slots import Trial
from appliance.storage import database
from appliance.trust.slots import Shelf

NOW = datetime(2026, 11, 23, tzinfo=UTC)
WAIT_S = 10.0
"""A test that hangs fails after this; none of them waits so long otherwise."""


def admitted(n):
    later = NOW + timedelta(days=365)
    return Admitted(
        sha256=f"{n:064x}", name="pointer-small", version=f"0.{n}.0", release=n, expires_at=later, signers=()
    )


class Clock:
    """A clock that is set by hand."""

    monotonic = 0.0

    def now(self):
        return NOW

    def monotonic_s(self):
        return self.monotonic

    def is_trusted(self):
        return True

    def moment(self):
        return Moment(at=NOW, monotonic_s=self.monotonic, boot=1, clock="trusted")


class Admits:
    """Says of every folder what its manifest's text is the number of, unless that was revoked."""

    def __init__(self):
        self.revoked = set()
        self.ran_n = 0

    def may_activate(self, slot):
        found = admitted(int((slot / "bundle" / "manifest.json").read_text()))
        return NotAdmitted(code="revoked", reason="unlocks doors") if found.release in self.revoked else found

    def still_good(self, slot):
        found = self.may_activate(slot)
        return found.reason if isinstance(found, NotAdmitted) else None

    def why_revoked(self, _sha256):
        return None

    def accept(self, data, **_):
        self.revoked.add(int(data))
        return Accepted(kind="revocations", number=1, signers=())

    def ran(self):
        self.ran_n += 1


class Device:
    """Release 2 decides from slot a, release 3 lies in slot b, and the canary takes as long as the test wants."""

    def __init__(self, folder):
        self.db = database.open_database(folder / "appliance.db", epoch="e").db
        self.shelf = Shelf(folder / "bundles")
        self.clock, self.admits = Clock(), Admits()
        self.events, self.restarts_n, self.tried_n = [], 0, 0
        self.is_tried, self.may_end = threading.Event(), threading.Event()
        for slot, n in (("a", 2), ("b", 3)):
            self.put(slot, n)
            if slot == "a":
                self.shelf.activate("a", None)
        self.bundles = Bundles(
            self.db,
            self.shelf,
            self.admits,
            clock=self.clock,
            append=lambda _kind, facts: self.events.append(facts["event"]),
            examine=self.examine,
            shipped=folder,
            restart=self.restart,
        )
        self.bundles.decides(next(self.bundles.start("monday")))

    def put(self, slot, n):
        folder = self.shelf.clear() / "bundle"
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text(str(n))
        self.shelf.put(slot, admitted(n))

    def restart(self):
        self.restarts_n += 1

    def examine(self, _candidate, _active):
        self.tried_n += 1
        self.is_tried.set()
        assert self.may_end.wait(WAIT_S)
        return CanaryReport(sha256="0" * 64, against="", checks=(Check(name="runs", passed=True),))

    def during_a_canary(self, act):
        """Activate slot b, do *act* while the canary is under way; returns what became of the activation."""
        answers = []
        thread = threading.Thread(target=lambda: answers.append(self.bundles.activate("b", "ana")), daemon=True)
        thread.start()
        assert self.is_tried.wait(WAIT_S)
        beside = threading.Thread(target=act, daemon=True)
        beside.start()
        beside.join(WAIT_S)
        assert not beside.is_alive(), "it waited for the canary"
        self.may_end.set()
        thread.join(WAIT_S)
        return answers[0]


@pytest.fixture
def device(tmp_path):
    made = Device(tmp_path)
    yield made
    made.may_end.set()
    made.db.close()


def test_a_canary_that_nothing_came_between_activates(device):
    answer = device.during_a_canary(lambda: None)

    assert answer.ok, answer.message
    assert device.events == ["canary", "activated"]
    assert (device.shelf.read().active, device.restarts_n) == ("b", 1)


def test_a_revocation_of_what_decides_by_the_network_takes_effect_during_a_canary(device):
    seen = []

    def revoke():
        device.bundles.told(b"2", "controller")
        device.bundles.tick()  # the next one, not the next minute's
        seen.append(device.restarts_n)

    device.during_a_canary(revoke)

    assert seen == [1]


def test_a_revocation_at_the_device_takes_effect_during_a_canary(device, tmp_path):
    path, seen = tmp_path / "list", []
    path.write_text("2")

    def revoke():
        assert device.bundles.accept(path, "", "ana", replace=False).ok
        seen.append(device.restarts_n)

    device.during_a_canary(revoke)

    assert seen == [1]


def test_a_person_goes_back_during_a_canary_and_what_is_tried_does_not_decide_then(device):
    seen = []

    def roll_back():
        assert device.bundles.roll_back("bob").ok
        seen.append((device.shelf.read().active, device.restarts_n))

    answer = device.during_a_canary(roll_back)

    assert seen == [("shipped", 1)]
    assert (answer.ok, answer.error) == (False, "changed")
    assert device.shelf.read().active == "shipped"
    assert device.events[-1] == "not activated"


def test_time_is_counted_during_a_canary(device):
    def minute():
        device.clock.monotonic += LOOK_S
        device.bundles.tick()

    device.during_a_canary(minute)

    assert device.admits.ran_n == 1


def test_one_that_is_revoked_while_it_is_tried_does_not_decide(device):
    answer = device.during_a_canary(lambda: device.bundles.told(b"3", "controller"))

    assert (answer.ok, answer.error) == (False, "revoked")
    assert device.shelf.read().active == "a"


def test_what_was_tried_is_what_decides_or_nothing(device):
    def exchange():
        shutil.rmtree(device.shelf.folder("b"))
        device.put("b", 4)

    answer = device.during_a_canary(exchange)

    assert (answer.ok, answer.error) == (False, "changed")
    assert device.shelf.read().active == "a"


def test_a_trial_that_began_meanwhile_is_not_overrun(device):
    answer = device.during_a_canary(lambda: device.shelf.activate("a", Trial(began_at=NOW, since_seq=0)))

    assert (answer.ok, answer.error) == (False, "changed")


def test_two_canaries_do_not_run_and_nothing_is_put_under_the_one_that_does(device, tmp_path):
    answers = []

    def both():
        answers.append(device.bundles.activate("b", "bob"))
        answers.append(device.bundles.install(tmp_path, "bob"))

    device.during_a_canary(both)

    assert [one.error for one in answers] == ["busy", "busy"]
    assert device.tried_n == 1


def test_after_a_canary_that_broke_the_next_one_may_run(device):
    def broken(*_):
        raise OSError("no process left")

    examine, device.bundles._examine = device.bundles._examine, broken
    with pytest.raises(OSError, match="no process left"):
        device.bundles.activate("b", "ana")
    device.bundles._examine = examine
    device.may_end.set()

    assert device.bundles.activate("b", "ana").ok


def test_an_end_during_a_canary_changes_nothing(device):
    answer = device.during_a_canary(device.bundles.end)

    assert (answer.ok, answer.error) == (False, "ending")
    assert device.shelf.read().active == "a"
