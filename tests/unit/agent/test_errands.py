"""What a controller had done beside the turns is done once, in order, told, and recorded; also after a power cut."""

from datetime import UTC, datetime, timedelta

import pytest

from appliance.agent.commands.deeds import Done
from appliance.agent.commands.errands import Errands
from appliance.contracts.envelope import Command, DiagnoseBody, LawsBody, Response, payload_of
from appliance.errors import ApplianceError, StorageError
from appliance.storage import database, replies

NOW = datetime(2026, 11, 23, tzinfo=UTC)


class Clock:
    at = NOW

    def now(self):
        return self.at


class Bench:
    def __init__(self, path):
        self.db = database.open_database(path).db
        self.clock = Clock()
        self.done, self.recorded = [], []
        self.answer = Done("executed", 200, "fine", "Done.", {"n": 1}, {"seen": True})

    def do(self, command):
        self.done.append(command.correlation)
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer

    def errands(self):
        doers = {"diagnose": self.do, "laws": self.do}
        return Errands(self.db, doers, clock=self.clock, record=self.recorded.append, wake=lambda: None)

    def owe(self, n, *, until=NOW + timedelta(seconds=60), body=None):
        command = Command(
            audience="lamp",
            issuer="0" * 16,
            correlation=f"{n:032x}",
            counter=n,
            issued_at=NOW,
            expires_at=NOW + timedelta(seconds=60),
            response_topic="t",
            body=body or DiagnoseBody(),
        )
        first = Response(
            device="lamp", correlation=command.correlation, life="received", status=202, code="received", at=NOW
        )
        with self.db.atomic():
            replies.owe_errand(self.db, f"r{n}", payload_of(command), until)
            replies.open_for(
                self.db, f"r{n}", topic="t", correlation=command.correlation, digest="d", not_before=None,
                response=payload_of(first),
            )  # fmt: skip

    def said(self, n):
        return replies.find(self.db, f"r{n}").response


@pytest.fixture
def bench(tmp_path):
    made = Bench(tmp_path / "a.db")
    yield made
    made.db.close()


def test_an_errand_is_done_answered_and_recorded_in_order(bench):
    bench.owe(1)
    bench.owe(2, body=LawsBody(files={}, note="n"))
    errands = bench.errands()

    assert errands.step()
    assert errands.step()
    assert not errands.step()

    assert bench.done == [f"{1:032x}", f"{2:032x}"]
    assert (bench.said(1)["life"], bench.said(1)["result"]) == ("executed", {"n": 1})
    assert bench.recorded[0] == {
        "command": "diagnose", "issuer": "0" * 16, "correlation": f"{1:032x}", "request_id": "r1", "life": "executed",
        "status": 200, "code": "fine", "seen": True,
    }  # fmt: skip


def test_one_that_expired_while_it_waited_is_not_done(bench):
    bench.owe(1)
    bench.clock.at = NOW + timedelta(seconds=61)

    bench.errands().step()

    assert bench.done == []
    assert (bench.said(1)["life"], bench.said(1)["status"]) == ("expired", 410)
    assert bench.recorded[0]["life"] == "expired"


def test_a_power_cut_in_the_middle_lets_it_be_done_again_and_answered_once(bench):
    bench.owe(1)
    bench.answer = SystemExit()
    with pytest.raises(SystemExit):
        bench.errands().step()
    assert bench.said(1)["life"] == "accepted"

    bench.answer = Done("executed", 200, "fine", "")
    bench.errands().step()

    assert len(bench.done) == 2
    assert bench.said(1)["life"] == "executed"
    assert len(bench.recorded) == 1


@pytest.mark.parametrize(
    ("fault", "code"), [(ApplianceError("no room"), "failed"), (ZeroDivisionError(), "fault")], ids=["known", "unknown"]
)
def test_a_doer_that_fails_is_answered_and_the_next_is_done(bench, fault, code):
    bench.owe(1)
    bench.owe(2)
    errands = bench.errands()
    bench.answer = fault
    errands.step()
    bench.answer = Done("executed", 200, "fine", "")
    errands.step()

    assert (bench.said(1)["life"], bench.said(1)["code"]) == ("failed", code)
    assert bench.said(2)["life"] == "executed"


def test_a_full_disk_keeps_it_owed(bench):
    bench.owe(1)
    bench.answer = StorageError("disk full")
    with pytest.raises(StorageError):
        bench.errands().step()

    assert replies.next_errand(bench.db).request_id == "r1"


def test_one_that_nobody_is_owed_an_answer_for_is_forgotten(bench):
    bench.owe(1)
    bench.db.execute("delete from replies")

    assert bench.errands().step()
    assert not bench.errands().step()
    assert bench.done == []


def test_an_owed_answer_is_not_taken_for_a_forgotten_request(bench):
    bench.owe(1)

    assert replies.moved(bench.db, limit=9) == []


def test_the_thread_does_what_is_woken_for_and_ends(bench):
    errands = bench.errands()
    errands.start()
    bench.owe(1)
    errands.wake()
    try:
        for _ in range(500):
            if bench.said(1)["life"] == "executed":
                break
            errands._thread.join(0.02)
    finally:
        errands.stop()

    assert bench.said(1)["life"] == "executed"
    assert not errands._thread.is_alive()


def test_bulk_is_kept_until_it_left_and_not_longer(bench):
    bench.owe(1)
    bench.answer = Done("executed", 200, "part", "", {"part": 0, "data": "x" * 1000})
    bench.errands().step()
    owed = replies.find(bench.db, "r1")
    assert owed.response["result"]["data"]

    replies.sent(bench.db, owed)

    assert bench.said(1)["result"] == {"part": 0}
    assert replies.unsent(bench.db, NOW, limit=9) == []
