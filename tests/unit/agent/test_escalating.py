"""Whether a second model is asked, on a clock that is set by hand: one at a time, never late, never lost."""

import threading
from datetime import UTC, datetime

import pytest

from appliance.adapters.breaker import FAILURES_N
from appliance.adapters.saying import Silent, Word
from appliance.agent.escalating import LATER, Escalating, nearest
from appliance.agent.plan import Plan
from appliance.agent.reading import wants_help
from appliance.contracts.request import Ask, Origin, OriginKind, Request, RequestId
from appliance.contracts.toolcall import Candidate, Mention, Proposal, Refusal, RefusalCode, Span, ToolCall
from appliance.contracts.toolspec import ToolSpec
from appliance.storage import inbox
from appliance.storage.database import open_database

TOOLS = tuple(ToolSpec.from_schema(name) for name in ("one", "two", "three"))
CALL = ToolCall(tool="one", mentions={"room": Mention(spans=(Span(3, 7),), option="hall")})


def plan(code=RefusalCode.NOTHING_TO_DO, text="it is gloomy", **more):
    said = {"proposal": Proposal(candidates=(Candidate("two", 0.9), Candidate("one", 0.2))), "by_model": True, **more}
    return Plan(text=text, refusal=None if code is None else Refusal(code=code, reason="No."), **said)


class Told:
    """A second model that says what the test tells it, when it tells it."""

    kind, name, where_sha256 = "server", "told", "0" * 64

    def __init__(self):
        self.now_s = 0.0
        self.go = threading.Event()
        self.said = Word((CALL,))
        self.asked = []
        self.woken = threading.Event()

    def ask(self, text, tools):
        self.asked.append((text, [tool.name for tool in tools]))
        assert self.go.wait(60)
        if isinstance(self.said, Silent):
            raise self.said
        return self.said


@pytest.fixture
def told():
    made = Told()
    yield made
    made.go.set()


@pytest.fixture
def second(told):
    return Escalating(told, time_limit_s=5.0, tools_n=1, monotonic_s=lambda: told.now_s, wake=told.woken.set)


def word(second, request_id, what=None, *, may=True):
    return second.word(request_id, what or plan(), TOOLS, lambda: may)


def answered(second, told, request_id):
    told.go.set()
    assert told.woken.wait(60)
    said = word(second, request_id)
    told.go.clear()
    told.woken.clear()
    return said


def test_a_request_is_set_aside_until_the_answer_is_there(second, told):
    assert (word(second, "a"), second.aside()) == (LATER, "a")
    assert word(second, "a") == LATER, "asked again too early"

    said = answered(second, told, "a")

    assert second.aside() == ""
    assert (said.came_back, said.calls[0].tool) == ("answered", "one")
    assert (said.calls[0].spans, said.calls[0].options) == ({"room": (Span(3, 7),)}, {"room": "hall"})
    assert told.asked == [("it is gloomy", ["two"])], "the likeliest tools only"


def test_an_answer_that_never_comes_is_waited_for_no_longer_than_allowed(second, told):
    word(second, "a")
    told.now_s = 6.0

    assert second.aside() == ""
    said = word(second, "a")

    assert (said.came_back, said.took_ms) == ("timeout", 6000)
    assert word(second, "b").came_back == "busy", "what was left behind is still out there"


def test_one_question_at_a_time(second, told):
    word(second, "a")

    assert word(second, "b").came_back == "busy"
    assert answered(second, told, "a").came_back == "answered"


def test_a_request_that_nobody_comes_back_for_blocks_nobody(second, told):
    word(second, "a")
    told.go.set()
    assert told.woken.wait(60)

    assert word(second, "b") == LATER


def test_it_rests_after_failures_and_a_yes_is_not_asked_for_meanwhile(second, told):
    told.said = Silent("unreachable", "gone")
    for n in range(FAILURES_N):
        assert word(second, str(n)) == LATER
        said = answered(second, told, str(n))
        assert (said.came_back, said.reason) == ("unreachable", "gone")

    assert word(second, "x").came_back == "resting"
    assert len(told.asked) == FAILURES_N
    told.now_s += 3600
    assert word(second, "y") == LATER


@pytest.mark.parametrize(
    "what",
    [
        plan(code=None),
        plan(by_model=False),
        plan(proposal=None),
        plan(text="don't make it gloomy"),
        plan(text="gloomy everywhere but not in the hall"),
        *(plan(code) for code in RefusalCode if code not in {RefusalCode.NOTHING_TO_DO, RefusalCode.UNSURE}),
    ],
)
def test_what_is_settled_is_not_asked(second, told, what):
    assert not wants_help(what)
    assert word(second, "a", what) is None
    assert (told.asked, second.aside()) == ([], "")


def test_what_may_not_be_asked_now_is_not(second, told):
    assert word(second, "a", may=False) is None
    assert told.asked == []


def test_all_tools_are_told_where_none_was_thought_likely():
    assert nearest(plan(proposal=Proposal()), TOOLS, 2) == TOOLS[:2]


def test_a_request_that_is_set_aside_is_passed_over_and_not_lost(tmp_path):
    db = open_database(tmp_path / "x.db").db
    for name in ("a", "b"):
        inbox.submit(
            db,
            Request(
                request_id=RequestId(name),
                received_at=datetime.now(UTC),
                origin=Origin(kind=OriginKind.OPERATOR, peer="test"),
                body=Ask(text="x"),
            ),
        )
    queue = inbox.Queue(db)

    assert queue.next("a").request_id == "b"
    inbox.done(db, RequestId("b"), {})
    assert queue.next("a") is None
    assert queue.next("a") is None
    assert queue.next().request_id == "a"
    db.close()
