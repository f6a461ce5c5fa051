"""The bundle in the package is the one that the software names, or none."""

from __future__ import annotations

import shutil

import pytest

from appliance.contracts.pinned import SHIPPED
from appliance.errors import BundleError
from appliance.settings import shipped_bundle
from appliance.trust import bundles


@pytest.fixture
def package(tmp_path):
    """An installed package with its bundle."""
    shutil.copytree(shipped_bundle(), tmp_path / "appliance" / "bundles" / SHIPPED.name)
    return tmp_path / "appliance"


def test_it_is_found_and_is_the_one(package):
    found = shipped_bundle(package)

    assert bundles.check(found).sha256 == SHIPPED.sha256


def test_another_one_in_its_place_is_refused(package):
    manifest = package / "bundles" / SHIPPED.name / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"release": 1', '"release": 2'))

    with pytest.raises(BundleError, match="not the one that this software came with"):
        shipped_bundle(package)


def test_a_bundle_of_another_name_beside_it_is_not_looked_at(package):
    shutil.copytree(package / "bundles" / SHIPPED.name, package / "bundles" / "zzz")

    assert shipped_bundle(package).name == SHIPPED.name


def test_none_is_said(tmp_path):
    with pytest.raises(BundleError, match="no bundle came with this installation"):
        shipped_bundle(tmp_path / "appliance")
