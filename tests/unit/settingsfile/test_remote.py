"""What the fleet may wish for counts where the owner says nothing, from the next start on; the rest is the owner's."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance import settings
from appliance.contracts.envelope import Desired
from appliance.settings import Settings
from appliance.settingsfile import remote
from appliance.settingsfile.remote import REMOTE, Wishes

WHEN = datetime(2026, 11, 23, tzinfo=UTC)


def desired(config, version=1):
    return Desired(audience="lamp", issuer="0" * 16, version=version, issued_at=WHEN, config=config)


def wishes(home):
    return Wishes(home, settings.FILE_NAME, settings.load(home))


def test_a_wish_counts_from_the_next_start_on(tmp_path):
    wishes(tmp_path).keep(desired({"uplink": {"batch_n": 7}, "device": {"name": "The lamp"}}))

    chosen = settings.load(tmp_path)

    assert chosen.uplink.batch_n == 7
    assert chosen.device.name == "The lamp"
    assert wishes(tmp_path).judge({"uplink": {"batch_n": 7}, "device": {"name": "The lamp"}}).pending == ()


def test_until_then_it_is_pending(tmp_path):
    here = wishes(tmp_path)
    here.keep(desired({"uplink": {"batch_n": 7}}))

    assert here.judge({"uplink": {"batch_n": 7}}).pending == ("uplink.batch_n",)
    assert here.in_force()["uplink"]["batch_n"] == 100


def test_the_owners_own_word_stays_and_the_conflict_is_told(tmp_path):
    (tmp_path / "appliance.toml").write_text("[uplink]\nbatch_n = 9\n")
    here = wishes(tmp_path)
    here.keep(desired({"uplink": {"batch_n": 7, "poll_s": 1.0}}))

    chosen = settings.load(tmp_path)
    judged = here.judge({"uplink": {"batch_n": 7, "poll_s": 1.0}})

    assert (chosen.uplink.batch_n, chosen.uplink.poll_s) == (9, 1.0)
    assert judged.conflicts == ({"key": "uplink.batch_n", "desired": 7, "local": 9},)


def test_a_wish_that_is_taken_back_is_as_it_was_locally(tmp_path):
    wishes(tmp_path).keep(desired({"uplink": {"batch_n": 7}}))
    here = wishes(tmp_path)

    assert here.judge({}).pending == ("uplink.batch_n",)


OWNERS = [
    ("policy", "controller_risk", "high"),
    ("policy", "group_risk", "high"),
    ("policy", "disabled_tools", []),
    ("people", "unnamed", "operator"),
    ("privacy", "share", "words"),
    ("privacy", "personal_days", 0),
    ("model", "bundle", "mine"),
    ("ledger", "keep_days", 1),
    ("ledger", "quota_mb", 16),
    ("device", "id", "door"),
    ("device", "site", "elsewhere"),
    ("site", "lights", []),
]


@pytest.mark.parametrize(("section", "key", "value"), OWNERS)
def test_rules_roles_telemetry_identity_and_evidence_are_the_owners_alone(tmp_path, section, key, value):
    judged = wishes(tmp_path).judge({section: {key: value}})

    assert judged.owners == (f"{section}.{key}",)
    assert "owner alone" in judged.complaints[0]


@pytest.mark.parametrize("config", [{"nothing": {"x": 1}}, {"uplink": {"nothing": 1}}, {"uplink": 3}])
def test_what_is_no_setting_is_refused(tmp_path, config):
    judged = wishes(tmp_path).judge(config)

    assert judged.complaints
    assert judged.owners == ()


def test_a_value_out_of_bounds_is_refused_with_its_key(tmp_path):
    assert "batch_n" in wishes(tmp_path).judge({"uplink": {"batch_n": 0}}).complaints[0]


def test_even_a_kept_file_with_the_owners_keys_sets_none_of_them(tmp_path):
    wishes(tmp_path).keep(desired({"privacy": {"share": "words"}}))

    assert settings.load(tmp_path) == Settings()
    assert wishes(tmp_path).began_with is None


@given(st.one_of(st.binary(max_size=300), st.text(max_size=300).map(str.encode)))
def test_any_file_of_wishes_is_read_or_ignored_never_a_fault(tmp_path_factory, data):
    home = tmp_path_factory.mktemp("h")
    (home / remote.FILE).write_bytes(data)

    assert settings.load(home) == Settings()


def test_a_file_that_somebody_altered_does_not_count(tmp_path):
    wishes(tmp_path).keep(desired({"uplink": {"batch_n": 7}}))
    path = tmp_path / remote.FILE
    path.write_text(path.read_text().replace("7", "8", 1))

    assert settings.load(tmp_path) == Settings()


def test_every_remote_key_is_a_setting_and_the_page_names_them_all():
    in_force = Wishes.__new__(Wishes)
    in_force._running, in_force._model = Settings(), Settings
    there = in_force.in_force()

    assert set(there) == set(REMOTE)
    assert all(there.values())
    json.dumps(there)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"people": {"unnamed": "operator"}}, "people.unnamed is for the device's owner alone"),
        ({"privacy": {"share": "words"}}, "privacy.share is for the device's owner alone"),
        ({"uplink": {"nosuch": 1}}, "there is no setting uplink.nosuch"),
        ({"nosuch": {"key": 1}}, "there is no setting nosuch.key"),
        ({"uplink": {"batch_n": "abc"}}, 'uplink.batch_n = "abc": Input should be a valid integer'),
        ({"storage": {"reserve_mb": 10**8}}, "at most 100000"),
        ({"device": {"name": "\x1b[2J"}}, "device.name"),
        ({"uplink": 3}, "[uplink]: a section with keys is wanted"),
    ],
)
def test_what_no_device_takes_is_known_before_any_is_told(config, said):
    told = remote.objections(config, settings.Settings)

    assert said in "\n".join(told)
    assert "\x1b" not in "\n".join(told)
    assert len(told) == 1 or "from afar may be set: device.name, model.threads, uplink.*" in told[-1]


@pytest.mark.parametrize(
    "config",
    [{}, {"uplink": {"batch_n": 50}, "device": {"name": "Küche"}}, {"people": {"unnamed": None}, "x": {"y": None}}],
)
def test_what_a_device_would_take_or_is_taken_back_may_be_wanted(config):
    assert remote.objections(config, settings.Settings) == ()
