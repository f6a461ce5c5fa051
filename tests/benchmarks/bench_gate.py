"""How fast the gate judges, and how fast a large law is taken: `python tests/benchmarks/bench_gate.py`.

A device that takes a law parses and checks it, always both, so both are measured, one by one and together: medians of
five, in processor time and in wall time. Processor time too grows on a busy machine, by half and more, so its load is
printed. Targets: 0.2 ms for a judgement (median), one second of processor time for parsing and checking a law of 1,000
states and 10,000 arrows.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from datetime import UTC, datetime

from appliance.contracts.audit import Moment
from appliance.contracts.request import Origin, OriginKind
from appliance.contracts.toolcall import GroundedCall
from appliance.policy.workflow import check as checking
from appliance.policy.workflow import load, step, templates
from appliance.policy.workflow.judge import judge
from appliance.policy.workflow.load import Loaded
from appliance.policy.workflow.run import Context, Looked, Reading, Said, Who
from appliance.policy.workflow.world import World
from appliance.tools import catalogue
from appliance.tools.site import Site

CALLS_N = 3000
TAKEN_N = 5
NOW = Moment(at=datetime(2026, 11, 23, 12, 0, tzinfo=UTC), monotonic_s=1000.0, boot=1, clock="trusted")


def large_law(states_n: int = 1000, arrows_n: int = 10) -> bytes:
    """A law of many states, each with many guarded arrows."""
    lines = ["workflow: large", "version: 1", "initial: s0", "safe: s0"]
    lines += ["measures:", "  temp: {sensor: t, type: number, stale_after: 5s}", "events:"]
    lines += [f"  e{n}: {{}}" for n in range(arrows_n)]
    lines.append("states:")
    for n in range(states_n):
        lines += [f"  s{n}:", "    tools: [lock_door, 'risk:read']", "    deadline: {after: 1h, to: s0}", "    go:"]
        lines += [
            f"      - {{event: e{m}, to: s{(n * 7 + m + 1) % states_n}, when: temp > {m}}}" for m in range(arrows_n)
        ]
    return "\n".join(lines).encode()


def loaded(raw: bytes, name: str, tools) -> Loaded:
    found = load.parse(raw, name, tools)
    assert isinstance(found, Loaded), found.text()
    return found


def taken(raw: bytes, tools, world: World) -> tuple[Loaded, dict[str, dict[str, float]]]:
    """Parse and check *raw* as acceptance does, each time anew."""
    spent: dict[str, list[tuple[float, float]]] = {"parse": [], "check": [], "parse and check": []}
    for _ in range(TAKEN_N):
        begun = _clocks()
        large = loaded(raw, "large.yaml", tools)
        parsed = _clocks()
        checking.check(large, world)
        checked = _clocks()
        for name, (one, other) in zip(spent, ((begun, parsed), (parsed, checked), (begun, checked)), strict=True):
            spent[name].append((other[0] - one[0], other[1] - one[1]))
    return large, {
        name: {
            "processor_s": round(statistics.median(processor for processor, _ in found), 3),
            "wall_s": round(statistics.median(wall for _, wall in found), 3),
        }
        for name, found in spent.items()
    }


def _clocks() -> tuple[float, float]:
    return time.process_time(), time.perf_counter()


def median_ms(work) -> dict[str, float]:
    """Time *work* many times: the median of processor time, in milliseconds, and the 99th of a hundred."""
    taken = []
    for _ in range(CALLS_N):
        begun = time.process_time_ns()
        work()
        taken.append((time.process_time_ns() - begun) / 1e6)
    return {"median_ms": round(statistics.median(taken), 4), "p99_ms": round(statistics.quantiles(taken, n=100)[98], 4)}


def main() -> dict[str, object]:
    known = catalogue.of(Site.demonstration())
    tools = known.specs
    specs = {spec.name: spec for spec in tools}
    raw = large_law()
    world = World(times_s=known.times_s, sensors=known.sensors, devices=known.devices, needs=catalogue.needs())
    large, took = taken(raw, tools, world)
    measured: dict[str, object] = {
        "load before": os.getloadavg(),
        "taking a large law": {
            "states": len(large.compiled.states),
            "arrows": sum(len(state.ways) for state in large.compiled.states.values()),
            "bytes": len(raw),
            **took,
        },
    }
    otto = Origin(kind=OriginKind.OPERATOR, peer="otto", role="operator")
    for name in ("irrigation", "gate", "large"):
        law = large.compiled if name == "large" else loaded((templates.text(name) or "").encode(), name, tools).compiled
        run = step.start(law, "run", NOW).run
        readings = {measure: Reading(50.0, NOW) for measure in law.measures}
        context = Context(1, readings)
        for call in (
            GroundedCall(tool="stop_machine", arguments={"machine": "pump"}),
            GroundedCall(tool="start_machine", arguments={"machine": "pump", "minutes": 5}),
            GroundedCall(tool="open_gate", arguments={"gate": "gate"}),
            GroundedCall(tool="lock_door", arguments={"door": "front door"}),
        ):
            found = judge(law, run, call, specs[call.tool], otto, NOW, context, call_id="c").verdict
            said = "outside" if found is None else found.verdict
            measured[f"judge {name}: {call.tool} -> {said}"] = median_ms(
                lambda law=law, run=run, call=call, context=context: judge(
                    law, run, call, specs[call.tool], otto, NOW, context, call_id="c"
                )
            )
        measured[f"look {name}"] = median_ms(
            lambda law=law, run=run, context=context: step.apply(law, run, Looked(), NOW, context)
        )
    said = Said(event="e3", who=Who(person="otto", role="operator"))
    run = step.start(large.compiled, "run", NOW).run
    context = Context(1, {"temp": Reading(50.0, NOW)})
    measured["step large"] = median_ms(lambda: step.apply(large.compiled, run, said, NOW, context))
    return measured


if __name__ == "__main__":
    print(json.dumps(main(), indent=2))
