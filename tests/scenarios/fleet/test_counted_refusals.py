"""Junk at the broker: more of it than is recorded singly is a number in the ledger, whatever becomes of the process."""

import json

import pytest

from appliance.agent.refusals import MOST_PER_MINUTE, UNRECORDED
from appliance.transport.messages import Message

JUNK_N = 41


def counted(device):
    rows = device.db.rows("select body from audit where kind = 'refused_message'")
    found = [json.loads(row["body"])["facts"] for row in rows]
    return [facts["codes"] for facts in found if facts["code"] == UNRECORDED]


@pytest.mark.parametrize("end", ["the minute is over", "the process is killed"])
def test_every_refusal_is_in_the_ledger_by_itself_or_in_a_number(fleet, end):
    device = fleet.device()
    tap = fleet.tap("nothing")
    fleet.until(lambda: device.uplink.facts()["connected"])
    for n in range(JUNK_N):
        tap.say(Message("edge/v1/site/lamp/ack", b"junk %d" % n))
    fleet.until(lambda: len(device.refused) == MOST_PER_MINUTE)
    before = "select value from meta where key = 'refusals_counted'"
    fleet.until(lambda: json.loads((device.db.row(before) or {"value": "{}"})["value"]) == {"malformed": 11})

    if end == "the process is killed":
        device.crash()
        device.start()
    else:
        device.clock.skip(61.0)
    fleet.until(lambda: UNRECORDED in device.refused)

    assert counted(device) == [{"malformed": JUNK_N - MOST_PER_MINUTE}]
