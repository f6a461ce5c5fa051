"""A daemon that is killed while the canary runs: what decided before decides after, and nobody is left behind."""

import importlib.util
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from appliance.contracts.local import ActivateBundle, InstallBundle, ListBundles, TrustDocument
from appliance.errors import ApplianceError
from appliance.settings import shipped_bundle
from appliance.transport.local import LocalClient
from appliance.trust import bundles, documents, dsse
from firmware_models.restamp import restamp

RIG = Path(__file__).parents[1] / "rigs" / "ceremony.py"
KILLS_N = int(os.environ.get("ACTIVATION_KILLS", "5"))

pytestmark = [pytest.mark.system, pytest.mark.quiet, pytest.mark.timeout(120 * KILLS_N + 300)]


@pytest.fixture
def site(tmp_path):
    spec = importlib.util.spec_from_file_location("ceremony", RIG)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (tmp_path / "people").mkdir()
    return module.Site(tmp_path / "people")


def started(home):
    daemon = subprocess.Popen(
        [sys.executable, "-m", "appliance", "--home", str(home), "run"], stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    while True:
        try:
            LocalClient(home).request(ListBundles())
        except ApplianceError:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        else:
            return daemon


def test_a_kill_during_activation_leaves_what_decided(tmp_path, site):
    home = tmp_path / "home"
    home.mkdir()
    delivery = site.folder / "release"
    shutil.copytree(shipped_bundle(), delivery / "bundle")
    restamp(delivery / "bundle", 2, 730)
    (delivery / "signatures").mkdir()
    for person in (site.ann, site.bob):
        site.sign(delivery, person)
    root = site.folder / "root.json"
    root.write_bytes(site.root(cooldown_days=0))
    fingerprint = documents.fingerprint(dsse.parse(root.read_bytes()))
    daemon = started(home)
    client = LocalClient(home)
    assert client.request(TrustDocument(path=str(root), fingerprint=fingerprint)).result["accepted"]
    assert client.request(InstallBundle(path=str(delivery)), timeout_s=120.0).ok
    chance = random.Random(6)
    caged_n = 0

    for _ in range(KILLS_N):
        asking = threading.Thread(target=_ask, args=(home,))
        asking.start()
        time.sleep(chance.uniform(1.0, 12.0))
        caged = psutil.Process(daemon.pid).children()
        caged_n += len(caged)
        daemon.kill()
        daemon.wait()
        asking.join()
        _, alive = psutil.wait_procs(caged, timeout=30)
        assert alive == []

        daemon = started(home)
        listed = client.request(ListBundles()).result
        assert (listed["decides"], listed["trial"]) == ("shipped", None)
        assert bundles.check(home / "bundles" / "a" / "bundle").sha256 == listed["a"]["sha256"]
    daemon.terminate()
    daemon.wait()
    assert caged_n >= KILLS_N / 3


def _ask(home):
    try:
        LocalClient(home).request(ActivateBundle(bundle="a"), timeout_s=120.0)
    except ApplianceError:
        return  # the daemon was killed, which is the point
