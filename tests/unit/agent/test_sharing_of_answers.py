"""Of an answer, what was said stays by the owner's choice; what the software itself counts and names goes."""

from datetime import UTC, datetime

import pytest

from appliance.agent import sharing
from appliance.contracts.envelope import Response

AT = datetime(2026, 11, 23, tzinfo=UTC)


def answer(result, text="Version 3 is accepted."):
    return Response(
        device="lamp", correlation="0" * 32, life="executed", status=200, code="x", text=text, result=result, at=AT
    )


@pytest.mark.parametrize("share", ["counts", "decisions", "words"])
def test_what_a_command_that_is_no_request_came_to_goes_as_it_is(share):
    said = answer({"version": 3, "pending": ["uplink.batch_n"]})

    assert sharing.answered(share, said, lambda _tool, arguments: arguments) == said


@pytest.mark.parametrize("share", ["counts", "decisions"])
def test_what_a_request_came_to_does_not(share):
    said = answer({"status": "done", "calls": [{"name": "add_note", "message": "Noted: swordfish."}]}, "swordfish")

    told = sharing.answered(share, said, lambda _tool, _arguments: {})

    assert "swordfish" not in told.model_dump_json()
