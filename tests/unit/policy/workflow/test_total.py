"""Every pair of state and trigger has an answer: whatever happens in any state is a step, never an exception."""

import pytest

from appliance.policy.workflow import step, templates
from appliance.policy.workflow.load import parse
from appliance.policy.workflow.run import (
    Approved,
    Began,
    Context,
    Emergency,
    Ended,
    Level,
    Looked,
    Resumed,
    Said,
    Who,
)

ANNA = Who(person="anna", role="admin")
NOTHING = Context(0, {})


def everything(law):
    yield from (Said(event=event, who=ANNA) for event in (*law.events, "never_heard_of"))
    for tool in (*law.tools, "no_such_tool"):
        for result in ("done", "failed", "indeterminate", "denied"):
            yield Ended(call_id="c", tool=tool, result=result)
    yield from (Looked(), Resumed(), Emergency(), Approved(of="nothing", who=ANNA))
    yield from (Began(call_id="c", tool=tool, who=ANNA) for tool in law.tools)


@pytest.mark.parametrize("name", sorted(templates.titles()))
def test_whatever_happens_in_any_state_of_a_template_is_answered(name, tools, at):
    law = parse(templates.text(name).encode(), name, tools).compiled
    begun = step.start(law, "r", at(0)).run
    illegal_n = 0

    for state in law.states.values():
        here = tuple(Level(state=level, entered=at(0)) for level in state.levels)
        run = begun.model_copy(update={"levels": here, "owed": ()})
        for event in everything(law):
            stepped = step.apply(law, run, event, at(1), NOTHING)
            assert stepped.run.state in law.states
            assert stepped.record.before == state.name
            illegal_n += stepped.record.kind == "illegal"

    assert illegal_n >= len(law.states)  # an event of nobody, in every state


@pytest.mark.parametrize("name", sorted(templates.titles()))
def test_the_machine_has_no_arrow_that_the_file_has_not(name, tools):
    law = parse(templates.text(name).encode(), name, tools).compiled

    assert [trigger for trigger in law.machine.events if trigger.startswith("to_")] == []
    declared = {way.to for state in law.states.values() for way in (*state.ways, *state.urgent)} | {law.safe}
    drawn = {t.dest for event in law.machine.events.values() for ts in event.transitions.values() for t in ts}
    assert drawn <= declared | set(law.states)
    for event in law.machine.events.values():
        for source, ways in event.transitions.items():
            mine = law.states[source]
            assert {t.dest for t in ways} <= {w.to for w in (*mine.ways, *mine.urgent)} | {source, law.safe}
