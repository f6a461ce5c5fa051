"""Whatever the inbox says of a request, its controller is told once, and the last word is the last."""

from datetime import UTC, datetime

import pytest

from appliance.agent.replying import answer
from appliance.contracts.envelope import FINAL, Response
from appliance.contracts.local import Outcome
from appliance.storage.replies import Owed, Progress

NOW = datetime(2026, 11, 22, tzinfo=UTC)
RECEIVED = Response(device="lamp", correlation="0" * 32, life="received", status=202, code="received", at=NOW)


def progress(status, outcome=None, waits_for=None):
    owed = Owed("r", "t", "0" * 32, "d", RECEIVED.model_dump(mode="json"), final=False)
    return Progress(owed, status, outcome, waits_for)


def said(status, **more):
    return Outcome(request_id="r", status=status, **more).model_dump(mode="json")


def test_a_request_that_waits_its_turn_is_no_news():
    assert answer(progress("queued"), RECEIVED, NOW) is None


def test_the_same_news_is_told_once():
    accepted = answer(progress("taken"), RECEIVED, NOW)

    assert accepted.life == "accepted"
    assert answer(progress("taken"), accepted, NOW) is None


@pytest.mark.parametrize(
    ("outcome", "life", "status"),
    [
        (said("done", reason="The light is on."), "executed", 200),
        (said("refused", code="quiet-hours"), "rejected", 422),
        (said("refused", code="expired"), "expired", 410),
        (said("refused", code="emergency-stop"), "rejected", 423),
        (said("failed"), "failed", 500),
        (said("indeterminate"), "indeterminate", 500),
        ({"status": "something new"}, "indeterminate", 500),
        ({}, "indeterminate", 500),
    ],
)
def test_an_outcome_becomes_a_final_answer(outcome, life, status):
    told = answer(progress("done", outcome), RECEIVED, NOW)

    assert (told.life, told.status) == (life, status)
    assert told.life in FINAL


def test_a_request_that_waits_for_a_person_is_accepted_with_the_question():
    waits_for = {"waits_for": "answer", "outcome": said("asked", reason="Which lamp?", choices=("a", "b"))}

    told = answer(progress("parked", waits_for=waits_for), RECEIVED, NOW)

    assert (told.life, told.status, told.code) == ("accepted", 202, "asked")
    assert told.text == "Which lamp?"
    assert told.result["choices"] == ["a", "b"]


def test_a_request_that_the_inbox_forgot_is_not_called_done():
    told = answer(progress(None), RECEIVED, NOW)

    assert (told.life, told.code) == ("indeterminate", "forgotten")


@pytest.mark.parametrize(
    ("code", "life", "status"),
    [
        ("roles", "rejected", 403),
        ("disabled-tools", "rejected", 403),
        ("declined", "rejected", 403),
        ("workflow:airlock", "rejected", 403),
        ("unknown_tool", "rejected", 404),
        ("unknown_event", "rejected", 404),
        ("not_waiting", "rejected", 409),
        ("maintenance", "rejected", 423),
        ("no_model", "rejected", 503),
        ("storage", "rejected", 507),
        ("recordable", "rejected", 507),
        ("fault", "failed", 500),
    ],
)
def test_a_refusal_has_the_status_that_says_whose_turn_it_is(code, life, status):
    told = answer(progress("done", said("refused", code=code)), RECEIVED, NOW)

    assert (told.life, told.status, told.code) == (life, status, code)
