"""The tutorial of workflows works as typed: its files, commands and outputs are read from the page."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "tutorials" / "first-workflow.md"

MISTAKES = [
    [("to: airing}", "to: ering}")],
    [
        ("    deadline: {after: 30min, to: shut}\n", ""),
        ("    go:\n      - {event: window_shut, to: shut}\n", ""),
    ],
]
"""What the page says to change in the law before each of the two complaints that it shows."""

BLOCK = re.compile(r"(?:Save this as `(?P<name>[a-z.]+)`[^`]*)?```(?P<kind>[a-z]*)\n(?P<text>.*?)```", re.DOTALL)
VARIES = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d|(?<=id:)\d+|#\d+|\[[0-9a-f]{20}\]")


class Desk:
    """A shell at an empty folder, with a home of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        own = Path(sys.executable).parent
        self.env = {**os.environ, "APPLIANCE_HOME": str(folder / "home"), "PATH": f"{own}:{os.environ['PATH']}"}

    def type(self, command: str, typed: str = "") -> str:
        ran = subprocess.run(
            ["/bin/sh", "-c", command], cwd=self.folder, env=self.env, input=typed, capture_output=True, text=True,
            check=False, timeout=120,
        )  # fmt: skip
        return ran.stdout

    def with_mistake(self, edits: list[tuple[str, str]]) -> str:
        law = self.folder / "fan.yaml"
        right = wrong = law.read_text(encoding="utf-8")
        for before, after in edits:
            assert wrong.count(before) == 1
            wrong = wrong.replace(before, after)
        law.write_text(wrong, encoding="utf-8")
        said = self.type("appliance workflow check fan.yaml")
        law.write_text(right, encoding="utf-8")
        return said


@pytest.fixture
def desk(tmp_path):
    desk = Desk(tmp_path)
    yield desk
    desk.type("appliance quit")


def blocks() -> list[tuple[str, str, str]]:
    found = BLOCK.finditer(PAGE.read_text(encoding="utf-8"))
    return [(block["kind"], block["name"] or "", block["text"]) for block in found]


def settled(text: str) -> str:
    """The text without what differs each time, and without the width of the page."""
    return re.sub(r"\s+", " ", VARIES.sub("~", text))


@pytest.mark.timeout(300)
def test_the_tutorial_of_workflows_says_what_is_said(desk):
    mistakes, said, is_fresh, missing = iter(MISTAKES), "", False, []
    page = blocks()
    for n, (kind, name, text) in enumerate(page):
        if kind == "yaml":
            (desk.folder / name).write_text(text, encoding="utf-8")
        elif kind == "sh":
            shown = page[n + 1][2] if n + 1 < len(page) else ""
            typed = "".join(f"{line}\n" for line in re.findall(r"^airing> (.*)$", shown, re.MULTILINE))
            # What watches goes on until Ctrl-C; the page is drawn all the same.
            said = "".join(desk.type(line.removesuffix(" --watch"), typed) for line in text.splitlines())
            is_fresh = True
        elif kind == "text":
            said = said if is_fresh else desk.with_mistake(next(mistakes))
            missing += [line for line in text.splitlines() if settled(line).strip() not in settled(said)]
            is_fresh = False
        else:
            told = re.sub(r"^(airing> ).*\n", r"\1", text, flags=re.MULTILINE)
            missing += [] if settled(told).strip() in settled(said) else [told]
            is_fresh = False

    assert missing == []
    assert next(mistakes, None) is None
    assert "<svg" in (desk.folder / "fan.html").read_text(encoding="utf-8")


@pytest.mark.timeout(120)
def test_exploring_the_law_of_the_tutorial_finds_every_promise_kept(desk):
    (desk.folder / "fan.yaml").write_text(blocks()[0][2], encoding="utf-8")

    assert "0 promises broken" in desk.type("appliance workflow check fan.yaml --explore")
