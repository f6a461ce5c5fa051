"""However many commands are open, each is told what became of it: those that wait keep back none that has ended."""

from datetime import UTC, datetime, timedelta

import pytest

from appliance.agent.replying import advance
from appliance.contracts.envelope import Response, payload_of
from appliance.contracts.local import Outcome
from appliance.contracts.request import Ask, Origin, OriginKind, Request, RequestId
from appliance.storage import database, inbox, replies

NOW = datetime(2026, 11, 23, tzinfo=UTC)


class Bench:
    def __init__(self, path):
        self.db = database.open_database(path).db

    def owe(self, n):
        name, correlation = RequestId(f"fleet-{n:032x}"), f"{n:032x}"
        origin = Origin(
            kind=OriginKind.CONTROLLER, peer="0" * 16, role="operator", correlation=correlation, reply_to="t",
            expires_at=None,
        )  # fmt: skip
        inbox.submit(self.db, Request(request_id=name, received_at=NOW, origin=origin, body=Ask(text="x")))
        received = Response(
            device="lamp",
            correlation=correlation,
            request_id=name,
            life="received",
            status=202,
            code="received",
            at=NOW,
        )
        replies.open_for(
            self.db, name, topic="t", correlation=correlation, digest="d", not_before=None,
            response=payload_of(received),
        )  # fmt: skip
        return name

    def said(self, name):
        response = replies.find(self.db, name).response
        return response["life"], response["code"], response["text"]

    def told(self):
        """Which answers are to be sent; they count as sent from then on."""
        found = [owed.request_id for owed in replies.unsent(self.db, NOW, limit=1000)]
        self.db.execute("update replies set sent = 1")
        return found

    def wait_for_a_person(self, name, question):
        outcome = Outcome(request_id=name, status="asked", reason="", question=question, choices=("a", "b"))
        waits_for = {"waits_for": "answer", "outcome": outcome.model_dump(mode="json")}
        inbox.park(self.db, name, waits_for, NOW + timedelta(seconds=60))

    def end(self, name):
        inbox.done(self.db, name, Outcome(request_id=name, status="done", reason="Done.").model_dump(mode="json"))


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path / "a.db")


@pytest.mark.parametrize("waits", ["queued", "taken", "for a person"])
def test_the_end_of_the_last_one_is_told_while_a_hundred_before_it_wait(bench, waits):
    names = [bench.owe(n) for n in range(1, 102)]
    for name in names[:100]:
        if waits == "taken":
            inbox.take(bench.db, name)
        elif waits == "for a person":
            bench.wait_for_a_person(name, "Which lamp?")
    advance(bench.db, "lamp", NOW)
    bench.end(names[100])

    advance(bench.db, "lamp", NOW)

    assert bench.said(names[100])[0] == "executed"


def test_the_last_of_many_that_wait_for_a_person_says_so_and_every_new_question_is_told_once(bench):
    names = [bench.owe(n) for n in range(1, 151)]
    for name in names:
        bench.wait_for_a_person(name, "Which lamp?")

    for _ in range(2):
        advance(bench.db, "lamp", NOW)

    assert bench.said(names[149]) == ("accepted", "asked", "Which lamp?")
    bench.told()
    advance(bench.db, "lamp", NOW)
    assert bench.told() == []
    bench.wait_for_a_person(names[3], "Which light, " + "very " * 500 + "long?")
    advance(bench.db, "lamp", NOW)
    assert bench.told() == [names[3]]
    advance(bench.db, "lamp", NOW)
    assert bench.told() == []


def test_a_request_that_is_no_longer_there_ends_as_not_known(bench):
    name = bench.owe(1)
    bench.db.execute("delete from inbox")

    advance(bench.db, "lamp", NOW)

    assert bench.said(name)[:2] == ("indeterminate", "forgotten")
