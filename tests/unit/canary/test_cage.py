"""A hostile network file is an ordinary refusal: whatever it does, the parent gets a reason and lives on."""

import json
import os
import shutil
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path

import psutil
import pytest

from appliance import confinement
from appliance.canary import cage
from appliance.canary.cage import Answers, Broke
from appliance.canary.errand import Asked
from appliance.canary.examine import examine
from appliance.contracts.canary import CanaryLimits
from appliance.contracts.toolspec import ToolSpec
from appliance.inference.interpreter import Runtime, find
from appliance.settings import shipped_bundle

HOSTILE = Path(__file__).parent / "hostile"
LIMITS = CanaryLimits(whole_s=60.0, silent_s=45.0, niceness=0)
LIGHT = ToolSpec.from_schema("turn_light_on", "Switch on a light.", {"room": {"type": "string", "required": True}})
ASKED = (Asked(text="turn on the kitchen light", catalogue=0),)


def hostile(name):
    """A hostile network, and names for its outputs."""
    path = HOSTILE / f"{name}.tflite"
    module, _ = find(Runtime.AUTO)
    outputs = [one["name"] for one in module.Interpreter(model_path=str(path)).get_output_details()]
    return path.read_bytes(), dict(zip(("scalars", "queries", "keys"), outputs * 3, strict=False))


def bundle_of(folder, network, outputs=None):
    """The bundle that ships, with another network in it, whole."""
    shutil.copytree(shipped_bundle(), folder)
    (folder / "model.tflite").write_bytes(network)
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["files"]["model.tflite"] = {"sha256": sha256(network).hexdigest(), "bytes_n": len(network)}
    if outputs:
        manifest["network"]["outputs"] = outputs
    path.write_text(json.dumps(manifest))
    return folder


def ask(folder, limits=LIMITS):
    return cage.ask(folder, ((LIGHT,),), ASKED, limits)


def test_a_sound_bundle_answers_from_the_cage_as_it_does_outside():
    found = ask(shipped_bundle())

    assert isinstance(found, Answers)
    assert [call.tool for call in found.answered[0].proposal.calls] == ["turn_light_on"]
    assert confinement.is_enough(found.ready.held)
    assert 20 < found.resident_mb < LIMITS.resident_mb


def test_a_machine_that_has_no_process_left_is_a_reason(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-such-python"))

    assert ask(shipped_bundle()) == Broke("no process can be started for it: No such file or directory")


def test_software_that_cannot_start_is_not_held_against_the_bundle(monkeypatch, tmp_path):
    without_packages = tmp_path / "python"
    without_packages.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    without_packages.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(without_packages))

    found = ask(shipped_bundle())

    assert isinstance(found, Broke)
    assert found.reason.startswith("the tester could not start (status 1), which says nothing of the bundle")
    assert "appliance" in found.reason.partition(": ")[2]


def test_a_network_that_never_ends_is_killed(tmp_path):
    folder = bundle_of(tmp_path / "b", *hostile("endless"))

    found = ask(folder, LIMITS.model_copy(update={"silent_s": 6.0}))

    assert found == Broke("it said nothing for 6 s")


def test_a_network_that_wants_more_memory_than_there_is_gets_none(tmp_path):
    folder = bundle_of(tmp_path / "b", *hostile("greedy"))

    found = ask(folder)

    assert isinstance(found, Broke)
    assert any(word in found.reason for word in ("failed on", "memory", "crashed")), found.reason


@pytest.mark.parametrize("network", [b"", b"TFL3", b"\x1c\0\0\0TFL3" + bytes(4096), os.urandom(65536)])
def test_what_is_no_network_is_a_reason(tmp_path, network):
    found = ask(bundle_of(tmp_path / "b", network))

    assert isinstance(found, Broke)


def test_a_network_that_was_damaged_anywhere_in_its_structure_ends_nothing_but_its_own_process(tmp_path):
    whole, outputs = hostile("greedy")
    reasons = []
    for n in range(6):
        damaged = bytearray(whole)
        for at in range(n * 97 % 512, len(damaged), 512):
            damaged[at] ^= 0xFF
        found = ask(bundle_of(tmp_path / f"b{n}", bytes(damaged), outputs))
        assert isinstance(found, Broke)
        assert "the tester" not in found.reason
        reasons.append(found.reason)

    assert len(reasons) == 6


def test_a_report_says_why_a_bundle_cannot_be_run(tmp_path):
    folder = bundle_of(tmp_path / "b", os.urandom(4096))

    report = examine(folder, None, None, LIMITS)

    assert not report.passed
    assert [check.name for check in report.checks] == ["runs"]
    assert "cannot load" in report.reason


KEEPER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
import test_cage
test_cage.ask(Path(sys.argv[1]))
"""


def test_when_the_daemon_is_killed_the_caged_process_ends_with_it(tmp_path):
    folder = bundle_of(tmp_path / "b", *hostile("endless"))
    keeper = subprocess.Popen([sys.executable, "-c", KEEPER, str(folder), str(Path(__file__).parent)])
    parent = psutil.Process(keeper.pid)
    try:
        deadline = time.monotonic() + 60
        # It confines itself before it runs anything; until then it may be left behind and ends by itself.
        while time.monotonic() < deadline:
            caged = parent.children()
            if caged and caged[0].num_threads() == 1 and caged[0].cpu_times().user > 1.5:
                break
            time.sleep(0.1)
        assert caged
    finally:
        keeper.kill()
        keeper.wait()

    _, alive = psutil.wait_procs(caged, timeout=30)
    assert alive == []
