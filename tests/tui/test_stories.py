"""What an operator does at the console, and what reached the ledger by it."""

import asyncio
import json

import pytest

from appliance.tui.screens.detail import DetailScreen
from appliance.tui.screens.help import HelpScreen
from appliance.tui.widgets.history_list import HistoryList
from appliance.tui.widgets.say_box import SayBox


def last(bench, kind="settled"):
    """Return the facts of the newest record of *kind*."""
    rows = [row for row in bench.records if row.kind == kind]
    return json.loads(rows[-1].body)["facts"] if rows else {}


async def elsewhere(bench, tool, arguments):
    """Propose a call from another client."""
    return await asyncio.to_thread(bench.client.call, tool, arguments)


async def test_words_are_understood_acted_on_and_shown_with_their_sources(appliance, operator):
    await operator.say("dim the workshop lights to 30 percent")

    await operator.sees(lambda: operator.card.outcome is not None)
    assert operator.card.outcome.status == "done", operator.text()
    await operator.sees("30 %")
    decided = last(appliance, "decided")
    call = decided["calls"][0]
    assert (call["gen_ai.tool.name"], call["gen_ai.tool.call.arguments"]) == (
        "set_light_level",
        {"room": "workshop lights", "level_pct": 30},
    )
    assert decided["origin"]["kind"] == "operator"


async def test_a_risky_call_acts_only_after_y(appliance, operator):
    asked = await elsewhere(appliance, "unlock_door", {"door": "front door"})
    await operator.sees("Confirm this?")
    assert appliance.daemon.parts.registry.state()["doors"]["front door"] == "locked"

    await operator.press("f4")
    await operator.may_press()
    await operator.press("y")

    await operator.sees(lambda: operator.card.outcome is not None and operator.card.outcome.status == "done")
    assert appliance.daemon.parts.registry.state()["doors"]["front door"] == "unlocked"
    assert appliance.kinds(asked.request_id) == ["parked", "decided", "settled"]
    assert last(appliance, "decided")["guards"]["confirmed"] is True


async def test_n_rejects_and_nothing_moves(appliance, operator):
    asked = await elsewhere(appliance, "unlock_door", {"door": "front door"})
    await operator.sees("Confirm this?")

    await operator.press("f4")
    await operator.may_press()
    await operator.press("n")

    await operator.sees(lambda: operator.card.outcome is not None and operator.card.outcome.status == "refused")
    assert appliance.daemon.parts.registry.state()["doors"]["front door"] == "locked"
    assert appliance.kinds(asked.request_id) == ["parked", "settled"]
    assert last(appliance)["code"] == "declined"


async def test_a_y_that_was_typed_for_the_say_box_confirms_nothing(appliance, open_console):
    now_s = [0.0]
    async with open_console(appliance.home.root, monotonic_s=lambda: now_s[0]) as operator:
        await operator.sees(lambda: operator.app.glance is not None)
        await elsewhere(appliance, "unlock_door", {"door": "front door"})
        await operator.sees("Confirm this?")

        await operator.press("y")  # the say box has the focus
        await operator.press("f4", "y")  # the card has come to the front in this very moment

        assert operator.app.query_one(SayBox).value == "y"
        assert appliance.daemon.parts.registry.state()["doors"]["front door"] == "locked"
        now_s[0] += 1
        await operator.press("y")
        await operator.sees(lambda: operator.card.outcome is not None and operator.card.outcome.status == "done")


async def test_a_question_is_answered_in_the_say_box_and_the_call_goes_on(appliance, operator):
    asked = await elsewhere(appliance, "set_light_level", {"room": "workshop"})
    assert asked.status == "asked"
    await operator.sees("One question")

    await operator.press("f4", "escape", "f3", "a")
    await operator.say("40 percent")

    await operator.sees(lambda: operator.card.outcome is not None and operator.card.outcome.status == "done")
    assert last(appliance, "decided")["calls"][0]["gen_ai.tool.call.arguments"] == {"room": "workshop", "level_pct": 40}


async def test_undo_takes_back_the_last_act(appliance, operator):
    await elsewhere(appliance, "set_light_level", {"room": "workshop", "level_pct": 80})
    await operator.sees("80 %")

    await operator.press("ctrl+z")

    await operator.sees(lambda: operator.card.outcome is not None and operator.card.outcome.status == "done")
    assert last(appliance, "decided")["asked_as"] == "undo"
    levels = [light["level_pct"] for light in appliance.daemon.parts.registry.state()["lights"].values()]
    assert set(levels) == {0}


@pytest.mark.parametrize("place", ["main", "help", "palette"])
async def test_the_emergency_stop_is_one_key_away_latched_and_released_only_after_a_question(
    appliance, operator, place
):
    await elsewhere(appliance, "set_light_level", {"room": "workshop", "level_pct": 80})
    if place == "help":
        await operator.press("f1")
    elif place == "palette":
        await operator.press("ctrl+p")

    await operator.press("f12")
    await operator.sees(lambda: operator.app.glance.locked)
    if place != "palette":
        await operator.sees("EMERGENCY STOP")
    stopped = appliance.daemon.parts.registry.state()["lights"].values()
    assert {light["level_pct"] for light in stopped} == {0}
    await operator.press("escape")

    await operator.press("ctrl+r")
    await operator.sees("Release the emergency stop?")
    await operator.press("enter")  # a slip of the finger keeps it stopped
    await operator.pilot.pause(0.1)
    assert operator.app.glance.locked

    await operator.press("ctrl+r", "y")
    await operator.sees(lambda: not operator.app.glance.locked)
    events = [json.loads(r.body)["facts"]["latched"] for r in appliance.records if r.kind == "emergency"]
    assert events == [True, False]


async def test_a_request_in_the_history_opens_into_everything_the_ledger_holds(appliance, operator):
    done = await elsewhere(appliance, "set_light_level", {"room": "workshop", "level_pct": 80})
    await operator.sees("set light level")

    await operator.press("f2", "home", "enter")

    await operator.sees(lambda: isinstance(operator.app.screen, DetailScreen))
    await operator.sees(f"Request {done.request_id}")
    await operator.sees("decided, before anything moved")
    await operator.sees("emergency-stop: pass")
    await operator.press("j")
    await operator.sees('"clock": ')
    await operator.press("escape")
    await operator.sees("History")


async def test_a_daemon_that_ends_is_announced_and_found_again_without_a_key(bench, open_console):
    bench.start()
    async with open_console(bench.home.root) as operator:
        await operator.sees("idle" if operator.app.glance else "Devices")
        await operator.sees(lambda: operator.app.glance is not None)
        boot = operator.app.glance.boot

        await asyncio.to_thread(bench.stop)
        await operator.sees("The daemon does not answer")
        await operator.sees("no answer")

        await asyncio.to_thread(bench.start)
        await operator.sees(lambda: operator.app.glance.boot == boot + 1 and not operator.app.lost)
        await operator.sees(lambda: "The daemon does not answer" not in operator.text())
        await operator.sees("the appliance ended")


async def test_words_said_to_nobody_stay_in_the_box(tmp_path, open_console):
    async with open_console(tmp_path) as operator:
        await operator.sees("The daemon does not answer")

        await operator.say("dim the lights")

        await operator.sees(lambda: operator.app.query_one(SayBox).value == "dim the lights")
        await operator.sees("Not answered")


async def test_an_emergency_stop_that_nobody_hears_is_shouted(tmp_path, open_console):
    async with open_console(tmp_path) as operator:
        await operator.sees("The daemon does not answer")

        await operator.press("f12")

        await operator.sees("THE EMERGENCY STOP WAS NOT HEARD")


async def test_without_a_home_the_console_opens_and_says_how_to_begin(tmp_path, open_console):
    async with open_console(tmp_path / "nowhere", size=(80, 24)) as operator:
        await operator.sees("appliance --home")
        await operator.sees("Nothing yet")
        assert operator.app.query_one(HistoryList).option_count == 1


async def test_f1_explains_the_keys_and_goes_away_again(operator):
    await operator.press("f1")
    await operator.sees(lambda: isinstance(operator.app.screen, HelpScreen))
    await operator.sees("emergency stop: every output safe")

    await operator.press("f1")

    await operator.sees("History")


async def test_an_example_goes_to_the_box_and_what_was_said_comes_back_with_up(appliance, operator):
    await operator.press("f3", "1")
    await operator.may_press()
    box = operator.app.query_one(SayBox)
    assert box.value == "dim the workshop lights to 30 percent"

    await operator.press("enter")
    await operator.sees(lambda: operator.card.outcome is not None)
    await operator.press("up")

    assert box.value == "dim the workshop lights to 30 percent"


async def test_the_row_of_a_stop_opens_its_record(appliance, operator):
    await operator.press("f12")
    await operator.sees("EMERGENCY STOP")
    await operator.sees(lambda: bool(last(appliance, "emergency")))
    history = operator.app.query_one(HistoryList)
    await operator.sees(lambda: history.option_count and "EMERGENCY" in str(history.get_option_at_index(0).prompt))

    await operator.press("f2", "home")
    await operator.sees(lambda: operator.app.focused is history and history.highlighted == 0)
    await operator.press("enter")

    await operator.sees(lambda: isinstance(operator.app.screen, DetailScreen))
    await operator.sees("reason     console")
    await operator.press("j")
    await operator.sees('"latched": true')


async def test_an_undo_says_that_something_was_taken_back(appliance, operator):
    await operator.say("dim the workshop lights to 30 percent")
    await operator.sees(lambda: operator.card.outcome is not None)

    await operator.press("ctrl+z")

    await operator.sees("Taken back")


async def test_f5_shows_the_checkpoint_that_the_device_signed_and_copies_it(appliance, operator):
    note = await asyncio.to_thread(appliance.daemon.checkpoint)
    await operator.sees(lambda: operator.app.glance.ledger.checkpoint is not None)

    await operator.press("f5")
    await operator.sees("Newest checkpoint")
    await operator.press("c")

    assert operator.app.clipboard == note
    assert note.splitlines()[2] in operator.text()


async def test_the_ledger_screen_lists_a_change_of_key(appliance, operator):
    done = await asyncio.to_thread(appliance.daemon.rotate_key, "yearly", compromised=False, peer="test")

    await operator.press("f5")

    await operator.sees("Keys of before")
    await operator.sees(done["key_id_before"])
