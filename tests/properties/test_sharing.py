"""No word that anybody said leaves the device at a level below `words`, whatever was said and however."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.agent import sharing
from appliance.contracts.enrolment import BrokerSettings, Role
from appliance.contracts.envelope import Response
from appliance.fleet import enrolling
from appliance.fleet.home import make
from appliance.storage import outbox
from appliance.transport.broker import free_port

WORD = st.text("bdfghjklmnprtvwxyz", min_size=8, max_size=12)
"""Of letters that no word of ours is made of, and no hexadecimal number."""

SENTENCES = (
    "{}",
    "leave a note: {}",
    "set a timer called {} for twenty minutes",
    "cancel the timer {}",
    "dim the {} lights to 30 percent",
    "turn on the {}",
    "what did {} say about the divorce",
    "do not unlock the door for {}",
    "remind me of {} tomorrow at nine",
)


@pytest.fixture(scope="module")
def enrolled(tmp_path_factory):
    """A device that belongs to a controller, and reaches no broker: what would leave stays in its outbox."""
    from tests.conftest import Bench  # the fixture of that name serves one test; starting costs seconds

    folder = tmp_path_factory.mktemp("sharing")
    home = make(folder / "controller", site="site")
    home.use_broker(BrokerSettings(host="127.0.0.1", port=free_port(), first_connect_s=300.0))
    bench = Bench(folder / "lamp")
    enrolling.enrol_here(home, bench.home.root, device="lamp", role=Role.OPERATOR, replace=False, now=datetime.now(UTC))
    home.close()
    bench.start()
    try:
        yield bench
    finally:
        bench.stop()


def waiting(bench, stream, after):
    return outbox.waiting(bench.db, stream, after=after, limit=10_000)


def would_leave(share, marks, bench):
    """Everything that the device would send of what is newer than *marks*, as text."""
    said = []
    for stream, mark in marks.items():
        for row in waiting(bench, stream, mark):
            told = [sharing.named(share, stream, row), row.kind, sharing.leaving(share, stream, row)]
            said.append(json.dumps(told, ensure_ascii=False))
    return "\n".join(said)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    words=st.lists(WORD, min_size=4, max_size=4, unique=True),
    sentence=st.sampled_from(SENTENCES),
    tool=st.sampled_from(["add_note", "set_timer", "set_light", "no_such_tool"]),
    name=st.sampled_from(["text", "name", "room", "target", "anything"]),
)
def test_no_word_leaves_below_words(enrolled, words, sentence, tool, name):
    marks = {stream: outbox.mark(enrolled.db, stream).newest for stream in ("audit", "evt")}
    client = enrolled.client
    said, called, because, answered = words

    asked = client.say(sentence.format(said), yes=True)
    if asked.status == "asked":
        client.answer(asked.request_id, answered)
    client.call(tool, {name: called})
    client.stop(because)
    client.release()

    for share in ("counts", "decisions"):
        text = would_leave(share, marks, enrolled)
        assert text.count("\n") >= 3
        assert [word for word in words if word in text] == []
    assert said in would_leave("words", marks, enrolled)


JSON = st.recursive(
    WORD | st.integers() | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None)
@given(text=WORD, output=JSON, arguments=st.dictionaries(st.sampled_from("abc"), JSON, max_size=3), status=WORD)
def test_an_answer_holds_no_word_below_words(text, output, arguments, status):
    call = {"name": "add_note", "state": "done", "arguments": arguments, "output": output, "summary": text}
    answer = Response(
        device="lamp", correlation="0" * 32, life="executed", status=200, code="done", text=text, at=datetime.now(UTC),
        result={"status": "done", "calls": [call], "question": text, "choices": [status]},
    )  # fmt: skip
    words = [text, status, *_words(output), *_words(arguments)]

    for share in ("counts", "decisions"):
        said = sharing.answered(share, answer, lambda _tool, _arguments: {}).model_dump_json()
        assert [word for word in words if word in said] == []
    assert sharing.answered("words", answer, lambda _tool, _arguments: {}) == answer


def _words(value):
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [word for each in inner for word in _words(each)]


def test_a_device_of_nobody_keeps_nothing_for_anybody(appliance):
    appliance.client.say("leave a note: call the plumber", yes=True)

    assert outbox.waiting(appliance.db, "evt", limit=10) == []
    assert outbox.oldest_at(appliance.db) is None
