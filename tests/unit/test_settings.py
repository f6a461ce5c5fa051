"""`appliance.toml`: what is taken, and how every kind of mistake is explained."""

from __future__ import annotations

import contextlib
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance import settings
from appliance.contracts.bundle import Admitted
from appliance.contracts.canary import CanaryLimits
from appliance.contracts.home import Home
from appliance.contracts.slots import TrialLimits
from appliance.errors import SettingsError
from appliance.inference.interpreter import Runtime
from appliance.settings import ModelSettings, Settings
from appliance.trust.slots import Shelf

FILE = Path("appliance.toml")


def complaint(text: str) -> str:
    with pytest.raises(SettingsError) as caught:
        settings.parse(text, FILE)
    return str(caught.value)


def test_a_home_without_a_file_has_the_defaults(tmp_path: Path) -> None:
    assert settings.load(tmp_path) == Settings()


def test_what_the_owner_wrote_counts(tmp_path: Path) -> None:
    (tmp_path / "appliance.toml").write_text(
        '[device]\nname = "Barn"\n[policy]\nact_at = 0.9\ncontroller_risk = "read"\ndisabled_tools = ["open_gate"]\n',
        encoding="utf-8",
    )

    loaded = settings.load(tmp_path)

    assert loaded.device.name == "Barn"
    assert (loaded.policy.act_at, loaded.policy.controller_risk) == (0.9, "read")
    assert loaded.policy.disabled_tools == ("open_gate",)
    assert loaded.model == ModelSettings()


def test_a_site_of_ones_own_replaces_the_demonstration_as_a_whole() -> None:
    text = '[site]\nrooms = ["barn"]\n[[site.lights]]\nname = "barn lamp"\nroom = "barn"\npin = 4\n'

    site = settings.parse(text, FILE).site

    assert [light.name for light in site.lights] == ["barn lamp"]
    assert site.machines == ()


def test_the_file_written_for_the_owner_changes_nothing_commented_or_not(tmp_path: Path) -> None:
    path = settings.write_default_file(tmp_path)
    text = path.read_text(encoding="utf-8")
    live = "\n".join(re.sub(r"^#(?!#)", "", line) for line in text.splitlines())

    assert settings.load(tmp_path) == Settings()
    assert "[[site.lights]]\n" in live
    assert settings.parse(live, path) == Settings()


def test_a_file_that_the_owner_wrote_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "appliance.toml").write_text('[device]\nname = "mine"\n', encoding="utf-8")

    settings.write_default_file(tmp_path)

    assert settings.load(tmp_path).device.name == "mine"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[polcy]\n", "appliance.toml:1: unknown section [polcy]; did you mean [policy]?"),
        (
            "[model]\n\n# how many\nthreds = 2\n",
            "appliance.toml:4: unknown key [model] threds; did you mean [model] threads?",
        ),
        ("[policy]\nthreads = 2\n", "appliance.toml:2: unknown key [policy] threads; it belongs under [model]"),
        ("[device]\nzzzz = 1\n", "appliance.toml:2: unknown key [device] zzzz; known here: id, name, site"),
        ("zzzz = 1\n", "unknown section [zzzz]; known here: device, model, policy"),
        ("[model]\nthreads = 1.5\n", "appliance.toml:2: [model] threads: expected a valid integer, found 1.5"),
        ('[model]\nthreads = "2"\n', 'appliance.toml:2: [model] threads: expected a valid integer, found "2"'),
        ("[policy]\nact_at = 2\n", "appliance.toml:2: [policy] act_at: expected less than or equal to 1, found 2"),
        ("[policy]\nact_at = nan\n", "appliance.toml:2: [policy] act_at: expected a finite number"),
        ('[model]\nruntime = "gpu"\n', "[model] runtime: expected 'auto', 'litert' or 'tflite-runtime', found \"gpu\""),
        ('[device]\nid = "Barn!"\n', "appliance.toml:2: [device] id: expected text of the form "),
        ("device = 3\n", "appliance.toml:1: [device]: expected an object, found 3"),
        ('[[site.lights]]\nname = "x"\n', "appliance.toml:1: [site] lights[1].room is missing"),
        (
            '[[site.lights]]\nname = "x"\nroom = "y"\n[[site.lights]]\nname = "z"\nrooom = "y"\n',
            "appliance.toml:6: unknown key [site] lights[2].rooom; did you mean [site] lights[2].room?",
        ),
        (
            '[site]\nrooms = ["barn"]\n[[site.lights]]\nname = "x"\nroom = "attic"\n',
            "appliance.toml:1: [site]: lights: 'x': room 'attic' is not among the rooms (barn)",
        ),
        ('[policy]\ndisabled_tools = [\n  "a",\n  3,\n]\n', "appliance.toml:2: [policy] disabled_tools[2]: expected a"),
        ("[policy\n", "appliance.toml: not TOML: Expected ']' at the end of a table declaration (at line 1, column 8)"),
        ("[model]\nthreads = 1\nthreads = 2\n", "not TOML: Cannot overwrite a value (at line 3"),
        (
            "[device]\nname = 2026-11-22\n",
            "appliance.toml:2: [device] name: expected no date or time, found 2026-11-22",
        ),
    ],
)
def test_a_mistake_is_named_with_file_line_key_and_what_was_meant(text: str, expected: str) -> None:
    assert expected in complaint(text)


def test_every_mistake_is_named_at_once_in_the_order_of_the_file() -> None:
    lines = complaint("[model]\nthreds = 1\n[policy]\nact_at = 7\n").splitlines()

    assert [line.split(":")[1] for line in lines] == ["2", "4"]


def test_more_mistakes_than_a_screen_holds_are_counted() -> None:
    text = "[model]\n" + "".join(f"zz{n} = 1\n" for n in range(30))

    assert complaint(text).splitlines()[-1] == "... and 20 more"


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"[device]\nname = '\xff'\n", "appliance.toml:2: not UTF-8 text (byte 0xff)"),
        (b"#" * (256 * 1024 + 1), "larger than 256 KiB"),
        (b"\x00\x01\x02", "not TOML"),
        (b"a = " + b"[" * 5000, "nested too deep"),
    ],
    ids=["bytes", "enormous", "binary", "deep"],
)
def test_a_file_that_is_no_settings_file_is_refused_by_name(tmp_path: Path, raw: bytes, expected: str) -> None:
    (tmp_path / "appliance.toml").write_bytes(raw)

    with pytest.raises(SettingsError, match=re.escape(expected)):
        settings.load(tmp_path)


def test_a_folder_in_the_place_of_the_file_is_explained(tmp_path: Path) -> None:
    (tmp_path / "appliance.toml").mkdir()

    with pytest.raises(SettingsError, match="cannot be read: Is a directory"):
        settings.load(tmp_path)


@given(st.text(max_size=200))
def test_any_text_is_settings_or_a_settings_error(text: str) -> None:
    with contextlib.suppress(SettingsError):
        settings.parse(text, FILE)


def test_the_home_is_what_was_said_then_the_environment_then_the_state_folder() -> None:
    environ = {"APPLIANCE_HOME": "/srv/edge", "XDG_STATE_HOME": "/state", "HOME": "/home/ada"}

    assert Home.find(Path("/here"), environ).root == Path("/here")
    assert Home.find(None, environ).root == Path("/srv/edge")
    assert Home.find(None, {"XDG_STATE_HOME": "/state", "HOME": "/home/ada"}).root == Path("/state/appliance")
    assert Home.find(None, {"HOME": "/home/ada"}).root == Path("/home/ada/.local/state/appliance")


def test_the_runtimes_that_can_be_set_are_those_that_exist() -> None:
    allowed = ModelSettings.model_json_schema()["properties"]["runtime"]["enum"]

    assert allowed == [runtime.value for runtime in Runtime]


def test_how_a_bundle_proves_itself_can_be_set_and_what_is_usual_is_what_the_software_has() -> None:
    chosen = settings.parse("[bundles]\ntrial_hours = 48\ncanary_minutes = 60\ncooldown_days = 14\n", FILE).bundles

    assert (chosen.trial().least_s, chosen.trial().longest_s) == (48 * 3600, 7 * 48 * 3600)
    assert chosen.canary().whole_s == 3600
    assert (Settings().bundles.canary(), Settings().bundles.trial()) == (CanaryLimits(), TrialLimits())


@pytest.mark.parametrize("key", ["safety", "suite", "golden", "competence_lost", "recorded_n", "recorded_acts"])
def test_no_setting_touches_the_safety_suite_or_what_is_compared(key: str) -> None:
    assert f"[bundles] {key}" in complaint(f"[bundles]\n{key} = 0\n")
    loosest = settings.parse(
        "[bundles]\ncanary_minutes = 240\ncanary_memory_mb = 1024\ncanary_latency_ms = 10000\n", FILE
    ).bundles.canary()
    usual = CanaryLimits()
    mine = {"whole_s", "resident_mb", "latency_ms"}
    assert loosest.model_dump(exclude=mine) == usual.model_dump(exclude=mine)


def test_the_bundle_of_the_active_slot_decides_and_a_named_one_before_it(tmp_path):
    shelf = Shelf(tmp_path / "bundles")
    lies = Admitted(sha256="ab" * 32, name="p", version="9", release=5, expires_at=datetime.now(UTC), signers=())
    shelf.clear().mkdir()
    shelf.put("a", lies)
    (tmp_path / "bundles" / "a" / "bundle").mkdir()
    unnamed, named = Settings(), Settings(model=ModelSettings(bundle="mine"))
    shipped, slot = settings.shipped_bundle(), tmp_path / "bundles" / "a" / "bundle"

    before = settings.installed_bundles(unnamed, tmp_path)
    shelf.activate("a", None)

    assert before == [shipped, slot]
    assert settings.installed_bundles(unnamed, tmp_path) == [slot, shipped]
    assert settings.bundle_folder(named, tmp_path) == tmp_path / "mine"
