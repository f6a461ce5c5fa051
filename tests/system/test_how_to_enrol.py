"""Two how-tos, typed as they stand on a fresh machine: set up a broker, enrol a device, renew its certificate."""

import json
import os
import re
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from appliance.transport.broker import free_port

pytestmark = pytest.mark.system

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to"
BROKER, ENROL = "set-up-a-broker.md", "enrol-a-device.md"


def block(page, begins):
    """The one block of *page* with the command *begins* in it, as it stands there."""
    found = [b for b in re.findall(r"```\w*\n(.*?)```", (HOW_TO / page).read_text("utf-8"), re.DOTALL) if begins in b]
    assert len(found) == 1, (page, begins, len(found))
    return found[0]


class Machine:
    """A folder that stands for a site: whatever is typed runs here, with a device's home and a controller's."""

    def __init__(self, folder):
        self.folder = folder
        self.devices_port, self.controllers_port = free_port(), free_port()
        self.daemon = None
        programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self.environ = {**os.environ, "PATH": programs, "APPLIANCE_HOME": str(folder / "workshop")}
        self.environ.pop("APPLIANCE_FLEET_HOME", None)

    def typed(self, text):
        """What is typed, with this machine's folder, name, account and ports in the place of a site's."""
        ports = f"--port {self.devices_port} --controller-port {self.controllers_port}"
        for of_a_site, here in (
            ("/etc/mosquitto", str(self.folder / "mosquitto")),
            ("broker.home.example", "localhost"),
            (":8883", f":{self.devices_port}"),
            (":8884", f":{self.controllers_port}"),
            ("-o mosquitto ", ""),
            ("--devices 500", f"--devices 500 {ports} --run-as root --state-dir {self.folder}/mosquitto"),
        ):
            text = text.replace(of_a_site, here)
        return text

    def type(self, text, *, wait_s=60):
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", self.typed(text)],
            cwd=self.folder,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=wait_s,
            check=False,
        )
        assert done.returncode == 0, (text, done.stdout[-1500:], done.stderr[-1500:])
        return done.stdout

    def start_daemon(self):
        with (self.folder / "daemon.log").open("ab") as log:
            self.daemon = subprocess.Popen(["appliance", "run"], env=self.environ, stdout=log, stderr=log)
        self.until(lambda: self.link() is not None)

    def link(self):
        done = subprocess.run(
            ["appliance", "status", "--json"], env=self.environ, capture_output=True, text=True, check=False
        )
        return json.loads(done.stdout).get("link") if done.returncode == 0 else None

    def until(self, done, wait_s=60.0):
        end_s = time.monotonic() + wait_s
        while not done():
            assert time.monotonic() < end_s, (self.link(), (self.folder / "daemon.log").read_text()[-1500:])
            time.sleep(0.2)

    def end(self):
        subprocess.run(["appliance", "quit"], env=self.environ, capture_output=True, timeout=30, check=False)
        if self.daemon is not None:
            self.daemon.wait(30)


@pytest.fixture
def machine(tmp_path, mosquitto_rig):
    (tmp_path / "mosquitto").mkdir()
    machine = Machine(tmp_path)
    broker = mosquitto_rig.Mosquitto(tmp_path / "mosquitto" / "site")
    broker.port = machine.devices_port
    machine.broker = broker
    try:
        yield machine
    finally:
        machine.end()
        broker.stop()


def test_what_the_how_tos_say_can_be_typed_in_order(machine):
    machine.type(block(BROKER, "fleet authority"))
    machine.type(block(BROKER, "fleet broker-config"))
    machine.broker.start_as_written()
    machine.type(block(BROKER, "fleet init"))
    controllers = json.loads((machine.folder / ".fleet" / "fleet.json").read_text())["broker"]

    asked, enrolled, joined = re.split(r"# [23]\..*\n", block(ENROL, "fleet request --site"))
    machine.type(asked)
    machine.type(enrolled)
    assert json.loads((machine.folder / ".fleet" / "fleet.json").read_text())["broker"] == controllers
    machine.type(joined.split("appliance quit")[0])
    machine.start_daemon()
    machine.until(lambda: machine.link()["connected"])
    machine.type("appliance fleet collect --for 8")
    assert "pong" in machine.type("appliance fleet send workshop --ping")
    assert "online" in machine.type("appliance fleet devices")

    before = machine.link()["certificate_ends"]
    machine.type(block(ENROL, "fleet renew --out"))
    machine.until(lambda: machine.link()["certificate_ends"] > before)
    machine.until(lambda: machine.link()["connected"] and machine.link()["sessions"] == 2)
    assert "pong" in machine.type("appliance fleet send workshop --ping")

    secrets = [
        *machine.folder.glob("*-ca/ca.key"),
        *machine.folder.glob("*.key"),
        machine.folder / "workshop/keys/link.key",
    ]
    assert len(secrets) == 5
    assert [path for path in secrets if stat.S_IMODE(path.stat().st_mode) & 0o077] == []
