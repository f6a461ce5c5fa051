"""The AsyncAPI document under the AsyncAPI initiative's own parser."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from appliance.contracts import asyncapi
from appliance.contracts.topics import Channel

pytestmark = pytest.mark.system

ROOT = Path(__file__).resolve().parents[2]
CHECK = Path(__file__).parent / "outsider" / "asyncapi"


@pytest.fixture(scope="session")
def parser(tmp_path_factory):
    """The parser, installed from the registry of npm into a folder of the test's own."""
    assert shutil.which("npm"), "npm is not installed; `make test-system` installs it"
    folder = tmp_path_factory.mktemp("asyncapi")
    for name in ("package.json", "check.mjs"):
        shutil.copy(CHECK / name, folder)
    said = subprocess.run(
        ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--silent"],
        cwd=folder, capture_output=True, text=True, timeout=240, check=False, env={**os.environ, "CI": "true"},
    )  # fmt: skip
    assert said.returncode == 0, said.stderr[-2000:]
    return folder


def judged(parser, path):
    said = subprocess.run(
        ["node", "check.mjs", str(path)], cwd=parser, capture_output=True, text=True, timeout=120, check=True
    )
    return json.loads(said.stdout)


def test_the_document_is_one_and_holds_every_channel(parser):
    found = judged(parser, ROOT / "docs" / "reference" / "asyncapi.json")

    assert found["faults"] == []
    assert {address.split("/")[4] for address in found["channels"]} == {channel.value for channel in Channel}
    assert len(found["operations"]) == len(Channel) + 1


def test_the_parser_would_say_what_is_wrong(parser, tmp_path):
    broken = asyncapi.document()
    broken["operations"]["sendState"]["action"] = "shout"
    (tmp_path / "broken.json").write_text(json.dumps(broken))

    assert any("operations.sendState" in fault for fault in judged(parser, tmp_path / "broken.json")["faults"])
