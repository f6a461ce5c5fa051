"""`[model] bundle` is for whoever develops: it outranks no revocation and no root of trust, and it hides nowhere."""

import importlib.util
import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from appliance import cli
from appliance.contracts.local import ActivateBundle, InstallBundle, ListBundles, TrustDocument
from appliance.contracts.pinned import SHIPPED
from appliance.contracts.slots import Trial
from appliance.settings import shipped_bundle
from appliance.transport.local import LocalClient
from appliance.trust import bundles, documents, dsse
from appliance.trust.slots import Shelf
from firmware_models.restamp import restamp

RIG = Path(__file__).parents[1] / "rigs" / "ceremony.py"
SAYS = "named in the settings, signed by nobody"


@pytest.fixture
def site(tmp_path):
    spec = importlib.util.spec_from_file_location("ceremony", RIG)
    ceremony = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(ceremony)
    (tmp_path / "people").mkdir()
    return ceremony.Site(tmp_path / "people")


@pytest.fixture
def mine(bench, site):
    """A delivery in the home, release N of what ships under another hash, and how it came to its signatures."""

    def make(*signers, n=7, name="mine"):
        folder = bench.home.root / name
        shutil.copytree(shipped_bundle(), folder / "bundle")
        path = folder / "bundle" / "manifest.json"
        path.write_text(path.read_text().replace('"version": "0.1.0"', f'"version": "0.{n}.0"'))
        restamp(folder / "bundle", n, 730)
        (folder / "signatures").mkdir()
        for person in signers:
            site.sign(folder, person)
        return bundles.check(folder / "bundle").sha256

    return make


@pytest.fixture
def named(bench):
    """Start the appliance with settings that name *folder*."""

    def start(folder="mine/bundle"):
        bench.configure(f'[model]\nbundle = "{folder}"\n')
        return bench.start()

    return start


def ask(bench, request):
    return LocalClient(bench.home.root).request(request)


def listed(bench):
    return ask(bench, ListBundles()).result


def records(bench):
    return [json.loads(row.body)["facts"] for row in bench.records if row.kind == "bundle"]


def trusting(bench, site, **changes):
    path = site.folder / "root.json"
    path.write_bytes(site.root(cooldown_days=0, **changes))
    fingerprint = documents.fingerprint(dsse.parse(path.read_bytes()))
    assert ask(bench, TrustDocument(path=str(path), fingerprint=fingerprint)).result["accepted"]


def revoking(bench, site, *hashes, number=1):
    path = site.folder / "revocations.json"
    path.write_bytes(site.revocations(number, bundles=hashes))
    assert ask(bench, TrustDocument(path=str(path))).result["accepted"]


def run(bench, *words):
    return CliRunner().invoke(cli.group, ["--home", str(bench.home.root), *words]).output


def doctors(bench):
    checks = json.loads(run(bench, "doctor", "--json"))["checks"]
    return next((one["level"], one["found"]) for one in checks if one["check"] == "named")


def test_without_a_root_it_decides_and_everything_says_that_nobody_signed_it(bench, mine, named):
    bench.home.root.mkdir()
    sha256 = mine()
    named()

    assert bench.client.say("turn on the kitchen lights", yes=True).status == "done"
    found = listed(bench)
    assert (found["decides"], found["settings"]["vouched"]) == ("settings", "signed by nobody")
    assert found["settings"]["sha256"] == bench.client.status()["bundle"]["sha256"] == sha256
    assert [SAYS in reason for reason in bench.client.status()["degraded"]] == [True]  # and nothing else is missing
    assert SAYS in run(bench, "bundle", "list")
    assert SAYS in run(bench, "status")
    assert doctors(bench) == ("warn", f"the bundle that decides is {SAYS}")
    assert ask(bench, ActivateBundle(bundle="a")).error == "settings"

    bench.restart()

    told = [one for one in records(bench) if one["event"] == "the settings' bundle decides"]
    assert [(one["sha256"], one["vouched"]) for one in told] == [(sha256, "signed by nobody")] * 2


def test_on_a_device_with_a_root_an_unsigned_one_is_passed_over_and_the_slots_decide(bench, site, mine, named):
    bench.home.root.mkdir()
    mine()
    mine(site.ann, site.bob, n=2, name="release")
    bench.start()
    trusting(bench, site)
    assert ask(bench, InstallBundle(path=str(bench.home.root / "release"))).ok
    Shelf(bench.home.bundles).activate("a", Trial(began_at=bench.daemon._clock.now(), since_seq=0))
    bench.stop()

    named()

    found = listed(bench)
    assert (found["decides"], found["named_in_settings"]) == ("a", False)
    assert "signed by 0 release keys" in found["settings"]["bad"]
    assert any("is passed over" in reason for reason in bench.client.status()["degraded"])
    assert "passed over: pointer-small release 7 is signed by 0" in run(bench, "bundle", "list")
    assert doctors(bench)[0] == "warn"
    assert bench.client.say("turn on the kitchen lights", yes=True).status == "done"
    assert records(bench)[-1]["event"] == "the settings' bundle is passed over"


@pytest.mark.parametrize("folder", ["mine", "mine/bundle"])
def test_on_a_device_with_a_root_a_delivery_that_enough_people_signed_decides(bench, site, mine, named, folder):
    bench.home.root.mkdir()
    mine(site.ann, site.bob)
    bench.start()
    trusting(bench, site)
    bench.stop()

    named(folder)

    found = listed(bench)
    assert (found["decides"], found["settings"]["bad"]) == ("settings", "")
    assert found["settings"]["vouched"].startswith("signed by enough people")
    assert bench.client.status()["degraded"] == []
    assert doctors(bench)[0] == "ok"


def test_a_bare_folder_is_no_delivery(bench, site, mine, named):
    bench.home.root.mkdir()
    mine(site.ann, site.bob)
    shutil.move(bench.home.root / "mine" / "bundle", bench.home.root / "bare")
    bench.start()
    trusting(bench, site)
    bench.stop()

    named("bare")

    assert listed(bench)["decides"] == "shipped"
    assert "has to be a delivery" in listed(bench)["settings"]["bad"]


def test_the_bundle_that_came_with_the_software_may_be_named_until_it_is_revoked(bench, site, named):
    bench.home.root.mkdir()
    shutil.copytree(shipped_bundle(), bench.home.root / "copy")
    named("copy")
    trusting(bench, site)
    assert (listed(bench)["decides"], listed(bench)["settings"]["bad"]) == ("settings", "")

    revoking(bench, site, SHIPPED.sha256)

    assert bench.daemon.wait(5.0)
    bench.restart()
    assert listed(bench)["decides"] == "nothing"
    assert bench.client.say("turn on the kitchen lights", yes=True).code == "no_model"
    assert "was revoked: unlocks doors" in " ".join(bench.client.status()["degraded"])


def test_one_that_is_revoked_while_it_decides_goes_at_once_and_does_not_come_back(bench, site, mine, named):
    bench.home.root.mkdir()
    sha256 = mine(site.ann, site.bob)
    named()
    trusting(bench, site)
    assert listed(bench)["decides"] == "settings"

    revoking(bench, site, sha256)

    assert bench.daemon.wait(5.0)
    assert bench.daemon.begins_again
    for _ in range(2):
        bench.restart()
        assert listed(bench)["decides"] == "shipped"
        assert listed(bench)["revoked"] == {"settings": "unlocks doors"}
        assert bench.client.status()["bundle"]["sha256"] == SHIPPED.sha256


def test_a_root_that_comes_while_an_unsigned_one_decides_ends_that(bench, site, mine, named):
    bench.home.root.mkdir()
    mine()
    named()

    trusting(bench, site)

    assert bench.daemon.wait(5.0)
    bench.restart()
    assert listed(bench)["decides"] == "shipped"


def test_a_root_that_nobody_can_read_any_more_frees_nobody(bench, site, mine, named):
    bench.home.root.mkdir()
    mine()
    bench.start()
    trusting(bench, site)
    with bench.db.atomic() as connection:
        connection.execute("update trust_documents set body = 'x'")
    bench.stop()

    named()

    assert listed(bench)["decides"] == "shipped"
    assert listed(bench)["settings"]["bad"]
