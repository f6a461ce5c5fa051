"""`make demo-fleet` shows a command and its report crossing the broker, and leaves nothing behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

DEMO = [sys.executable, "-m", "appliance.fleet.demo", "--broker", "embedded"]


@pytest.fixture
def run_demo(tmp_path):
    started = []

    def run():
        environ = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"}
        started.append(subprocess.Popen(DEMO, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environ))
        return started[-1]

    yield run
    for process in started:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=20)


def test_the_demonstration_ends_well_within_a_minute(run_demo, tmp_path):
    began_s = time.monotonic()

    process = run_demo()
    said, _ = process.communicate(timeout=60)

    assert process.returncode == 0, said
    assert "executed  200 done" in said, said
    assert "evt    1..1 turn" in said
    assert "each once, tree checked" in said
    assert time.monotonic() - began_s < 60
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_takes_everything_down(run_demo, tmp_path):
    process = run_demo()
    pids = []
    for line in process.stdout:
        if "started as process" in line:
            pids.append(int(line.rsplit(" ", 1)[1]))
        if len(pids) == 2:
            break
    time.sleep(0.3)

    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=30)

    assert process.returncode == 0, said
    assert "stopped by you" in said
    assert [pid for pid in pids if Path(f"/proc/{pid}").exists()] == []
    assert list(tmp_path.iterdir()) == []
