"""Runs a rig that cuts the power as a process of its own, and returns what it found.

With POWER_TALLY=FILE a line of JSON is added to that file for each run: what was asked, counted and found wrong.
"""

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path


def cut(rig, folder, *words, timeout_s):
    begun_s, cpu_s = time.monotonic(), _cpu_s()
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name(rig), folder, *map(str, words)],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    if path := os.environ.get("POWER_TALLY"):
        took = {"wall_s": round(time.monotonic() - begun_s), "cpu_s": round(_cpu_s() - cpu_s)}
        line = {"rig": rig, "words": words, **took, "tally": found["tally"], "failures": found["failures"][:5]}
        with Path(path).open("a") as file:
            file.write(f"{json.dumps(line)}\n")
    return found


def _cpu_s():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
