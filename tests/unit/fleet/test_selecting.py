"""A selection means the devices that have what it says, and a word that means nothing is refused."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.contracts.enrolment import Role
from appliance.contracts.envelope import Desc, State
from appliance.errors import UsageError
from appliance.fleet import enrolling, ingest, selecting
from appliance.fleet.selecting import Selection

NOW = datetime(2026, 11, 23, tzinfo=UTC)


@pytest.fixture
def fleet(home, tmp_path):
    for name in ("fan", "door"):
        enrolling.enrol_here(home, tmp_path / name, device=name, role=Role.OPERATOR, replace=False, now=NOW)
    bundle = {"name": "micro", "version": "2", "sha256": "ab12cd34" * 8}
    desc = Desc(site="site", device="lamp", software="0.1.0", epoch="e", bundle=bundle, at=NOW)
    ingest.store_desc(home, desc)
    state = State(site="site", device="lamp", state="locked", boot=1, nonce="n", time="trusted", epoch="e", at=NOW)
    ingest.store_state(home, state, NOW)
    selecting.tag(home, ["lamp", "fan"], add=["workshop"])
    selecting.tag(home, ["fan"], add=["old"])
    return home


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("all", "door fan lamp"), ("lamp", "lamp"), ("tag=workshop", "fan lamp"), ("tag=workshop,tag=old", "fan lamp"),
        ("tag=workshop,device=lamp", "lamp"), ("site=site", "door fan lamp"), ("site=other", ""),
        ("bundle=micro", "lamp"), ("bundle=micro/2", "lamp"), ("bundle=micro/3", ""), ("bundle=AB12CD34ab", "lamp"),
        ("bundle=ab12", ""), ("software=0.1.0", "lamp"), ("state=stopped", "lamp"), ("state=online", "lamp"),
        ("state=never seen", "door fan"),
    ],
)  # fmt: skip
def test_a_selection_means_what_it_says(fleet, text, meant):
    assert " ".join(one.device for one in selecting.chosen(fleet, selecting.parse(text), NOW)) == meant


def test_a_tag_is_taken_off_again(fleet):
    selecting.tag(fleet, ["lamp", "fan"], remove=["workshop"], add=["shed"])

    found = {one.device: one.tags for one in selecting.chosen(fleet, Selection(), NOW)}
    assert found == {"lamp": ("shed",), "fan": ("old", "shed"), "door": ()}
    with pytest.raises(UsageError, match="a tag is of"):
        selecting.tag(fleet, ["lamp"], add=["No Good"])


@pytest.mark.parametrize("text", ["colour=red", "tag=", "tag=A b", "=x", "tag=x,,"])
def test_a_word_that_means_nothing_is_refused(text):
    with pytest.raises(UsageError):
        selecting.parse(text)


def test_a_device_that_is_not_enrolled_is_named(fleet):
    with pytest.raises(UsageError, match="no device 'attic' is enrolled here; there are: door, fan, lamp"):
        selecting.chosen(fleet, selecting.parse("device=lamp,device=attic"), NOW)


@given(st.text(max_size=60))
def test_any_text_is_a_selection_or_refused(text):
    try:
        found = selecting.parse(text + "=")
    except UsageError:
        return
    assert selecting.parse(found.words()) == found


def test_what_is_not_asked_for_is_not_read(fleet):
    fleet.db.execute("update devices set description = 'damaged' where device = 'fan'")

    assert [one.device for one in selecting.chosen(fleet, selecting.parse("lamp"), NOW)] == ["lamp"]
    with pytest.raises(ValueError, match="Expecting value"):
        selecting.chosen(fleet, selecting.parse("all"), NOW)
