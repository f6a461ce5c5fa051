"""A bundle from a stick to the one that decides, and back: a real device, real signatures, the real canary."""

import importlib.util
import json
import os
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from appliance import cli
from appliance.contracts.local import (
    ActivateBundle,
    InstallBundle,
    ListBundles,
    RollBackBundle,
    Status,
    TrustDocument,
)
from appliance.contracts.pinned import SHIPPED
from appliance.contracts.slots import Trial
from appliance.daemon import _machine_start
from appliance.errors import TrustError
from appliance.settings import shipped_bundle
from appliance.transport.local import LocalClient
from appliance.trust import documents, dsse
from appliance.trust.slots import Shelf
from firmware_models.restamp import restamp

RIG = Path(__file__).parents[1] / "rigs" / "ceremony.py"


@pytest.fixture
def ceremony():
    spec = importlib.util.spec_from_file_location("ceremony", RIG)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def site(ceremony, tmp_path):
    folder = tmp_path / "people"
    folder.mkdir()
    return ceremony.Site(folder)


class Device:
    """A running appliance that trusts a site's people."""

    def __init__(self, appliance, site):
        self.appliance, self.site = appliance, site
        root = site.folder / "root.json"
        root.write_bytes(site.root(cooldown_days=0))
        self.asked = {}
        fingerprint = documents.fingerprint(dsse.parse(root.read_bytes()))
        assert self.ask(TrustDocument(path=str(root), fingerprint=fingerprint)).result["accepted"]

    def ask(self, request):
        return LocalClient(self.appliance.home.root).request(request, timeout_s=850.0)

    def list(self):
        return self.ask(ListBundles()).result

    def events(self):
        return [json.loads(row.body)["facts"]["event"] for row in self.appliance.records if row.kind == "bundle"]

    def begins_again(self):
        """What `daemon.run` does when a change wants to take effect."""
        assert self.appliance.daemon.wait(5.0)
        assert self.appliance.daemon.begins_again
        self.appliance.restart()

    @property
    def shelf(self):
        return Shelf(self.appliance.home.bundles)


@pytest.fixture
def device(appliance, site):
    return Device(appliance, site)


@pytest.fixture
def release(site):
    """The bundle that ships as release N, signed by two; what it says is the same."""

    def make(n=2, signed_by=None):
        folder = site.folder / f"release-{n}"
        shutil.copytree(shipped_bundle(), folder / "bundle")
        path = folder / "bundle" / "manifest.json"
        path.write_text(path.read_text().replace('"version": "0.1.0"', f'"version": "0.{n}.0"'))
        restamp(folder / "bundle", n, 730)
        (folder / "signatures").mkdir()
        for person in signed_by or (site.ann, site.bob):
            site.sign(folder, person)
        return folder

    return make


def test_a_folder_and_its_tar_have_the_same_checks(device, release, ceremony, site, tmp_path):
    folder = release(signed_by=(site.ann,))
    tar = ceremony.packed(folder, tmp_path / "release.tar")

    answers = [device.ask(InstallBundle(path=str(path))) for path in (folder, tar)]

    assert [(one.ok, one.error) for one in answers] == [(False, "threshold")] * 2
    assert answers[0].message == answers[1].message
    assert device.list()["a"] is None
    assert not (device.appliance.home.bundles / ".new").exists()
    assert device.events() == ["root accepted", "not installed", "not installed"]


@pytest.mark.system
@pytest.mark.quiet
@pytest.mark.timeout(900)
def test_a_release_is_installed_tried_activated_on_trial_and_rolled_back(device, release):
    assert device.ask(InstallBundle(path=str(release()))).result["slot"] == "a"
    assert device.list()["decides"] == "shipped"
    assert device.ask(InstallBundle(path=str(device.site.folder / "release-2"))).error == "installed"

    activated = device.ask(ActivateBundle(bundle="pointer-small/0.2.0"))

    assert activated.ok, activated.message
    checks = {check["name"]: check for check in activated.result["report"]["checks"]}
    assert set(checks) == {"runs", "golden", "safety", "competence", "recorded", "latency", "memory"}
    assert (checks["safety"]["failed_n"], checks["competence"]["failed_n"]) == (0, 0)
    device.begins_again()
    listed = device.list()
    assert (listed["decides"], listed["before"], listed["trial"]["crashes_n"]) == ("a", "shipped", 0)
    assert device.ask(Status()).result["bundle"]["version"] == "0.2.0"
    assert device.appliance.client.say("turn on the kitchen lights", yes=True).status == "done"
    assert device.list()["trial"]["n"] == 1

    assert device.ask(RollBackBundle()).ok
    device.begins_again()
    assert device.list()["decides"] == "shipped"
    assert device.events()[-4:] == ["installed", "canary", "activated", "rolled back"]


def test_the_verbs_say_what_lies_where_and_why_not(device, release, site):
    def run(*words):
        return CliRunner().invoke(cli.group, ["--home", str(device.appliance.home.root), "bundle", *map(str, words)])

    refused = run("install", release(3, signed_by=(site.ann,)))
    assert isinstance(refused.exception, TrustError)
    assert "installed" not in refused.output

    installed = run("install", release(2))
    listed = run("list")
    found = json.loads(run("list", "--json").output)

    assert installed.output == "pointer-small 0.2.0 lies in slot a.\n"
    assert listed.output.splitlines()[0] == f"* shipped  what came with the software, release {SHIPPED.release}"
    assert f"pointer-small 0.2.0, release 2  {found['a']['sha256'][:16]}" in listed.output
    assert isinstance(run("rollback").exception, TrustError)
    assert isinstance(run("activate", "c").exception, TrustError)


def on_trial(device, release):
    """Put a release on trial, as an activation does after the canary."""
    assert device.ask(InstallBundle(path=str(release()))).ok
    device.shelf.activate("a", Trial(began_at=device.appliance.daemon._clock.now(), since_seq=0))
    device.appliance.restart()
    assert device.list()["decides"] == "a"


def test_three_crashes_go_back_by_themselves(device, release):
    on_trial(device, release)

    device.appliance.stop()
    for _ in range(3):
        device.shelf.start(_machine_start())  # a start that has no end
    device.appliance.start()

    listed = device.list()
    assert (listed["decides"], listed["trial"]) == ("shipped", None)
    assert listed["returned"][0]["reason"] == "the appliance ended 3 times without notice"
    assert device.events()[-1] == "sent back"
    assert device.ask(ActivateBundle(bundle="a")).error == "returned"


def test_a_bundle_that_was_altered_on_the_card_gives_way_to_the_one_before(device, release):
    on_trial(device, release)
    device.appliance.stop()
    network = device.shelf.folder("a") / "bundle" / "model.tflite"
    raw = bytearray(network.read_bytes())
    raw[len(raw) // 2] ^= 1
    network.write_bytes(raw)

    device.appliance.start()

    assert device.list()["decides"] == "shipped"
    assert "model.tflite" in device.list()["returned"][0]["reason"]
    assert device.appliance.client.say("turn on the kitchen lights", yes=True).status == "done"


def test_a_bundle_that_is_revoked_while_it_decides_goes_at_once(device, release, tmp_path):
    on_trial(device, release)
    revoked = tmp_path / "revocations.json"
    revoked.write_bytes(device.site.revocations(1, bundles=[device.list()["a"]["sha256"]]))

    assert device.ask(TrustDocument(path=str(revoked))).result["accepted"]["number"] == 1

    device.begins_again()
    assert device.list()["decides"] == "shipped"
    assert device.list()["revoked"] == {"a": "unlocks doors"}
    assert device.ask(InstallBundle(path=str(device.site.folder / "release-2"))).error == "revoked"


def test_what_the_bundle_of_a_slot_decided_is_decided_again_the_same_way(device, release):
    on_trial(device, release)
    device.appliance.client.say("turn on the kitchen lights", yes=True)

    home = ["--home", str(device.appliance.home.root)]
    result = CliRunner().invoke(cli.group, [*home, "audit", "replay", "--last", "1", "--json"])

    line, summary = (json.loads(line) for line in result.stdout.splitlines())
    assert (line["verdict"], result.exit_code) == ("equal", 0), summary


@pytest.mark.parametrize("what", ["pipe", "folder", "device"])
def test_a_document_that_is_no_plain_file_keeps_nobody_waiting(device, tmp_path, what):
    path = {"pipe": tmp_path / "pipe", "folder": tmp_path, "device": Path("/dev/zero")}[what]
    if what == "pipe":
        os.mkfifo(path)

    refused = device.ask(TrustDocument(path=str(path))).result["refused"]

    assert refused["code"] == "unreadable"
    assert device.list()["decides"] == "shipped"


def test_refusals_beyond_what_is_usual_send_it_back(device, release):
    on_trial(device, release)
    for n in range(12):
        device.appliance.client.say(f"order {n} pizzas")

    device.appliance.daemon._bundles.judge_now()

    device.begins_again()
    assert device.list()["decides"] == "shipped"
    assert "were refused or asked back" in device.list()["returned"][0]["reason"]


def test_refusals_of_whoever_may_ask_for_nothing_do_not_count(device, release):
    on_trial(device, release)
    device.appliance.configure('[people]\nunnamed = "viewer"\n')
    device.appliance.restart()
    for n in range(12):
        assert device.appliance.client.say(f"order {n} pizzas").status == "refused"

    device.appliance.daemon._bundles.judge_now()

    listed = device.list()
    assert (listed["decides"], listed["trial"]["n"], device.appliance.daemon.begins_again) == ("a", 0, False)


def test_the_word_that_it_cannot_wait_may_come_later(device, release, site):
    folder = release()
    assert device.ask(InstallBundle(path=str(folder))).ok
    assert device.ask(InstallBundle(path=str(folder))).error == "installed"
    (folder / "urgent.json").write_bytes(site.urgent(folder / "bundle", (site.ann, site.bob, site.cem)))

    again = device.ask(InstallBundle(path=str(folder)))

    assert again.ok, again.message
    assert again.result["slot"] == "a"
    assert device.list()["a"]["urgent"]
    assert device.list()["b"] is None


def test_the_bundle_that_came_with_the_software_can_be_revoked(device, site, tmp_path):
    path = tmp_path / "revocations.json"
    path.write_bytes(site.revocations(1, bundles=[SHIPPED.sha256]))

    device.ask(TrustDocument(path=str(path)))
    device.begins_again()

    troubles = json.dumps(device.ask(Status()).result)
    assert "was revoked (unlocks doors)" in troubles
    assert device.appliance.client.say("turn on the kitchen lights", yes=True).status == "refused"


@pytest.mark.parametrize("way", ["stick", "network"])
def test_a_list_that_is_brought_again_makes_no_device_begin_again(device, site, tmp_path, way):
    path = tmp_path / "revocations.json"
    path.write_bytes(site.revocations(1, bundles=[SHIPPED.sha256]))
    device.ask(TrustDocument(path=str(path)))
    device.begins_again()
    assert device.list()["decides"] == "nothing"

    bundles = device.appliance.daemon._bundles
    if way == "stick":
        assert device.ask(TrustDocument(path=str(path))).result["accepted"]
    else:
        bundles.told(path.read_bytes(), "controller")
        with bundles._lock:
            bundles._look_again()

    assert not device.appliance.daemon.begins_again


def test_what_the_network_revokes_goes_with_the_next_look(device, site):
    bundles = device.appliance.daemon._bundles
    bundles.told(site.revocations(1, bundles=[SHIPPED.sha256]), "controller")

    with bundles._lock:
        bundles._look_again()

    device.begins_again()
    assert device.events()[-1] == "revocations accepted"
