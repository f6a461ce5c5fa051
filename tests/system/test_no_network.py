"""A device of nobody opens no network socket: watched from outside, by the system calls that it makes."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime

import pytest

from appliance.client import Appliance
from appliance.contracts.enrolment import BrokerSettings, Role
from appliance.fleet import enrolling
from appliance.fleet.home import make
from appliance.transport.broker import free_port

pytestmark = pytest.mark.system

SOCKET = re.compile(r"\bsocket(?:pair)?\((\w+)")
LOCAL = {"AF_UNIX", "PF_UNIX", "PF_LOCAL", "AF_LOCAL"}


class Watched:
    """`appliance run` under strace, and what it asked the kernel of the network."""

    def __init__(self, home):
        assert shutil.which("strace"), "strace is not installed; `make test-system` installs it"
        self.home = home
        self.trace = home.parent / "trace.txt"
        self.process = subprocess.Popen(
            ["strace", "-f", "-qq", "-e", "trace=%network", "-e", "signal=none", "-o", self.trace,
             sys.executable, "-m", "appliance", "--home", home, "run"],
            env={**os.environ, "PYTHONUNBUFFERED": "1"}, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.client = Appliance(home)

    def until(self, done, wait_s=120.0):
        end_s = time.monotonic() + wait_s
        while not done():
            assert self.process.poll() is None, f"it ended with {self.process.returncode}"
            assert time.monotonic() < end_s, f"not so after {wait_s} s"
            time.sleep(0.2)

    def is_up(self):
        return (self.home / "run" / "appliance.sock").exists()

    def end(self):
        os.killpg(self.process.pid, signal.SIGTERM)
        self.process.wait(60)
        return self.families()

    def families(self):
        return {found[1] for line in self.trace.read_text().splitlines() if (found := SOCKET.search(line))}

    def abort(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@pytest.fixture
def watch(tmp_path):
    made = []

    def begin(home):
        made.append(Watched(home))
        made[-1].until(made[-1].is_up)
        return made[-1]

    try:
        yield begin
    finally:
        for each in made:
            each.abort()


def live(client):
    """What an operator does in a day, every door of the socket."""
    assert client.status()
    client.say("dim the workshop lights to 30 percent", yes=True)
    client.say("leave a note: call the plumber", yes=True)
    client.call("list_notes")
    client.stop("a drill")
    client.release()


def test_a_device_of_nobody_opens_no_network_socket(watch, tmp_path):
    watched = watch(tmp_path / "alone")

    live(watched.client)
    found = watched.end()

    assert found  # it was watched: its own local socket is among them
    assert found <= LOCAL


def test_the_watch_sees_a_device_that_belongs_to_somebody(watch, tmp_path):
    home = make(tmp_path / "controller", site="site")
    home.use_broker(BrokerSettings(host="127.0.0.1", port=free_port(), first_connect_s=0.0))
    lamp = tmp_path / "lamp"
    enrolling.enrol_here(home, lamp, device="lamp", role=Role.OPERATOR, replace=False, now=datetime.now(UTC))
    home.close()

    watched = watch(lamp)
    watched.until(lambda: "AF_INET" in watched.families())

    assert "AF_INET" in watched.end()
