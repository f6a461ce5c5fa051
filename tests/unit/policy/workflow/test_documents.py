"""What the tutorial tells is true, and the command line does what it says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from appliance import cli
from appliance.policy.workflow import load, templates
from appliance.tools import catalogue

DOCS = Path(__file__).parents[4] / "docs"
FOLDER = Path(load.__file__).parent / "templates"
HOW_TO = (DOCS / "how-to" / "write-a-workflow.md").read_text(encoding="utf-8")
TUTORIAL = (DOCS / "tutorials" / "first-workflow.md").read_text(encoding="utf-8")


@pytest.fixture
def run(tmp_path):
    def invoked(*words, typed=""):
        return CliRunner().invoke(
            cli.group, ["--home", str(tmp_path / "home"), "workflow", *map(str, words)], input=typed
        )

    return invoked


@pytest.fixture
def fan(tmp_path):
    path = tmp_path / "fan.yaml"
    path.write_text(re.search(r"```yaml\n(workflow: airing.*?)```", TUTORIAL, re.DOTALL)[1], encoding="utf-8")
    return path


def test_the_law_of_the_tutorial_has_no_finding(run, fan):
    said = run("check", fan)

    assert said.exit_code == 0
    assert said.output.endswith("fan.yaml: nothing against it (2 states, 2 arrows)\n")


def test_the_tutorials_mistakes_are_found_as_it_tells(run, fan):
    text = fan.read_text(encoding="utf-8")
    fan.write_text(text.replace("to: airing", "to: ering"), encoding="utf-8")
    assert "did you mean 'airing'?" in run("check", fan).output

    fan.write_text(
        text.replace("      - {event: window_shut, to: shut}\n", "      - {event: window_shut, to: airing}\n").replace(
            "    deadline: {after: 30min, to: shut}\n", ""
        ),
        encoding="utf-8",
    )
    said = run("check", fan)
    assert said.exit_code == 1
    assert "no-path-to-safe" in said.output
    assert "dead-end" in said.output


def test_the_tutorials_session_goes_as_it_tells(run, fan):
    typed = re.findall(r"^airing> (.*)$", TUTORIAL, re.MULTILINE)

    said = run("simulate", fan, typed="\n".join(typed) + "\nnonsense\nquit\n").output

    told = re.sub(r"\s+", " ", re.search(r"```\n(airing> call.*?)```", TUTORIAL, re.DOTALL)[1])
    for line in re.split(r"airing> ", told):
        answer = re.search(r"Mon .*", line)
        if answer:
            assert answer[0].strip() in re.sub(r"\s+", " ", said)


def test_findings_can_be_read_by_a_program(run, fan):
    fan.write_text(
        fan.read_text(encoding="utf-8").replace("start_machine, where", "start_engine, where"), encoding="utf-8"
    )

    said = run("check", fan, "--json")

    found = {one["check"]: one for line in said.output.splitlines() for one in [json.loads(line)]}
    assert found["unknown-tool"]["line"] == 22
    assert "start_machine" in found["unknown-tool"]["remedy"]


@pytest.fixture
def cellar(tmp_path):
    """The site of the how-to in force, and the law that it gives for it."""
    (tmp_path / "home").mkdir()
    settings = re.search(r"```toml\n(.*?)```", HOW_TO, re.DOTALL)[1]
    (tmp_path / "home" / "appliance.toml").write_text(settings, encoding="utf-8")
    path = tmp_path / "cellar.yaml"
    path.write_text(re.search(r"```yaml\n(workflow: cellar.*?)```", HOW_TO, re.DOTALL)[1], encoding="utf-8")
    return path


def test_the_small_site_of_the_how_to_has_what_its_law_speaks_of(run, cellar):
    assert run("check", cellar).output.endswith("cellar.yaml: nothing against it (1 states, 0 arrows)\n")


def test_a_tool_that_the_site_has_no_device_for_names_the_section_that_brings_it(run, cellar):
    text = cellar.read_text(encoding="utf-8")
    cellar.write_text(text.replace("[start_machine, stop_machine]", "[set_temperature, open_gate]"), encoding="utf-8")

    said = run("check", cellar).output

    assert "it needs [site.thermostat] in appliance.toml" in said
    assert 'it needs [[site.doors]] with kind = "gate" in appliance.toml' in said


def test_the_how_to_says_which_section_brings_which_tool(run):
    rows = re.findall(r"^\| `(\[+site\.[a-z]+\]+)` \| (.*) \|$", HOW_TO, re.MULTILINE)
    told = {name: section for section, brings in rows for name in re.findall(r"`([a-z]+(?:_[a-z]+)+)`", brings)}
    offered = {line.split()[0] for line in run("tools").output.splitlines()}

    assert told == {name: brings.split()[0] for name, brings in catalogue.needs().items() if name in offered}


def test_scripts_are_tests_for_the_shell_too(run):
    gate, script = FOLDER / "gate.yaml", FOLDER / "gate.script.yaml"

    assert run("simulate", gate, "--script", script, "--quiet").exit_code == 0
    assert run("simulate", FOLDER / "night.yaml", "--script", script).exit_code == 1


def test_every_template_is_listed_and_begins_a_file(run, tmp_path):
    listed = run("new").output

    for name in templates.titles():
        assert name in listed
        assert run("new", name, "-o", tmp_path / f"{name}.yaml").exit_code == 0
        assert run("new", name, "-o", tmp_path / f"{name}.yaml").exit_code == 2  # nothing is overwritten
    assert run("new", "nonsense").exit_code == 2


@pytest.mark.parametrize("form", ["mermaid", "dot", "html"])
def test_a_law_is_drawn(run, fan, form):
    said = run("draw", fan, "--format", form)

    assert said.exit_code == 0
    assert "airing" in said.output


def test_what_a_law_can_speak_of_is_listed(run):
    said = run("tools").output

    assert "open_gate" in said
    assert "sensor gate contact: boolean" in said
    assert "device front door: unlocked, locked" in said
