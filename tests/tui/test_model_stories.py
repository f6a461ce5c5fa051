"""What people do with bundles at the console, and what reached the device by it."""

import importlib.util
import json
import shutil
from pathlib import Path

import pytest
from textual.widgets import Input

from appliance.contracts.local import EnrolPerson, TrustDocument
from appliance.settings import shipped_bundle
from appliance.transport.local import LocalClient
from appliance.trust import documents, dsse
from appliance.tui.screens.models import ModelsScreen
from appliance.tui.screens.sign import SignScreen
from appliance.tui.widgets.model_acts import ModelActList
from firmware_models.restamp import restamp

PIN = "559302"


@pytest.fixture
def ceremony():
    path = Path(__file__).parents[1] / "rigs" / "ceremony.py"
    spec = importlib.util.spec_from_file_location("ceremony", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def site(ceremony, tmp_path):
    (tmp_path / "people").mkdir()
    return ceremony.Site(tmp_path / "people")


@pytest.fixture
def trusting(appliance, site):
    """Have the running appliance trust the site's people; they may want bundles to wait."""

    def bring(cooldown_days):
        root = site.folder / "root.json"
        root.write_bytes(site.root(cooldown_days=cooldown_days))
        fingerprint = documents.fingerprint(dsse.parse(root.read_bytes()))
        request = TrustDocument(path=str(root), fingerprint=fingerprint)
        assert LocalClient(appliance.home.root).request(request).result["accepted"]
        appliance.home.incoming.mkdir(parents=True)
        return appliance

    return bring


def events(bench):
    """Return what happened to bundles, oldest first."""
    return [json.loads(row.body)["facts"]["event"] for row in bench.records if row.kind == "bundle"]


def released(site, ceremony, bench):
    """Put the bundle that ships, as release 2 and signed by two, where a network would put it."""
    folder = site.folder / "release-2"
    shutil.copytree(shipped_bundle(), folder / "bundle")
    path = folder / "bundle" / "manifest.json"
    path.write_text(path.read_text().replace('"version": "0.1.0"', '"version": "0.2.0"'))
    restamp(folder / "bundle", 2, 730)
    (folder / "signatures").mkdir()
    for person in (site.ann, site.bob):
        site.sign(folder, person)
    return ceremony.packed(folder, bench.home.incoming / "pointer-small-0.2.0.tar")


async def at_the_models(operator):
    await operator.sees(lambda: operator.app.glance is not None)
    await operator.press("f8")
    await operator.sees("What can be done now")


async def choose(operator, what):
    """Go to what can be done, highlight *what*, press Enter."""

    def offered():
        offers = operator.app.screen.query_one(ModelActList)._acts
        return [n for n, act in enumerate(offers, start=1) if f"{act.label} {act.note}".startswith(what)]

    await operator.sees(offered)
    await operator.press(str(offered()[0]), "enter")
    await operator.sees(lambda: isinstance(operator.app.screen, SignScreen))


async def as_nobody(operator):
    """Sign with an empty name."""
    operator.app.screen.set_focus(operator.app.screen.query_one("#sign-name", Input))
    await operator.press("enter")


async def as_cleo(operator, pin=PIN):
    operator.app.screen.set_focus(operator.app.screen.query_one("#sign-name", Input))
    await operator.press(*"cleo", "enter", *pin, "enter")


async def test_a_fresh_device_says_whose_bundles_count_and_how_to_begin(appliance, open_console):
    async with open_console(appliance.home.root, size=(120, 40)) as operator:
        await at_the_models(operator)

        await operator.sees("● shipped  pointer-small release 1")
        await operator.sees("This device trusts nobody")
        await operator.press("f8")
        await operator.sees("Say what you want")


async def test_what_was_brought_is_listed_and_nothing_is_taken_by_itself(trusting, site, ceremony, open_console):
    bench = trusting(cooldown_days=7)
    path = released(site, ceremony, bench)
    async with open_console(bench.home.root, size=(120, 40)) as operator:
        await at_the_models(operator)

        await operator.sees("incoming/pointer-small-0.2.0.tar")

    assert path.exists()
    assert events(bench) == ["root accepted"]


async def test_a_delivery_is_installed_and_says_how_long_it_waits(trusting, site, ceremony, open_console):
    bench = trusting(cooldown_days=7)
    released(site, ceremony, bench)
    async with open_console(bench.home.root, size=(100, 34)) as operator:
        await at_the_models(operator)
        await choose(operator, "install incoming/pointer-small-0.2.0.tar")
        await as_nobody(operator)

        await operator.sees("pointer-small 0.2.0 lies in slot a")
        await operator.press("escape", "home")
        await operator.sees("another 7 d of running time before it may be activated")
        await operator.sees("signed by ann, bob")
        await choose(operator, "activate")
        await as_nobody(operator)
        await operator.sees("has to lie here for another")

    assert events(bench) == ["root accepted", "installed", "not activated"]


async def test_a_path_is_asked_for_and_a_no_says_why(trusting, site, ceremony, open_console, tmp_path):
    bench = trusting(cooldown_days=0)
    lonely = ceremony.packed(site.delivery("lonely", signed_by=(site.ann,)), tmp_path / "lonely.tar")
    async with open_console(bench.home.root, size=(100, 34)) as operator:
        await at_the_models(operator)
        await choose(operator, "install ...")
        await operator.press("enter", "enter")
        await operator.sees("Say which file or folder")
        operator.app.screen.query_one("#sign-asks", Input).value = str(lonely)
        await as_nobody(operator)

        await operator.sees("is signed by 1 release keys that count")

    assert events(bench) == ["root accepted", "not installed"]


async def test_a_list_that_a_stick_brought_revokes(trusting, site, open_console):
    bench = trusting(cooldown_days=0)
    (bench.home.incoming / "revocations-1.json").write_bytes(site.revocations(1, bundles=("a" * 64,)))
    async with open_console(bench.home.root, size=(120, 40)) as operator:
        await at_the_models(operator)
        await choose(operator, "revoke by the list incoming/revocations-1.json")
        await operator.sees("Take this revocation list?")
        await as_nobody(operator)

        await operator.sees("Revocation list 1 is in force.")
        await operator.sees("number 1 of")
        await operator.sees("unlocks doors")

    assert events(bench) == ["root accepted", "revocations accepted"]


async def test_a_root_is_called_a_root_before_anybody_signs_for_it(trusting, site, open_console):
    bench = trusting(cooldown_days=0)
    (bench.home.incoming / "aaa-list.json").write_bytes(site.root(2, cooldown_days=3))
    async with open_console(bench.home.root, size=(120, 40)) as operator:
        await at_the_models(operator)
        await choose(operator, "new root of trust: incoming/aaa-list.json")
        await operator.sees("Take this root of trust?")
        await operator.sees("whose word counts here from now on")
        await as_nobody(operator)

        await operator.sees("Root 2 is in force.", within_s=30.0)

    assert events(bench) == ["root accepted", "root accepted"]


async def test_who_signs_for_a_list_gives_away_no_root(trusting, site, open_console, tmp_path):
    bench = trusting(cooldown_days=0)
    path = tmp_path / "list.json"
    path.write_bytes(site.root(2, cooldown_days=3))
    async with open_console(bench.home.root, size=(120, 40)) as operator:
        await at_the_models(operator)
        await choose(operator, "revoke ...")
        operator.app.screen.query_one("#sign-asks", Input).value = str(path)
        await as_nobody(operator)

        await operator.sees("it is a root of trust; what was signed for is", within_s=30.0)

    assert events(bench) == ["root accepted", "document refused"]


async def test_where_an_admin_is_enrolled_only_an_admin_activates(trusting, site, ceremony, open_console):
    bench = trusting(cooldown_days=7)
    LocalClient(bench.home.root).request(EnrolPerson(name="cleo", role="admin", new_pin=PIN))
    released(site, ceremony, bench)
    async with open_console(bench.home.root, size=(100, 34)) as operator:
        await at_the_models(operator)
        await choose(operator, "install incoming/pointer-small-0.2.0.tar")
        await as_nobody(operator)
        await operator.sees("lies in slot a")
        await operator.press("escape", "home")

        await choose(operator, "activate")
        await as_nobody(operator)
        await operator.sees("That takes an admin")
        await choose(operator, "activate")
        await as_cleo(operator, pin="000000")
        await operator.sees(lambda: "That takes an admin" not in operator.text())
        assert events(bench)[-1] == "installed"
        await choose(operator, "activate")
        await as_cleo(operator)
        await operator.sees("has to lie here for another", within_s=30.0)

    assert events(bench)[-1] == "not activated"


@pytest.mark.system
@pytest.mark.quiet
@pytest.mark.timeout(900)
async def test_a_bundle_is_tried_while_the_console_goes_on_and_then_decides(trusting, site, ceremony, open_console):
    bench = trusting(cooldown_days=0)
    released(site, ceremony, bench)
    async with open_console(bench.home.root, size=(120, 40)) as operator:
        await at_the_models(operator)
        await choose(operator, "install incoming/pointer-small-0.2.0.tar")
        await as_nobody(operator)
        await operator.sees("lies in slot a")
        await operator.press("escape", "home")
        await choose(operator, "activate")
        await as_nobody(operator)

        await operator.sees("Trying it:")
        await operator.sees("being tried, 0:")
        await operator.press("f8", "f8")
        await operator.say("turn the kitchen lights off")
        await operator.sees(lambda: operator.card.outcome is not None)
        assert events(bench)[-1] == "installed"
        await operator.press("f8")
        await operator.sees(lambda: events(bench)[-1] == "activated", within_s=800.0)
        await operator.sees("decides from the restart that happens")
        await operator.sees("safety       240 asked")
        assert bench.daemon.wait(5.0)
        bench.restart()
        await operator.sees("decides, on trial", within_s=60.0)
        await operator.press("up", "up")
        await operator.sees("of at least 24 h; 0 of at least")


async def test_the_models_screen_closes_step_by_step(appliance, open_console):
    async with open_console(appliance.home.root, size=(80, 24)) as operator:
        await at_the_models(operator)
        await operator.press("t")
        await operator.sees("This device trusts nobody")
        await operator.press("escape")
        await operator.sees("What can be done now")
        await operator.press("1", "escape")
        assert isinstance(operator.app.screen, ModelsScreen)
        await operator.press("escape")
        await operator.sees("Say what you want")


async def test_what_was_brought_is_looked_at_before_it_is_installed_and_nothing_changes(
    trusting, site, ceremony, open_console
):
    bench = trusting(0)
    tar = released(site, ceremony, bench)
    before = bench.client.bundles()

    async with open_console(bench.home.root, size=(120, 40)) as operator:
        await at_the_models(operator)
        await choose(operator, "verify")
        await as_nobody(operator)

        await operator.sees("bundle     pointer-small 0.2.0, release 2")
        await operator.sees("verified: enough different release keys")

    assert bench.client.bundles() == before
    assert events(bench) == ["root accepted"]
    said = bench.client.look(tar)
    assert {line.split()[-1] for line in said.message.splitlines() if line.startswith("signed by")} == {"ann", "bob"}


async def test_what_too_few_people_signed_is_shown_with_the_reason(trusting, site, ceremony, open_console):
    bench = trusting(0)
    ceremony.packed(site.delivery("one", signed_by=(site.ann,)), bench.home.incoming / "one.tar")

    async with open_console(bench.home.root, size=(120, 40)) as operator:
        await at_the_models(operator)
        await choose(operator, "verify")
        await as_nobody(operator)

        await operator.sees("bundle     pointer-small 0.2.0, release 2")
        await operator.sees("no: pointer-small release 2 is signed by 1 release keys")
