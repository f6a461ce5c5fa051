"""A bundle in rings over real devices with slots, through the controller's collector and a real broker."""

import importlib.util
import json
import random
import time
from pathlib import Path

import pytest

from appliance.contracts.enrolment import Role
from appliance.contracts.envelope import UpdateBody
from appliance.fleet import rollout_rings, rollout_rows
from appliance.fleet.acting import Acting
from appliance.fleet.collector import Collector
from appliance.fleet.rollout import Rollout
from appliance.fleet.rollout_states import State
from appliance.storage import audit
from appliance.trust import documents

WHOLE = {"delivery": "release-2.tar", "activate": "pointer-small/0.2.0"}


@pytest.fixture(scope="module")
def ceremony():
    path = Path(__file__).parents[2] / "rigs" / "ceremony.py"
    spec = importlib.util.spec_from_file_location("ceremony", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def site(ceremony, tmp_path):
    (tmp_path / "people").mkdir()
    return ceremony.Site(tmp_path / "people")


@pytest.fixture
def keeper(fleet, site, ceremony):
    """Return what makes a device that keeps a bundle for so many days before it may decide."""

    def make(name, *, cooldown_days):
        device = fleet.device(name, role=Role.KEEPER)
        root = site.root(cooldown_days=cooldown_days)
        device.admission.accept(root, fingerprint=documents.fingerprint(documents.envelope(root)))
        (device.home / "bundles" / "incoming").mkdir(parents=True)
        bring(site, ceremony, device, 2)
        return device

    return make


def bring(site, ceremony, device, release):
    folder = site.folder / f"release-{release}"
    if not folder.exists():
        site.delivery(folder.name, release=release, version=f"0.{release}.0")
    ceremony.packed(folder, device.home / "bundles" / "incoming" / f"{folder.name}.tar")


def roll_out(fleet, what, until, *, soak="1s", meanwhile=lambda _state: None, **more):
    """Roll *what* out to every device at once, and return the members when it stands in *until*."""
    rings = [{"name": "all", "percent": 100, "soak": soak}]
    file = {"rollout": "r", "what": {"bundle": what}, "rings": rings, "answer_within": "1m", **more}
    declared = Rollout.model_validate_json(json.dumps(file))
    rings = rollout_rings.rings(fleet.home, declared, fleet.now())
    rollout_rows.begin(fleet.home, declared, rings, now=fleet.now(), who="test")
    collector = Collector(fleet.home, now=fleet.now, chance=random.Random(3))
    acting = Acting(fleet.home, now=fleet.now, chance=random.Random(5), look_s=0.05)
    try:
        end = time.monotonic() + 60
        while (state := rollout_rows.standing(fleet.home, "r").state) is not until:
            assert time.monotonic() < end, (state, rollout_rows.history(fleet.home, "r"))
            collector.step(0.02)
            acting.step()
            meanwhile(state)
        return {row["device"]: row for row in fleet.home.db.rows("select * from rollout_members")}
    finally:
        collector.close()
        acting.close()


def happened(device):
    rows = [json.loads(row.body)["facts"] for row in audit.rows(device.db.connection) if row.kind == "bundle"]
    return [facts["event"] for facts in rows]


def test_a_bundle_is_installed_and_decides_on_every_device(fleet, keeper):
    devices = [keeper(name, cooldown_days=0) for name in ("lamp", "fan")]

    members = roll_out(fleet, WHOLE, State.COMPLETED)

    assert {row["state"] for row in members.values()} == {"done"}
    assert [device.bundles.list()["chosen"] for device in devices] == ["a", "a"]


def test_where_a_bundle_has_to_lie_first_its_delivery_is_a_rollout_of_its_own(fleet, keeper):
    lamp = keeper("lamp", cooldown_days=7)

    members = roll_out(fleet, {"delivery": "release-2.tar"}, State.COMPLETED)

    assert members["lamp"]["state"] == "done"
    assert lamp.bundles.list()["a"]["version"] == "0.2.0"
    assert lamp.bundles.list()["chosen"] == "shipped"


def test_what_has_not_lain_long_enough_halts_the_rollout_and_says_so(fleet, keeper):
    keeper("lamp", cooldown_days=7)

    members = roll_out(fleet, WHOLE, State.HALTED)

    assert (members["lamp"]["state"], members["lamp"]["code"]) == ("refused", "cooldown")


def test_a_device_that_has_it_already_counts_as_one_that_did_it(fleet, keeper):
    lamp = keeper("lamp", cooldown_days=0)
    fleet.send("lamp", UpdateBody(action="install", delivery="release-2.tar"))
    fleet.send("lamp", UpdateBody(action="activate", bundle="pointer-small/0.2.0"))

    members = roll_out(fleet, WHOLE, State.COMPLETED)

    assert (members["lamp"]["state"], members["lamp"]["code"]) == ("done", "active")
    assert happened(lamp).count("activated") == 1


def test_a_device_that_sent_it_back_by_itself_is_not_taken_back_one_further(fleet, keeper, site, ceremony):
    lamp = keeper("lamp", cooldown_days=0)
    bring(site, ceremony, lamp, 1)
    fleet.send("lamp", UpdateBody(action="install", delivery="release-1.tar"))
    fleet.send("lamp", UpdateBody(action="activate", bundle="pointer-small/0.1.0"))
    lamp.bundles._shelf.passed()
    before = lamp.bundles.list()["chosen"]
    sent_back = []

    def meanwhile(state):
        if state is State.SOAKING and not sent_back:
            lamp.bundles._back(lamp.bundles._shelf.read(), "three requests ended in a fault")
            sent_back.append(lamp.bundles.list()["chosen"])

    members = roll_out(fleet, WHOLE, State.RETURNED, soak="30s", meanwhile=meanwhile, return_when_halted=True)

    assert members["lamp"]["state"] == "returned"
    assert members["lamp"]["code"] == "gone"
    assert sent_back == [before]
    assert lamp.bundles.list()["chosen"] == before
    assert "rolled back" not in happened(lamp)
