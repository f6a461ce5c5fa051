"""Sources that answer, hang, raise and change, read by threads while somebody asks for the newest."""

import threading

import pytest

from appliance.tools.sampler import Measured, Sampler, Source

QUICK, OTHER, HUNG = Source("sensor", "quick"), Source("device", "other"), Source("sensor", "hung")
NEVER_S = 3600.0
"""Between two readings of its own accord: what is read in a test, the test has asked for."""


class World:
    """What the sources show, changed by hand."""

    def __init__(self, clock):
        self.clock = clock
        self.values = {QUICK: 1.0, OTHER: True}
        self.read_n = dict.fromkeys((QUICK, OTHER, HUNG), 0)
        self.hangs = threading.Event()
        self.released = threading.Event()
        self.sampler = Sampler(self.read, clock)

    def read(self, source):
        self.read_n[source] += 1
        if source == HUNG:
            self.hangs.set()
            self.released.wait()
        value = self.values[source]
        if isinstance(value, Exception):
            raise value
        return value

    def fresh(self, *sources):
        """Ask until it is answered: a loaded machine may need longer than one wait."""
        while not self.sampler.fresh(sources):
            pass


@pytest.fixture
def world(bench):
    made = World(bench.clock)
    yield made
    made.released.set()
    made.sampler.stop()


def test_nothing_is_read_before_it_is_watched(world):
    assert world.sampler.newest(QUICK) is None
    assert world.sampler.fresh()
    assert world.read_n[QUICK] == 0


def test_a_source_that_hangs_grows_old_and_holds_up_no_other(world, bench):
    world.values[HUNG] = 5.0
    world.sampler.watch("laws", {QUICK: NEVER_S, HUNG: NEVER_S})
    world.hangs.wait()
    bench.clock.passes(seconds=1)  # so long it has not answered: it is not waited for

    world.values[QUICK] = 2.0
    world.fresh(QUICK)
    world.fresh(QUICK, HUNG)

    assert world.sampler.newest(QUICK).value == 2.0
    assert world.sampler.newest(HUNG) is None
    began = world.sampler.newest(QUICK).at

    # When it answers at last, the value has the moment at which its reading began.
    world.released.set()
    while world.sampler.newest(HUNG) is None:
        pass
    assert world.sampler.newest(HUNG).at.monotonic_s < began.monotonic_s


def test_a_reading_that_began_before_somebody_asked_is_not_fresh(world):
    readings = iter([(threading.Event(), "closed"), (threading.Event(), "open")])
    began = threading.Event()
    going = []

    def read(source):
        go_on, found = next(readings)
        going.append(go_on)
        began.set()
        go_on.wait()
        return found

    sampler = Sampler(read, world.clock)
    sampler.watch("laws", {QUICK: NEVER_S})
    began.wait()

    def let_go_while_somebody_waits():
        while not sampler._awaited:
            pass
        going[0].set()

    threading.Thread(target=let_go_while_somebody_waits).start()
    assert sampler.fresh() is False  # the first has answered, and it does not count

    while len(going) < 2:
        pass
    going[1].set()
    while sampler.newest(QUICK) is None or sampler.newest(QUICK).value != "open":
        pass
    sampler.stop()


def test_a_source_that_raises_has_no_value_and_is_read_again(world):
    world.values[QUICK] = OSError("torn off")
    world.sampler.watch("laws", {QUICK: NEVER_S})
    world.fresh(QUICK)
    lost = world.sampler.newest(QUICK)

    world.values[QUICK] = 7.0
    world.fresh(QUICK)

    assert lost.value == Measured(None, "it cannot be read: OSError: torn off")
    assert lost.at.boot == 1
    assert world.sampler.newest(QUICK).value == 7.0


def test_the_version_grows_with_every_change_and_with_nothing_else(world):
    world.sampler.watch("laws", {QUICK: NEVER_S})
    world.fresh(QUICK)
    first = world.sampler.version
    world.fresh(QUICK)
    same = world.sampler.version

    world.values[QUICK] = None
    world.fresh(QUICK)
    gone = world.sampler.version
    world.values[QUICK] = 3.0
    world.fresh(QUICK)

    assert first == same < gone < world.sampler.version


def test_what_one_watches_no_more_another_still_does(world):
    world.sampler.watch("laws", {QUICK: NEVER_S, OTHER: NEVER_S})
    world.sampler.watch("thermostat", {QUICK: NEVER_S})
    world.fresh(QUICK, OTHER)

    world.sampler.watch("laws", {})

    assert world.sampler.newest(OTHER) is None
    assert world.sampler.newest(QUICK).value == 1.0
    world.sampler.watch("laws", {OTHER: NEVER_S})
    world.fresh(OTHER)
    assert world.sampler.newest(OTHER).value is True


def test_the_shortest_pause_that_anybody_wants_counts(world):
    world.sampler.watch("laws", {QUICK: NEVER_S})
    world.sampler.watch("thermostat", {QUICK: 0.001})
    world.fresh(QUICK)  # the pause that began before is over

    read_n = world.read_n[QUICK]
    while world.read_n[QUICK] < read_n + 3:  # by itself, or this test never ends
        pass


def test_after_the_stop_nothing_is_read_and_a_hung_reading_is_left_behind(world):
    world.values[HUNG] = 5.0
    world.sampler.watch("laws", {QUICK: NEVER_S, HUNG: NEVER_S})
    world.hangs.wait()
    world.fresh(QUICK)

    world.sampler.stop(timeout_s=0.01)
    read_n = dict(world.read_n)
    world.sampler.watch("laws", {OTHER: NEVER_S})
    world.sampler.fresh()

    assert world.read_n == read_n
    assert world.sampler.newest(QUICK).value == 1.0
