"""Who may enrol whom, who a PIN shows, and what a wrong one costs."""

import json
import threading
from datetime import UTC, datetime, timedelta

import pytest

from appliance.agent.guesses import FIRST_WAIT_S, FREE_N, STRANGERS_N
from appliance.agent.people import WAITING_N, Asking, Identified, People, Refused
from appliance.contracts.audit import Moment
from appliance.errors import StorageError
from appliance.storage import audit, database, people
from appliance.storage.people import Person
from appliance.trust import pin

OWNER = Asking(1000, "uid:1000 pid:1")
ROOT = Asking(0, "uid:0 pid:2")
GROUP = Asking(1001, "uid:1001 pid:3")
ANA = Asking(1001, "uid:1001 pid:4", Identified("Ana", "admin"))
BO = Asking(1001, "uid:1001 pid:5", Identified("bo", "approver"))
PIN = "482913"
BOS = "boat-82"
CHEAP = pin.Cost(1, 1, 1)


class Clock:
    """Every clock, set by hand."""

    def __init__(self):
        self.monotonic = 100.0
        self.at = datetime(2026, 11, 23, tzinfo=UTC)

    def now(self):
        return self.at

    def monotonic_s(self):
        return self.monotonic

    def is_trusted(self):
        return False

    def moment(self):
        return Moment(at=self.at, monotonic_s=self.monotonic, boot=1, clock="untrusted")


class Device:
    """People in a real file; counts how often a PIN is hashed to be compared."""

    def __init__(self, folder):
        self.path = folder / "a.db"
        self.clock = Clock()
        self.hashed = []
        self.db = database.open_database(self.path).db
        self.start()

    def start(self):
        self.people = People(
            self.db, self.clock, owner_uid=1000, new_salt=lambda: b"s" * 16, cost=CHEAP, matches=self.matches
        )

    def matches(self, given, kept):
        self.hashed.append(kept)
        return pin.matches(given, kept)

    @property
    def told(self):
        rows = audit.rows(self.db.connection)
        return [json.loads(row.body)["facts"] for row in rows if row.kind == "people"]


@pytest.fixture
def device(tmp_path):
    made = Device(tmp_path)
    yield made
    made.db.close()


@pytest.fixture
def staffed(device):
    """Ana, an admin, and bo, an approver."""
    assert isinstance(device.people.enrol("Ana", "admin", PIN, OWNER), Person)
    assert isinstance(device.people.enrol("bo", "approver", BOS, ANA), Person)
    return device


# ---- who may enrol


@pytest.mark.parametrize("by", [OWNER, ROOT], ids=["whoever runs the device", "root"])
def test_the_first_admin_is_enrolled_by_whoever_runs_the_device(device, by):
    done = device.people.enrol("Ana", "admin", PIN, by)

    assert (done.name, done.role) == ("Ana", "admin")
    assert device.people.identify("ana", PIN, "uid:1001 pid:9") == Identified("Ana", "admin")
    assert device.told == [{"what": "enrolled", "name": "Ana", "role": "admin", "by_peer": by.peer}]


def test_another_user_of_the_socket_enrols_nobody_while_there_is_no_admin(device):
    assert isinstance(device.people.enrol("mallory", "admin", PIN, GROUP), Refused)
    assert device.people.every() == []
    assert device.told == []


@pytest.mark.parametrize("role", ["viewer", "operator", "approver", "", "owner"])
def test_the_first_is_an_admin(device, role):
    assert isinstance(device.people.enrol("Ana", role, PIN, OWNER), Refused)
    assert device.people.every() == []


@pytest.mark.parametrize("by", [OWNER, ROOT, GROUP, BO], ids=["owner", "root", "group", "approver"])
def test_once_there_is_an_admin_only_an_admin_enrols_changes_and_removes(staffed, by):
    assert isinstance(staffed.people.enrol("cy", "operator", PIN, by), Refused)
    assert isinstance(staffed.people.enrol("bo", "admin", "", by), Refused)
    assert isinstance(staffed.people.enrol("Ana", "", "x82-rtq", by), Refused)
    assert isinstance(staffed.people.remove("Ana", by), Refused)
    assert [(p.name, p.role) for p in staffed.people.every()] == [("Ana", "admin"), ("bo", "approver")]


def test_an_admin_who_was_removed_since_the_pin_was_looked_at_enrols_nobody(staffed):
    staffed.people.enrol("cy", "admin", "cy-4411z", ANA)
    staffed.people.remove("Ana", Asking(1, "p", Identified("cy", "admin")))

    assert isinstance(staffed.people.enrol("mallory", "admin", PIN, ANA), Refused)


def test_an_admin_whose_role_was_taken_since_enrols_nobody(staffed):
    staffed.people.enrol("cy", "admin", "cy-4411z", ANA)
    staffed.people.enrol("Ana", "viewer", "", Asking(1, "p", Identified("cy", "admin")))

    assert isinstance(staffed.people.enrol("mallory", "admin", PIN, ANA), Refused)


def test_two_first_admins_at_once_are_one(device):
    said = []
    together = threading.Barrier(2)

    def enrol(name):
        together.wait()
        said.append(device.people.enrol(name, "admin", PIN, OWNER))

    threads = [threading.Thread(target=enrol, args=(name,)) for name in ("ana", "bo")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(isinstance(done, Person) for done in said) == [False, True]
    assert len(device.people.every()) == 1


@pytest.mark.parametrize("name", ["BO", "bó", "Bo"])
def test_a_name_that_looks_like_somebody_elses_is_taken(staffed, name):
    assert isinstance(staffed.people.enrol(name, "operator", PIN, ANA), Refused)
    assert len(staffed.people.every()) == 2


@pytest.mark.parametrize("name", ["b\u043e", "b\x00o", "", "482913", "x" * 33])
def test_what_is_no_name_is_refused_and_not_recorded(staffed, name):
    before = staffed.told

    assert isinstance(staffed.people.enrol(name, "operator", PIN, ANA), Refused)
    assert staffed.told == before


def test_a_weak_pin_is_refused_in_words_that_do_not_hold_it(staffed):
    said = staffed.people.enrol("cy", "operator", "123456", ANA)

    assert isinstance(said, Refused)
    assert "123456" not in said.message
    assert isinstance(staffed.people.change_pin("000000", BO), Refused)


def test_there_is_an_end_to_how_many_are_enrolled(staffed):
    for n in range(people.MOST_N - 2):
        person = Person(key=f"p{n}", name=f"p{n}", role="viewer", pin="", enrolled_at="")
        people.save(staffed.db, person)

    assert isinstance(staffed.people.enrol("cy", "operator", PIN, ANA), Refused)


# ---- changes


def test_an_admin_changes_a_role_and_the_pin_stays(staffed):
    staffed.people.enrol("bo", "operator", "", ANA)

    assert staffed.people.identify("bo", BOS, "p") == Identified("bo", "operator")
    assert staffed.told[-1] == {
        "what": "role", "name": "bo", "role": "operator", "role_before": "approver",
        "by_peer": ANA.peer, "by_person": "Ana",
    }  # fmt: skip


def test_an_admin_gives_a_new_pin_where_one_was_forgotten(staffed):
    staffed.people.enrol("bo", "", "x82-rtq", ANA)

    assert isinstance(staffed.people.identify("bo", BOS, "p"), Refused)
    assert staffed.people.identify("bo", "x82-rtq", "p") == Identified("bo", "approver")
    assert staffed.told[-2]["what"] == "pin"
    assert staffed.told[-2]["by_person"] == "Ana"


def test_a_person_changes_their_own_pin_and_nobody_elses(staffed):
    assert isinstance(staffed.people.change_pin("x82-rtq", BO), Person)
    assert isinstance(staffed.people.change_pin("x82-rtq", OWNER), Refused)

    assert staffed.people.identify("bo", "x82-rtq", "p") == Identified("bo", "approver")
    assert staffed.people.identify("ana", PIN, "p") == Identified("Ana", "admin")


def test_the_last_admin_stays_while_others_are_enrolled(staffed):
    assert isinstance(staffed.people.remove("Ana", ANA), Refused)
    assert isinstance(staffed.people.enrol("Ana", "operator", "", ANA), Refused)

    staffed.people.remove("bo", ANA)
    assert isinstance(staffed.people.remove("Ana", ANA), Person)
    assert staffed.people.every() == []


def test_one_of_two_admins_can_go(staffed):
    staffed.people.enrol("bo", "admin", "", ANA)

    assert isinstance(staffed.people.remove("Ana", ANA), Person)
    assert staffed.told[-1]["what"] == "removed"


def test_a_person_who_was_removed_is_a_stranger(staffed):
    staffed.people.remove("bo", ANA)

    assert isinstance(staffed.people.identify("bo", BOS, "p"), Refused)
    assert "name" not in staffed.told[-1]


def test_whoever_has_the_file_recovers_a_pin_and_the_ledger_says_so(staffed):
    assert isinstance(staffed.people.recover("ana", "x82-rtq", OWNER), Person)
    assert isinstance(staffed.people.recover("nobody", "x82-rtq", OWNER), Refused)

    assert staffed.people.identify("ana", "x82-rtq", "p") == Identified("Ana", "admin")
    assert staffed.told[-1] == {"what": "recovered", "name": "Ana", "role": "admin", "by_peer": OWNER.peer}


def test_what_cannot_be_recorded_is_not_done(staffed):
    staffed.db.execute("create trigger full before insert on audit begin select raise(abort, 'disk full'); end")

    with pytest.raises(StorageError):
        staffed.people.enrol("cy", "admin", "cy-4411z", ANA)
    with pytest.raises(StorageError):
        staffed.people.remove("bo", ANA)
    with pytest.raises(StorageError):
        staffed.people.change_pin("x82-rtq", BO)

    assert [p.name for p in staffed.people.every()] == ["Ana", "bo"]
    assert staffed.people.identify("bo", BOS, "p") == Identified("bo", "approver")


# ---- guessing


def guess(device, name="bo", given="wrong-1", times=1):
    return [device.people.identify(name, given, "uid:1001 pid:9") for _ in range(times)][-1]


def test_a_name_counts_in_any_case_and_a_pin_only_as_it_is(staffed):
    assert staffed.people.identify("BO", BOS, "p") == Identified("bo", "approver")
    assert isinstance(staffed.people.identify("bo", BOS.upper(), "p"), Refused)


def test_every_wrong_pin_is_recorded_without_a_digit_of_it(staffed):
    guess(staffed, given="739154x")

    assert staffed.told[-1] == {
        "what": "wrong", "name": "bo", "role": "approver", "by_peer": "uid:1001 pid:9", "failures": 1,
    }  # fmt: skip
    assert all(b"739154x" not in row.body.encode() for row in audit.rows(staffed.db.connection))


def test_after_a_few_wrong_pins_the_right_one_is_not_looked_at_either_until_the_wait_is_over(staffed):
    said = guess(staffed, times=FREE_N)
    hashed_n = len(staffed.hashed)

    assert said.wait_s == FIRST_WAIT_S
    assert "30 seconds" in said.message
    assert isinstance(guess(staffed, given=BOS), Refused)
    assert len(staffed.hashed) == hashed_n
    staffed.clock.monotonic += FIRST_WAIT_S
    assert guess(staffed, given=BOS) == Identified("bo", "approver")


def test_the_lock_out_is_recorded_and_what_is_not_looked_at_is_not(staffed):
    guess(staffed, times=FREE_N)
    told_n = len(staffed.told)
    guess(staffed, times=50)

    assert staffed.told[-1]["failures"] == FREE_N
    assert staffed.told[-1]["wait_s"] == FIRST_WAIT_S
    assert len(staffed.told) == told_n


def test_a_restart_and_a_clock_that_jumps_end_no_wait(staffed):
    guess(staffed, times=FREE_N)
    staffed.clock.at += timedelta(days=3650)
    staffed.start()

    assert isinstance(guess(staffed, given=BOS), Refused)
    staffed.clock.at -= timedelta(days=7300)
    assert isinstance(guess(staffed, given=BOS), Refused)
    staffed.clock.monotonic += FIRST_WAIT_S
    assert guess(staffed, given=BOS) == Identified("bo", "approver")


def test_a_restart_before_the_first_wait_gives_no_new_tries(staffed):
    for _ in range(FREE_N):
        guess(staffed)
        staffed.start()

    assert isinstance(guess(staffed, given=BOS), Refused)


def test_the_right_pin_makes_the_wrong_ones_before_it_forgotten_also_after_a_restart(staffed):
    guess(staffed, times=FREE_N - 1)
    assert guess(staffed, given=BOS) == Identified("bo", "approver")
    staffed.start()
    guess(staffed, times=FREE_N - 1)

    assert guess(staffed, given=BOS) == Identified("bo", "approver")


def test_one_persons_lock_out_is_nobody_elses_and_a_new_pin_ends_only_ones_own(staffed):
    guess(staffed, name="bo", times=FREE_N)
    guess(staffed, name="ana", times=FREE_N - 1)

    assert isinstance(staffed.people.change_pin("x82-rtq", ANA), Person)
    assert isinstance(guess(staffed, given=BOS), Refused)
    staffed.people.enrol("bo", "", "y91-kkw", ANA)
    assert guess(staffed, given="y91-kkw") == Identified("bo", "approver")


def test_a_name_that_nobody_has_costs_and_says_the_same_as_a_wrong_pin(staffed):
    known, unknown = [], []
    for said, name in ((known, "bo"), (unknown, "zoe")):
        for _ in range(FREE_N + 2):
            hashed_n = len(staffed.hashed)
            answer = guess(staffed, name=name)
            said.append((answer, len(staffed.hashed) - hashed_n))

    assert known == unknown
    kept = {kept.rpartition("$")[0].rpartition("$")[0] for kept in staffed.hashed}
    assert len(kept) == 1, "the parameters of a real hash"


def test_a_name_that_nobody_has_is_not_recorded_because_a_pin_may_have_slipped_into_it(staffed):
    guess(staffed, name=BOS, given="bo")

    assert staffed.told[-1] == {"what": "wrong", "by_peer": "uid:1001 pid:9", "failures": 1}


def test_a_list_of_invented_names_buys_neither_guesses_nor_room(staffed):
    for n in range(500):
        guess(staffed, name=f"nobody{n}")

    looked_at = len(staffed.hashed)
    assert looked_at <= STRANGERS_N * FREE_N
    assert len(people.failures(staffed.db)) <= STRANGERS_N
    assert len(staffed.told) == 2 + looked_at


@pytest.mark.parametrize("name", ["b\x00o", "b\u043e", "\ud800", "x" * 60_000, "?1", "' or 1=1 --"])
def test_a_name_that_is_none_is_answered_like_any_other(staffed, name):
    assert guess(staffed, name=name).message == guess(staffed, name="zoe42").message


def test_an_oversize_pin_is_a_wrong_one(staffed):
    assert isinstance(guess(staffed, given="9" * 60_000), Refused)


def test_a_pin_that_is_missing_is_no_guess(staffed):
    told_n = len(staffed.told)

    assert isinstance(guess(staffed, given="", times=50), Refused)
    assert len(staffed.told) == told_n
    assert guess(staffed, given=BOS) == Identified("bo", "approver")


def test_a_wrong_pin_that_cannot_be_recorded_counts_all_the_same(staffed):
    staffed.db.execute("create trigger full before insert on audit begin select raise(abort, 'disk full'); end")
    for _ in range(FREE_N):
        with pytest.raises(StorageError):
            guess(staffed)

    hashed_n = len(staffed.hashed)
    assert isinstance(guess(staffed, given=BOS), Refused)
    assert len(staffed.hashed) == hashed_n


def test_of_many_guesses_at_once_a_few_wait_and_are_looked_at_one_at_a_time(staffed):
    at_once, most, said = [], [], []
    others_were_answered = threading.Event()

    def matches(given, kept):
        at_once.append(given)
        most.append(len(at_once))
        others_were_answered.wait(30)
        at_once.remove(given)
        return pin.matches(given, kept)

    crowd = People(staffed.db, staffed.clock, owner_uid=1000, new_salt=lambda: b"s" * 16, cost=CHEAP, matches=matches)
    threads = [
        threading.Thread(target=lambda n=n: said.append(crowd.identify("bo", f"guess-{n}", "p"))) for n in range(32)
    ]
    for thread in threads:
        thread.start()
    while len(said) < 32 - WAITING_N:
        threading.Event().wait(0.01)
    turned_away = list(said)
    others_were_answered.set()
    for thread in threads:
        thread.join()

    assert all(answer.is_busy for answer in turned_away)
    assert most == [1] * WAITING_N
    assert len(said) == 32
