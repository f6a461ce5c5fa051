"""The appliance's bill of materials is CycloneDX 1.6, is the one of the lock, and travels in the wheel."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

ROOT = Path(__file__).resolve().parents[2]
PATH = ROOT / "requirements" / "appliance.cdx.json"
TEXT = PATH.read_text(encoding="utf-8")
BILL = json.loads(TEXT)
LIBRARIES = [component for component in BILL["components"] if component["type"] == "library"]


def fault(bill):
    """What the schema of those who made the format says against a bill; None when nothing."""
    return JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(bill))


def test_it_is_cyclonedx():
    assert (BILL["bomFormat"], BILL["specVersion"]) == ("CycloneDX", "1.6")
    assert fault(BILL) is None


def test_the_validator_would_notice():
    assert (
        fault({**BILL, "components": [{**LIBRARIES[0], "hashes": [{"alg": "SHA-256", "content": "short"}]}]})
        is not None
    )


def test_it_says_what_the_lock_says():
    # Read here with other means than the script that wrote the bill.
    lock = (ROOT / "requirements" / "runtime.txt").read_text(encoding="utf-8").replace("\\\n", " ")
    locked = {}
    for line in lock.splitlines():
        name, version = re.match(r"([\w.-]+)==(\S+)", line).groups()
        locked[name, version] = set(re.findall(r"sha256:(\w{64})", line))

    billed = {
        (c["name"], c["version"]): {h["content"] for ref in c["externalReferences"] for h in ref["hashes"]}
        for c in LIBRARIES
    }

    assert billed == locked


def test_it_is_what_the_script_would_write_now():
    said = subprocess.run(
        [sys.executable, ROOT / ".ci" / "sbom.py", "--check"], check=False, capture_output=True, text=True
    )

    assert said.returncode == 0, f"{said.stdout}{said.stderr}"


def test_what_the_packages_that_are_installed_say_of_their_licence_is_in_it():
    compared = 0
    for component in LIBRARIES:
        try:
            told = metadata.metadata(component["name"])
        except metadata.PackageNotFoundError:
            continue
        expression = told["License-Expression"]
        if told["Version"] == component["version"] and expression:
            (licence,) = component["licenses"]
            assert expression == licence.get("expression", licence.get("license", {}).get("id")), component["name"]
            compared += 1

    assert compared > 10


def test_every_package_has_a_licence_and_is_needed_by_something():
    needed = {ref for edge in BILL["dependencies"] for ref in edge.get("dependsOn", [])}

    assert [c["name"] for c in BILL["components"] if not c.get("licenses")] == []
    assert [c["bom-ref"] for c in BILL["components"] if c["bom-ref"] not in needed] == []


def test_it_is_about_this_version_and_what_it_asks_for():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    about = BILL["metadata"]["component"]
    edges = {edge["ref"]: edge.get("dependsOn", []) for edge in BILL["dependencies"]}

    below = {ref.removeprefix("pkg:pypi/").split("@")[0] for ref in edges[about["bom-ref"]] if ref.startswith("pkg:")}

    assert (about["name"], about["version"]) == (project["name"], project["version"])
    assert below == {re.match(r"[\w-]+", requirement)[0] for requirement in project["dependencies"]}


def test_the_model_that_ships_is_in_it_with_its_own_bill():
    (model,) = [component for component in BILL["components"] if component["type"] == "machine-learning-model"]
    (own,) = model["externalReferences"]
    file = ROOT / "firmware_models" / "bundles" / Path(own["url"]).relative_to("appliance/bundles")

    assert own["hashes"] == [{"alg": "SHA-256", "content": hashlib.sha256(file.read_bytes()).hexdigest()}]
    assert model["hashes"] == json.loads(file.read_text(encoding="utf-8"))["metadata"]["component"]["hashes"]


def test_nothing_in_it_is_of_a_day_or_a_machine():
    assert "timestamp" not in BILL["metadata"]
    assert re.findall(r"https?://[^\"]*", TEXT) == []


@pytest.mark.parametrize("spoilt", ["version", "hash", "licence"])
def test_a_bill_that_was_changed_by_hand_is_stale(tmp_path, spoilt):
    # The script in a copy of the folders that it reads.
    for name in (".ci/sbom.py", ".ci/index.py", ".ci/locked.py", "requirements/runtime.txt", "pyproject.toml"):
        copy = tmp_path / name
        copy.parent.mkdir(exist_ok=True)
        copy.write_bytes((ROOT / name).read_bytes())
    (tmp_path / "firmware_models").symlink_to(ROOT / "firmware_models")
    bill = json.loads(TEXT)
    first = bill["components"][0]
    if spoilt == "version":
        first["version"] = "99"
    elif spoilt == "hash":
        first["externalReferences"][0]["hashes"].pop()
    else:
        del bill["components"][-1]["licenses"]
    (tmp_path / "requirements" / PATH.name).write_text(
        json.dumps(bill, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
    )

    said = subprocess.run(
        [sys.executable, tmp_path / ".ci" / "sbom.py", "--check"], check=False, capture_output=True, text=True
    )

    assert (said.returncode, said.stdout) == (1, "sbom: stale; run `make sbom`\n"), said.stderr
