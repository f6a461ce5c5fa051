"""`appliance bench` measures the real parts and leaves nothing behind."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest


@pytest.mark.timeout(400)  # three daemons and sixty requests, beside other tests on a small machine
def test_it_measures_everything_and_leaves_nothing_behind(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    command = [sys.executable, "-m", "appliance", "--home", home, "bench", "--json", "--requests", "20"]

    ran = subprocess.run(command, capture_output=True, text=True, check=False)

    assert ran.returncode == 0, ran.stderr
    measured = json.loads(ran.stdout)
    assert measured["start"]["ready_ms"] < measured["start"]["first_answer_ms"]
    assert 0 < measured["propose"]["p50_ms"] <= measured["propose"]["p95_ms"]
    assert 0 < measured["turn"]["call"]["p50_ms"] <= measured["turn"]["call"]["p95_ms"]
    assert measured["memory"]["resident_mb"] > 20
    assert measured["durability"]["commits_per_decision"] >= 2
    assert measured["durability"]["ratio"] > 0
    assert list(home.iterdir()) == []


def test_it_says_what_is_missing(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    (home / "appliance.toml").write_text('[model]\nbundle = "nowhere"\n', encoding="utf-8")

    ran = subprocess.run(
        [sys.executable, "-m", "appliance", "--home", home, "bench"], capture_output=True, text=True, check=False
    )

    assert ran.returncode == 3
    assert "no bundle in" in ran.stderr
