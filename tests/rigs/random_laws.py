"""Random laws: everything that the language has, in any combination, also such as no validator would let pass."""

from __future__ import annotations

from hypothesis import strategies as st

from appliance.contracts.toolspec import Parameter, Risk, ToolSpec
from appliance.policy.workflow.run import Who

TOOLS = (
    ToolSpec(name="read_gauge", risk=Risk.READ, family="sensors"),
    ToolSpec(name="start_pump", risk=Risk.LOW, family="pumps", parameters=(Parameter(name="minutes", kind="number"),)),
    ToolSpec(name="stop_pump", risk=Risk.LOW, family="pumps"),
    ToolSpec(name="open_valve", risk=Risk.HIGH, family="valves", tags=frozenset({"wet"})),
)
SPECS = {spec.name: spec for spec in TOOLS}
PEOPLE = tuple(
    Who(person=person, role=role)
    for person, role in (
        ("vera", "viewer"), ("otto", "operator"), ("anna", "approver"), ("ben", "approver"), ("dora", "admin"),
        ("far", "controller"), ("clock", "timer"),
    )
)  # fmt: skip
STATES = ("s0", "s1", "s2", "s3")
GUARDS = (
    "wet",
    "not wet",
    "level > 5",
    "level between 2 and 8",
    "wet or level < 3",
    "level is known",
    "wet is unknown",
)
PATTERNS = ("*", "*", "*", "read_gauge", "start_pump", "*_pump", "open_valve", "tag:wet", "risk:low", "family:pumps")

maybe_guard = st.one_of(st.just({}), st.just({}), st.builds(lambda guard: {"when": guard}, st.sampled_from(GUARDS)))
approval = st.fixed_dictionaries(
    {"within": st.sampled_from(["30s", "5min"])},
    optional={
        "people": st.integers(1, 3), "others": st.booleans(),
        "role": st.sampled_from(["operator", "approver", "admin"]),
    },
)  # fmt: skip
act = st.sampled_from([{"call": "stop_pump"}, {"call": "start_pump", "with": {"minutes": 5}}, {"call": "open_valve"}])


def arrow(targets):
    cause = st.one_of(
        st.fixed_dictionaries({"event": st.sampled_from(["e0", "e1"])}, optional={"approve": approval}),
        st.fixed_dictionaries(
            {"tool": st.sampled_from(["start_pump", "open_valve", "*"])},
            optional={"result": st.sampled_from(["done", "failed", "denied", "any"])},
        ),
        st.builds(lambda after: {"after": after}, st.sampled_from(["10s", "1min", "1h"])),
        st.builds(lambda at: {"at": at}, st.sampled_from(["12:01", "13:00", "06:00"])),
        st.builds(lambda guard: {"when": guard}, st.sampled_from(GUARDS)),
    )
    return st.builds(
        lambda cause, guard, to: {**guard, **cause, "to": to}, cause, maybe_guard, st.sampled_from(targets)
    )


def state(targets, *, swap=True):
    grant = st.builds(
        lambda tool, guard, more: {"tool": tool, **guard, **more},
        st.sampled_from(PATTERNS),
        maybe_guard,
        st.one_of(
            st.just({}),
            st.just({}),
            st.just({}),
            st.just({"confirm": True}),
            st.builds(lambda a: {"approve": a}, approval),
            st.just({"where": {"minutes": {"max": 5}}}),
        ),
    )
    target = st.sampled_from([name for name in targets if name != "return"])
    return st.fixed_dictionaries(
        {"go": st.lists(arrow(targets), max_size=4), "tools": st.lists(grant, min_size=1, max_size=3)},
        optional={
            "calls": st.one_of(
                st.integers(0, 3), st.builds(lambda n, to: {"max": n, "to": to}, st.integers(1, 3), target)
            ),
            "deadline": st.builds(
                lambda after, to: {"after": after, "to": to}, st.sampled_from(["20s", "2min"]), target
            ),
            "enter": st.lists(act, max_size=2),
            "exit": st.lists(act, max_size=1),
        },
    )


rule = st.one_of(
    st.builds(lambda guard: {"needs": guard}, st.sampled_from(GUARDS)),
    st.just({"quiet": {"from": "12:30", "to": "06:00"}}),
    st.builds(lambda n: {"limit": {"calls": n, "per": "2min"}}, st.integers(1, 3)),
    st.just({"exclusive": {"with": ["open_valve"], "within": "1min"}}),
    st.builds(
        lambda roles: {"roles": roles}, st.lists(st.sampled_from(["operator", "approver", "system"]), min_size=1)
    ),
    st.just({"confirm": {"below": 0.5}}),
)


@st.composite
def laws(draw):
    interrupts = draw(
        st.lists(
            st.fixed_dictionaries(
                {"when": st.sampled_from(GUARDS), "to": st.sampled_from(STATES)},
                optional={"event": st.just("alarm"), "unless_in": st.lists(st.sampled_from(STATES), max_size=2)},
            ),
            max_size=2,
        )
    )
    targets = [*STATES, *(["return"] if interrupts else [])]
    states = {name: draw(state(targets)) for name in STATES}
    law = {
        "workflow": "w", "version": 1, "initial": "s0", "safe": draw(st.sampled_from(STATES)),
        "measures": {
            "wet": {"sensor": "a", "type": "boolean", "stale_after": "30s"},
            "level": {"sensor": "b", "type": "number", "stale_after": "1min", "between": [0, 10]},
        },
        "events": {"e0": {}, "e1": {"from": ["approver", "controller"]}, "alarm": {"from": ["viewer", "operator"]}},
        "states": states,
        "interrupts": {f"i{n}": one for n, one in enumerate(interrupts)},
        "rules": {
            f"r{n}": {**one, "tools": [draw(st.sampled_from(PATTERNS))]}
            for n, one in enumerate(draw(st.lists(rule, max_size=2)))
        },
    }  # fmt: skip
    if draw(st.booleans()):
        inner = ["p0", "p1", "done", "blocked"]
        law["parts"] = {
            "p": {
                "initial": "p0", "outcomes": ["done", "blocked"],
                "states": {"p0": draw(state(inner)), "p1": draw(state(inner))},
            }
        }  # fmt: skip
        held = {key: value for key, value in states["s3"].items() if key in {"go", "deadline"}}
        states["s3"] = {**held, "part": "p", "outcomes": {"done": "s1", "blocked": draw(st.sampled_from(STATES))}}
    return law


BUSY = {
    "workflow": "w", "version": 1, "initial": "s0", "safe": "s0",
    "measures": {
        "wet": {"sensor": "a", "type": "boolean", "stale_after": "5min"},
        "level": {"sensor": "b", "type": "number", "stale_after": "5min", "between": [0, 10]},
    },
    "events": {
        "e0": {}, "e1": {"from": ["operator", "approver", "controller"]}, "alarm": {"from": ["viewer", "operator"]},
    },
    "states": {
        "s0": {
            "tools": ["start_pump", {"tool": "open_valve", "approve": {"people": 2, "within": "30s"}}],
            "calls": 2,
            "go": [
                {"event": "e0", "to": "s1"},
                {"event": "e1", "to": "s2", "approve": {"people": 2, "within": "30s", "others": True}},
            ],
        },
        "s1": {
            "tools": [
                {"tool": "start_pump", "when": "level > 2"}, "stop_pump", {"tool": "open_valve", "confirm": True},
            ],
            "enter": [{"call": "start_pump", "with": {"minutes": 5}}],
            "exit": [{"call": "stop_pump"}],
            "deadline": {"after": "1min", "to": "s0"},
            "go": [{"event": "e0", "to": "s0"}, {"tool": "open_valve", "to": "s3"}],
        },
        "s2": {
            "tools": ["*"], "calls": {"max": 3, "to": "s0"}, "enter": [{"call": "open_valve"}, {"call": "start_pump",
            "with": {"minutes": 5}}], "go": [{"event": "e0", "to": "s0"}, {"tool": "stop_pump", "to": "s1"}],
        },
        "s3": {
            "tools": ["stop_pump", "read_gauge"],
            "go": [{"event": "e0", "to": "return"}, {"after": "1h", "to": "s0"}],
        },
    },
    "interrupts": {"flood": {"when": "wet", "event": "alarm", "to": "s3"}},
    "rules": {
        "often": {"tools": ["start_pump"], "limit": {"calls": 3, "per": "2min"}},
        "apart": {"tools": ["stop_pump"], "exclusive": {"with": ["open_valve"], "within": "10s"}},
    },
}  # fmt: skip
"""A law with a little of everything, so that everything happens often."""
