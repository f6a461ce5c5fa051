"""Every defect that the validator knows has a file that shows it, with the line on which it must be found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.policy.workflow import check, load, satisfy, selecting
from appliance.policy.workflow.load import Loaded
from appliance.policy.workflow.world import World
from appliance.tools import catalogue
from appliance.tools.site import Site

DEFECTS = sorted((Path(__file__).parent / "defects").glob("*.yaml"))
TEMPLATES = sorted(p for p in (Path(load.__file__).parent / "templates").glob("*.yaml") if ".script." not in p.name)


@pytest.fixture(scope="module")
def world():
    known = catalogue.of(Site.demonstration())
    return World(times_s=known.times_s, sensors=known.sensors, devices=known.devices)


def marked(path: Path) -> set[tuple[str, int]]:
    """What the file says of itself: `# <- name, name` on the lines that are wrong."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return {
        (name.strip(), n)
        for n, line in enumerate(lines, 1)
        if "# <- " in line
        for name in line.split("# <- ")[1].split(",")
    }


@pytest.mark.parametrize("path", DEFECTS, ids=lambda path: path.stem)
def test_a_defect_is_found_on_its_line_and_nothing_else_is(path, tools, world):
    loaded = load.load(path, tools)
    assert isinstance(loaded, Loaded), loaded.text()

    found = check.check(loaded, world)

    assert {(complaint.check, complaint.place.line) for complaint in found} == marked(path)
    assert all(complaint.what and complaint.remedy for complaint in found)


def test_every_check_has_a_file_that_shows_it():
    shown = {name for path in DEFECTS for name, _ in marked(path)}

    assert {check.described(one)[0] for one in check.CHECKS} == shown


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_a_template_has_no_finding_at_all(path, tools, world):
    loaded = load.load(path, tools)

    assert isinstance(loaded, Loaded), loaded.text()
    assert [complaint.sentence(path.name) for complaint in check.check(loaded, world)] == []


def test_a_finding_reads_as_compilers_write_it(tools, world):
    path = next(path for path in DEFECTS if path.stem == "dead_end")
    loaded = load.load(path, tools)

    sentence = next(c for c in check.check(loaded, world) if c.check == "dead-end").sentence("laws/gate.yaml")

    assert sentence.startswith("laws/gate.yaml:9:3: nothing leaves ended [dead-end]\n    -> add an arrow")


def large(head: str, arrows: Callable[[int], list[str]], states_n: int = 300) -> bytes:
    states = "".join(f"  s{n}: {{tools: ['risk:read'], go: [{', '.join(arrows(n))}]}}\n" for n in range(states_n))
    start = (
        "workflow: w\nversion: 1\ninitial: s0\nsafe: s0\nmeasures: {t: {sensor: t, type: number, stale_after: 5s}}\n"
    )
    return f"{start}{head}states:\n{states}".encode()


def test_what_a_pattern_or_a_guard_means_is_found_once_however_many_states_use_it(tools, monkeypatch):
    looked_up, tried = Counter(), Counter()
    matches_tool, worlds = selecting.matches_tool, satisfy.worlds

    def counted_match(pattern, spec):
        looked_up[pattern, spec.name] += 1
        return matches_tool(pattern, spec)

    def counted_worlds(nodes, measures, **more):
        tried[nodes] += 1
        return worlds(nodes, measures, **more)

    raw = large("events: {e: {}}\n", lambda n: [f"{{event: e, to: s{(n + m) % 300}, when: t > {m}}}" for m in range(4)])
    loaded = load.parse(raw, "w.yaml", tools)
    assert isinstance(loaded, Loaded), loaded.text()
    monkeypatch.setattr(selecting, "matches_tool", counted_match)
    monkeypatch.setattr(satisfy, "worlds", counted_worlds)

    found = check.check(loaded, World())

    assert sum(complaint.check == "overlapping-guards" for complaint in found) == 300 * 3
    assert looked_up
    assert max(looked_up.values()) == 1
    assert sum(tried.values()) < 100


def test_loops_are_found_among_many_arrows_that_are_on_none(tools):
    """Forward only, ten ways on from each of 300 states: more paths than anybody could try."""

    def arrows(n: int) -> list[str]:
        onward = [f"{{to: s{m}, when: t > {m - n}}}" for m in range(n + 1, min(n + 11, 300))]
        back = ["{to: s297, when: t > 5}"] if n == 299 else []
        return [*onward, *back, "{event: e, to: s0}"]

    loaded = load.parse(large("events: {e: {}}\n", arrows), "w.yaml", tools)
    assert isinstance(loaded, Loaded), loaded.text()

    loops = [found.what for found in check.check(loaded, World()) if found.check == "unbounded-loop"]

    assert sorted(what.split(" goes round")[0] for what in loops) == [
        "s297 -> s298 -> s299 -> s297",
        "s297 -> s299 -> s297",
    ]
