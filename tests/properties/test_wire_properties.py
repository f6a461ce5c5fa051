"""Topics, counters and pauses, whatever the history."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.contracts.topics import EVERY_DEVICE, NAMED, Channel, Topic
from appliance.errors import MalformedTopic
from appliance.storage import counters, database
from appliance.transport.backoff import Backoff

NAMES = st.from_regex(r"\A[a-z0-9](?:[a-z0-9-]{0,20}[a-z0-9])?\Z").filter(lambda name: name != EVERY_DEVICE)


@given(site=NAMES, device=NAMES, channel=st.sampled_from(Channel), name=NAMES)
def test_a_topic_written_is_the_topic_read(site, device, channel, name):
    topic = Topic.make(site, device, channel, name if channel in NAMED else None)

    assert Topic.parse(str(topic)) == topic


@given(text=st.text(max_size=80))
def test_any_text_is_a_topic_or_a_clear_no(text):
    try:
        topic = Topic.parse(text)
    except MalformedTopic:
        return
    assert str(topic) == text


@settings(deadline=None, max_examples=60)
@given(offered=st.lists(st.integers(1, 3000), min_size=1, max_size=60))
def test_no_counter_is_ever_new_twice(tmp_path_factory, offered):
    db = database.open_database(tmp_path_factory.mktemp("c") / "a.db").db
    db.connection.execute("pragma synchronous = off")
    used, highest = set(), 0

    for counter in offered:
        verdict = counters.use(db, "issuer", counter)
        if counter <= highest - counters.WINDOW_N:
            assert verdict == "too_old"
        else:
            assert verdict == ("used" if counter in used else "new")
        if verdict == "new":
            used.add(counter)
            highest = max(highest, counter)
    db.close()


@given(
    seed=st.integers(),
    shortest_s=st.floats(0.0, 2.0),
    lasted=st.lists(st.booleans(), min_size=80, max_size=80),
)
def test_no_minute_sees_fifteen_attempts(seed, shortest_s, lasted):
    backoff = Backoff(shortest_s, 120.0, 30.0, random.Random(seed))
    now_s, attempts = 0.0, []

    for good in lasted:
        now_s += backoff.pause(now_s)
        attempts.append(now_s)
        if good:
            backoff.settled()

    for n, begin_s in enumerate(attempts):
        assert sum(1 for at_s in attempts[n:] if at_s < begin_s + 60.0 - 1e-6) < 15
