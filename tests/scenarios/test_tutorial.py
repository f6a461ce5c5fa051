"""The tutorial works as typed: its commands are read from the page and run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "tutorials" / "first-request.md"

EXPECTED = [
    ('say "dim the workshop lights to 30 percent"', 0, "30 %"),
    ('say "unlock the front door" --json', 10, '"status": "waiting"'),
    ('say "do not turn on the kitchen lights"', 11, ""),
    ("audit show", 0, "decided"),
    ("audit verify", 0, "consistent-unanchored"),
    ("undo", 0, "done"),
    ("doctor", 0, "bundle"),
    ("quit", 0, ""),
]
"""Each command after `--home`, its exit code, and something that it says."""


def commands() -> list[str]:
    blocks = re.findall(r"```console\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    return [line.removeprefix("$ ") for block in blocks for line in block.splitlines() if line.startswith("$ ")]


def test_every_command_of_the_tutorial_is_tried():
    typed = [command.partition("--home .home/tutorial ")[2] for command in commands() if "--home" in command]

    assert commands()[0] == "make setup"
    assert typed == [command for command, _, _ in EXPECTED]


@pytest.mark.timeout(180)
def test_the_tutorial_works_as_typed(tmp_path):
    (tmp_path / ".venv").symlink_to(Path(sys.executable).parent.parent)
    told = []
    try:
        for command, _, says in EXPECTED:
            typed = f".venv/bin/appliance --home .home/tutorial {command}"
            ran = subprocess.run(
                ["/bin/sh", "-c", typed], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=90
            )
            told.append((command, ran.returncode, says in ran.stdout))
    finally:
        quit_ = [".venv/bin/appliance", "--home", ".home/tutorial", "quit"]
        subprocess.run(quit_, cwd=tmp_path, capture_output=True, check=False)

    assert told == [(command, code, True) for command, code, _ in EXPECTED]
