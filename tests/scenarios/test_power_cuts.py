"""`kill -9` at every step boundary, SQL statement and around the act: what happened is recorded and told, once."""

import pytest

from appliance.transport.broker import EmbeddedBroker


@pytest.mark.timeout(300)
def test_no_act_is_unrecorded_or_repeated_whenever_the_power_goes(cut, tmp_path):
    found = cut("crash_rig.py", tmp_path, 36, 20261122, timeout_s=280)

    assert found["failures"] == []
    # A rig that does not cut proves nothing.
    assert found["tally"]["cut"] >= 18
    assert found["tally"]["indeterminate"] >= 1


@pytest.mark.timeout(300)
def test_the_controller_is_told_everything_once_whenever_the_power_goes(cut, tmp_path):
    with EmbeddedBroker() as broker:
        found = cut("fleet_crash_rig.py", tmp_path, 39, 20261122, broker.port, timeout_s=280)

    assert found["failures"] == []
    assert found["tally"]["cut"] >= 20
    assert found["tally"]["reports compared"] >= 60
