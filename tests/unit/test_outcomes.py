"""What the command line says of a denial."""

from __future__ import annotations

import pytest

from appliance.cli.outcomes import tell_outcome
from appliance.contracts.local import Outcome


def refused(rule, **more):
    call = {"name": "lock_door", "arguments": {}, "verdict": "deny", "rule": rule}
    return Outcome(request_id="r", status="refused", calls=(call,), reason="No.", remedy="Ask again.", **more)


@pytest.mark.parametrize("rule", ["workflow:shop/closed", "rule:night"])
def test_where_a_law_allows_nothing_the_person_is_told_so(rule, capsys):
    tell_outcome(refused(rule))

    assert "allowed now: nothing" in capsys.readouterr().out


def test_where_a_law_allows_something_it_is_named(capsys):
    tell_outcome(refused("rule:night", allowed=("lock_door", "set_light_level (level_pct up to 20)")))

    assert "allowed now: lock_door, set_light_level (level_pct up to 20)" in capsys.readouterr().out


def test_a_denial_by_the_device_does_not_claim_that_nothing_is_allowed(capsys):
    tell_outcome(refused("emergency-stop"))  # reading is

    assert "allowed now" not in capsys.readouterr().out
