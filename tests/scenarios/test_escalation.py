"""A second model over a running appliance: when it is asked, what leaves, and that its word is one more proposal."""

import hashlib
import json
import shutil
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from appliance import settings
from appliance.adapters import passing
from appliance.adapters.breaker import FAILURES_N
from appliance.adapters.needle import PINNED
from appliance.contracts.home import Home
from appliance.replay import run as replaying
from appliance.replay.again import Replayer
from appliance.replay.models import Models
from appliance.replay.recorded import Ledger
from appliance.settings import shipped_bundle
from appliance.storage.database import open_reader

GLOOMY = "it is far too gloomy in the kitchen, Zebediah"
"""The micro-model abstains from it."""

LIGHT = {"tool": "turn_light_on", "arguments": {"room": "kitchen"}}

LAW = """\
workflow: house
version: 1
initial: day
safe: day
governs: [turn_light_on, turn_light_off]
events:
  evening: {about: It gets late}
  morning: {}
states:
  day:
    escalation: true
    tools: [turn_light_on, turn_light_off]
    go: [{event: evening, to: night}]
  night:
    tools: [turn_light_on, turn_light_off]
    go: [{event: morning, to: day}]
"""


@pytest.fixture
def helped(bench, second):
    """A running appliance that may ask a second model, and that model."""
    server = second.open_server()
    server.answer = second.completion([LIGHT])
    bench.configure(server.settings(time_limit_s=60.0))
    return bench.start(), server


def escalated(bench, request_id):
    found = [json.loads(r.body)["facts"] for r in bench.records if r.request_id == request_id]
    return [facts["escalated"] for facts in found if "escalated" in facts]


def lamps(bench):
    return [r for r in bench.records if r.kind == "decided"]


def test_a_second_model_proposes_a_person_confirms_and_the_record_says_who_proposed(helped):
    bench, server = helped

    said = bench.client.say(GLOOMY)

    assert (said.status, said.code) == ("waiting", "confidence")
    assert said.reason.startswith("A second model reads it so.")
    assert said.calls[0]["name"] == "turn_light_on"
    assert said.calls[0]["arguments"] == {"room": "kitchen"}
    assert GLOOMY[slice(*said.calls[0]["spans"]["room"][0])] == "kitchen"
    assert bench.client.confirm(said.request_id).status == "done"
    (told,) = escalated(bench, said.request_id)
    assert (told["proposer"], told["model"], told["came_back"], told["why"]) == (
        "server", "small", "answered", "nothing_to_do",
    )  # fmt: skip
    assert server.endpoint not in json.dumps([json.loads(r.body) for r in bench.records]), "its address is a hash there"


def test_only_blanked_words_and_the_nearest_tools_leave(bench, second):
    server = second.open_server()
    bench.configure(server.settings(tools_n=3))
    bench.start()

    bench.client.say(GLOOMY)

    tools, request = server.words().removeprefix("Tools:\n").split("\n\n")
    assert request == 'Request: "it is far too gloomy in the kitchen, [1]"'
    assert "zebediah" not in json.dumps(server.asked).lower()
    assert len(tools.splitlines()) == 3


def test_a_yes_said_beforehand_is_not_a_yes_to_what_a_second_model_made_of_it(helped):
    bench, _ = helped

    assert bench.client.say(GLOOMY, yes=True).status == "waiting"
    assert lamps(bench) == []


def test_a_replay_takes_the_recorded_answer_and_asks_nobody(helped):
    bench, server = helped
    said = bench.client.say(GLOOMY)
    bench.client.confirm(said.request_id)
    asked_n = len(server.asked)
    bench.stop()
    server.close()

    with closing(open_reader(Home(bench.home.root).database)) as reader:
        ledger = Ledger(reader)
        seqs = ledger.decisions(request_id=said.request_id)
        results = list(
            replaying.compared(ledger, Replayer(ledger, Models([shipped_bundle()], runtime="auto", threads_n=1)), seqs)
        )

    assert [(r.verdict, r.cannot) for r in results] == [("equal", "")] * 2
    assert len(server.asked) == asked_n


@pytest.mark.parametrize(
    "text",
    [
        "it is gloomy in the kitchen but don't do anything about it",
        "never make the kitchen less gloomy",
        "it is gloomy everywhere except in the kitchen",
        "es ist viel zu dunkel in der Kueche, bitte mach das Licht an",
        "   ",
        "dim the kitchen lights to 300 percent",
        "dim the ballroom lights to 30 percent",
        "dim the kitchen lights to 30 percent",
    ],
)
def test_what_was_forbidden_understood_or_refused_by_a_check_is_not_asked(helped, text):
    bench, server = helped

    bench.client.say(text)

    assert server.asked == []


@pytest.mark.parametrize(
    ("calls", "code"),
    [
        ([{"tool": "turn_light_on", "arguments": {"room": "cellar"}}], "ungrounded"),
        ([{"tool": "launch_rocket", "arguments": {}}], "nothing_to_do"),
        ([{"tool": "turn_light_on", "arguments": {"room": "kitchen", "confirmed": "kitchen"}}], "nothing_to_do"),
        ([{"tool": "turn_light_on", "arguments": {"room": "gloomy"}}], "unknown_name"),
        ([{"tool": "turn_light_on", "arguments": {}}], "missing"),
        ([LIGHT, {"tool": "turn_light_off", "arguments": {"room": "cellar"}}], "ungrounded"),
        ([LIGHT, {"tool": "unlock_door", "arguments": {"door": "front door"}}], "nothing_to_do"),
        ([], "nothing_to_do"),
        ("I have switched on the light for you.", "nothing_to_do"),
    ],
)
def test_a_proposal_without_ground_never_acts(helped, second, calls, code):
    bench, server = helped
    server.answer = second.completion(calls)

    said = bench.client.say(GLOOMY, yes=True)

    assert said.status in {"refused", "asked"}
    assert said.code == code
    assert lamps(bench) == []


SECRET = "the_key_is_under_the_green_pot"


@pytest.mark.parametrize(
    "calls",
    [
        [{"tool": SECRET, "arguments": {"vault_code_47_11": "x"}}],
        [{"tool": "turn_light_on", "arguments": {"room": "kitchen", SECRET: "kitchen"}}],
        [{"tool": "turn_light_on", "arguments": {"room": SECRET}}],
        [LIGHT, {"tool": SECRET, "arguments": {}}],
        SECRET,
    ],
)
def test_no_word_that_a_server_thought_of_is_kept_or_shown(helped, second, calls, caplog, capfd):
    bench, server = helped
    server.answer = second.completion(calls)

    said = bench.client.say(GLOOMY)
    bench.stop()

    assert server.asked
    assert SECRET not in f"{said} {caplog.text} {capfd.readouterr()}"
    kept = [path for path in bench.home.root.rglob("*") if path.is_file()]
    assert bench.home.database in kept
    assert [path.name for path in kept if SECRET.encode() in path.read_bytes()] == []


def test_an_answer_to_a_question_that_came_of_it_is_still_confirmed(helped, second):
    bench, server = helped
    server.answer = second.completion([{"tool": "turn_light_on", "arguments": {}}])
    asked = bench.client.say(GLOOMY)

    answered = bench.client.answer(asked.request_id, "the kitchen")

    assert (asked.status, answered.status) == ("asked", "waiting")


@pytest.mark.parametrize("misbehaving", ["endless", "hanging_up", "short"])
def test_a_misbehaving_server_changes_nothing_but_the_reason(helped, second, misbehaving):
    bench, server = helped
    server.answer = getattr(second, misbehaving)

    said = bench.client.say(GLOOMY)

    assert (said.status, said.code) == ("refused", "nothing_to_do")
    (told,) = escalated(bench, said.request_id)
    assert told["came_back"] in {"malformed", "unreachable"}
    assert told["reason"]
    assert said.reason.endswith(f"The second model gave no answer: {told['reason']}.")


def test_what_keeps_it_from_being_asked_is_told_to_whoever_asked_and_recorded(bench, second):
    server = second.open_server()
    bench.configure(server.settings(key_file="server.key"))
    (bench.home.root / "server.key").write_text("s3cret")
    (bench.home.root / "server.key").chmod(0o644)
    bench.start()

    said = bench.client.say(GLOOMY)

    (told,) = escalated(bench, said.request_id)
    assert told["reason"] == "others may read `key_file` (0644): `chmod 0600` it"
    assert told["reason"] in said.reason
    assert str(bench.home.root) not in json.dumps(told)
    assert server.asked == []


def test_needle_weights_are_not_asked_before_they_have_passed_the_safety_suite_here(bench):
    pytest.importorskip("needle_rs", reason="needle-rs is not installed: pip install 'edge-agent-appliance[needle]'")
    weights = Path(__file__).parents[1] / "unit" / "adapters" / "needle3_random.cact"
    sha256 = hashlib.sha256(weights.read_bytes()).hexdigest()
    section = f'[escalation]\nproposer = "needle"\nweights = "n.cact"\nweights_sha256 = "{sha256}"\n'
    bench.configure(section)
    shutil.copy(weights, bench.home.root / "n.cact")
    bench.start()
    chosen = settings.load(bench.home.root).escalation

    before = bench.client.say(GLOOMY)
    passing.note(bench.home.root, passing.of(chosen, PINNED))
    after = bench.client.say(GLOOMY)

    assert escalated(bench, before.request_id)[0]["came_back"] == "untried"
    assert "escalation check --all" in before.reason
    assert escalated(bench, after.request_id)[0]["came_back"] == "malformed", "asked, and it wrote noise"


def test_others_are_served_while_one_request_waits_for_a_second_model(helped, second):
    bench, server = helped
    hold = threading.Event()

    def late(handler):
        hold.wait(60)
        second.reply(handler, second.completion([LIGHT]))

    server.answer = late
    waiting = []
    thread = threading.Thread(target=lambda: waiting.append(bench.client.say(GLOOMY)))
    thread.start()
    while not server.asked:
        time.sleep(0.01)

    assert bench.client.say("turn on the hall lights").status == "done"
    other = bench.client.say("the office is rather gloomy as well")
    hold.set()
    thread.join(60)

    assert escalated(bench, other.request_id)[0]["came_back"] == "busy"
    assert waiting[0].status == "waiting"


def test_after_failures_in_a_row_it_is_left_alone(helped):
    bench, server = helped
    server.close()

    said = [bench.client.say(GLOOMY) for _ in range(FAILURES_N + 1)]

    told = [escalated(bench, one.request_id)[0]["came_back"] for one in said]
    assert told == ["unreachable"] * FAILURES_N + ["resting"]
    assert "failed too often" in said[-1].reason


def test_nothing_is_asked_while_the_device_is_stopped_or_under_maintenance(helped):
    bench, server = helped
    bench.client.stop("test")
    bench.client.say(GLOOMY)
    bench.client.release()
    bench.client.maintenance(on=True, why="new bulbs")
    bench.client.say(GLOOMY)
    bench.client.maintenance(on=False)
    assert server.asked == []

    bench.client.say(GLOOMY)
    assert len(server.asked) == 1


def test_a_law_says_in_which_states_a_second_model_may_be_asked(bench, second):
    server = second.open_server()
    server.answer = second.completion([LIGHT])
    bench.configure(server.settings())
    (bench.home.root / "laws").mkdir()
    (bench.home.root / "laws" / "house.yaml").write_text(LAW)
    bench.start()

    assert bench.client.say(GLOOMY).status == "waiting"
    bench.client.event("evening")
    at_night = bench.client.say(GLOOMY)

    assert (at_night.status, at_night.code, len(server.asked)) == ("refused", "nothing_to_do", 1)


def test_a_power_cut_while_it_is_asked_leaves_the_request_unbegun(helped, second):
    bench, server = helped
    server.answer = lambda _handler: server.ended.wait(60)
    thread = threading.Thread(target=lambda: _ignored(bench))
    thread.start()
    while not server.asked:
        time.sleep(0.01)

    bench.restart()
    thread.join(60)

    assert lamps(bench) == []
    assert bench.client.say("turn on the hall lights").status == "done"


def _ignored(bench):
    try:
        bench.client.say(GLOOMY)
    except Exception:
        return


def test_switched_off_it_opens_no_connection_and_is_in_no_record(appliance, second):
    server = second.open_server()

    said = appliance.client.say(GLOOMY)

    assert (said.status, said.code, server.asked) == ("refused", "nothing_to_do", [])
    assert escalated(appliance, said.request_id) == []
    assert "escalation" not in next(json.loads(r.body) for r in appliance.records if r.kind == "configured")["facts"]
