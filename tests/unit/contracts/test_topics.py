"""Every topic of the protocol can be read and written; nothing else can."""

import pytest

from appliance.contracts.topics import Channel, Topic, controller_filters, device_filters, is_name
from appliance.errors import MalformedTopic


@pytest.mark.parametrize(
    "text",
    [
        "edge/v1/home/lamp/state",
        "edge/v1/home/lamp/desc",
        "edge/v1/home/lamp/reported",
        "edge/v1/home/lamp/desired",
        "edge/v1/home/lamp/checkpoint",
        "edge/v1/home/lamp/cmd/ask",
        "edge/v1/home/all/cmd/stop",
        "edge/v1/home/lamp/rsp/0123456789abcdef",
        "edge/v1/home/lamp/evt/turn",
        "edge/v1/home/lamp/audit",
        "edge/v1/home/lamp/ack",
    ],
)
def test_a_topic_of_the_protocol_is_read_and_written_back(text):
    assert str(Topic.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "edge/v1/home/lamp",
        "edge/v2/home/lamp/state",
        "edge/v1/home/lamp/state/more",
        "edge/v1/home/lamp/cmd",
        "edge/v1/home/lamp/cmd/",
        "edge/v1/home/lamp/cmd/ask/again",
        "edge/v1/home/Lamp/state",
        "edge/v1/home/+/state",
        "edge/v1/home/lamp/#",
        "edge/v1/home/-lamp/state",
        "edge/v1/home/lamp\n/state",
        "edge/v1//lamp/state",
        "edge/v1/home/all/state",
        "edge/v1/all/lamp/state",
        "edge/v1/home/lamp/unknown",
        "/edge/v1/home/lamp/state",
        "edge/v1/home/" + "a" * 300 + "/state",
    ],
)
def test_anything_else_is_refused(text):
    with pytest.raises(MalformedTopic):
        Topic.parse(text)


def test_no_device_may_be_called_all():
    with pytest.raises(MalformedTopic, match="all"):
        Topic.make("home", "all", Channel.EVT, "turn")


def test_a_name_has_at_most_64_characters():
    assert is_name("a" * 64)
    assert not is_name("a" * 65)


def test_what_a_device_subscribes_to_is_what_controllers_write():
    assert device_filters("home", "lamp") == (
        "edge/v1/home/lamp/cmd/+",
        "edge/v1/home/all/cmd/+",
        "edge/v1/home/lamp/ack",
        "edge/v1/home/lamp/desired",
    )


def test_a_controller_hears_only_answers_to_itself():
    assert "edge/v1/home/+/rsp/abc" in controller_filters("home", "abc")
    assert not any("cmd" in each for each in controller_filters("home", "abc"))
