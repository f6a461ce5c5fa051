"""What an operator does with the laws at the console, and what reached the ledger by it."""

import asyncio
import json
from importlib import resources

import pytest
from textual.events import Key
from textual.widgets import Input, OptionList

from appliance.contracts.local import EnrolPerson
from appliance.transport.local import LocalClient
from appliance.tui.screens.laws import LawsScreen
from appliance.tui.screens.sign import SignScreen
from appliance.tui.widgets.act_list import ActList
from appliance.tui.widgets.law_map import LawMap
from appliance.tui.widgets.pin_box import PinBox
from appliance.tui.widgets.say_box import SayBox

PINS = {"ann": "483911", "bob": "720164", "cleo": "559302"}


def facts(bench, kind):
    """Return the facts of every record of *kind*."""
    return [json.loads(row.body)["facts"] for row in bench.records if row.kind == kind]


def steps(bench, workflow="gate"):
    """Return the steps of a workflow's run that moved it, as before and after."""
    return [
        (step["before"], step["after"])
        for step in facts(bench, "run")
        if step["workflow"] == workflow and step["kind"] in ("moved", "returned")
    ]


def enrol(bench):
    """Enrol an admin and two approvers, each with a PIN."""
    client = LocalClient(bench.home.root)
    first = EnrolPerson(name="cleo", role="admin", new_pin=PINS["cleo"])
    others = [
        EnrolPerson(name=name, role="approver", new_pin=PINS[name], person="cleo", pin=PINS["cleo"])
        for name in ("ann", "bob")
    ]
    for request in (first, *others):
        reply = client.request(request)
        assert reply.ok, reply.message


@pytest.fixture
def site(bench):
    """A running appliance with two laws in force and three people enrolled."""
    laws = bench.home.root / "laws"
    laws.mkdir(parents=True)
    for name in ("gate", "oven"):
        text = resources.files("appliance.policy.workflow.templates").joinpath(f"{name}.yaml").read_text("utf-8")
        (laws / f"{name}.yaml").write_text(text, encoding="utf-8")
    bench.start()
    enrol(bench)
    return bench


@pytest.fixture
async def guard(site, open_console):
    """An operator at the laws' screen."""
    async with open_console(site.home.root) as operator:
        await operator.sees(lambda: operator.app.glance is not None and operator.app.glance.laws.workflows)
        await operator.press("f7")
        await operator.sees("Gate with two-person approval")
        yield operator


async def sign(operator, name, pin):
    """Fill in the dialog that is open."""
    await operator.sees(lambda: isinstance(operator.app.screen, SignScreen))
    box = operator.app.screen.query_one("#sign-name", Input)
    operator.app.screen.set_focus(box)
    box.value = ""
    await operator.press(*name, "enter", *pin, "enter")


async def ask_to_open(operator):
    """Say the event that two people must approve."""
    await operator.press("1", "enter")
    await operator.sees(lambda: operator.app.glance.laws.run("gate").pending is not None)


async def test_f7_shows_where_every_workflow_is_and_draws_it_with_the_state_lit(site, open_console):
    async with open_console(site.home.root, size=(120, 40)) as operator:
        await operator.sees(lambda: operator.app.glance is not None and operator.app.glance.laws.workflows)

        await operator.press("f7")

        await operator.sees("opening · The gate moves")
        await operator.sees("● closed")
        await operator.sees("now here")
        await operator.press("down")
        await operator.sees("anywhere in heating")
        await operator.sees("Put the sample in")
        await operator.press("f7")
        await operator.sees("Say what you want")


async def test_at_80_columns_d_draws_the_law_and_escape_brings_the_words_back(site, open_console):
    async with open_console(site.home.root, size=(80, 24)) as operator:
        await operator.sees(lambda: operator.app.glance is not None and operator.app.glance.laws.workflows)
        await operator.press("f7")
        await operator.sees("What can be done now")
        assert not operator.app.screen.query_one(LawMap).display

        await operator.press("d")
        await operator.sees("opening · The gate moves")
        await operator.press("escape")

        await operator.sees("What can be done now")


async def test_an_event_is_said_with_its_number_and_enter(site, guard):
    await guard.press("down")
    await guard.sees("Put the sample in")

    await guard.press("1", "enter")

    await guard.sees(lambda: guard.app.glance.laws.run("oven").state != "idle")
    said = next(step for step in facts(site, "run") if step["event"].get("event") == "begin")
    assert said["event"]["who"]["role"] == "operator"
    assert steps(site, "oven")[0][0] == "idle"
    await guard.sees("heating/rising")


async def test_two_people_approve_one_after_the_other_at_the_same_console(site, guard):
    await ask_to_open(guard)
    await guard.sees("2 approvers needed")

    await guard.press("1", "enter")
    await sign(guard, "ann", PINS["ann"])
    await guard.sees("The next person, please")
    assert site.daemon.parts.registry.state()["doors"].get("gate") != "open"
    await sign(guard, "bob", PINS["bob"])

    await guard.sees(lambda: isinstance(guard.app.screen, LawsScreen))
    await guard.sees(lambda: ("closed", "opening") in steps(site))
    given = [step["event"]["who"]["person"] for step in facts(site, "run") if step["event"]["kind"] == "approved"]
    assert given == ["ann", "bob"]


async def test_the_same_person_counts_once(site, guard):
    await ask_to_open(guard)
    await guard.press("1", "enter")
    await sign(guard, "ann", PINS["ann"])
    await guard.sees("The next person, please")

    await sign(guard, "ann", PINS["ann"])

    await guard.sees("ann has approved already")
    assert guard.app.glance.laws.run("gate").pending.given == ("ann",)
    assert steps(site) == []


async def test_a_refusal_lets_it_lapse_and_says_who(site, guard):
    await ask_to_open(guard)

    await guard.press("2", "enter")
    await guard.sees("Refuse this?")
    await sign(guard, "bob", PINS["bob"])

    await guard.sees(lambda: guard.app.glance.laws.run("gate").pending is None)
    assert steps(site) == []
    refused = [step for step in facts(site, "run") if step["event"]["kind"] == "approved"]
    assert [(step["event"]["yes"], step["event"]["who"]["person"]) for step in refused] == [(False, "bob")]


async def test_a_wrong_pin_counts_for_nothing_says_so_and_is_gone_from_the_box(site, guard):
    await ask_to_open(guard)
    await guard.press("1", "enter")

    await sign(guard, "ann", "111111")

    await guard.sees(lambda: not guard.app.screen.query_one(PinBox).value)
    await guard.sees("PIN")
    assert isinstance(guard.app.screen, SignScreen)
    assert guard.app.screen.query_one("#sign-name", Input).value == "ann"
    assert guard.app.glance.laws.run("gate").pending.given == ()
    await guard.press("escape")
    await guard.sees(lambda: isinstance(guard.app.screen, LawsScreen))


async def test_a_pin_is_masked_is_never_copied_and_is_in_no_record(site, guard):
    await ask_to_open(guard)
    await guard.press("1", "enter")
    await guard.sees(lambda: isinstance(guard.app.screen, SignScreen))

    await guard.press(*"ann", "enter", *PINS["ann"])
    await guard.sees("******")
    assert PINS["ann"] not in guard.text()
    await guard.press("shift+home", "ctrl+c")
    assert guard.app.clipboard == ""
    await guard.press("end", "enter")

    await guard.sees("The next person, please")
    written = json.dumps([[row.body, str(row.personal)] for row in site.records])
    assert PINS["ann"] not in written


async def test_a_pin_typed_faster_than_the_screen_follows_never_stands_in_another_box(site, guard):
    await ask_to_open(guard)
    await guard.press("1", "enter")
    await guard.sees(lambda: isinstance(guard.app.screen, SignScreen))

    for key in (*"ann", "enter", *PINS["ann"], "enter"):
        guard.app.post_message(Key(key, key if len(key) == 1 else None))

    await guard.sees("The next person, please")
    assert not guard.app.screen.query_one("#sign-name", Input).value
    assert guard.app.glance.laws.run("gate").pending is not None


async def test_an_event_is_said_in_a_persons_name_with_p(site, guard):
    await guard.press("down")
    await guard.press("1", "enter")
    await guard.sees(lambda: guard.app.glance.laws.run("oven").state != "idle")

    await guard.press("p")
    await sign(guard, "ann", PINS["ann"])

    await guard.sees(lambda: ("heating/rising", "cooling") in steps(site, "oven"))
    said = next(step for step in facts(site, "run") if step["event"].get("event") == "stop_run")
    assert said["event"]["who"] == {"person": "ann", "role": "approver"}


async def test_a_call_outside_its_state_is_refused_with_what_is_allowed_and_how_to_get_there(site, open_console):
    async with open_console(site.home.root, size=(120, 40)) as operator:
        await operator.sees(lambda: operator.app.glance is not None)

        await operator.press("f7", "down")
        await operator.sees("Put the sample in")
        await operator.press("escape")
        await operator.say("set the heating to 21 degrees")

        await operator.sees(lambda: operator.card.outcome is not None and operator.card.outcome.status == "refused")
        await operator.sees("is in idle, and set_temperature is not allowed there")
        await operator.sees("allowed now  turn heating off")
        await operator.sees("To get there: say begin")


async def test_the_maintenance_lock_is_set_with_a_reason_seen_everywhere_and_released(site, open_console):
    async with open_console(site.home.root, size=(80, 24)) as operator:
        await operator.sees(lambda: operator.app.glance is not None)

        await operator.press("ctrl+o")
        await operator.sees(lambda: isinstance(operator.app.screen, SignScreen))
        await operator.press(*"belt", "enter", "enter")

        await operator.sees("MAINTENANCE")
        for key in ("f7", "f5", "f1"):
            await operator.press(key)
            await operator.sees("MAINTENANCE")
        await operator.press("escape", "f3")
        refused = await asyncio.to_thread(site.client.call, "set_light_level", {"room": "workshop", "level_pct": 10})
        assert (refused.status, refused.code) == ("refused", "maintenance")
        await operator.press("ctrl+o")
        await operator.sees("Release the maintenance lock?")
        await operator.press("enter")

        await operator.sees(lambda: not operator.app.glance.laws.maintenance)
        await operator.sees(lambda: "MAINTENANCE" not in operator.text())
    assert [lock["on"] for lock in facts(site, "maintenance")] == [True, False]


async def test_laws_that_cannot_be_used_are_seen_on_every_screen_with_what_to_do(bench, open_console):
    laws = bench.home.root / "laws"
    laws.mkdir(parents=True)
    (laws / "gate.yaml").write_text("workflow: gate\nversion: 1\n", encoding="utf-8")
    bench.start()
    async with open_console(bench.home.root, size=(80, 24)) as operator:
        await operator.sees("NO LAWS")

        await operator.press("f7")

        await operator.sees("The laws cannot be used")
        await operator.sees("gate.yaml")
        await operator.press("f5")
        await operator.sees("NO LAWS")


@pytest.mark.parametrize("place", ["laws", "sign"])
async def test_the_emergency_stop_is_one_key_away_from_the_laws_too(site, guard, place):
    if place == "sign":
        await ask_to_open(guard)
        await guard.press("1", "enter")
        await guard.sees(lambda: isinstance(guard.app.screen, SignScreen))

    await guard.press("f12")

    await guard.sees(lambda: guard.app.glance.locked)
    assert facts(site, "emergency")[-1]["latched"] is True


async def test_f2_leads_to_the_history_from_every_screen(appliance, operator):
    for key in ("f5", "f7", "f1"):
        await operator.press(key)
        await operator.sees(lambda: operator.app.screen is not operator.app.get_default_screen())

        await operator.press("f2")

        await operator.sees(lambda: operator.app.screen is operator.app.get_default_screen())
        assert isinstance(operator.app.focused, OptionList)


async def test_a_number_right_behind_f3_goes_to_the_card_not_to_the_say_box(operator):
    for key in ("f3", "1"):
        operator.app.post_message(Key(key, key if len(key) == 1 else None))

    await operator.sees(lambda: operator.app.query_one(SayBox).value not in ("", "1"))


async def test_nothing_is_painted_while_nothing_changes(site, guard):
    screen = guard.app.screen
    acts, drawn = screen.query_one(ActList), screen.query_one(LawMap)
    await guard.sees(lambda: drawn._painted is not None)
    options, painted = acts.options, drawn._painted

    screen.show_glance(guard.app.glance, "")

    assert acts.options == options
    assert drawn._painted is painted
