"""A running appliance under laws, over its socket: people, sensors, clocks, newer and bad files, two laws at once."""

import json
import threading
import time

import pytest

from appliance.contracts.local import EnrolPerson, LoadLaws
from appliance.errors import ApplianceError
from appliance.transport.local import LocalClient

PINS = {"dora": "x82-rtq", "anna": "kf9-w3v", "ben": "zt4-m7h"}

GATE = """\
workflow: entrance
version: 1
initial: closed
safe: closed
governs: [open_gate, close_gate]
measures:
  gate_open: {sensor: gate contact, type: boolean, stale_after: 10s}
events:
  ask: {about: Somebody wants in, from: [operator, approver]}
  shut: {about: Through}
states:
  closed:
    go:
      - {event: ask, to: opening, approve: {role: approver, people: 2, within: 2min}}
  opening:
    tools: [{tool: open_gate, where: {gate: gate}}]
    calls: 2
    enter: [{call: open_gate, with: {gate: gate}}]
    go:
      - {when: gate_open, to: open}
    deadline: {after: 1min, to: closing}
  open:
    go:
      - {event: shut, to: closing}
  closing:
    tools: [{tool: close_gate, where: {gate: gate}}]
    enter: [{call: close_gate, with: {gate: gate}}]
    go:
      - {when: not gate_open, to: closed}
"""

LAMPS = """\
workflow: lamps
version: {version}
initial: day
safe: day
governs: [turn_light_on, turn_light_off]
events:
  evening: {{}}
  morning: {{}}
states:
  day:
    swap: true
    tools: [turn_light_off{more}]
    go: [{{event: evening, to: night}}]
  night:
    tools: [turn_light_on, turn_light_off]
    calls: 2
    go: [{{event: morning, to: day}}]
"""

WINDOW = """\
workflow: heating
version: 1
initial: free
safe: free
governs: [start_machine, set_temperature]
measures:
  window_open: {sensor: window contact, type: boolean, stale_after: 10s}
states:
  free:
    tools: [start_machine, set_temperature]
rules:
  window:
    tools: [start_machine, set_temperature]
    needs: not window_open
    why: It heats the street
"""

SITE = """\
[site]
pins = "simulated"
rooms = ["hall"]
[[site.machines]]
name = "fan"
kind = "fan"
pin = 6
[[site.machines]]
name = "heater"
kind = "heater"
pin = 27
[[site.sensors]]
name = "window contact"
kind = "contact"
room = "hall"
path = "{window}"
[[site.sensors]]
name = "hall temperature"
kind = "temperature"
room = "hall"
path = "{warm}"
[site.thermostat]
sensor = "hall temperature"
heater = "heater"
"""


class Ruled:
    """A bench with laws, and what one asks of it."""

    def __init__(self, bench):
        self.bench = bench
        self.folder = bench.home.root / "laws"
        self.folder.mkdir(parents=True)

    def write(self, text, name="law.yaml"):
        (self.folder / name).write_text(text)
        return self

    def start(self):
        self.bench.start()
        return self.bench.client

    def ask(self, request):
        return LocalClient(self.bench.home.root).request(request, timeout_s=30)

    def load(self):
        return self.ask(LoadLaws())

    def enrol(self):
        assert self.ask(EnrolPerson(name="dora", role="admin", new_pin=PINS["dora"])).ok
        for name in ("anna", "ben"):
            asked = EnrolPerson(name=name, role="approver", new_pin=PINS[name], person="dora", pin=PINS["dora"])
            assert self.ask(asked).ok

    def law(self, name):
        laws = self.bench.client.status()["laws"]
        return next(one for one in laws["workflows"] if one["workflow"] == name)

    def comes_to(self, name, state):
        """Wait until *name* is in *state*, and nothing is on its way."""
        until_s = time.monotonic() + 20
        while time.monotonic() < until_s:
            found = self.law(name)
            if found["state"] == state and not found["owed"]:
                return
            time.sleep(0.05)
        raise AssertionError(f"{name} is in {self.law(name)['state']}, not in {state}")

    def facts(self, kind):
        return [json.loads(row.body)["facts"] for row in self.bench.records if row.kind == kind]


@pytest.fixture
def ruled(bench):
    return Ruled(bench)


def test_a_gate_opens_when_two_people_say_so_and_the_law_opens_it_itself(ruled):
    client = ruled.write(GATE).start()
    ruled.enrol()

    assert client.event("ask").code == "parked"
    waits = ruled.law("entrance")["pending"]["approval_id"]
    assert client.approve(waits, person="anna", pin=PINS["anna"]).code == "approved"
    assert client.approve(waits, person="anna", pin=PINS["anna"]).code == "illegal"
    assert ruled.law("entrance")["state"] == "closed"
    assert client.approve(waits, person="ben", pin=PINS["ben"]).status == "done"
    ruled.comes_to("entrance", "open")

    assert client.status()["devices"]["doors"]["gate"] == "open"
    (act,) = [one for one in ruled.facts("decided") if one["origin"]["kind"] == "system"]
    assert [call["gen_ai.tool.name"] for call in act["calls"]] == ["open_gate"]
    assert client.event("shut").status == "done"
    ruled.comes_to("entrance", "closed")
    assert client.status()["devices"]["doors"]["gate"] == "closed"


def test_nobody_approves_in_no_name_however_many_programs_ask(ruled):
    client = ruled.write(GATE.replace("role: approver", "role: operator")).start()
    client.event("ask")
    waits = ruled.law("entrance")["pending"]["approval_id"]

    for _ in range(3):
        assert client.approve(waits, person="", pin="").code == "roles"

    assert ruled.law("entrance")["state"] == "closed"


def test_an_approval_that_comes_too_late_is_refused_in_words(ruled):
    client = ruled.write(GATE.replace("within: 2min", "within: 1s")).start()
    ruled.enrol()
    client.event("ask")
    waits = ruled.law("entrance")["pending"]["approval_id"]
    until_s = time.monotonic() + 20
    while ruled.law("entrance")["pending"] and time.monotonic() < until_s:
        time.sleep(0.05)

    said = client.approve(waits, person="anna", pin=PINS["anna"])

    assert (said.status, said.code) == ("refused", "not_waiting")
    assert ruled.law("entrance")["state"] == "closed"


def test_nobody_opens_the_gate_by_a_call_and_the_denial_says_how_to_get_there(ruled):
    client = ruled.write(GATE).start()
    ruled.enrol()

    for person in ("", "anna", "dora"):
        said = client.call("open_gate", {"gate": "gate"}, yes=True, person=person, pin=PINS.get(person, ""))
        assert (said.status, said.code) == ("refused", "workflow:entrance/closed")
        assert "not allowed there" in said.reason
        assert "ask" in said.remedy
    assert client.status()["devices"]["doors"]["gate"] == "closed"


def test_a_cap_counts_inside_one_request_and_over_a_restart(ruled):
    client = ruled.write(LAMPS.format(version=1, more="")).start()
    client.event("evening")

    both = client.say("turn on the hall lights and turn off the kitchen lights", yes=True)
    assert [call["state"] for call in both.calls] == ["done", "done"]
    ruled.bench.restart()
    said = ruled.bench.client.call("turn_light_on", {"room": "office"})

    assert ruled.law("lamps")["calls"] == [2, 2]
    assert said.status == "refused"
    assert "2 calls" in said.reason


def test_of_a_request_that_is_one_call_too_much_nothing_is_done(ruled):
    client = ruled.write(LAMPS.format(version=1, more="")).start()
    client.event("evening")
    client.call("turn_light_on", {"room": "office"})

    said = client.say("turn on the hall lights and turn off the kitchen lights", yes=True)

    assert said.status == "refused"
    assert client.status()["devices"]["lights"]["hall ceiling"]["level_pct"] == 0
    assert ruled.law("lamps")["calls"] == [1, 2]


def test_a_second_call_that_the_first_one_has_forbidden_is_not_made(ruled):
    law = (
        LAMPS.format(version=1, more="")
        .replace("turn_light_off", "set_temperature")
        .replace("{event: morning, to: day}]", "{event: morning, to: day}, {tool: turn_light_on, to: dusk}]")
    )
    law = law.replace("  night:\n", "  dusk:\n    go: [{event: morning, to: day}]\n  night:\n", 1)
    client = ruled.write(law).start()
    client.event("evening")

    said = client.say("turn on the hall lights and set the heating to 21 degrees", yes=True)

    assert [call["state"] for call in said.calls] == ["done", "skipped"]
    assert "dusk" in said.reason
    assert client.status()["devices"]["climate"]["target_c"] is None
    (moved,) = [one for one in ruled.facts("run") if one["kind"] == "moved" and one["before"] == "night"]
    assert (moved["after"], moved["event"]["kind"]) == ("dusk", "ended")


def test_quiet_hours_deny_with_the_reason_when_nobody_knows_the_time(ruled):
    ruled.write(
        LAMPS.format(version=1, more=", turn_light_on")
        + 'rules:\n  night: {tools: [turn_light_on], quiet: {from: "22:00", to: "05:00"}}\n'
    )
    from appliance import settings
    from appliance.daemon import Daemon

    ruled.bench.daemon = Daemon(ruled.bench.home, settings.load(ruled.bench.home.root))
    ruled.bench.daemon._clock.is_trusted = lambda: False
    ruled.bench.daemon.start()

    said = ruled.bench.client.call("turn_light_on", {"room": "hall"})

    assert (said.status, said.code) == ("refused", "rule:night")
    assert "does not know the time" in said.reason
    assert "clock" in said.remedy


@pytest.fixture
def heated(ruled, tmp_path):
    """A room with a window contact and a thermometer in files."""
    (tmp_path / "window").write_text("0\n")
    (tmp_path / "warm").write_text("15000\n")
    ruled.bench.configure(SITE.format(window=tmp_path / "window", warm=tmp_path / "warm"))
    ruled.window = tmp_path / "window"
    ruled.write(WINDOW).start()
    return ruled


def test_an_interlock_follows_its_sensor_at_once(heated):
    client = heated.bench.client
    assert client.call("start_machine", {"machine": "fan", "minutes": 1}).status == "done"

    heated.window.write_text("1\n")
    denied = client.call("start_machine", {"machine": "fan", "minutes": 1})
    heated.window.unlink()
    unknown = client.call("start_machine", {"machine": "fan", "minutes": 1})
    heated.window.write_text("0\n")

    assert (denied.status, denied.code) == ("refused", "rule:window")
    assert "It heats the street" in denied.reason
    assert (unknown.status, unknown.code) == ("refused", "rule:window")
    assert client.call("start_machine", {"machine": "fan", "minutes": 1}).status == "done"


def test_a_heating_that_was_allowed_is_held_while_the_window_is_open(heated):
    client = heated.bench.client
    assert client.call("set_temperature", {"temperature_c": 22}).status == "done"
    heater = lambda: client.status()["devices"]["climate"]  # noqa: E731
    until(lambda: heater()["heating"])

    heated.window.write_text("1\n")
    until(lambda: not heater()["heating"])
    heated.window.write_text("0\n")
    until(lambda: heater()["heating"])

    notes = [one["event"] for one in heated.facts("note") if "event" in one]
    assert [n for n in notes if "set_temp" in n] == ["set_temperature is held back", "set_temperature goes on"]


def until(holds):
    until_s = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < until_s
        time.sleep(0.05)


def test_an_interrupt_breaks_in_and_leads_back_to_where_it_was(ruled):
    law = LAMPS.format(version=1, more="") + ("interrupts:\n  visitor: {event: bell, to: lit}\n")
    law = law.replace("  morning: {}\n", "  morning: {}\n  bell: {}\n  gone: {}\n").replace(
        "  night:\n", "  lit:\n    tools: [turn_light_on]\n    go: [{event: gone, to: return}]\n  night:\n"
    )
    client = ruled.write(law).start()
    client.event("evening")
    client.call("turn_light_on", {"room": "hall"})

    assert client.event("bell").reason.endswith("lit.")
    assert ruled.law("lamps")["stack"] == ["night"]
    ruled.bench.restart()
    client = ruled.bench.client
    assert client.call("turn_light_off", {"room": "hall"}).status == "refused"
    assert client.event("gone").status == "done"

    found = ruled.law("lamps")
    assert (found["state"], found["stack"], found["calls"]) == ("night", [], [1, 2])
    assert client.event("gone").code == "illegal"


def test_a_newer_version_takes_over_only_where_both_let_it(ruled):
    client = ruled.write(LAMPS.format(version=1, more="")).start()
    client.event("evening")
    ruled.write(LAMPS.format(version=2, more=", turn_light_on"))

    reply = ruled.load()
    assert reply.ok, reply.message
    assert (ruled.law("lamps")["version"], ruled.law("lamps")["state"]) == (1, "night")
    ruled.bench.restart()
    client = ruled.bench.client
    assert ruled.law("lamps")["version"] == 1, "a run goes on under its version, also over a restart"
    client.event("morning")

    assert client.call("turn_light_on", {"room": "hall"}).status == "done"  # version 2 allows it by day
    assert (ruled.law("lamps")["version"], ruled.law("lamps")["state"]) == (2, "day")
    assert [one["reason"] for one in ruled.facts("run") if one["kind"] == "swapped"] == ["version 2"]


def test_with_a_bad_file_at_the_start_nothing_but_reading_is_allowed(ruled):
    client = ruled.write("workflow: [").start()

    denied = client.call("turn_light_on", {"room": "hall"})

    assert (denied.status, denied.code) == ("refused", "laws")
    assert "law.yaml" in denied.reason
    assert client.call("read_temperature", {"room": "hall"}).status == "done"
    assert any("laws" in reason for reason in client.status()["degraded"])
    ruled.write(LAMPS.format(version=1, more=", turn_light_on"))
    assert ruled.load().ok
    assert client.call("turn_light_on", {"room": "hall"}).status == "done"
    assert not any("laws" in reason for reason in client.status()["degraded"])


@pytest.mark.parametrize("bad", ["workflow: [", "", LAMPS.format(version=1, more=", open_gate")])
def test_a_bad_file_that_is_loaded_leaves_the_law_as_it_was(ruled, bad):
    client = ruled.write(LAMPS.format(version=1, more="")).start()
    client.event("evening")
    ruled.write(bad)

    reply = ruled.load()

    assert not reply.ok
    assert "law.yaml" in reply.message or "version" in reply.message
    assert ruled.law("lamps")["state"] == "night"
    assert client.call("turn_light_on", {"room": "hall"}).status == "done"
    ruled.bench.restart()
    assert ruled.law("lamps")["calls"] == [1, 2]


def test_while_another_program_holds_the_database_nothing_acts_and_the_run_stays(ruled):
    import sqlite3

    client = ruled.write(LAMPS.format(version=1, more="")).start()
    client.event("evening")
    ruled.bench.db.connection.execute("pragma busy_timeout = 100").fetchone()
    other = sqlite3.connect(ruled.bench.home.database, isolation_level=None)
    other.execute("begin immediate")

    with pytest.raises(ApplianceError, match="locked"):
        client.call("turn_light_on", {"room": "hall"})
    assert client.status()["devices"]["lights"]["hall ceiling"]["level_pct"] == 0
    other.execute("rollback")
    other.close()

    until(lambda: client.call("turn_light_on", {"room": "hall"}).status == "done")
    assert ruled.law("lamps")["state"] == "night"
    assert ruled.law("lamps")["calls"] == [1, 2]


def test_an_act_of_a_law_is_told_by_a_tool_that_only_laws_and_timers_call(ruled):
    law = LAMPS.format(version=1, more="").replace("[turn_light_on, turn_light_off]\nevents", "[announce]\nevents")
    law = law.replace("    calls: 2\n", "    enter: [{call: announce, with: {text: It is night.}}]\n")
    law = law.replace("    tools: [turn_light_on, turn_light_off]\n", "    tools: [announce]\n")
    law = law.replace("    tools: [turn_light_off]\n", "")
    client = ruled.write(law).start()

    client.event("evening")
    ruled.comes_to("lamps", "night")

    (act,) = [one for one in ruled.facts("decided") if one["origin"]["kind"] == "system"]
    assert act["calls"][0]["gen_ai.tool.name"] == "announce"


def test_a_stop_that_is_released_before_the_next_look_has_led_to_the_safe_state_all_the_same(ruled):
    client = ruled.write(LAMPS.format(version=1, more="")).start()
    client.event("evening")
    done = threading.Event()

    def stop_and_release():
        client.stop("test")
        client.release()
        done.set()

    threading.Thread(target=stop_and_release).start()
    assert done.wait(20)
    ruled.comes_to("lamps", "day")

    assert [one["event"]["kind"] for one in ruled.facts("run")][-1] == "emergency"


def test_two_laws_that_know_the_same_event_ask_which_is_meant(ruled):
    other = (
        LAMPS.format(version=1, more="")
        .replace("workflow: lamps", "workflow: lamps_too")
        .replace("[turn_light_on, turn_light_off]\nevents", "[turn_light_on, turn_light_off]\nevents")
    )
    client = ruled.write(LAMPS.format(version=1, more="")).write(other, "too.yaml").start()

    assert client.event("evening").code == "unknown_event"
    assert client.event("evening", "lamps").status == "done"
    assert client.call("turn_light_on", {"room": "hall"}).code == "workflow:lamps_too/day"
    assert client.event("evening", "lamps_too").status == "done"
    assert client.call("turn_light_on", {"room": "hall"}).status == "done"
    assert ruled.law("lamps")["calls"] == ruled.law("lamps_too")["calls"] == [1, 2]


ONCE = """\
workflow: once
version: 1
initial: always
safe: always
governs: [turn_light_on]
states:
  always:
    tools: [turn_light_on]
    swap: true
rules:
  once:
    tools: [turn_light_on]
    limit: {calls: 1, per: 1h}
"""


def test_a_limit_is_not_freed_by_taking_its_law_away_and_putting_it_back(ruled):
    client = ruled.write(ONCE).start()
    on = {"room": "kitchen lights"}
    assert client.call("turn_light_on", on).status == "done"
    (ruled.folder / "law.yaml").unlink()
    assert ruled.load().ok
    assert client.status()["laws"]["workflows"] == []
    ruled.write(ONCE)
    assert ruled.load().ok

    said = client.call("turn_light_on", on)

    assert (said.status, said.code) == ("refused", "rule:once")


SLOW = """\
workflow: slow
version: 1
initial: rest
safe: rest
governs: [turn_light_on]
events: {go: {}}
states:
  rest: {go: [{event: go, to: busy}]}
  busy:
    tools: [turn_light_on]
    deadline: {after: 1h, to: rest}
"""


def test_how_long_a_state_lasts_is_known_over_a_restart_of_the_daemon_alone(ruled):
    client = ruled.write(SLOW).start()
    assert client.event("go").status == "done"
    ruled.bench.stop()
    ruled.bench.start()

    assert ruled.law("slow")["state"] == "busy"
    assert 3400 < ruled.law("slow")["due_s"] < 3600


LOCKED_DOORS = """\
workflow: doors
version: 1
initial: free
safe: free
governs: [lock_door, unlock_door]
states:
  free: {tools: [lock_door, unlock_door]}
"""

EVENING = """\
workflow: evening
version: 1
initial: day
safe: day
governs: [lock_door]
events: {close: {}, open: {}}
states:
  day: {go: [{event: close, to: night}]}
  night:
    tools: [lock_door]
    enter: [{call: lock_door, with: {door: front door}}]
    go: [{event: open, to: day}]
"""


def test_an_act_that_one_law_owes_is_for_another_law_a_call_like_any_other(ruled):
    client = ruled.write(LOCKED_DOORS, "doors.yaml").write(EVENING, "evening.yaml").start()

    assert client.event("close").status == "done"
    ruled.comes_to("evening", "night")

    (act,) = [one for one in ruled.facts("decided") if one["origin"]["kind"] == "system"]
    assert [call["gen_ai.tool.name"] for call in act["calls"]] == ["lock_door"]


COOLING = """\
workflow: kiln
version: 1
initial: cold
safe: cold
governs: [start_machine, stop_machine]
measures:
  warm: {sensor: hall temperature, type: number, unit: "°C", stale_after: 1min}
events: {go: {}}
states:
  cold: {go: [{event: go, to: cooling}]}
  cooling:
    tools: [stop_machine]
    enter: [{call: stop_machine, with: {machine: fan}}]
    go: [{when: warm < 60, to: cold}]
"""


def test_what_a_state_owes_on_entry_is_done_before_a_measurement_leads_on(ruled, tmp_path):
    (tmp_path / "window").write_text("0")
    (tmp_path / "warm").write_text("20000")
    ruled.bench.configure(SITE.format(window=tmp_path / "window", warm=tmp_path / "warm"))
    client = ruled.write(COOLING).start()

    client.event("go")
    ruled.comes_to("kiln", "cold")

    (act,) = [one for one in ruled.facts("decided") if one["origin"]["kind"] == "system"]
    assert [call["gen_ai.tool.name"] for call in act["calls"]] == ["stop_machine"]
