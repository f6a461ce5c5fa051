"""A bundle whose files were changed by hand gets a manifest that says so, with a number and a name of its own."""

import shutil

import pytest

from appliance.inference.bundle import load_bundle
from appliance.settings import shipped_bundle
from firmware_models import restamp


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(shipped_bundle(), tmp_path / "pointer-small")


def test_a_release_is_called_by_the_version_that_it_is_given(folder, capsys):
    (folder / "card.md").write_text("# Another card\n", encoding="utf-8")

    restamp.main([str(folder), "--release", "2", "--version", "0.2.0"])

    manifest = load_bundle(folder).manifest
    assert (manifest.release, manifest.version) == (2, "0.2.0")
    assert "0.2.0" in (folder / "mlbom.json").read_text(encoding="utf-8")
    assert capsys.readouterr().out == "pointer-small 0.2.0, release 2\n"


def test_what_is_not_said_stays_and_the_pin_is_printed_when_asked_for(folder, capsys):
    before = load_bundle(folder).manifest

    restamp.main([str(folder), "--pin"])

    manifest = load_bundle(folder).manifest
    assert (manifest.release, manifest.version) == (before.release, before.version)
    assert "SHIPPED: Final = Pinned(" in capsys.readouterr().out
