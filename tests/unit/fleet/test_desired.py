"""What is wanted of a device, what it says is in force, and every way in which the two may differ."""

from datetime import UTC, datetime, timedelta

import pytest

from appliance.contracts.envelope import Desired, Reported, State
from appliance.errors import UsageError
from appliance.fleet import acting_views, desired, ingest
from appliance.fleet.devices import presence
from appliance.trust.signature import opened

NOW = datetime(2026, 11, 23, tzinfo=UTC)
CONFIG = {"uplink": {"batch_n": 7}, "device": {"name": "bench"}}


def report(home, version, config, *, at=NOW, accepted=None, **more):
    said = Reported(
        site="site", device="lamp", version=version, accepted=version if accepted is None else accepted,
        config=config, hash="0" * 64, at=at, **more,
    )  # fmt: skip
    return desired.store_reported(home, said, at)


def differences(home):
    (found,) = desired.drift(home, ["lamp"])
    return {one.key: one.standing for one in found.differences}


def test_a_wish_is_signed_retained_and_one_version_above_everything_that_was_heard_of(home):
    report(home, 4, {}, accepted=6, refused={"version": 9})

    version = desired.want(home, "lamp", CONFIG, now=NOW, because="test")

    ((device, left, message),) = desired.leaving(home, 10)
    wish = opened(message.payload, Desired, {home.key.key_id: home.key.public})
    assert (device, left, version, wish.version, wish.audience, wish.config) == ("lamp", 10, 10, 10, "lamp", CONFIG)
    assert (message.topic, message.retain) == ("edge/v1/site/lamp/desired", True)


def test_a_wish_that_was_replaced_while_it_left_leaves_again(home):
    first = desired.want(home, "lamp", CONFIG, now=NOW, because="test")
    second = desired.want(home, "lamp", {}, now=NOW, because="test")

    desired.left(home, [("lamp", first)], NOW)
    assert [version for _, version, _ in desired.leaving(home, 10)] == [second]

    desired.left(home, [("lamp", second)], NOW)
    assert desired.leaving(home, 10) == []


def test_every_way_to_differ_has_its_name_and_shows_as_a_diff(home):
    assert differences(home) == {}
    desired.want(home, "lamp", CONFIG, now=NOW, because="test")
    assert differences(home) == {"uplink.batch_n": "not heard", "device.name": "not heard"}

    conflict = {"key": "device.name", "desired": "bench", "local": "mine"}
    now = {"uplink": {"batch_n": 50}, "device": {"name": "mine"}}
    report(home, 0, now, accepted=1, pending=("uplink.batch_n",), conflicts=(conflict,))
    assert differences(home) == {"uplink.batch_n": "waits for a start", "device.name": "conflict"}
    lines = list(acting_views.drift_lines(desired.drift(home, ["lamp"])[0]))
    assert '  - device.name = "mine"' in lines
    assert '  + device.name = "bench"' in lines
    assert any('the device\'s own file says "mine", which wins' in line for line in lines)

    report(home, 0, now, refused={"version": 1, "code": "bad_config", "text": "too large"})
    assert differences(home) == {"uplink.batch_n": "refused", "device.name": "refused"}

    report(home, 1, CONFIG)
    assert desired.drift(home, ["lamp"])[0].agrees


def test_what_a_device_drifts_to_by_itself_is_seen(home):
    desired.want(home, "lamp", CONFIG, now=NOW, because="test")
    report(home, 1, CONFIG)
    report(home, 1, {**CONFIG, "uplink": {"batch_n": 9}}, at=NOW + timedelta(days=1))

    assert list(differences(home)) == ["uplink.batch_n"]


def test_the_same_report_again_is_no_news(home):
    assert report(home, 1, CONFIG)
    assert not report(home, 1, CONFIG)


def test_a_device_that_is_there_and_knows_less_is_told_again_but_not_what_it_refused(home):
    state = State(site="site", device="lamp", state="ready", boot=1, nonce="n", time="trusted", epoch="e", at=NOW)
    ingest.store_state(home, state, NOW)
    desired.left(home, [("lamp", desired.want(home, "lamp", CONFIG, now=NOW, because="test"))], NOW)
    later = NOW + timedelta(minutes=11)

    assert desired.tell_again(home, NOW + timedelta(minutes=9)) == 0
    assert desired.tell_again(home, later) == 1
    desired.left(home, [("lamp", 1)], NOW)
    report(home, 0, {}, refused={"version": 1})
    assert desired.tell_again(home, later) == 0


@pytest.mark.parametrize(("last", "age", "again_n"), [("ready", 5, 1), ("ready", 30, 0), ("lost", 5, 0)])
def test_only_a_device_that_is_there_is_told_again(home, last, age, again_n):
    heard_at = NOW + timedelta(hours=1) - timedelta(minutes=age)
    said = State(site="site", device="lamp", state=last, boot=1, nonce="n", time="trusted", epoch="e", at=heard_at)
    ingest.store_state(home, said, heard_at)
    desired.left(home, [("lamp", desired.want(home, "lamp", CONFIG, now=NOW, because="test"))], NOW)

    assert desired.tell_again(home, NOW + timedelta(hours=1)) == again_n


@pytest.mark.parametrize(
    ("period", "silent_after_s"),
    [
        (300.0, 900),
        (1800.0, 5400),
        (86_400, 259_200),
        (10**9, 259_200),
        (-1, 900),
        (True, 900),
        ("x", 900),
        (None, 900),
    ],
)
def test_how_long_a_device_may_be_silent_follows_the_period_that_it_reports(home, period, silent_after_s):
    report(home, 1, {"uplink": {"state_every_s": period}})

    row = home.db.row("select silent_after_s from devices where device = 'lamp'")

    assert row["silent_after_s"] == silent_after_s
    assert presence("ready", NOW.isoformat(), NOW + timedelta(seconds=silent_after_s - 1), silent_after_s) == "online"


def test_keys_are_changed_one_by_one_and_null_leaves_one_to_the_device():
    changed = desired.changed(CONFIG, {"uplink": {"poll_s": 1.0, "batch_n": None}, "device": {"name": None}})

    assert changed == {"uplink": {"poll_s": 1.0}}
    with pytest.raises(UsageError, match="a section with keys"):
        desired.changed({}, {"uplink": 3})


@pytest.mark.parametrize("text", ["uplink", "uplink.batch_n", "=1", "a.b.c=1", ".x=1", "uplink.=1"])
def test_a_setting_that_cannot_be_read_is_named(text):
    with pytest.raises(UsageError, match=r"section\.key=VALUE"):
        acting_views.settings_of((text,))


def test_a_value_is_json_or_a_word():
    assert acting_views.settings_of(("uplink.batch_n=50", "device.name=bench top", "ledger.x=null")) == {
        "uplink": {"batch_n": 50}, "device": {"name": "bench top"}, "ledger": {"x": None},
    }  # fmt: skip


def test_nobody_wants_anything_of_a_stranger(home):
    with pytest.raises(UsageError, match="no device 'fan' is enrolled"):
        desired.want(home, "fan", CONFIG, now=NOW, because="test")
