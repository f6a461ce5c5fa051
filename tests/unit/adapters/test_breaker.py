"""When a second model is left alone, on a clock that is set by hand."""

from appliance.adapters.breaker import FAILURES_N, FIRST_REST_S, LONGEST_REST_S, Breaker


class Clock:
    now_s = 0.0

    def __call__(self):
        return self.now_s


def test_it_rests_after_failures_in_a_row_and_is_tried_again_once():
    clock = Clock()
    breaker = Breaker(clock)
    for _ in range(FAILURES_N - 1):
        breaker.failed()
    assert breaker.rests_s() == 0

    breaker.failed()
    assert breaker.rests_s() == FIRST_REST_S
    clock.now_s += FIRST_REST_S
    assert breaker.rests_s() == 0

    breaker.failed()
    assert breaker.rests_s() == 2 * FIRST_REST_S


def test_the_longest_rest_has_a_bound_and_one_answer_ends_it():
    clock = Clock()
    breaker = Breaker(clock)
    for _ in range(200):
        breaker.failed()
    assert breaker.rests_s() == LONGEST_REST_S

    breaker.succeeded()
    assert breaker.rests_s() == 0
    breaker.failed()
    assert breaker.rests_s() == 0


def test_an_answer_between_failures_begins_the_count_anew():
    breaker = Breaker(Clock())
    for _ in range(10):
        breaker.failed()
        breaker.failed()
        breaker.succeeded()

    assert breaker.rests_s() == 0
