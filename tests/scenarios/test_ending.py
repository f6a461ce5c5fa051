"""When the daemon ends: whoever is waiting for an answer gets one, before the pins are given back."""

import threading
import time

import pytest


@pytest.fixture
def asked():
    """Ask on a thread: `asked(client.status)` returns where the answer, or what was raised, will be."""

    threads = []

    def ask(question):
        said = []

        def run():
            try:
                said.append(question())
            except Exception as error:
                said.append(error)

        threads.append(threading.Thread(target=run))
        threads[-1].start()
        return said

    yield ask
    for thread in threads:
        thread.join(10)


def until(claim, within_s=5.0):
    end_s = time.monotonic() + within_s
    while not claim():
        assert time.monotonic() < end_s, "it did not come true in time"
        time.sleep(0.01)


def under_way():
    return any(thread.name == "local-request" for thread in threading.enumerate())


def test_a_status_under_way_is_answered_before_the_pins_are_closed(appliance, asked, caplog):
    with appliance.db.reading():  # the status has to wait for it, in the middle of its work
        said = asked(appliance.client.status)
        until(under_way)
        ending = threading.Thread(target=appliance.stop)
        ending.start()
        time.sleep(0.5)
    ending.join(20)

    until(lambda: said)
    assert isinstance(said[0], dict), said
    assert said[0]["devices"]
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == []


def test_somebody_whose_request_is_not_reached_any_more_is_told_so_and_the_next_start_settles_it(appliance, asked):
    appliance.daemon._worker.stop()  # the turns are over, the socket is still open
    said = asked(lambda: appliance.client.call("unlock_door", {"door": "front door"}, request_id="door"))
    until(under_way)

    began_s = time.monotonic()
    appliance.stop()

    until(lambda: said)
    assert time.monotonic() - began_s < 10  # and not the 30 seconds that the client was ready to wait
    assert said[0].status == "waiting"
    assert "the daemon is ending" in said[0].reason
    appliance.start()
    later = appliance.client.call("unlock_door", {"door": "front door"}, request_id="door")
    # Done where the clock can tell that it is still fresh; refused where nothing vouches for the clock.
    assert later.status == "waiting" or (later.status, later.code) == ("refused", "stale"), later
