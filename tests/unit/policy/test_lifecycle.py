"""The device's state machine is its table, and nothing else."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.policy.lifecycle import EDGES, Lifecycle, State, mermaid

TRIGGERS = sorted({edge.trigger for edge in EDGES})
ARROWS = {(source, edge.trigger): edge.dest for edge in EDGES for source in edge.sources}


@pytest.mark.parametrize(("state", "trigger"), list(itertools.product(State, TRIGGERS)))
def test_every_pair_of_state_and_trigger_does_what_the_table_says(state, trigger):
    illegal = []
    machine = Lifecycle(lambda s, t: illegal.append((s, t)))
    machine.state = state

    taken = machine.fire(trigger)

    assert taken is ((state, trigger) in ARROWS)
    assert machine.state == ARROWS.get((state, trigger), state)
    assert illegal == ([] if taken else [(state, trigger)])


def test_there_is_no_way_round_the_table():
    machine = Lifecycle()

    assert not [name for name in dir(machine) if name.startswith(("to_", "may_", "is_"))]
    assert machine.fire("to_acting") is False


@given(st.lists(st.sampled_from(TRIGGERS), max_size=60))
def test_acting_is_reached_only_by_permit_and_locked_left_only_by_release_or_shut(triggers):
    machine = Lifecycle()
    for trigger in triggers:
        before = machine.state
        machine.fire(trigger)
        if machine.state is State.ACTING and before is not State.ACTING:
            assert trigger == "permit"
        if before is State.LOCKED and machine.state is not State.LOCKED:
            assert trigger in ("release", "shut")


def test_no_two_arrows_leave_a_state_by_the_same_trigger():
    pairs = [(source, edge.trigger) for edge in EDGES for source in edge.sources]

    assert len(pairs) == len(set(pairs))


def test_the_diagram_has_every_arrow():
    assert mermaid().count("-->") == len(ARROWS) + 1
