"""Runs a rig that cuts the power as a process of its own, and returns what it found."""

import json
import subprocess
import sys
from pathlib import Path


def cut(rig, folder, *words, timeout_s):
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name(rig), folder, *map(str, words)],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
