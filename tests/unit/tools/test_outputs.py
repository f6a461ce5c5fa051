"""The emergency stop, and the outputs under it."""

import threading
import time

import pytest

from appliance.contracts.toolcall import GroundedCall
from appliance.contracts.toolspec import Risk
from appliance.tools import declare, pins
from appliance.tools.declare import Did
from appliance.tools.outputs import SAFE_WITHIN_S, CallGivenUp, Outputs, OutputsLatched
from appliance.tools.registry import Registry


@pytest.fixture
def outputs():
    board = pins.open_board("simulated")
    found = Outputs({f"pin {n}": board.channel(n, dimmable=n % 2 == 0) for n in range(2, 28)})
    yield found
    found.close()
    board.close()


class BrokenPin:
    """A pin that cannot be driven after the first time."""

    def __init__(self):
        self.writes = 0

    def write(self, value):
        self.writes += 1
        if self.writes > 1:
            raise OSError("i2c expander gone")

    def read(self):
        return 1.0

    def close(self):
        pass


def test_the_stop_is_done_in_time_while_a_tool_hangs(outputs):
    hanging, free = threading.Event(), threading.Event()

    @declare.tool(risk=Risk.READ, family="test", timeout_s=60)
    def hang() -> Did:
        """Hang for ever, between two writes."""
        outputs.energise("pin 5", 1.0)
        outputs.energise("pin 6", 0.5)
        hanging.set()
        free.wait()
        outputs.energise("pin 7", 1.0)
        return Did("")

    registry = Registry([declare.of(hang)], outputs)
    results = []
    caller = threading.Thread(target=lambda: results.append(registry.perform(GroundedCall(tool="hang"))))
    caller.start()
    hanging.wait()
    assert outputs.read("pin 5") == 1.0

    began = time.perf_counter()
    made_safe = registry.safe("red button")
    took_s = time.perf_counter() - began

    print(f"26 mock pins safe in {took_s * 1000:.2f} ms while a tool hangs")
    assert took_s < SAFE_WITHIN_S
    assert made_safe.failed == ()
    assert set(outputs.state().values()) == {0.0}
    free.set()
    caller.join()
    assert results[0].status == "failed"
    assert "red button" in results[0].message
    assert set(outputs.state().values()) == {0.0}


def test_nothing_can_be_energised_until_the_stop_is_released(outputs):
    outputs.make_safe("red button")

    with pytest.raises(OutputsLatched, match="red button"):
        outputs.energise("pin 4", 1.0)
    outputs.settle("pin 4")  # safe is always permitted
    outputs.release()
    outputs.energise("pin 4", 1.0)

    assert outputs.read("pin 4") == 1.0


def test_a_write_that_the_stop_overtakes_takes_itself_back():
    class PinThatDawdles:
        """Between the tool's look at the latch and the pin, somebody presses the button."""

        value = 0.0

        def write(self, value):
            if value > 0:
                outputs.make_safe("red button")
            self.value = value

        def read(self):
            return self.value

        def close(self):
            pass

    outputs = Outputs({"pump": PinThatDawdles()})

    with pytest.raises(OutputsLatched, match="red button"):
        outputs.energise("pump", 1.0)

    assert outputs.read("pump") == 0.0


def test_writes_that_race_with_the_stop_end_safe(outputs):
    for _ in range(30):
        outputs.release()
        go = threading.Barrier(5)

        def write(name, go=go):
            go.wait()
            for _ in range(200):
                try:
                    outputs.energise(name, 1.0, for_s=60)
                except OutputsLatched:
                    return

        writers = [threading.Thread(target=write, args=(f"pin {n}",)) for n in (4, 5, 6, 7)]
        for writer in writers:
            writer.start()
        go.wait()
        outputs.make_safe("red button")
        for writer in writers:
            writer.join()

        assert set(outputs.state().values()) == {0.0}


def test_a_broken_pin_does_not_keep_the_others_energised():
    board = pins.open_board("simulated")
    outputs = Outputs({"broken": BrokenPin(), "good": board.channel(4)})
    outputs.energise("good", 1.0)

    made_safe = outputs.make_safe("red button")

    assert outputs.read("good") == 0.0
    assert made_safe.failed == ("broken: i2c expander gone",)


def test_an_output_with_a_time_goes_back_to_safe_by_itself(outputs):
    outputs.energise("pin 4", 1.0, for_s=0.05)
    assert outputs.left_s("pin 4") > 0

    deadline = time.monotonic() + 5
    while outputs.read("pin 4") and time.monotonic() < deadline:
        time.sleep(0.005)

    assert outputs.read("pin 4") == 0.0
    assert outputs.left_s("pin 4") is None


def test_a_longer_time_replaces_a_shorter_one(outputs):
    outputs.energise("pin 4", 1.0, for_s=0.03)
    outputs.energise("pin 4", 1.0, for_s=60)
    time.sleep(0.1)

    assert outputs.read("pin 4") == 1.0


def test_a_low_active_relay_is_safe_with_its_pin_high():
    board = pins.open_board("simulated")
    channel = board.channel(4, active_high=False)
    outputs = Outputs({"pump": channel})
    level = board.factory.pin(4)

    assert level.state == 1
    outputs.energise("pump", 1.0)
    assert level.state == 0
    outputs.make_safe("red button")
    assert level.state == 1


def test_a_call_that_was_given_up_moves_nothing_later(outputs):
    free, ended, caught = threading.Event(), threading.Event(), []

    @declare.tool(risk=Risk.READ, family="test", timeout_s=0.05)
    def dawdle() -> Did:
        """Be slow, then act."""
        free.wait()
        try:
            outputs.energise("pin 4", 1.0)
        except CallGivenUp as error:
            caught.append(error)
        ended.set()
        return Did("")

    registry = Registry([declare.of(dawdle)], outputs)
    first = registry.perform(GroundedCall(tool="dawdle"))
    second = registry.perform(GroundedCall(tool="dawdle"))
    free.set()
    ended.wait()

    assert (first.status, second.status) == ("indeterminate", "failed")
    assert "no answer within 0.05 s" in first.message
    assert "still hangs" in second.message
    assert outputs.read("pin 4") == 0.0
    assert len(caught) == 1
