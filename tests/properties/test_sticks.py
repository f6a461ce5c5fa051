"""Whatever lies on a stick is a message for the downlink to judge, never a fault."""

import json

from hypothesis import given
from hypothesis import strategies as st

from appliance.agent.stick_files import brought, issued
from appliance.contracts.stick import DOWN_NAME, UP_NAME
from appliance.transport.messages import Incoming

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
payloads = st.fixed_dictionaries(
    {"record": st.sampled_from(["command", "ack", "desired", "state", ""])},
    optional={
        "audience": st.sampled_from(["lamp", "all", "../x", "", "door"]) | json_values,
        "issuer": st.just("0" * 16) | json_values,
        "counter": st.integers() | json_values,
        "body": json_values,
        "version": st.integers() | json_values,
    },
)
wrappers = st.fixed_dictionaries(
    {"key": st.just("0" * 16), "payload": payloads, "signature": st.just("0" * 128)}
) | st.dictionaries(st.text(max_size=10), json_values, max_size=4)


@given(st.one_of(st.binary(max_size=600), wrappers.map(json.dumps).map(str.encode)))
def test_any_file_becomes_a_message_for_the_downlink(data):
    message, _ = brought(data, "farm", "lamp")

    assert isinstance(message, Incoming)
    assert message.payload == data
    assert not message.retained
    assert isinstance(issued(("x", data)), tuple)


@given(st.text(max_size=80))
def test_no_name_of_ours_leads_anywhere(name):
    for pattern in (DOWN_NAME, UP_NAME):
        if pattern.fullmatch(name):
            assert "/" not in name
            assert ".." not in name
            assert not name.startswith(".")
