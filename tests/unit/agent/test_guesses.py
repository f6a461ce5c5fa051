"""Wrong PINs are counted by number and by seconds since the start, and by nothing that can be set."""

from appliance.agent import guesses
from appliance.agent.guesses import FIRST_WAIT_S, FORGOTTEN_AFTER_S, FREE_N, LONGEST_WAIT_S, Guesses


class Seconds:
    """A monotonic clock that is set by hand."""

    def __init__(self):
        self.now_s = 1000.0

    def monotonic_s(self):
        return self.now_s


def failed(counted, who, times):
    for _ in range(times):
        counted.failed(who)


def test_a_few_wrong_pins_are_free_then_each_doubles_the_wait_up_to_a_bound():
    waits = [guesses.wait_after_s(n) for n in range(FREE_N + 20)]

    assert waits[:FREE_N] == [0.0] * FREE_N
    assert waits[FREE_N : FREE_N + 3] == [FIRST_WAIT_S, 2 * FIRST_WAIT_S, 4 * FIRST_WAIT_S]
    assert waits == sorted(waits)
    assert waits[-1] == LONGEST_WAIT_S
    assert guesses.wait_after_s(10**9) == LONGEST_WAIT_S


def test_the_wait_passes_with_the_seconds_since_the_last_wrong_pin():
    clock = Seconds()
    counted = Guesses({}, clock)
    failed(counted, "ana", FREE_N)

    clock.now_s += FIRST_WAIT_S - 1
    assert counted.wait_s("ana") == 1.0
    clock.now_s += 1
    assert counted.wait_s("ana") == 0.0
    assert counted.failed("ana") == FREE_N + 1
    assert counted.wait_s("ana") == 2 * FIRST_WAIT_S


def test_what_was_counted_before_a_restart_is_waited_for_from_the_start():
    clock = Seconds()
    counted = Guesses({"ana": FREE_N + 2}, clock)

    assert counted.wait_s("ana") == 4 * FIRST_WAIT_S
    assert counted.wait_s("bo") == 0.0


def test_seconds_that_go_back_shorten_no_wait():
    clock = Seconds()
    counted = Guesses({}, clock)
    failed(counted, "ana", FREE_N)
    clock.now_s -= 900

    assert counted.wait_s("ana") == FIRST_WAIT_S


def test_a_day_without_a_wrong_pin_forgets_them_and_less_does_not():
    clock = Seconds()
    counted = Guesses({}, clock)
    failed(counted, "ana", FREE_N - 1)

    clock.now_s += FORGOTTEN_AFTER_S - 1
    assert counted.failures_n("ana") == FREE_N - 1
    clock.now_s += 1
    assert counted.failed("ana") == 1


def test_the_right_pin_begins_anew_and_only_for_its_person():
    counted = Guesses({"ana": FREE_N, "bo": FREE_N}, Seconds())

    counted.forget("ana")

    assert counted.wait_s("ana") == 0.0
    assert counted.wait_s("bo") == FIRST_WAIT_S


def test_names_that_nobody_has_share_a_few_counts_that_no_person_has():
    counts = {guesses.stranger(f"nobody{n}") for n in range(1000)} | {guesses.stranger("\ud800")}

    assert len(counts) == guesses.STRANGERS_N
    assert all(who.startswith("?") for who in counts)
