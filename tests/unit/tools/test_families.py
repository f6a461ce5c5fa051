"""What each family promises: it acts, looks, and can be taken back exactly."""

import os

import pytest

from appliance.contracts.toolcall import GroundedCall
from appliance.contracts.toolspec import Risk
from appliance.storage import notes, schedules
from appliance.tools import catalogue, declare
from appliance.tools.declare import Did
from appliance.tools.outputs import Outputs
from appliance.tools.registry import Registry
from appliance.tools.site import Sensor, Site

ACTS = [
    ("turn_light_on", {"room": "workshop"}),
    ("turn_light_off", {"room": "kitchen"}),
    ("set_light_level", {"room": "workshop", "level_pct": 30}),
    ("set_light_level", {"room": "all lights", "level_pct": 45}),
    ("set_light_colour", {"room": "living room", "colour": "purple"}),
    ("start_machine", {"machine": "extractor", "minutes": 10}),
    ("stop_machine", {"machine": "fan"}),
    ("lock_door", {"door": "front door"}),
    ("unlock_door", {"door": "back door"}),
    ("open_gate", {"gate": "gate"}),
    ("close_gate", {"gate": "garage"}),
    ("set_temperature", {"temperature_c": 21.5}),
    ("turn_heating_off", {}),
]


@pytest.mark.parametrize(("tool", "arguments"), ACTS)
def test_an_act_is_looked_at_and_taken_back_exactly(bench, tool, arguments):
    bench.call("set_light_level", room="workshop ceiling", level_pct=70)
    bench.call("set_light_colour", room="mood light", colour="green")
    bench.call("start_machine", machine="fan", minutes=20)
    bench.call("unlock_door", door="front door")
    bench.call("open_gate", gate="garage")
    bench.call("set_temperature", temperature_c=17)
    before = bench.registry.state()

    did = bench.call(tool, **arguments)
    during = bench.registry.state()
    back = bench.take_back(did)

    assert (did.status, did.postcondition) == ("done", "held")
    assert (back.status, back.postcondition) == ("done", "held")
    assert during != before
    assert _without_seconds(bench.registry.state()) == _without_seconds(before)


def _without_seconds(state):
    """Leave out what moves by itself: the seconds that a machine still runs, the load of the processor."""
    machines = {name: machine["running"] for name, machine in state["machines"].items()}
    return {**state, "machines": machines, "system": None}


def test_done_is_not_claimed_when_the_look_afterwards_disagrees():
    @declare.tool(risk=Risk.LOW, family="test", check=lambda _did: False)
    def pretend() -> Did:
        """Claim to act."""
        return Did("The valve is open.")

    result = Registry([declare.of(pretend)], Outputs({})).perform(GroundedCall(tool="pretend"))

    assert (result.status, result.postcondition) == ("failed", "failed")
    assert "does not bear it out" in result.message
    assert result.undo is None


def test_a_tool_that_raises_is_a_failed_result_that_says_why():
    @declare.tool(risk=Risk.READ, family="test")
    def stumble() -> Did:
        """Stumble."""
        raise ValueError("bus error 7")

    result = Registry([declare.of(stumble)], Outputs({})).perform(GroundedCall(tool="stumble"))

    assert result.status == "failed"
    assert "bus error 7" in result.message


def test_an_unknown_tool_is_a_failed_result(bench):
    assert bench.call("fly").message == "There is no tool called fly."


def test_every_output_is_safe_at_the_start(bench):
    assert set(bench.toolbox.outputs.state().values()) == {0.0}
    assert set(bench.registry.state()["doors"].values()) == {"locked", "closed"}


def test_internal_tools_are_not_offered_but_can_be_called(bench):
    names = {spec.name for spec in bench.registry.specs()}

    assert {"announce", "restore_lights"}.isdisjoint(names)
    assert bench.registry.spec("announce") is not None
    assert bench.call("announce", text="Tea.").message == "Tea."


def test_every_acting_tool_says_whether_it_can_be_taken_back_and_every_risky_one_is_high(bench):
    specs = {spec.name: spec for spec in bench.registry.every_spec()}

    assert {name for name, spec in specs.items() if spec.risk is Risk.HIGH} == {
        "unlock_door", "open_gate", "close_gate",
    }  # fmt: skip
    assert {name for name, spec in specs.items() if not spec.undoable} == {
        name for name, spec in specs.items() if spec.risk is Risk.READ
    }


def test_a_lamp_that_cannot_be_dimmed_says_so(bench):
    result = bench.call("set_light_level", room="workbench lamp", level_pct=30)

    assert result.status == "failed"
    assert "cannot be dimmed" in result.message


def test_a_machine_refuses_to_run_longer_than_it_may(bench):
    result = bench.call("start_machine", machine="pump", minutes=31)

    assert result.status == "failed"
    assert "30 minutes at most" in result.message
    assert bench.registry.state()["machines"]["pump"]["running"] is False


def test_a_machine_without_a_time_still_stops_by_itself(bench):
    bench.call("start_machine", machine="pump")

    assert 1700 < bench.registry.state()["machines"]["pump"]["left_s"] <= 1800


def test_the_stop_refuses_acts_and_lets_safe_ones_pass(bench):
    bench.call("start_machine", machine="fan", minutes=5)
    bench.registry.safe("smoke")

    refused = bench.call("start_machine", machine="fan", minutes=5)
    heating = bench.call("set_temperature", temperature_c=25)
    stopped = bench.call("stop_machine", machine="fan")

    assert refused.status == heating.status == "failed"
    assert "smoke" in refused.message
    assert stopped.status == "done"
    bench.registry.release()
    assert bench.call("start_machine", machine="fan", minutes=5).status == "done"


def test_the_heater_follows_its_target_and_stops_without_a_measurement(make_bench, tmp_path):
    thermometer = tmp_path / "temperature"
    thermometer.write_text("18000\n")
    demo = Site.demonstration()
    sensor = Sensor(name="living room temperature", kind="temperature", room="living room", path=str(thermometer))
    bench = make_bench(
        demo.model_copy(update={"sensors": (*(s for s in demo.sensors if s.name != sensor.name), sensor)})
    )

    def heating_at(text):
        thermometer.write_text(text)
        bench.registry.tick()
        return bench.registry.state()["climate"]["heating"]

    assert bench.registry.state()["climate"]["heating"] is False  # no target yet
    bench.call("set_temperature", temperature_c=20)
    assert heating_at("18000")
    assert heating_at("19800")  # inside the band it goes on
    assert not heating_at("20000")
    assert not heating_at("19800")  # and stays off until the band is left
    assert heating_at("19400")
    assert not heating_at("broken")


def test_the_thermostats_heater_is_no_machine_to_start_by_hand(bench):
    assert "heater" not in bench.registry.spec("start_machine").parameter("machine").entities
    assert bench.call("start_machine", machine="heater").status == "failed"


def test_sensor_files_of_the_kernel_are_read_and_their_faults_told(make_bench, tmp_path):
    def measured(text):
        (tmp_path / "w1_slave").write_text(text)
        sensor = Sensor(name="t", kind="temperature", room="barn", path=str(tmp_path / "w1_slave"))
        return make_bench(Site(rooms=("barn",), sensors=(sensor,))).call("read_temperature", room="barn")

    good = measured("72 01 4b 46 7f ff 0e 10 57 : crc=57 YES\n72 01 4b 46 7f ff 0e 10 57 t=23125\n")
    torn = measured("72 01 4b 46 7f ff 0e 10 57 : crc=57 NO\n72 01 4b 46 7f ff 0e 10 57 t=23125\n")
    reset = measured("50 05 4b 46 7f ff 0c 10 1c : crc=1c YES\n50 05 4b 46 7f ff 0c 10 1c t=85000\n")

    assert good.output == {"t": 23.12}
    assert (torn.status, reset.status) == ("failed", "failed")
    assert "checksum" in torn.message
    assert "power-on value" in reset.message


def test_simulated_sensors_say_that_they_are(bench):
    assert "(simulated)" in bench.call("read_temperature", room="kitchen").message
    assert bench.call("read_humidity", room="hall").status == "done"


def test_a_door_is_told_as_its_contact_sees_it(bench):
    bench.call("open_gate", gate="garage")

    assert bench.call("check_door", door="garage").output == "open"
    assert "no contact watches it" in bench.call("check_door", door="front door").message


def test_the_device_reports_what_it_can_measure_and_says_what_it_cannot(bench):
    result = bench.call("report_device_status")

    assert result.output["memory_available_bytes"] > 0
    assert result.output["disk_free_bytes"] > 0
    assert result.output["time"] == "trusted"
    for key in ("temperature_c", "throttled"):
        assert result.output[key] is not None or "unavailable" in result.message


def test_the_first_look_at_the_load_is_unknown_not_zero(bench):
    assert bench.registry.state()["system"]["cpu_pct"] is None
    assert bench.registry.state()["system"]["cpu_pct"] is not None


def test_a_note_is_kept_and_taken_back(bench):
    did = bench.call("add_note", text="order filters")

    assert [n.text for n in notes.newest(bench.db, limit=5)] == ["order filters"]
    assert "order filters" in bench.call("list_notes").message
    deleted = bench.take_back(did)
    assert notes.newest(bench.db, limit=5) == []
    bench.take_back(deleted)
    assert [n.text for n in notes.newest(bench.db, limit=5)] == ["order filters"]
    assert bench.call("delete_note", number=99).status == "failed"


def test_a_timer_is_set_found_by_its_words_and_restored(bench):
    did = bench.call("set_timer", minutes=10, name="tea")
    bench.clock.passes(minutes=4)

    cancelled = bench.call("cancel_timer", name="TEA")
    assert schedules.waiting(bench.db) == []
    bench.take_back(cancelled)

    assert did.postcondition == "held"
    assert schedules.waiting(bench.db)[0].duration_s == pytest.approx(360)


def test_two_timers_are_not_confused(bench):
    bench.call("set_timer", minutes=10, name="tea")
    bench.call("set_timer", minutes=20, name="rice")

    unclear = bench.call("cancel_timer")

    assert unclear.status == "failed"
    assert "#1 tea, #2 rice" in unclear.message
    assert bench.call("cancel_timer", name="#2").status == "done"
    assert bench.call("cancel_timer").status == "done"


def test_a_reminder_in_the_past_is_refused_and_one_in_the_future_kept(bench):
    assert bench.call("set_reminder", text="call Bob", at="2026-11-22T11:59:00").status == "failed"
    did = bench.call("set_reminder", text="call Bob", at="2026-11-22T18:00:00")

    cancelled = bench.call("cancel_reminder", text="bob")
    bench.take_back(cancelled)

    assert did.status == "done"
    assert [row.label for row in schedules.waiting(bench.db)] == ["call Bob"]


def test_a_schedule_is_understood_when_it_is_set_and_kept_as_a_call(bench):
    did = bench.call("add_schedule", what="turn on the hall light", at="07:00:00", days="weekdays")

    row = schedules.waiting(bench.db)[0]
    assert row.call.tool == "turn_light_on"
    assert row.call.literals == {"room": "hall"}
    assert row.due_at.isoformat() == "2026-11-23T07:00:00+00:00"
    assert "turn_light_on(room=hall)" in did.message
    cancelled = bench.take_back(did)
    assert schedules.waiting(bench.db) == []
    bench.take_back(cancelled)
    assert schedules.waiting(bench.db)[0].weekly == row.weekly


def test_words_that_are_not_understood_are_not_scheduled(bench):
    result = bench.call("add_schedule", what="sing", at="07:00:00")

    assert result.status == "failed"
    assert "nothing here does that" in result.message
    assert schedules.waiting(bench.db) == []


def test_a_site_without_devices_still_has_timers_notes_and_status(make_bench):
    names = {spec.name for spec in make_bench(Site()).registry.specs()}

    assert names == {
        "set_timer", "cancel_timer", "set_reminder", "cancel_reminder", "list_timers", "add_schedule",
        "cancel_schedule", "add_note", "list_notes", "delete_note", "report_device_status",
    }  # fmt: skip


def heated(make_bench, tmp_path, text="18000\n"):
    thermometer = tmp_path / "temperature"
    thermometer.write_text(text)
    demo = Site.demonstration()
    sensor = Sensor(name="living room temperature", kind="temperature", room="living room", path=str(thermometer))
    others = tuple(s for s in demo.sensors if s.name != sensor.name)
    return make_bench(demo.model_copy(update={"sensors": (*others, sensor)}))


def test_the_heater_is_off_while_the_laws_are_against_it_and_goes_on_afterwards(make_bench, tmp_path):
    bench = heated(make_bench, tmp_path)
    asked, against = [], [""]

    def permit(order):
        asked.append(order)
        return against[0]

    def tick():
        changes = bench.registry.tick(permit)
        return bench.registry.state()["climate"], [(change.order.tool, change.held) for change in changes]

    bench.call("set_temperature", temperature_c=21)
    state, changes = tick()
    assert (state["heating"], changes) == (True, [])
    assert asked[-1].literals == {"temperature_c": 21}

    against[0] = "the window is open"
    state, changes = tick()
    assert (state["heating"], state["held"], state["target_c"]) == (False, "the window is open", 21)
    assert changes == [("set_temperature", "the window is open")]
    against[0] = "the window is still open"
    state, changes = tick()  # told once, shown as it is
    assert (state["heating"], state["held"], changes) == (False, "the window is still open", [])

    against[0] = ""
    state, changes = tick()
    assert (state["heating"], changes) == (True, [("set_temperature", "")])
    assert "held" not in state


def test_a_call_that_the_laws_have_just_allowed_is_not_held_by_what_they_said_before(make_bench, tmp_path):
    bench = heated(make_bench, tmp_path)
    bench.call("set_temperature", temperature_c=21)
    bench.registry.tick(lambda _order: "quiet hours")

    bench.call("set_temperature", temperature_c=22)
    assert "held" not in bench.registry.state()["climate"]
    assert bench.registry.state()["climate"]["heating"] is True

    # Off is off, whatever held it.
    bench.registry.tick(lambda _order: "quiet hours")
    bench.call("turn_heating_off")
    assert bench.registry.tick(lambda _order: "") == ()
    assert bench.registry.state()["climate"]["heating"] is False


def test_heating_does_not_go_on_by_itself_after_an_emergency_stop(make_bench, tmp_path):
    bench = heated(make_bench, tmp_path)
    bench.call("set_temperature", temperature_c=21)

    bench.registry.safe("smoke")
    bench.registry.release()
    bench.registry.tick()

    assert bench.registry.state()["climate"] == {"target_c": None, "measured_c": 18.0, "heating": False}
    bench.call("set_temperature", temperature_c=21)
    bench.registry.tick()
    assert bench.registry.state()["climate"]["heating"] is True


def test_a_thermometer_that_hangs_does_not_hang_the_heating(make_bench, tmp_path):
    bench = heated(make_bench, tmp_path)
    bench.call("set_temperature", temperature_c=21)
    (tmp_path / "temperature").unlink()
    os.mkfifo(tmp_path / "temperature")  # opening it waits for a writer that never comes

    bench.clock.passes(seconds=31)
    bench.registry.tick()

    state = bench.registry.state()
    assert state["climate"] == {"target_c": 21, "measured_c": None, "heating": False}
    assert "no answer any more" in state["sensors"]["living room temperature"]["fault"]


def test_a_machine_that_the_laws_turn_against_stops_and_does_not_start_again_by_itself(bench):
    bench.call("start_machine", machine="pump", minutes=10)
    bench.call("start_machine", machine="fan")
    asked = []

    def leak(order):
        asked.append(order.literals)
        return "the cellar is wet" if order.literals["machine"] == "pump" else ""

    changes = bench.registry.tick(leak)

    machines = bench.registry.state()["machines"]
    assert asked == [{"machine": "pump", "minutes": 10}, {"machine": "fan"}]
    assert [(change.order.literals["machine"], change.held) for change in changes] == [("pump", "the cellar is wet")]
    assert machines["pump"] == {"running": False, "left_s": None, "held": "the cellar is wet"}
    assert machines["fan"]["running"] is True
    assert bench.registry.tick() == ()
    assert bench.registry.state()["machines"]["pump"]["running"] is False

    bench.call("start_machine", machine="pump", minutes=10)
    assert bench.registry.tick() == ()
    assert bench.registry.state()["machines"]["pump"]["running"] is True
    assert "held" not in bench.registry.state()["machines"]["pump"]


def test_nobody_is_asked_about_a_machine_that_stands_still(bench):
    bench.call("start_machine", machine="pump", minutes=10)
    bench.call("stop_machine", machine="pump")

    assert bench.registry.tick(lambda _order: "never") == ()
    assert "held" not in bench.registry.state()["machines"]["pump"]


@pytest.mark.parametrize(
    ("device", "word", "powered"),
    [
        ("front door", "locked", False),
        ("Garage", "closed", False),
        ("desk lamp", "off", False),
        ("heater", "stopped", False),
    ],
)
def test_a_device_stands_in_one_of_the_words_that_laws_know(bench, device, word, powered):
    known = {name.casefold(): words for name, words in catalogue.of(Site.demonstration()).devices.items()}

    assert bench.registry.standing(device) == (word, powered)
    assert known[device.casefold()][1] == word


def test_every_device_that_a_law_may_name_stands_somehow(bench):
    known = catalogue.of(Site.demonstration()).devices

    assert {name: bench.registry.standing(name).word in words for name, words in known.items()} == dict.fromkeys(
        known, True
    )
    assert bench.registry.standing("kitchen") is None  # a room is no lamp
