"""The rig that loses writes can fail: software that is wrong in one known way does not pass it."""

import pytest

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]


@pytest.mark.parametrize(
    ("site", "wrong", "forgets", "says"),
    [
        # The log of a correct device, and a disk that has never heard of one of its fsyncs.
        ("alone", "no", "F:appliance.db-wal", "was said to be"),
        ("fleet", "no", "F:signed", "the last signed state knows"),
        ("alone", "no", "D:", "was said to be received and is gone"),
        # A device that is wrong itself.
        ("alone", "synchronous-off", "none", "was said to be"),
        ("alone", "act-first", "none", "was pressed"),
        ("alone", "never-taken", "none", "was decided and is still in the queue"),
        ("keeps", "copies-kept", "none", "was erased and can be read again"),
    ],
)
def test_a_missing_fsync_and_a_wrong_order_are_seen(cut, tmp_path, site, wrong, forgets, says):
    requests_n = 6 if site == "keeps" else 18  # a ledger of a thousand records costs more to look at
    found = cut("lost_writes_rig.py", tmp_path, 250, 1, site, requests_n, wrong, forgets, timeout_s=500)

    assert any(says in failure for failure in found["failures"]), found
    assert found["tally"]["wrong cuts"] >= 5
