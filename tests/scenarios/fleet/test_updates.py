"""A controller installs, activates and rolls back bundles over a real broker: with a stick's checks, once, answered."""

import importlib.util
import json
import shutil
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from appliance.contracts.bundle import Admitted
from appliance.contracts.canary import CanaryReport, Check
from appliance.contracts.enrolment import Role
from appliance.contracts.envelope import UpdateBody
from appliance.contracts.home import Home
from appliance.contracts.local import TrustDocument
from appliance.contracts.pinned import SHIPPED
from appliance.contracts.slots import Slots
from appliance.fleet import enrolling, views
from appliance.fleet.devices import devices
from appliance.settings import shipped_bundle
from appliance.storage import audit, updates
from appliance.transport.local import LocalClient
from appliance.trust import bundles, documents
from appliance.trust.slots import Shelf

NOW = datetime(2026, 11, 23, tzinfo=UTC)


@pytest.fixture
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
def keeper(fleet, site):
    """A device that trusts the site's people, and whose controller keeps its bundles."""
    device = fleet.device(role=Role.KEEPER)
    root = site.root(cooldown_days=0)
    device.admission.accept(root, fingerprint=documents.fingerprint(documents.envelope(root)))
    (device.home / "bundles" / "incoming").mkdir(parents=True)
    return device


@pytest.fixture
def put(keeper, ceremony, site):
    """Put a release where Ansible or scp would put it; signed by two people unless said otherwise."""

    def bring(n=2, signed_by=None):
        folder = site.delivery(f"release-{n}", release=n, version=f"0.{n}.0", signed_by=signed_by)
        return ceremony.packed(folder, keeper.home / "bundles" / "incoming" / f"release-{n}.tar").name

    return bring


def install(name):
    return UpdateBody(action="install", delivery=name)


def activate(name):
    return UpdateBody(action="activate", bundle=name)


ROLLBACK = UpdateBody(action="rollback")


def told(device, kind="bundle"):
    return [json.loads(row.body)["facts"] for row in audit.rows(device.db.connection) if row.kind == kind]


def test_a_bundle_is_installed_activated_and_rolled_back_from_afar(fleet, keeper, put):
    sent = [fleet.send("lamp", body) for body in (install(put()), activate("a"), ROLLBACK)]

    assert [one.final().life for one in sent] == ["executed"] * 3
    assert "lies in slot a" in sent[0].final().text
    assert "on trial" in sent[1].final().text
    assert "Back to what came with the software" in sent[2].final().text
    assert keeper.restarts_n == 2
    who = f"controller:{fleet.home.key.key_id} name:{fleet.home.settings.name}"
    by_it = [one["event"] for one in told(keeper) if one.get("peer") == who]
    assert by_it == ["installed", "commanded", "canary", "activated", "commanded", "rolled back", "commanded"]


def test_the_answers_say_how_far_it_is(fleet, keeper, put):
    fleet.send("lamp", install(put()))
    may_end = threading.Event()
    keeper.examine = lambda *_: (may_end.wait(10.0), passed())[1]

    threading.Timer(0.5, may_end.set).start()
    sent = fleet.send("lamp", activate("a"))

    assert [answer.life for answer in sent.answers][-2:] == ["accepted", "executed"]
    assert "canary" in sent.answers[-2].text


def flipped_bit(folder):
    path = folder / "bundle" / "model.tflite"
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)


def two_ways(folder):
    path = folder / "bundle" / "manifest.json"
    path.write_text(path.read_text().replace("{", '{"release": 9,', 1))


def leading_out(folder):
    (folder / "bundle" / "card.md").unlink()
    (folder / "bundle" / "card.md").symlink_to("/etc/hostname")


REFUSED = {
    # code: what the bundle says, what is done to the delivery afterwards
    "threshold": ({"signed_by": "ann"}, None),
    "expired": ({"expires_at": "2026-11-01T00:00:00+00:00"}, None),
    "software": ({"minimum_software": "9.0.0"}, None),
    "revocations-behind": ({"minimum_revocations": 3}, None),
    "files": ({}, flipped_bit),
    "manifest": ({}, two_ways),
    "signature": ({}, None),
    "revoked": ({"version": "6.6.6"}, None),
    "rollback": ({"release": 1}, None),
    "fast-forward": ({"release": 5000}, None),
    "equivocation": ({"version": "7.7.7"}, None),
    "root-expired": ({}, None),
    "archive": ({}, leading_out),
}


@pytest.fixture
def state_of_things(keeper, site):
    """Bring the device to where a delivery is refused as *code*."""

    def bring(code, folder):
        admission = keeper.admission
        if code == "revoked":
            admission.accept(site.revocations(1, bundles=[bundles.check(folder / "bundle").sha256]))
        elif code == "signature":
            shutil.rmtree(folder / "signatures")
            shutil.copytree(site.delivery("other", version="9.9.9") / "signatures", folder / "signatures")
        elif code in {"rollback", "fast-forward", "equivocation"}:
            admission.activated(
                Admitted(sha256="0" * 64, name="pointer-small", version="0.2.0", release=2, expires_at=NOW, signers=())
            )
        elif code == "root-expired":
            admission.accept(site.root(2, cooldown_days=0, expires_at=keeper.clock.now() - timedelta(days=1)))

    return bring


@pytest.mark.parametrize("code", REFUSED)
def test_stick_and_network_are_refused_for_the_same_reason(fleet, keeper, site, state_of_things, code):
    said, spoil = REFUSED[code]
    people = [site.ann] if said.get("signed_by") else None
    folder = site.delivery("release", **{"release": 2, **said, "signed_by": people})
    state_of_things(code, folder)
    if spoil is not None:
        spoil(folder)
    incoming = keeper.home / "bundles" / "incoming"
    shutil.copytree(folder, incoming / "release", symlinks=True)

    stick = keeper.bundles.install(folder, "stick")
    network = fleet.send("lamp", install("release")).final()

    assert (network.life, network.status, network.code) == ("rejected", 422, code)
    assert stick.error == code
    assert network.text.replace(str(incoming / "release"), "HERE") == stick.message.replace(str(folder), "HERE")
    events = [one for one in told(keeper) if one["event"] == "not installed"]
    assert [one["code"] for one in events] == [code, code]
    assert keeper.bundles.list()["a"] is None


def test_stick_and_network_admit_the_same_bundle_with_the_same_words(fleet, keeper, put, tmp_path):
    name = put()
    stick_copy = tmp_path / "stick.tar"
    shutil.copy(keeper.home / "bundles" / "incoming" / name, stick_copy)

    stick = keeper.bundles.install(stick_copy, "stick")
    Shelf(Home(keeper.home).bundles)._write(Slots())
    network = fleet.send("lamp", install(name)).final()

    assert stick.ok
    assert (network.life, network.text) == ("executed", stick.message)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (install("nothing.tar"), "unknown"),
        (activate("pointer-small/9.9.9"), "unknown"),
        (ROLLBACK, "shipped"),
    ],
)
def test_what_cannot_be_done_is_answered_and_recorded(fleet, keeper, body, code):
    final = fleet.send("lamp", body).final()

    assert (final.life, final.code) == ("rejected", code)
    (commanded,) = [one for one in told(keeper) if one["event"] == "commanded"]
    assert (commanded["action"], commanded["code"]) == (body.action, code)


def test_the_canary_says_no_to_a_controller_too(fleet, keeper, put):
    fleet.send("lamp", install(put()))
    keeper.examine = lambda *_: CanaryReport(
        sha256="0" * 64, against="", checks=(Check(name="safety", passed=False, reason="1 of 240 would be acted on"),)
    )

    final = fleet.send("lamp", activate("a")).final()

    assert (final.life, final.code) == ("rejected", "canary")
    assert "1 of 240 would be acted on" in final.text
    assert keeper.bundles.list()["chosen"] == "shipped"
    assert keeper.restarts_n == 0


def test_an_operator_installs_and_goes_back_but_only_a_keeper_activates(fleet, site):
    device = fleet.device(role=Role.OPERATOR)

    answers = [fleet.send("lamp", body).final() for body in (activate("a"), install("x.tar"), ROLLBACK)]

    assert [(one.status, one.code) for one in answers] == [(403, "role"), (422, "unknown"), (422, "shipped")]
    assert device.refused == ["role"]


@pytest.mark.parametrize("name", ["../../etc/passwd", "/media/usb/x.tar", ".hidden", "a/b", "x\u202etar", ""])
def test_a_delivery_is_a_plain_name(fleet, keeper, name):
    command = fleet.command(
        body=UpdateBody.model_construct(kind="update", action="install", delivery=name, bundle=None)
    )
    tap = fleet.tap()

    tap.say(fleet.message(command))

    fleet.until(lambda: keeper.refused)
    assert keeper.refused == ["malformed"]
    assert updates.find(keeper.db) is None


def test_a_command_that_comes_twice_is_done_once_and_answered_twice(fleet, keeper, put):
    message = fleet.message(fleet.command(body=install(put())))
    tap = fleet.tap(f"edge/v1/site/lamp/rsp/{fleet.home.key.key_id}")

    tap.say(message)
    tap.until(lambda: any(b'"executed"' in heard.payload for heard in tap.heard))
    tap.heard.clear()
    tap.say(message)
    tap.until(lambda: tap.heard)

    assert b'"executed"' in tap.heard[0].payload
    assert [one["event"] for one in told(keeper)].count("installed") == 1


def test_one_update_at_a_time(fleet, keeper, put):
    fleet.send("lamp", install(put()))
    may_end = threading.Event()
    keeper.examine = lambda *_: (may_end.wait(10.0), passed())[1]
    fleet.tap().say(fleet.message(fleet.command(body=activate("a"))))
    fleet.until(lambda: (now := updates.find(keeper.db)) is not None and now.is_begun)

    final = fleet.send("lamp", ROLLBACK).final()
    may_end.set()

    assert (final.life, final.status, final.code) == ("rejected", 409, "busy")
    fleet.until(lambda: updates.find(keeper.db) is None)
    assert keeper.bundles.list()["chosen"] == "a"


def lives(tap):
    """What a controller has heard, oldest first, each once."""
    heard = [json.loads(one.payload)["payload"] for one in tap.heard]
    return list(dict.fromkeys((one["life"], one["code"], one["text"]) for one in heard))


@pytest.fixture
def listening(fleet):
    """A controller that sends and listens, whatever becomes of the device."""
    return fleet.tap(f"edge/v1/site/lamp/rsp/{fleet.home.key.key_id}")


def test_an_answer_that_could_not_leave_before_the_restart_leaves_after_it(fleet, keeper, put, listening):
    fleet.send("lamp", install(put()))
    keeper.examine = lambda *_: (keeper.uplink.stop(), passed())[1]  # the connection is gone when it is done
    listening.heard.clear()
    listening.say(fleet.message(fleet.command(body=activate("a"))))
    fleet.until(lambda: keeper.restarts_n == 1)

    keeper.stop()
    keeper.start()

    listening.until(lambda: "executed" in [life for life, _, _ in lives(listening)])
    assert [one["event"] for one in told(keeper)].count("activated") == 1


def test_after_a_power_cut_it_is_not_done_again_and_the_answer_says_what_decides(fleet, keeper, put, listening):
    fleet.send("lamp", install(put()))
    never = threading.Event()
    tried = []
    keeper.examine = lambda *_: (tried.append(1), never.wait(30.0), passed())[2]
    listening.heard.clear()
    listening.say(fleet.message(fleet.command(body=activate("a"))))
    fleet.until(lambda: tried)

    keeper.crash()
    keeper.examine = lambda *_: tried.append(2) or passed()
    keeper.start()
    listening.until(lambda: "indeterminate" in [life for life, _, _ in lives(listening)])
    never.set()

    life, code, text = lives(listening)[-1]
    assert (life, code) == ("indeterminate", "interrupted")
    assert "what came with the software decides" in text
    assert tried == [1]
    assert updates.find(keeper.db) is None
    assert keeper.restarts_n == 0


def test_a_command_that_was_kept_and_not_begun_is_done_after_the_restart(fleet, keeper, put):
    name = put()
    keeper.stop()
    keeper.start()
    keeper.updater.stop()  # nobody there to begin it
    fleet.tap().say(fleet.message(fleet.command(body=install(name))))
    fleet.until(lambda: updates.find(keeper.db) is not None)

    keeper.stop()
    keeper.start()

    fleet.until(lambda: updates.find(keeper.db) is None)
    assert keeper.bundles.list()["a"] is not None


def test_one_that_waited_too_long_is_not_begun(fleet, keeper, put):
    name = put()
    keeper.updater.stop()
    fleet.tap().say(fleet.message(fleet.command(body=install(name))))
    fleet.until(lambda: updates.find(keeper.db) is not None)

    keeper.stop()
    keeper.clock.offset = timedelta(minutes=10)
    keeper.start()

    fleet.until(lambda: updates.find(keeper.db) is None)
    assert keeper.bundles.list()["a"] is None
    assert told(keeper)[-1]["life"] == "expired"


def test_a_fault_of_ours_is_named_as_one_and_not_laid_to_the_disk(fleet, keeper, put):
    fleet.send("lamp", install(put()))

    def breaks(*_folders):
        raise OSError(24, "too many open files")

    keeper.examine = breaks
    sent = fleet.send("lamp", activate("a"))

    assert (sent.final().life, sent.final().code) == ("failed", "fault")
    assert "OSError" in sent.final().text
    assert told(keeper)[-1]["life"] == "failed"


def test_a_whole_site_is_not_updated_at_once(fleet, keeper):
    key = fleet.home.key.key_id
    command = fleet.command(audience="all", response_topic=f"edge/v1/site/all/rsp/{key}", body=ROLLBACK)

    fleet.tap().say(fleet.message(command, topic="edge/v1/site/all/cmd/update"))

    fleet.until(lambda: keeper.refused)
    assert keeper.refused == ["not_to_all"]


@pytest.fixture
def daemon(fleet, site, bench):
    """A whole appliance that is enrolled with the controller as its keeper, and trusts the site's people."""
    enrolling.enrol_here(fleet.home, bench.home.root, device="bench", role=Role.KEEPER, replace=False, now=fleet.now())
    bench.start()
    root = site.folder / "root.json"
    root.write_bytes(site.root(cooldown_days=0))
    fingerprint = documents.fingerprint(documents.envelope(root.read_bytes()))
    request = TrustDocument(path=str(root), fingerprint=fingerprint)
    assert LocalClient(bench.home.root).request(request).result["accepted"]
    bench.home.incoming.mkdir(parents=True)
    return bench


def test_a_whole_appliance_installs_what_lies_there_and_says_no_to_the_rest(fleet, daemon, ceremony, site):
    ceremony.packed(site.delivery("two"), daemon.home.incoming / "two.tar")
    ceremony.packed(site.delivery("one", release=3, signed_by=(site.ann,)), daemon.home.incoming / "one.tar")

    answers = [fleet.send("bench", body).final() for body in (install("two.tar"), install("one.tar"), ROLLBACK)]

    assert [(one.life, one.code) for one in answers] == [
        ("executed", "done"),
        ("rejected", "threshold"),
        ("rejected", "shipped"),
    ]
    assert daemon.client.bundles()["a"]["version"] == "0.2.0"


def test_the_controller_lists_which_bundle_decides_on_each_device(fleet, daemon):
    def listed():
        return next(one for one in devices(fleet.home, fleet.now()) if one.device == "bench")

    fleet.collect()
    fleet.until(lambda: listed().software)

    decides = daemon.client.status()["bundle"]
    found = listed()
    assert (found.bundle, found.bundle_version) == (decides["name"], decides["version"])
    assert found.bundle_sha256 == decides["sha256"]
    assert f"pointer-small 0.1.0 {SHIPPED.sha256[:8]}" in "\n".join(views.device_table([listed()]))


@pytest.mark.system
@pytest.mark.quiet
@pytest.mark.timeout(900)
def test_a_whole_appliance_tries_activates_and_answers_across_its_restart(fleet, daemon, ceremony, site):
    folder = site.folder / "shipped"
    shutil.copytree(shipped_bundle(), folder / "bundle")
    (folder / "signatures").mkdir()
    for person in (site.ann, site.bob):
        site.sign(folder, person)
    ceremony.packed(folder, daemon.home.incoming / "release.tar")
    assert fleet.send("bench", install("release.tar")).final().life == "executed"
    tap = fleet.tap(f"edge/v1/site/bench/rsp/{fleet.home.key.key_id}")
    # Nobody has told this device the time, so what is to act quotes the nonce of its state.
    (found,) = fleet.home.db.rows("select nonce from devices where device = 'bench'")
    tap.say(fleet.message(fleet.command(device="bench", body=activate("a"), nonce=found["nonce"])))
    tap.until(lambda: daemon.daemon.wait(0.0), wait_s=800.0)

    daemon.restart()

    tap.until(lambda: "executed" in [life for life, _, _ in lives(tap)], wait_s=30.0)
    assert daemon.client.bundles()["decides"] == "a"
    assert daemon.client.bundles()["trial"] is not None


def passed():
    return CanaryReport(sha256="0" * 64, against="", checks=(Check(name="runs", passed=True),))
