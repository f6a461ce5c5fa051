"""Drawings: goldens for text, and a page that needs nothing from anywhere."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from base64 import b64encode
from hashlib import sha256
from pathlib import Path

import pytest

from appliance.policy.workflow import check, load, templates
from appliance.policy.workflow.complaint import Complaint, Place, Refused
from appliance.policy.workflow.draw import diagram, dot, layout, mermaid, page, svg
from appliance.policy.workflow.draw.layout import Size
from appliance.policy.workflow.world import World

GOLDEN = Path(__file__).parent / "golden"
FOLDER = Path(load.__file__).parent / "templates"


def loaded(name, tools):
    found = load.load(FOLDER / f"{name}.yaml", tools)
    assert not isinstance(found, Refused), found.text()
    return found


@pytest.mark.parametrize("name", [*sorted(templates.titles()), "words"])
@pytest.mark.parametrize("form", ["mermaid", "dot"])
def test_a_drawing_is_as_it_was_looked_at(name, form, tools, request):
    """Every golden was drawn by Mermaid 11 and by Graphviz, and looked at.

    `words` is a law whose names are words of Mermaid and of Graphviz, and whose texts hold every sign that they read.
    """
    law = load.load(GOLDEN / "words.yaml", tools) if name == "words" else loaded(name, tools)
    drawn = mermaid.mermaid(law) if form == "mermaid" else dot.dot(law)
    golden = GOLDEN / f"{name}.{form}"

    assert drawn == golden.read_text(encoding="utf-8"), f"look at it, then write it to {golden.name}"


@pytest.mark.parametrize("name", sorted(templates.titles()))
def test_a_page_needs_nothing_from_anywhere_and_shows_every_state(name, tools):
    law = loaded(name, tools)

    text = page.page(law, check.check(law, World()))

    assert not re.search(r"https?://|<script|<link|@import|url\((?!#)", text)
    for state in law.law.states:
        assert f'id="state-{state}"' in text
    for drawing in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
        ET.fromstring(drawing)


@pytest.mark.parametrize("name", sorted(templates.titles()))
def test_no_box_and_no_word_lies_on_another(name, tools):
    for one in diagram.diagrams(loaded(name, tools)):
        boxes = {box.name: svg.box_size(box) for box in one.boxes}
        lines = [(line.source, line.target, svg.label_size(line)) for line in one.lines]
        placed = layout.place(boxes, lines, one.boxes[0].name)
        spots = [*placed.boxes.values(), *(path.label for path in placed.paths)]

        for n, a in enumerate(spots):
            for b in spots[n + 1 :]:
                apart_x = abs(a.x - b.x) >= (a.width + b.width) / 2 - 0.5
                apart_y = abs(a.y - b.y) >= (a.height + b.height) / 2 - 0.5
                assert apart_x or apart_y, (name, a, b)


def test_findings_are_drawn_where_they_belong(tools):
    law = loaded("gate", tools)
    on_arrow = Complaint(law.tree.place("states", "open", "go", 0), "a bad arrow", "mend it", "some-check")
    on_state = Complaint(law.tree.place("states", "stuck"), "a bad state", "mend it", "some-check", "warning")

    main = diagram.diagrams(law, (on_arrow, on_state))[0]
    text = page.page(law, (on_arrow, on_state))

    assert [line.key for line in main.lines if line.findings] == ["go[0]"]
    assert [box.name for box in main.boxes if box.findings] == ["stuck"]
    assert 'class="line event error"' in text
    assert f">⚠ line {on_arrow.place.line}: a bad arrow</text>" in text
    assert f">⚠ line {on_state.place.line}: a bad state</text>" in text
    assert text.count(">→ mend it</text>") == 2
    assert 'class="box state warning" id="state-stuck"' in text
    assert "mend it" in text


def test_what_an_author_writes_cannot_write_the_page(law):
    evil = law(
        'workflow: w\nversion: 1\ntitle: "</script><script>alert(1)</script>"\ninitial: a\nsafe: a\nevents: {e: {}}\n'
        'states:\n  a: {about: "<img src=x>", instructions: "</svg><b>", go: [{event: e, to: a}]}\n'
    )

    text = page.page(evil, (Complaint(Place(1, 1), "<i>x</i>"),))

    assert "<script" not in text
    assert "</script" not in text
    assert "<img" not in text
    assert "<i>" not in text


def test_a_browser_is_told_to_fetch_nothing_and_run_nothing_and_to_take_this_style_sheet_only(tools):
    text = page.page(loaded("gate", tools), ())

    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', text).group(1)
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL).group(1)
    assert policy.startswith("default-src 'none';")
    assert f"'sha256-{b64encode(sha256(style.encode()).digest()).decode()}'" in policy
    assert not re.search(r" style=| on[a-z]+=", text)


def test_a_refused_file_has_a_page_too(tools):
    found = load.parse(b"workflow: w\n", "w.yaml", tools)
    assert isinstance(found, Refused)

    assert "needs the key" in page.refused_page(found, refresh_s=2)


def test_the_state_of_a_run_can_be_lit(tools):
    assert 'class="box state lit" id="state-open"' in page.page(loaded("gate", tools), (), lit="open")


def test_a_large_diagram_is_laid_out():
    boxes = {f"s{n}": Size(80, 40) for n in range(60)}
    lines = [(f"s{n}", f"s{(n * 7 + m) % 60}", Size(40, 20)) for n in range(60) for m in range(3)]

    placed = layout.place(boxes, lines, "s0")

    assert len(placed.boxes) == 60
    assert len(placed.paths) == 180


def test_a_law_that_is_too_large_to_draw_says_so_and_lists_every_arrow(tools):
    states_n = 300
    arrows = [[(n * 7 + m) % states_n for m in range(10)] for n in range(states_n)]
    states = "".join(
        f"  s{n}: {{go: [{', '.join(f'{{event: e{m}, to: s{goal}}}' for m, goal in enumerate(goals))}]}}\n"
        for n, goals in enumerate(arrows)
    )
    events = ", ".join(f"e{m}: {{}}" for m in range(10))
    text = f"workflow: w\nversion: 1\ninitial: s0\nsafe: s0\nevents: {{{events}}}\nstates:\n{states}"
    law = load.parse(text.encode(), "w.yaml", tools)
    assert not isinstance(law, Refused), law.text()

    drawn = page.page(law, ())

    assert "<svg" not in drawn
    assert "Too large to draw: 300 states, 3,000 arrows" in drawn
    assert all(
        f"<td>s{n}</td><td>say e{m}</td><td>s{goal}</td>" in drawn
        for n, goals in enumerate(arrows)
        for m, goal in enumerate(goals)
    )


def test_a_long_chain_is_laid_out_whatever_the_order_of_the_file():
    boxes = {f"s{n}": Size(80, 40) for n in reversed(range(1500))}
    lines = [(f"s{n}", f"s{n + 1}", Size(40, 20)) for n in range(1499)]

    placed = layout.place(boxes, lines, "s0")

    tops = [placed.boxes[f"s{n}"].y for n in range(1500)]
    assert tops == sorted(tops)
