"""A law drawn in characters: every arrow can be followed with a finger, and what is lit is where the run is."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import WireError
from appliance.tui import lawmap
from appliance.tui.glyphs import PLAIN, RICH
from appliance.tui.lawglance import LawDrawing, Passed, Run, State, Way
from appliance.tui.lawmap import ANYWHERE, DOWN, LEFT, MAX_BOXES_N, MAX_LANES_N, RIGHT, UP
from appliance.tui.widgets.law_text import clock
from appliance.tui.widgets.map_text import map_lines

DRAWINGS = json.loads((Path(__file__).parent / "law_drawings.json").read_text())


@pytest.fixture
def gate():
    return LawDrawing.parse(DRAWINGS["gate"])


@pytest.fixture
def oven():
    return LawDrawing.parse(DRAWINGS["oven"])


def followed(lines, at):
    """Follow the arrow of line *at* with a finger; return the box where it ends."""
    x = 0
    while lines[at].cells[x].ends & RIGHT:
        x += 1
    assert lines[at].cells[x].ends & LEFT
    target = lines[at].target
    heads = {line.box: n for n, line in enumerate(lines) if line.kind == "head"}
    step, leaving, entering = (1, DOWN, UP) if heads[target] > at else (-1, UP, DOWN)
    while at != heads[target]:
        assert lines[at].cells[x].ends & leaving, (at, x)
        at += step
        assert lines[at].cells[x].ends & entering, (at, x)
    while x:
        assert lines[at].cells[x].ends & LEFT
        x -= 1
    assert lines[at].cells[0].is_tip
    return lines[at].box


STATES = [f"s{n}" for n in range(9)]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(STATES), st.sampled_from([*STATES, "return"]), st.sampled_from(["event", "deadline"])
        ),
        max_size=40,
    )
)
def test_every_arrow_of_any_law_can_be_followed_to_its_target(arrows):
    law = LawDrawing(
        initial="s0",
        safe="s1",
        states=tuple(State(name=name) for name in STATES),
        ways=tuple(Way(source=s, to=t, says=f"w{n}", cause=c, key=f"k{n}") for n, (s, t, c) in enumerate(arrows)),
    )

    lines = lawmap.draw(law, Run(state="s0"))

    assert sorted(line.text for line in lines if line.kind == "way") == sorted(way.says for way in law.ways)
    for n, line in enumerate(lines):
        if line.kind == "way" and line.target not in (line.box, "return"):
            assert followed(lines, n) == line.target
    widths = {len(painted) for painted in map_lines(lines, PLAIN, 70, is_plain=True)}
    assert len(widths) == 1


def test_the_state_of_the_run_is_lit_and_what_it_interrupted_is_set_aside(oven):
    lines = lawmap.draw(oven, Run(state="looking", stack=("holding",)))

    heads = {line.box: line.standing for line in lines if line.kind == "head" and line.standing}
    assert heads == {"looking": "here", "holding": "set aside"}


def test_the_last_path_is_numbered_in_the_order_in_which_it_was_gone(gate):
    path = (
        Passed(after="closed"),
        Passed(before="closed", after="opening", cause="say ask_to_open"),
        Passed(before="opening", after="closing", cause="open_gate failed"),
    )

    lines = lawmap.draw(gate, Run(state="closing", path=path))

    numbered = {line.order: (line.box, line.text) for line in lines if line.order}
    assert numbered == {1: ("closed", "say ask_to_open (2 approvers)"), 2: ("opening", "open_gate failed")}
    lit = {cell.target for line in lines for cell in line.cells if cell.is_taken}
    assert lit == {"opening", "closing"}


def test_an_interrupt_is_drawn_once_and_not_out_of_every_state(oven):
    lines = lawmap.draw(oven, None)

    assert [line.text for line in lines if line.kind == "way" and line.box == ANYWHERE] == ["too_hot", "look_inside"]
    assert "anywhere in heating" in {line.box for line in lines}


def test_a_law_of_a_thousand_states_shows_where_it_is_and_what_is_next_to_it():
    names = [f"s{n}" for n in range(1000)]
    law = LawDrawing(
        states=tuple(State(name=name) for name in names),
        ways=tuple(
            Way(source=name, to=names[(n + m) % 1000], says="go", key=f"{n}.{m}")
            for n, name in enumerate(names)
            for m in (1, 7)
        ),
    )

    lines = lawmap.draw(law, Run(state="s500"))

    boxes = [line.box for line in lines if line.kind == "head"]
    assert {"s493", "s499", "s500", "s501", "s507"} == set(boxes)
    assert len(boxes) <= MAX_BOXES_N


def test_more_lanes_than_fit_leave_the_names_of_the_targets():
    names = [f"s{n}" for n in range(MAX_LANES_N + 8)]
    pairs = [(one, two) for one in names for two in names if one != two]
    law = LawDrawing(
        states=tuple(State(name=name) for name in names),
        ways=tuple(Way(source=one, to=two, says="go", key=f"{n}") for n, (one, two) in enumerate(pairs)),
    )

    lines = lawmap.draw(law, None)

    assert not any(line.cells for line in lines)
    painted = [line.plain for line in map_lines(lines, RICH, 60, is_plain=False)]
    assert sum("→" in line for line in painted) == len(pairs)


def test_a_description_of_a_newer_daemon_is_drawn_and_a_broken_one_is_refused():
    assert LawDrawing.parse({**DRAWINGS["gate"], "colour": "red"}).workflow == "gate"

    with pytest.raises(WireError, match="states"):
        LawDrawing.parse({"states": 3})


@pytest.mark.parametrize(("left_s", "said"), [(-3, "0:00"), (65, "1:05"), (7200, "2:00:00"), (90000, "1 d 1 h")])
def test_what_is_left_is_said_as_a_clock_does(left_s, said):
    assert clock(left_s) == said
