"""A card that was copied to another board: the copy knows that it is one, and becomes a device of its own."""

import json
from datetime import UTC, datetime

import pytest

from appliance.contracts.enrolment import Role
from appliance.errors import TrustError, UsageError
from appliance.fleet import enrolling, numbering
from appliance.fleet.home import make
from appliance.storage import floors
from appliance.trust import enrolment, keys, rotation


class Boards:
    """A controller, and a home that can be put into one board or another."""

    def __init__(self, tmp_path, bench, monkeypatch):
        self.bench, self.home, self._patch = bench, bench.home.root, monkeypatch
        self.controller = make(tmp_path / "controller", site="farm")
        self.controller.use_broker(enrolling.broker_at("127.0.0.1:1"))
        self.folder = tmp_path

    def board(self, number):
        self._patch.setattr(enrolment, "hardware_id", lambda: number)

    def enrol(self, device=None):
        return enrolling.enrol_here(
            self.controller, self.home, device=device, role=Role.OPERATOR, replace=False, now=datetime.now(UTC)
        )


@pytest.fixture
def boards(tmp_path, bench, monkeypatch):
    made = Boards(tmp_path, bench, monkeypatch)
    made.board("board-1")
    yield made
    made.controller.close()


def test_a_copy_in_another_board_stands_alone_and_says_why(boards):
    boards.enrol("lamp")
    boards.bench.start()
    assert boards.bench.daemon.status()["link"]["enrolled"]

    boards.board("board-2")
    boards.bench.restart()

    status = boards.bench.daemon.status()
    assert not status["link"]["enrolled"]
    assert any("another board" in why for why in status["degraded"])
    assert boards.bench.client.call("add_note", {"text": "x"}).status == "done"  # whoever stands there is served


def test_back_in_its_own_board_it_is_what_it_was(boards):
    boards.enrol("lamp")
    boards.board("board-2")
    boards.bench.start()
    boards.board("board-1")
    boards.bench.restart()

    assert boards.bench.daemon.status()["link"]["enrolled"]


def test_the_copy_is_enrolled_anew_with_a_key_and_a_ledger_of_its_own(boards):
    first = boards.enrol()
    boards.bench.start()
    before = keys.load(boards.home / keys.DEVICE_KEY).key_id
    epoch = json.loads(boards.bench.records[0].body)["facts"]["epoch"]
    boards.bench.stop()
    boards.board("board-2")

    second = boards.enrol()
    boards.bench.start()

    assert second.device != first.device
    assert rotation.current(boards.home).key_id != before
    assert rotation.kept(boards.home) == ()
    assert boards.bench.daemon.status()["link"]["enrolled"]
    begun = json.loads(boards.bench.records[0].body)["facts"]
    assert begun["reason"] == "key_lost"
    assert begun["epoch"] != epoch
    assert {row["device"] for row in boards.controller.db.rows("select device from devices")} == {
        first.device,
        second.device,
    }


def test_the_copy_cannot_take_the_others_name(boards):
    boards.enrol("lamp")
    boards.board("board-2")

    with pytest.raises(UsageError, match="another key"):
        boards.enrol("lamp")


def test_a_board_without_a_number_is_not_asked(boards):
    boards.enrol("lamp")
    boards.board("")

    assert enrolment.load(boards.home).device == "lamp"
    assert not enrolment.is_copied(boards.home)


def test_where_systemd_keeps_the_key_its_owner_exchanges_it(boards, tmp_path, monkeypatch):
    boards.enrol("lamp")
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials" / "device.key").write_bytes((boards.home / keys.DEVICE_KEY).read_bytes())
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "credentials"))
    monkeypatch.setattr(keys, "credential", lambda *_: tmp_path / "credentials" / "device.key")

    with pytest.raises(TrustError, match="give it one of its own"):
        enrolment.become_another(boards.home)


def test_a_grant_is_another_each_time_and_says_from_which_counter_on(boards):
    first = boards.enrol("lamp")
    numbering.next_number(boards.controller, "lamp")
    second = boards.enrol("lamp")

    assert first.grant != second.grant
    assert [c.counter for c in (*first.controllers, *second.controllers)] == [0, 1]
    assert len(second.controllers[0].sealing_key) == 64


def test_what_was_lost_is_not_made_good_by_the_grant_from_before(boards, tmp_path):
    boards.enrol("lamp")
    old = boards.folder / "old.json"
    old.write_bytes((boards.home / enrolment.ENROLMENT).read_bytes())
    beside = boards.home / "keys" / "floors.jsonl"
    beside.unlink()

    with pytest.raises(UsageError, match="have a new one made"):
        enrolling.install(boards.home, old, replace=False)
    boards.enrol("lamp")

    assert floors.read(beside) is not None
