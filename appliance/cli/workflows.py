"""workflow: check, simulate and draw files of laws, at a desk or on the device; no actuator is touched.

What signs them and puts them into force is in `law_sets`.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, NoReturn

import click

from appliance.cli.lazy import Lazy
from appliance.contracts.home import Home
from appliance.terminal import Styled, tell

if TYPE_CHECKING:
    from appliance.policy.workflow.complaint import Complaint, Refused
    from appliance.policy.workflow.load import Loaded
    from appliance.policy.workflow.world import World
    from appliance.tools.catalogue import Known
    from appliance.tools.site import Site

_REFRESH_S: Final = 2
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


WORKFLOW_VERBS: Final = {
    # Follow
    "status": "appliance.cli.workflow_status:status",
    "history": "appliance.cli.workflow_status:history",
    "say": "appliance.cli.workflow_acts:say",
    "approve": "appliance.cli.workflow_acts:approve",
    "refuse": "appliance.cli.workflow_acts:refuse",
    # Write
    "new": "appliance.cli.workflows:new",
    "check": "appliance.cli.workflows:check",
    "simulate": "appliance.cli.workflows:simulate",
    "draw": "appliance.cli.workflows:draw",
    "tools": "appliance.cli.workflows:tools",
    "schema": "appliance.cli.workflows:schema",
    # Put into force
    "sign": "appliance.cli.law_sets:sign",
    "verify": "appliance.cli.law_sets:verify",
    "load": "appliance.cli.law_sets:load_",
    "owner": "appliance.cli.law_sets:owner",
}
"""Verb to `module:command`; help lists them in this order."""


@click.group(cls=Lazy, verbs=WORKFLOW_VERBS)
def workflow() -> None:
    """Follow workflows, and write laws: check them, try them, draw them, sign them, and put them into force.

    A file of laws says what may be called when, and by whom. Only `say`, `approve`, `refuse`, `load` and `owner trust`
    touch a device.
    """


@click.command()
@click.argument("files", nargs=-1, required=True, type=_FILE)
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each finding.")
@click.option("--explore", is_flag=True, help="Also try everything that can happen, step by step (seconds to minutes).")
@click.pass_obj
def check(home: Home, files: tuple[Path, ...], as_json: bool, explore: bool) -> None:  # noqa: FBT001 -- click passes flags
    """Say what is wrong with FILES: file, line, column, reason and remedy.

    Exit code 0 when nothing is, or only warnings; 1 when a device would not put one of them into force.
    """
    from appliance.policy.workflow import check as checking
    from appliance.policy.workflow.complaint import Refused

    site = _site(home)
    known = _known(site)
    failed = False
    for path in files:
        loaded = _load(path, known, site)
        found: tuple[Complaint, ...] = loaded.complaints if isinstance(loaded, Refused) else ()
        if not isinstance(loaded, Refused):
            found = checking.check(loaded, _world(known))
        failed |= any(one.level == "error" for one in found)
        for one in found:
            tell(_as_json(path, one) if as_json else one.sentence(str(path)), lines=True)
        if isinstance(loaded, Refused) or as_json:
            continue
        if not found:
            states, arrows = len(loaded.compiled.states), sum(len(s.ways) for s in loaded.compiled.states.values())
            tell(f"{path}: nothing against it ({states} states, {arrows} arrows)")
        if explore:
            failed |= _explored(path, loaded)
    raise click.exceptions.Exit(1 if failed else 0)


def _explored(path: Path, loaded: Loaded) -> bool:
    from appliance.policy.workflow import explore

    begun = time.monotonic()
    found = explore.explore(loaded)
    for broken in found.broken:
        tell(f"{path}: broken promise: {broken}")
    for state in found.stuck:
        tell(f"{path}: from {state} the safe state is never reached without an emergency")
    ending = "all of them" if found.complete else f"stopped at {explore.MAX_RUNS_N:,}, so this proves nothing"
    tell(
        f"{path}: {found.runs_n:,} different runs ({ending}), {found.steps_n:,} steps, {found.calls_n:,} calls judged"
        f" in {time.monotonic() - begun:.1f} s; {len(found.broken)} promises broken"
    )
    return bool(found.broken or found.stuck or not found.complete)


@click.command()
@click.argument("file", type=_FILE)
@click.option("--script", "scripts", multiple=True, type=_FILE, help="Play this script; may be given more than once.")
@click.option("--quiet", is_flag=True, help="Only what was not as expected, and the coverage.")
@click.pass_obj
def simulate(home: Home, file: Path, scripts: tuple[Path, ...], quiet: bool) -> None:  # noqa: FBT001 -- click passes flags
    """Show what would happen, under a virtual clock; without a script, line by line as you type.

    Exit code 1 when something was not as a script expects: scripts are tests.
    """
    from appliance.policy.workflow import rehearsal, script
    from appliance.policy.workflow.complaint import Refused

    loaded = _loaded_or_exit(file, _site(home))
    if not scripts:
        _interactively(loaded)
        return
    played = []
    for path in scripts:
        read = script.load(path)
        if isinstance(read, Refused):
            tell(read.text(), lines=True)
            raise click.exceptions.Exit(1)
        one = rehearsal.play(loaded.compiled, read)
        played.append(one)
        if not quiet:
            tell(Styled(one.title, bold=True))
            tell("\n".join(f"  {line}" for line in one.story), lines=True)
        for unmet in one.unmet:
            tell(Styled(f"{path}:{unmet.line}: {unmet.what}", fg="red"))
        tell(f"{path}: " + ("as expected" if not one.unmet else f"{len(one.unmet)} not as expected"))
    coverage = rehearsal.covered(loaded.compiled, played)
    tell(f"covered: {coverage.text()}")
    for state in coverage.missed_states:
        tell(f"  never in {state}")
    for way in coverage.missed_ways:
        tell(f"  never taken: {file}:{way.place.line}: {way.source}: {way.says()} -> {way.to}")
    raise click.exceptions.Exit(1 if any(one.unmet for one in played) else 0)


def _interactively(loaded: Loaded) -> None:
    from appliance.policy.workflow import rehearsal, script
    from appliance.policy.workflow.complaint import Refused

    tell(_PROMPT, lines=True)
    lines: list[str] = []
    while True:
        try:
            line = input(f"{loaded.law.workflow}> ").strip()
        except EOFError:
            return
        if line in {"", "help", "?"}:
            tell(_PROMPT, lines=True)
            continue
        if line in {"quit", "exit"}:
            return
        # The whole script is played anew each time: a simulation takes milliseconds, and the story is always one.
        read = script.parse("\n".join([*_HEAD, *lines, f"  - {{{line}}}"]).encode(), "you")
        if isinstance(read, Refused):
            tell(read.complaints[0].what + (f"; {read.complaints[0].remedy}" if read.complaints[0].remedy else ""))
            continue
        one = rehearsal.play(loaded.compiled, read)
        lines.append(f"  - {{{line}}}")
        shown_n = len(_story_before(loaded, lines[:-1]))
        tell("\n".join(one.story[shown_n:]), lines=True)
        for unmet in one.unmet:
            tell(Styled(unmet.what, fg="red"))


def _story_before(loaded: Loaded, lines: list[str]) -> tuple[str, ...]:
    from appliance.policy.workflow import rehearsal, script
    from appliance.policy.workflow.complaint import Refused

    read = script.parse("\n".join([*_HEAD, *lines, "  - {look: true}"]).encode(), "you")
    assert not isinstance(read, Refused)  # each line was read before
    return rehearsal.play(loaded.compiled, read).story[:-1]


_HEAD: Final = (
    "script: as typed",
    "people: {viewer: viewer, operator: operator, approver: approver, other: approver, admin: admin}",
    "steps:",
)
_PROMPT: Final = """One step a line, as in a script; the clock moves only when you say so. Some:
  say: open_up, by: operator            measure: {gate_open: true}        wait: 10min
  call: open_gate, with: {gate: gate}   approve: approver                 approve: other
  silence: [gate_open]                  restart: {after: 1h}              emergency: true
People: viewer, operator, approver, other (an approver too), admin, controller.  quit ends."""


@click.command()
@click.argument("file", type=_FILE)
@click.option(
    "--format",
    "form",
    type=click.Choice(["mermaid", "dot", "html"]),
    default="mermaid",
    show_default=True,
    help="HTML is one page that needs nothing else, with the findings drawn on it.",
)
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write here instead of printing.")
@click.option("--watch", is_flag=True, help="Draw again whenever FILE changes, until Ctrl-C; the page reloads itself.")
@click.pass_obj
def draw(home: Home, file: Path, form: Literal["mermaid", "dot", "html"], output: Path | None, watch: bool) -> None:  # noqa: FBT001 -- click passes flags
    """Draw FILE as Mermaid, Graphviz or HTML."""
    if watch and output is None:
        raise click.UsageError("--watch needs a file to write: -o page.html")
    site = _site(home)
    known = _known(site)
    seen = 0
    while True:
        changed = _changed_ns(file)
        # An editor that saves by renaming leaves no file for a moment.
        if changed not in (seen, 0):
            seen = changed
            text = _drawn(file, known, site, form, refresh_s=_REFRESH_S if watch else 0)
            if output is None:
                tell(text, nl=False, lines=True)
            else:
                _replace(output, text)
                tell(f"{output}", err=True)
        if not watch:
            return
        time.sleep(0.5)


def _changed_ns(file: Path) -> int:
    try:
        return file.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _replace(output: Path, text: str) -> None:
    """Write *output* so that a browser that reloads it just then sees the old page or the new one, never half of it."""
    if output.is_symlink() or (output.exists() and not output.is_file()):
        output.write_text(text, encoding="utf-8")  # a device, or a name for something elsewhere: it stays what it is
        return
    draft = output.with_name(f".{output.name}.draft")
    draft.write_text(text, encoding="utf-8")
    draft.replace(output)


def _drawn(file: Path, known: Known, site: Site, form: str, *, refresh_s: int) -> str:
    from appliance.policy.workflow import check as checking
    from appliance.policy.workflow.complaint import Refused
    from appliance.policy.workflow.draw import dot, mermaid, page

    loaded = _load(file, known, site)
    if isinstance(loaded, Refused):
        if form == "html":
            return page.refused_page(loaded, refresh_s=refresh_s)
        tell(loaded.text(), err=True, lines=True)
        raise click.exceptions.Exit(1)
    if form == "html":
        return page.page(loaded, checking.check(loaded, _world(known)), refresh_s=refresh_s)
    return mermaid.mermaid(loaded) if form == "mermaid" else dot.dot(loaded)


@click.command()
@click.argument("template", required=False)
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write here instead of printing.")
def new(template: str | None, output: Path | None) -> None:
    """Print a TEMPLATE to begin with; without a name, list them."""
    from appliance.policy.workflow import templates

    if template is None:
        for name, about in templates.titles().items():
            tell(f"{name:<12} {about}")
        return
    text = templates.text(template)
    if text is None:
        raise click.UsageError(f"there is no template {template!r}: {', '.join(templates.titles())}")
    if output is None:
        tell(text, nl=False, lines=True)
    elif output.exists():
        raise click.UsageError(f"{output} exists; name another file")
    else:
        output.write_text(text, encoding="utf-8")


@click.command()
@click.pass_obj
def tools(home: Home) -> None:
    """List what laws can speak of here: tools with risk and family, sensors, devices."""
    known = _known(_site(home))
    for spec in known.specs:
        tell(f"{spec.name:<22} risk:{spec.risk.value:<5} family:{spec.family}")
    for name, (kind, unit) in known.sensors.items():
        tell(f"sensor {name}: {kind} {unit}".rstrip())
    for name, words in known.devices.items():
        tell(f"device {name}: {', '.join(words)}")


@click.command()
def schema() -> None:
    """Print the JSON Schema of a file of laws, for your editor."""
    from appliance.policy.workflow import faults

    tell(json.dumps(faults.schema(), indent=2, ensure_ascii=False), lines=True)


def _site(home: Home) -> Site:
    from appliance import settings

    return settings.load(home.root).site


def _known(site: Site) -> Known:
    """Build the site's tools to ask what they are; it takes a moment, so each command does it once."""
    from appliance.tools import catalogue

    return catalogue.of(site)


def _world(known: Known) -> World:
    from appliance.policy.workflow.world import World
    from appliance.tools import catalogue

    return World(times_s=known.times_s, sensors=known.sensors, devices=known.devices, needs=catalogue.needs())


def _load(path: Path, known: Known, site: Site) -> Loaded | Refused:
    from appliance.policy.workflow import load

    return load.load(path, known.specs, site.law_zone)


def _loaded_or_exit(path: Path, site: Site) -> Loaded:
    from appliance.policy.workflow.complaint import Refused

    loaded = _load(path, _known(site), site)
    if isinstance(loaded, Refused):
        _exit(loaded.text())
    return loaded


def _exit(text: str) -> NoReturn:
    tell(text, lines=True)
    raise click.exceptions.Exit(1)


def _as_json(path: Path, one: Complaint) -> str:
    return json.dumps(
        {
            "file": str(path), "line": one.place.line, "column": one.place.column, "level": one.level,
            "check": one.check, "what": one.what, "remedy": one.remedy,
        },
        ensure_ascii=False,
    )  # fmt: skip
