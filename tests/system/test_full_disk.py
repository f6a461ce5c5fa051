"""A real file system without a free byte: refusals, answers, stops, recovery, and a start."""

import os
import signal
import subprocess
import sys
import time

import pytest

from appliance.client import Appliance
from appliance.contracts.home import Home
from appliance.errors import ApplianceError
from appliance.storage import database, reserve

pytestmark = [pytest.mark.system, pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")]


@pytest.fixture
def home(tmp_path):
    """A home on a small file system of its own."""
    root = tmp_path / "home"
    root.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", root], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"no mount here: {mounted.stderr.decode()}")
    yield root
    subprocess.run(["umount", "-l", root], check=True)


@pytest.fixture
def daemon(home, tmp_path):
    made = []

    def start():
        command = [sys.executable, "-m", "appliance", "--home", str(home), "run"]
        with (tmp_path / "daemon.log").open("ab") as log:
            made.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=log))
        return made[-1]

    yield start
    for each in made:
        each.send_signal(signal.SIGTERM)
        each.wait(30)


def _until(holds, timeout_s=60.0):
    until = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < until, "it did not come to pass in time"
        time.sleep(0.05)


def _answers(home):
    try:
        return bool(Appliance(home, wait_s=1).status())
    except ApplianceError:
        return False


def _fill(home, name="film.mp4"):
    """Write until not one byte more fits."""
    with (home / name).open("wb", buffering=0) as file:
        for size in (65536, 4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue


@pytest.mark.timeout(300)
def test_a_full_disk_refuses_acts_answers_questions_obeys_stops_and_recovers_without_a_restart(home, daemon):
    daemon()
    _until(lambda: _answers(home))
    client = Appliance(home, wait_s=3)
    assert client.call("turn_light_on", {"room": "kitchen"}).status == "done"
    assert (home / "reserve").exists()

    _fill(home)
    refused = None
    for n in range(3000):
        try:
            said = client.call("set_light_level", {"room": "kitchen", "level_pct": n % 100 + 1})
        except ApplianceError as error:
            refused = str(error)
            if not (home / "reserve").exists():
                _fill(home, "another.mp4")  # the reserve's room too
            if "free some space" in refused and n > 5:
                break
            continue
        if said.status != "done":
            refused = said.reason
            if n > 5:
                break
    assert refused is not None
    _until(lambda: any("space" in reason for reason in client.status()["degraded"]))
    status = client.status()
    # `acting`: the disk filled between an act and the record of its outcome, which waits for room.
    assert status["state"] in {"degraded", "acting"}
    assert status["devices"]["lights"]
    client.stop("smoke")
    assert client.status()["locked"]

    for name in ("film.mp4", "another.mp4"):
        (home / name).unlink(missing_ok=True)
    _until(lambda: not any("space" in reason for reason in client.status()["degraded"]))
    client.release()
    assert client.call("turn_light_on", {"room": "kitchen"}).status == "done"
    _until((home / "reserve").exists)
    reader = database.open_reader(Home(home).database)
    kinds = [row["kind"] for row in reader.execute("select kind from audit order by seq")]
    reader.close()
    # Every act that was decided was settled, and the stop is there.
    assert kinds.count("decided") == kinds.count("settled") - _refusals(home)
    assert "emergency" in kinds


def _refusals(home):
    reader = database.open_reader(Home(home).database)
    n = reader.execute(
        "select count(*) from audit a where kind = 'settled' and not exists"
        " (select 1 from audit b where b.kind = 'decided' and b.request_id = a.request_id)"
    ).fetchone()[0]
    reader.close()
    return n


@pytest.mark.timeout(300)
def test_a_start_on_a_full_disk_uses_the_reserve(home, daemon):
    first = daemon()
    _until(lambda: _answers(home))
    first.send_signal(signal.SIGTERM)
    first.wait(30)
    _fill(home)

    daemon()

    _until(lambda: _answers(home))
    assert not (home / "reserve").exists()
    assert Appliance(home).status()["devices"]


@pytest.mark.timeout(300)
def test_a_start_without_a_byte_waits_and_goes_on_when_there_is_room(home, daemon):
    first = daemon()
    _until(lambda: _answers(home))
    first.send_signal(signal.SIGTERM)
    first.wait(30)
    reserve.release(home)
    _fill(home)

    waiting = daemon()
    time.sleep(5)
    assert waiting.poll() is None
    assert not _answers(home)
    (home / "film.mp4").unlink()

    _until(lambda: _answers(home))
    assert Appliance(home).call("turn_light_on", {"room": "kitchen"}).status == "done"
