"""What a law measures at a real toolbox: files that change, hang and lie, and devices as they stand."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path

import pytest

from appliance.agent.clock import SystemClock
from appliance.agent.measuring import Readings
from appliance.contracts.audit import Moment
from appliance.contracts.toolcall import GroundedCall
from appliance.policy.workflow import load
from appliance.policy.workflow.load import Loaded
from appliance.policy.workflow.measuring import looking
from appliance.policy.workflow.run import Context
from appliance.storage import database
from appliance.tools.sensors import Sensors
from appliance.tools.site import Sensor, Site
from appliance.tools.toolbox import open_toolbox

HOW_TO = Path(__file__).parents[3] / "docs" / "how-to" / "write-a-workflow.md"
LAW = """
workflow: w
version: 1
initial: a
safe: a
measures:
  window: {sensor: Kitchen Window, type: boolean, stale_after: 10s}
  cellar: {sensor: cellar temperature, type: number, unit: "°C", stale_after: 10s}
  door: {device: front door, type: word, words: [locked, unlocked], stale_after: 10s}
  door_open: {device: front door, type: boolean, stale_after: 10s}
  door_number: {device: front door, type: number, stale_after: 10s}
  fan: {device: Fan, type: boolean, stale_after: 10s}
  heats: {device: heater, type: boolean, stale_after: 10s}
  lamp: {device: desk lamp, type: word, words: ["on", "off"], stale_after: 10s}
  nothing: {sensor: nobody, type: boolean, stale_after: 10s}
states: {a: {tools: ["*"]}}
"""


class Place:
    """A house whose window and cellar are files, and the laws' eyes on it."""

    def __init__(self, folder):
        self.window, self.cellar = folder / "window", folder / "cellar"
        self.window.write_text("0\n")
        demo = Site.demonstration()
        # As the how-to tells to do it.
        toml = re.search(r"```toml\n(.*?)```", HOW_TO.read_text(encoding="utf-8"), re.DOTALL)[1]
        told = tomllib.loads(toml.replace("/tmp", str(folder)))["site"]["sensors"]
        more = tuple(Sensor.model_validate(sensor) for sensor in told)
        self.site = demo.model_copy(update={"sensors": (*demo.sensors, *more)})
        self.clock = SystemClock(1)
        self.db = database.open_database(folder / "a.db").db
        self.toolbox = open_toolbox(self.site, db=self.db, clock=self.clock, home=folder)
        found = load.parse(LAW.encode(), "w.yaml", self.toolbox.registry.every_spec())
        assert isinstance(found, Loaded), found.text()
        self.law = found.compiled
        self.readings = Readings(self.toolbox.sampler)

    def values(self, *without):
        """Look until everything else has answered anew."""
        wanted = self.law.measures.keys() - set(without)
        before_s = self.clock.monotonic_s()
        while True:
            self.readings.fresh()
            found = self.readings.of(self.law)
            if all(name in found and found[name].at.monotonic_s >= before_s for name in wanted):
                return {name: found[name].value for name in wanted}

    def call(self, tool, **arguments):
        assert self.toolbox.registry.perform(GroundedCall(tool=tool, arguments=arguments)).status == "done"

    def close(self):
        self.readings.stop()
        self.toolbox.registry.close()
        self.db.close()


@pytest.fixture
def place(tmp_path):
    made = Place(tmp_path)
    yield made
    made.close()


def test_sensors_and_devices_are_read_as_the_law_declares_them(place):
    place.cellar.write_text("12.5\n")
    place.readings.watch([place.law])

    assert place.values() == {
        "window": False, "cellar": 12.5, "door": "locked", "door_open": False, "door_number": None, "fan": False,
        "heats": False, "lamp": "off", "nothing": None,
    }  # fmt: skip


def test_what_has_just_changed_counts_at_the_next_look(place):
    place.readings.watch([place.law])
    place.values()
    version = place.readings.version

    place.window.write_text("1\n")
    place.call("start_machine", machine="fan", minutes=5)
    place.call("unlock_door", door="front door")
    place.call("turn_light_on", room="desk lamp")
    seen = place.values()

    assert {name: seen[name] for name in ("window", "fan", "door", "door_open", "lamp")} == {
        "window": True, "fan": True, "door": "unlocked", "door_open": True, "lamp": "on",
    }  # fmt: skip
    assert place.readings.version > version


def test_the_thermostats_heater_stands_as_its_output_says(place):
    place.readings.watch([place.law])

    place.call("set_temperature", temperature_c=30)

    assert place.values()["heats"] is True


def test_a_file_that_never_answers_hangs_neither_the_others_nor_whoever_asks(place):
    os.mkfifo(place.cellar)  # opening it waits for a writer that never comes
    place.readings.watch([place.law])

    assert place.values("cellar")["window"] is False
    assert "cellar" not in place.readings.of(place.law)

    # Somebody writes, and it was measured when the reading began: never later.
    with place.cellar.open("w") as file:
        file.write("4.0\n")
        written_s = place.clock.monotonic_s()
    while "cellar" not in place.readings.of(place.law):
        place.readings.fresh()
    reading = place.readings.of(place.law)["cellar"]
    assert reading.value == 4.0
    assert reading.at.monotonic_s < written_s
    with place.cellar.open("w") as file:  # lets go of the reading that has begun since
        file.write("4.0\n")


@pytest.mark.parametrize("shown", ["nan\n", "inf\n", "", "12,5\n", "warm\n", "00 : crc=00 NO\n"])
def test_a_sensor_that_shows_no_number_has_no_value_and_a_moment(place, shown):
    place.cellar.write_text(shown)
    place.readings.watch([place.law])

    while "cellar" not in place.readings.of(place.law):
        place.readings.fresh()

    assert place.readings.of(place.law)["cellar"].value is None
    assert place.readings.of(place.law)["cellar"].at.boot == 1


def test_a_sensor_that_has_fallen_silent_goes_stale_for_guards(place):
    place.readings.watch([place.law])
    place.values()
    readings = place.readings.of(place.law)

    def asked(after_s):
        at = readings["window"].at
        later = Moment(at=at.at, monotonic_s=at.monotonic_s + after_s, boot=1, clock="untrusted")
        return looking(place.law.measures, Context(1, readings), later)("window")

    assert asked(10).value is False
    assert asked(10.5).value is None
    assert "stale after 10s" in asked(10.5).why


def test_laws_that_are_no_longer_in_force_are_not_measured_for(place):
    place.readings.watch([place.law])
    place.values()

    place.readings.watch([])

    assert place.readings.of(place.law) == {}


@pytest.mark.parametrize(("simulated", "measured"), [(True, False), (False, None)])
def test_beside_real_machines_a_simulated_sensor_measures_nothing(place, simulated, measured):
    sensors = Sensors(place.site, place.clock, lambda _door: None, place.toolbox.sampler, simulated=simulated)

    assert sensors.measured("garage contact").value is measured
    assert (sensors.measured("hall temperature").value is None) is not simulated
    assert sensors.measured("kitchen window").value is False  # a file is a measurement anywhere
