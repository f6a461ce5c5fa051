"""The workflows that ship: their scripts are played, together they go everywhere, and every step is tried."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.policy.workflow import explore, load, rehearsal, script, templates
from appliance.policy.workflow.complaint import Refused

FOLDER = Path(load.__file__).parent / "templates"
BOUNDED = {"oven": 120, "irrigation": 150}
"""Laws whose clocks run against one another have more different runs than a test should try."""

SCRIPTS = sorted(FOLDER.glob("*.script.yaml"))


def loaded(name, tools):
    found = load.load(FOLDER / f"{name}.yaml", tools)
    assert not isinstance(found, Refused), found.text()
    return found


def read(path):
    found = script.load(path)
    assert not isinstance(found, Refused), found.text()
    return found


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name.removesuffix(".script.yaml"))
def test_a_script_goes_as_it_says(path, tools):
    said = read(path)

    played = rehearsal.play(loaded(said.script.workflow.removesuffix(".yaml"), tools).compiled, said)

    assert [f"{path.name}:{unmet.line}: {unmet.what}" for unmet in played.unmet] == []


@pytest.mark.parametrize("name", sorted(templates.titles()))
def test_the_scripts_of_a_template_enter_every_state_and_take_every_arrow(name, tools):
    law = loaded(name, tools).compiled
    played = [rehearsal.play(law, said) for path in SCRIPTS if (said := read(path)).script.workflow == f"{name}.yaml"]

    coverage = rehearsal.covered(law, played)

    assert coverage.missed_states == ()
    assert [f"{way.source}: {way.says()} -> {way.to}" for way in coverage.missed_ways] == []


@pytest.mark.parametrize("name", sorted(templates.titles()))
def test_every_step_that_a_template_can_take_keeps_every_promise(name, tools):
    law = loaded(name, tools)

    found = explore.explore(law, BOUNDED.get(name, explore.MAX_RUNS_N))

    assert found.complete or name in BOUNDED
    assert found.broken == ()
    assert found.stuck == ()
    assert found.states == set(law.compiled.states)
    drawn = {(s.name, way.key) for s in law.compiled.states.values() for way in (*s.ways, *s.urgent)}
    # Using up every call lies deep; the scripts go there in any case.
    assert {key for _, key in drawn - found.ways} <= ({"states.watering.calls"} if name in BOUNDED else set())


def test_a_script_that_is_not_met_says_where(tools):
    text = "script: wrong\nsteps:\n  - {say: good_night, by: operator, state: day, step: illegal}\n"
    said = script.parse(text.encode(), "wrong.yaml")

    played = rehearsal.play(loaded("night", tools).compiled, said)

    assert [unmet.line for unmet in played.unmet] == [3, 3]
    assert "expected to be in day, is in night" in played.unmet[0].what
