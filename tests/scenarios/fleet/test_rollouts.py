"""Rollouts over a real broker: devices with real databases, a service that collects and acts, and dies in between."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner

from appliance import cli
from appliance.contracts.request import Call
from appliance.fleet import acting_commands, desired, rollout_rings, rollout_rows
from appliance.fleet.acting import Acting
from appliance.fleet.collector import Collector
from appliance.fleet.devices import devices
from appliance.fleet.rollout import Rollout
from appliance.fleet.rollout_states import State
from appliance.fleet.watching import Watching

NAMES = ("lamp", "fan", "door", "gate")
RINGS = [{"name": "first", "where": "device=lamp,device=fan"}, {"name": "rest", "percent": 100}]
DIM = {"commands": [{"kind": "ping"}, {"kind": "call", "tool": "dim", "arguments": {"level": 30}}]}


class Service:
    """A controller's service in this process: the very loop of `fleet collect`, a step at a time."""

    def __init__(self, rig):
        self.rig = rig
        self.start()

    def start(self):
        self.collector = Collector(self.rig.home, now=self.rig.now, chance=random.Random(3))
        self.acting = Acting(self.rig.home, now=self.rig.now, chance=random.Random(5), look_s=0.05)

    def until(self, done, wait_s=40.0):
        end_s = time.monotonic() + wait_s
        while not done():
            assert time.monotonic() < end_s, rollout_rows.history(self.rig.home, "r")
            self.collector.step(0.02)
            self.acting.step()

    def close(self):
        self.collector.close()
        self.acting.close()


@pytest.fixture
def site(fleet):
    fleet.rigs = {name: fleet.device(name) for name in NAMES}
    fleet.service = Service(fleet)
    yield fleet
    fleet.service.close()


def begin(site, **file):
    fields = {"rollout": "r", "what": DIM, "rings": RINGS, "answer_within": "1m", **file}
    declared = Rollout.model_validate_json(json.dumps(fields))
    rollout_rows.begin(
        site.home, declared, rollout_rings.rings(site.home, declared, site.now()), now=site.now(), who="test"
    )


def state(site):
    return rollout_rows.standing(site.home, "r").state


def calls(site):
    return {name: [b.call.literals for b in rig.performed if isinstance(b, Call)] for name, rig in site.rigs.items()}


def test_a_good_one_reaches_every_device_once(site):
    begin(site)

    site.service.until(lambda: state(site) is State.COMPLETED)

    assert calls(site) == {name: [{"level": 30}] for name in NAMES}
    assert [d.what for d in rollout_rows.history(site.home, "r")] == [
        "begin", "settle", "advance", "settle", "complete",
    ]  # fmt: skip


def test_a_bad_configuration_is_halted_in_the_first_ring_taken_back_and_the_second_is_untouched(site):
    begin(site, what={"configuration": {"privacy": {"share": "words"}}}, return_when_halted=True)

    site.service.until(lambda: state(site) is State.RETURNED)

    reason = next(d.reason for d in rollout_rows.history(site.home, "r") if d.what == "halt")
    assert reason.startswith("ring first: success: ")
    assert "privacy.share is for the device's owner alone" in reason
    assert {row["device"] for row in site.home.db.rows("select device from desired")} == {"lamp", "fan"}
    assert all(one.agrees for one in desired.drift(site.home, NAMES))


def test_a_good_configuration_is_in_force_and_a_conflict_with_the_owner_is_drift(site):
    rig = site.rigs["fan"]
    rig.stop()
    (rig.home / "appliance.toml").write_text("[ledger]\ncheckpoint_every_n = 512\n")
    rig.start()
    begin(site, what={"configuration": {"ledger": {"checkpoint_every_n": 128}}})

    site.service.until(lambda: state(site) is State.COMPLETED)

    found = {one.device: one for one in desired.drift(site.home, NAMES)}
    assert [(d.key, d.standing) for d in found["lamp"].differences] == [
        ("ledger.checkpoint_every_n", "waits for a start")
    ]
    assert [(d.in_force, d.standing) for d in found["fan"].differences] == [(512, "conflict")]
    site.rigs["lamp"].stop()
    site.rigs["lamp"].start()
    site.service.until(lambda: desired.drift(site.home, ["lamp"])[0].agrees)


def test_a_service_that_is_replaced_at_every_step_asks_nobody_twice(site):
    begin(site)
    end_s = time.monotonic() + 60
    while state(site) is not State.COMPLETED and time.monotonic() < end_s:
        for _ in range(25):
            site.service.collector.step(0.01)
            site.service.acting.step()
        # No farewell and nothing settled: as a process that is killed leaves them.
        for link in (site.service.collector._link, site.service.acting._sending._link):
            link._drop("killed")
            link.close()
        site.service.start()

    assert state(site) is State.COMPLETED
    assert calls(site) == {name: [{"level": 30}] for name in NAMES}


@pytest.mark.timeout(180)
def test_a_real_service_is_killed_in_the_middle_and_goes_on(site):
    site.service.close()
    for name in ("door", "gate"):
        site.rigs[name].working = False
    begin(site, answer_within="2m")
    command = [sys.executable, "-m", "appliance", "fleet", "collect", "--fleet-home", str(site.home.path)]
    service = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        heard = (
            "select distinct a.device from answers a join commands c on c.correlation = a.correlation"
            " where c.kind = 'call' and a.device in ('door', 'gate')"
        )
        wait(lambda: len(site.home.db.rows(heard)) == 2)
        os.kill(service.pid, signal.SIGKILL)
        service.wait()
        for name in ("door", "gate"):
            site.rigs[name].working = True
        service = subprocess.Popen(command, stderr=subprocess.DEVNULL)

        wait(lambda: state(site) is State.COMPLETED)
    finally:
        service.terminate()
        service.wait()
        site.service.start()

    assert calls(site) == {name: [{"level": 30}] for name in NAMES}


def test_many_are_told_by_what_they_are_and_the_progress_is_counted(site):
    site.service.until(lambda: all(one.state == "ready" for one in listed(site)))
    run(site, "tag", "device=lamp,device=fan", "shed")
    file = site.folder / "body.json"
    file.write_text(json.dumps({"kind": "ping"}))

    told = run(site, "send", "tag=shed,state=ready", "--body", str(file), "--wait", "20")

    assert told.exit_code == 0
    assert told.output.splitlines()[-1] == "2 devices, 2 executed"
    assert all(rig.performed == [] for rig in site.rigs.values())
    none = run(site, "send", "tag=attic", "--ping")
    assert none.exit_code != 0


def test_devices_that_do_not_answer_are_counted_as_silent_and_their_command_waits(site):
    site.service.until(lambda: all(one.state == "ready" for one in listed(site)))
    site.rigs["fan"].stop()

    told = run(site, "send", "device=lamp,device=fan", "--ping", "--wait", "5", "--json")

    assert told.exit_code == acting_commands.EXIT_WAITING
    last = json.loads([line for line in told.stdout.splitlines() if '"progress"' in line][-1])
    assert (last["executed"], last["silent"], last["open"]) == (1, 1, 1)
    site.rigs["fan"].start()


def test_beside_a_service_watch_shows_what_that_one_collects(site):
    site.service.until(lambda: all(one.state == "ready" for one in listed(site)))

    watching = Watching(site.home, datetime(2026, 1, 1, tzinfo=UTC))
    assert {(n.device, n.text.split()[0]) for n in watching.look()} >= {(name, "ready") for name in NAMES}
    assert watching.look() == []
    begin(site)
    site.service.until(lambda: state(site) is State.COMPLETED)
    news = watching.look()
    assert [n.text.split()[0] for n in news if n.what == "rollout"][-1] == "complete"
    assert any(n.what == "answer" and "call executed" in n.text for n in news)


def listed(site):

    return devices(site.home, site.now())


def run(site, *arguments):
    name, *rest = arguments
    return CliRunner().invoke(cli.group, ["fleet", name, "--fleet-home", str(site.home.path), *rest])


def wait(done, wait_s=70.0):
    end_s = time.monotonic() + wait_s
    while not done():
        assert time.monotonic() < end_s
        time.sleep(0.1)
