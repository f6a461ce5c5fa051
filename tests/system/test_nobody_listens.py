"""A command for a device that the broker has no session of waits here, says so, and reaches it when it comes in."""

import random
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner

from appliance import cli
from appliance.contracts.envelope import PingBody
from appliance.fleet import outgoing
from appliance.fleet.acting import Acting

pytestmark = pytest.mark.system


def send(fleet, *words):
    return ["fleet", "send", "--fleet-home", str(fleet.home.path), *words]


def test_the_command_waits_here_says_so_and_leaves_with_the_service_when_the_device_is_heard_of(fleet):
    device = fleet.device(start=False)

    told = CliRunner().invoke(cli.group, send(fleet, "lamp", "--ping", "--wait", "2"))

    assert told.exit_code == 10
    assert "The command waits here: the broker has no session of the device" in told.stderr
    [correlation] = [row["correlation"] for row in fleet.home.db.rows("select correlation from outgoing")]
    collector = fleet.collect()
    acting = Acting(fleet.home, now=fleet.now, chance=random.Random(5), look_s=0.05)
    try:
        end_s = time.monotonic() + 20
        device.start()
        while not fleet.home.db.rows("select * from answers where correlation = ?", [correlation]):
            assert time.monotonic() < end_s, fleet.home.db.rows("select * from outgoing")
            collector.step(0.02)
            acting.step()
    finally:
        acting.close()
    [answer] = fleet.home.db.rows("select life, code from answers where correlation = ?", [correlation])
    assert answer == {"life": "executed", "code": "pong"}
    assert outgoing.still_here(fleet.home, [correlation]) == (0, 0)


def test_whoever_sends_without_a_service_waits_for_the_device_too(fleet):
    device = fleet.device(start=False)
    command = [sys.executable, "-m", "appliance", *send(fleet, "lamp", "--ping", "--wait", "30")]
    sending = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    fleet.until(lambda: fleet.home.db.rows("select 1 as one from outgoing where unheard_at is not null"), wait_s=30)

    device.start()

    said, _ = sending.communicate(timeout=40)
    assert (sending.returncode, said) == (0, "lamp  executed  200 pong  Here.\n")


def test_a_device_that_is_away_and_has_a_session_gets_it_from_the_broker(fleet):
    device = fleet.device()
    fleet.until(lambda: device.uplink.facts()["connected"])
    device.stop()

    sent = fleet.send("lamp", PingBody(), wait_s=2)

    assert (sent.progress.open, sent.progress.here) == (1, 0)
