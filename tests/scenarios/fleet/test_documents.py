"""What says whom to trust crosses a real broker: taken for its own signatures, not for the controller's."""

import importlib.util
from pathlib import Path

import pytest

from appliance.contracts.envelope import TrustBody
from appliance.trust import documents


@pytest.fixture
def site(tmp_path):
    path = Path(__file__).parents[2] / "rigs" / "ceremony.py"
    spec = importlib.util.spec_from_file_location("ceremony", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (tmp_path / "people").mkdir()
    return module.Site(tmp_path / "people")


def test_a_revocation_list_comes_over_the_network_and_is_honoured(fleet, site):
    device = fleet.device()
    root = site.root()
    device.admission.accept(root, fingerprint=documents.fingerprint(documents.envelope(root)))
    document = site.revocations(1, bundles=("a" * 64,)).decode()

    sent = fleet.send("lamp", TrustBody(document=document))

    assert sent.final().code == "accepted"
    assert device.admission.why_revoked("a" * 64) == "unlocks doors"


def test_a_controller_cannot_say_whom_a_device_trusts(fleet, site):
    device = fleet.device()

    first = fleet.send("lamp", TrustBody(document=site.root().decode()))
    nobodys = fleet.send("lamp", TrustBody(document=site.revocations(1).decode()))

    assert (first.final().life, first.final().code) == ("rejected", "chain")
    assert (nobodys.final().life, nobodys.final().code) == ("rejected", "no-root")
    assert device.admission.root() is None
