"""The documents say what the software does: pages that are printed from it are fresh, links lead somewhere."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from appliance import cli

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"

_spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
generate = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(generate)


@pytest.mark.parametrize("name", list(generate.PAGES))
def test_a_printed_page_is_fresh(name):
    written = (DOCS / name).read_text(encoding="utf-8")

    assert written == generate.PAGES[name](), "stale: run `make docs`"


def test_every_verb_is_on_the_page_of_the_command_line():
    page = (DOCS / "reference" / "cli.md").read_text(encoding="utf-8")

    assert [verb for verb in cli.VERBS if f"`appliance {verb}`" not in page] == []


@pytest.mark.parametrize(
    "path", sorted([*DOCS.rglob("*.md"), ROOT / "README.md"]), ids=lambda p: str(p.relative_to(ROOT))
)
def test_every_link_of_a_document_leads_somewhere(path):
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    targets = [t.split("#")[0] for t in re.findall(r"\]\(([^)\s]+)\)", text) if not re.match(r"[a-z]+:", t)]

    assert [target for target in targets if target and not (path.parent / target).exists()] == []


def test_every_decision_has_a_number_of_its_own():
    numbers = [path.name[:4] for path in (DOCS / "decisions").glob("[0-9]*.md")]

    assert len(set(numbers)) == len(numbers)
