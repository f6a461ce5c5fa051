"""The path of a tool call, end to end, on a running appliance."""

import json
import threading
import time

import pytest

from appliance.client import Appliance
from appliance.contracts.request import Ask, Call, Origin, OriginKind, Request
from appliance.contracts.toolcall import ToolCall
from appliance.errors import ApplianceError
from appliance.ledger.verify import verify
from appliance.storage import database, inbox


def test_an_allowed_call_is_decided_then_done_then_settled(appliance):
    said = appliance.client.call("turn_light_on", {"room": "kitchen"})

    assert said.status == "done"
    assert said.calls[0]["postcondition"] == "held"
    assert appliance.kinds(said.request_id) == ["decided", "settled"]
    assert appliance.client.status()["devices"]["lights"]["kitchen ceiling"]["level_pct"] == 100


def test_the_same_id_twice_acts_once_and_gets_the_same_answer(appliance):
    first = appliance.client.call("turn_light_on", {"room": "kitchen"}, request_id="mine")
    appliance.client.call("turn_light_off", {"room": "kitchen"})
    again = appliance.client.call("turn_light_on", {"room": "kitchen"}, request_id="mine")

    assert again == first
    assert appliance.client.status()["devices"]["lights"]["kitchen ceiling"]["level_pct"] == 0


def test_a_risky_call_waits_and_is_done_after_a_yes(appliance):
    waiting = appliance.client.call("unlock_door", {"door": "front door"})
    assert waiting.status == "waiting"
    assert appliance.client.status()["devices"]["doors"]["front door"] == "locked"

    said = appliance.client.confirm(waiting.request_id)

    assert (said.status, said.request_id) == ("done", waiting.request_id)
    assert appliance.client.status()["devices"]["doors"]["front door"] == "unlocked"
    assert appliance.kinds(waiting.request_id) == ["parked", "decided", "settled"]


def test_a_no_closes_the_request_and_a_later_yes_finds_nothing(appliance):
    waiting = appliance.client.call("unlock_door", {"door": "front door"})

    assert appliance.client.confirm(waiting.request_id, yes=False).code == "declined"
    assert appliance.client.confirm(waiting.request_id).code == "not_waiting"
    assert appliance.client.status()["devices"]["doors"]["front door"] == "locked"


def test_a_corrected_argument_is_checked_like_any_other(appliance):
    waiting = appliance.client.call("unlock_door", {"door": "front door"})
    said = appliance.client.confirm(waiting.request_id, edits={"door": "the moon"})
    assert said.status in ("refused", "asked")

    waiting = appliance.client.call("unlock_door", {"door": "front door"})
    said = appliance.client.confirm(waiting.request_id, edits={"door": "back door"})
    assert said.status == "done"
    assert appliance.client.status()["devices"]["doors"]["back door"] == "unlocked"


def test_a_request_that_waits_too_long_lapses(bench):
    bench.configure("[policy]\nconfirm_expires_s = 0.2\n")
    bench.start()
    waiting = bench.client.call("unlock_door", {"door": "front door"})

    until = time.monotonic() + 5
    while bench.client.status()["waiting"] and time.monotonic() < until:
        time.sleep(0.05)

    assert bench.client.confirm(waiting.request_id).code == "not_waiting"
    assert bench.kinds(waiting.request_id) == ["parked", "settled"]


def test_undo_takes_back_the_last_act_and_then_the_one_before(appliance):
    lights = lambda: appliance.client.status()["devices"]["lights"]["kitchen ceiling"]["level_pct"]  # noqa: E731
    appliance.client.call("set_light_level", {"room": "kitchen", "level_pct": 30})
    appliance.client.call("set_light_level", {"room": "kitchen", "level_pct": 80})

    assert appliance.client.undo().status == "done"
    assert lights() == 30
    assert appliance.client.undo().status == "done"
    assert lights() == 0
    assert appliance.client.undo().status == "refused"


def test_what_waits_and_what_can_be_undone_survive_a_restart(appliance):
    appliance.client.call("set_light_level", {"room": "kitchen", "level_pct": 30})
    waiting = appliance.client.call("unlock_door", {"door": "front door"})

    appliance.restart()

    assert [w["request_id"] for w in appliance.client.status()["waiting"]] == [waiting.request_id]
    assert appliance.client.confirm(waiting.request_id).status == "done"


@pytest.mark.parametrize(
    ("tool", "arguments", "code"),
    [
        ("no_such_tool", {}, "unknown_tool"),
        ("announce", {"text": "only timers may"}, "unknown_tool"),
        ("set_light_level", {"room": "kitchen", "level_pct": 400}, "out_of_range"),
        ("set_light_level", {"room": "kitchen", "level_pct": "many"}, None),
        ("set_light_level", {"room": "kitchen", "level_pct": 30, "colour_of_the_sky": 1}, "unknown_argument"),
    ],
)
def test_a_wrong_call_is_refused_and_recorded_and_nothing_moves(appliance, tool, arguments, code):
    before = appliance.client.status()["devices"]["lights"]

    said = appliance.client.call(tool, arguments)

    assert said.status == "refused"
    assert said.reason
    assert code is None or said.code == code
    assert appliance.kinds(said.request_id) == ["settled"]
    assert appliance.client.status()["devices"]["lights"] == before


def test_a_missing_value_is_asked_for_and_the_answer_carries_on(appliance):
    asked = appliance.client.call("set_light_level", {"room": "kitchen"})
    assert asked.status == "asked"
    assert asked.question

    said = appliance.client.answer(asked.request_id, "thirty percent")

    assert said.status == "done"
    assert appliance.client.status()["devices"]["lights"]["kitchen ceiling"]["level_pct"] == 30


def test_never_mind_ends_a_question(appliance):
    asked = appliance.client.call("set_light_level", {"room": "kitchen"})

    said = appliance.client.answer(asked.request_id, "never mind")

    assert said.status == "refused"
    assert appliance.client.status()["waiting"] == []


def test_the_emergency_stop_drives_outputs_safe_latches_and_survives_a_restart(appliance):
    appliance.client.call("set_light_level", {"room": "kitchen", "level_pct": 30})

    begun = time.perf_counter()
    appliance.client.stop("smoke")
    took_s = time.perf_counter() - begun

    status = appliance.client.status()
    assert status["locked"]
    assert status["state"] == "locked"
    assert status["devices"]["lights"]["kitchen ceiling"]["level_pct"] == 0
    assert appliance.client.call("turn_light_on", {"room": "kitchen"}).code == "emergency-stop"
    print(f"stop answered in {took_s * 1000:.1f} ms")

    appliance.restart()
    assert appliance.client.call("turn_light_on", {"room": "kitchen"}).code == "emergency-stop"
    appliance.client.release()
    assert appliance.client.call("turn_light_on", {"room": "kitchen"}).status == "done"


def test_the_emergency_stop_is_recorded_with_who_and_why(appliance):
    appliance.client.stop("smoke")
    appliance.client.release()

    stopped, released = [r for r in appliance.records if r.kind == "emergency"]
    assert json.loads(stopped.body)["facts"]["latched"] is True
    assert stopped.personal["reason"]["value"] == "smoke"
    assert json.loads(released.body)["facts"]["latched"] is False


def test_words_said_before_a_restart_are_not_acted_on_after_it_while_the_clock_is_untrusted(bench):
    bench.start()
    now = bench.daemon._clock.now()
    bench.stop()
    db = database.open_database(bench.home.database).db
    for name, kind in (("old", OriginKind.OPERATOR), ("timer", OriginKind.TIMER)):
        body = Call(call=ToolCall(tool="turn_light_on", literals={"room": "kitchen"}))
        inbox.submit(db, Request(request_id=name, received_at=now, origin=Origin(kind=kind, peer="t"), body=body))
    db.close()

    bench.start()
    until = time.monotonic() + 5
    while inbox.outcome(bench.db, "timer") is None and time.monotonic() < until:
        time.sleep(0.02)

    trusted = bench.client.status()["clock"] == "trusted"
    assert inbox.outcome(bench.db, "old")["status"] == ("done" if trusted else "refused")
    assert inbox.outcome(bench.db, "timer")["status"] == "done"


def test_an_expired_request_is_refused(appliance):
    now = appliance.daemon._clock.now()
    origin = Origin(kind=OriginKind.CONTROLLER, peer="t", expires_at=now.replace(year=2020))
    body = Call(call=ToolCall(tool="turn_light_on", literals={"room": "kitchen"}))
    inbox.submit(appliance.db, Request(request_id="late", received_at=now, origin=origin, body=body))

    until = time.monotonic() + 5
    while inbox.outcome(appliance.db, "late") is None and time.monotonic() < until:
        time.sleep(0.02)

    assert inbox.outcome(appliance.db, "late")["status"] == "refused"
    assert appliance.client.status()["devices"]["lights"]["kitchen ceiling"]["level_pct"] == 0


def test_without_a_bundle_words_are_refused_and_calls_still_work(bench):
    bench.configure('[model]\nbundle = "nowhere"\n')
    bench.start()

    status = bench.client.status()
    assert status["state"] == "degraded"
    assert any("nowhere" in reason for reason in status["degraded"])
    assert bench.client.say("turn on the kitchen light").code == "no_model"
    assert bench.client.call("turn_light_on", {"room": "kitchen"}).status == "done"
    assert bench.client.status()["state"] == "degraded"


def test_a_full_disk_refuses_acts_and_heals_without_a_restart(appliance):
    client = Appliance(appliance.home.root, wait_s=30)
    connection = appliance.db.connection
    connection.execute(f"pragma max_page_count = {connection.execute('pragma page_count').fetchone()[0]}")
    said = None
    for n in range(200):
        try:
            said = client.call("set_light_level", {"room": "kitchen", "level_pct": n % 100})
        except ApplianceError as error:
            assert "free some space" in str(error)
            break
        if said.status != "done":
            break
    assert said.status != "done" or n < 199
    assert appliance.client.status()["degraded"]
    with pytest.raises(ApplianceError, match="free some space"):
        for _ in range(20):
            client.call("turn_light_on", {"room": "hall"})

    connection.execute("pragma max_page_count = 1000000")
    until = time.monotonic() + 10
    while appliance.client.status()["degraded"] and time.monotonic() < until:
        time.sleep(0.05)

    assert appliance.client.call("turn_light_off", {"room": "kitchen"}).status == "done"
    assert verify(appliance.home.database).state == "consistent-unanchored"
    acted = [r.request_id for r in appliance.records if r.kind == "decided"]
    assert sorted(acted) == sorted(
        r.request_id for r in appliance.records if r.kind == "settled" and r.request_id in acted
    )


def test_a_damaged_database_is_set_aside_and_the_device_says_so(bench):
    bench.start()
    bench.client.call("turn_light_on", {"room": "kitchen"})
    bench.stop()
    bench.home.database.write_bytes(b"\x00" * 4096)

    bench.start()

    assert any("damaged" in reason for reason in bench.client.status()["degraded"])
    first = bench.records[0]
    assert first.kind == "epoch"
    assert json.loads(first.body)["facts"]["predecessor"]["size"] >= 3
    assert bench.client.call("turn_light_on", {"room": "kitchen"}).status == "done"


def test_many_clients_at_once_get_their_own_answers(appliance):
    answers = {}

    def ask(n):
        level = {"room": "kitchen", "level_pct": n}
        answers[n] = appliance.client.call("set_light_level", level).calls[0]["arguments"]["level_pct"]

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(1, 25)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert answers == {n: n for n in range(1, 25)}


@pytest.mark.parametrize("text", ["", "   ", "\x00\x01\x02", "\ufffd" * 50, "a" * 3999, "🔥" * 200])
def test_hostile_text_is_refused_and_the_device_goes_on(appliance, text):
    said = appliance.client.say(text)

    assert said.status in ("refused", "asked")
    assert appliance.client.call("turn_light_on", {"room": "kitchen"}).status == "done"


def test_the_words_that_were_said_are_not_in_what_leaves_the_device(appliance):
    said = appliance.client.say("remind me about the canaryword at noon")
    appliance.client.call("add_note", {"text": "canaryword two"})

    assert said.request_id
    for row in appliance.records:
        assert "canaryword" not in row.body


def test_a_fault_in_one_request_is_an_outcome_and_the_device_goes_on(appliance):
    now = appliance.daemon._clock.now()
    origin = Origin(kind=OriginKind.SYSTEM, peer="t")
    inbox.submit(
        appliance.db, Request(request_id="bad", received_at=now, origin=origin, body=Ask(text="turn on the light"))
    )

    assert appliance.client.call("turn_light_on", {"room": "kitchen"}).status == "done"


def test_a_stop_on_a_full_disk_is_recorded_when_the_disk_has_room_again(appliance):
    connection = appliance.db.connection
    connection.execute(f"pragma max_page_count = {connection.execute('pragma page_count').fetchone()[0]}")
    client = Appliance(appliance.home.root, wait_s=30)
    with pytest.raises(ApplianceError, match="free some space"):
        for n in range(200):
            client.call("no_such_tool", {"n": n})

    client.stop("smoke")
    assert appliance.client.status()["locked"]
    connection.execute("pragma max_page_count = 1000000")
    until = time.monotonic() + 10
    while appliance.client.status()["degraded"] and time.monotonic() < until:
        time.sleep(0.05)

    [stopped] = [r for r in appliance.records if r.kind == "emergency"]
    assert stopped.personal["reason"]["value"] == "smoke"


def test_a_fault_between_turns_is_told_and_does_not_end_the_device(appliance):
    def broken():
        raise OSError("gpio gone")

    tick, appliance.daemon._worker._tick = appliance.daemon._worker._tick, broken
    until = time.monotonic() + 5
    while not appliance.client.status()["degraded"] and time.monotonic() < until:
        time.sleep(0.05)
    assert any("gpio gone" in reason for reason in appliance.client.status()["degraded"])

    appliance.daemon._worker._tick = tick
    assert appliance.client.call("turn_light_on", {"room": "kitchen"}).status == "done"
    assert appliance.client.status()["degraded"] == []


def test_an_id_is_not_taken_for_two_things(appliance):
    appliance.client.call("turn_light_on", {"room": "kitchen"}, request_id="one")

    with pytest.raises(ApplianceError, match="used for something else"):
        appliance.client.call("turn_light_on", {"room": "hall"}, request_id="one")


@pytest.mark.parametrize(
    "text", ["do n\u043et turn on the desk lamp", "bitte nicht turn on the desk lamp", "turn on the desk lamp at 5 pm"]
)
def test_words_that_hide_a_not_or_name_a_time_do_not_act_even_when_confirmed_beforehand(appliance, text):
    before = appliance.client.status()["devices"]["lights"]

    assert appliance.client.say(text, yes=True).status == "refused"
    assert appliance.client.status()["devices"]["lights"] == before
