"""doctor and bench: is everything in order, and how fast is it."""

from __future__ import annotations

import textwrap
from typing import Final

import click

from appliance.contracts.home import Home
from appliance.terminal import Styled, tell, tell_json

_MARKS: Final = {"ok": ("ok  ", "green"), "warn": ("warn", "yellow"), "fail": ("FAIL", "red")}
_WIDTH: Final = 100


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of sentences.")
@click.pass_obj
def doctor(home: Home, as_json: bool) -> None:  # noqa: FBT001 -- click passes flags
    """Look at this device and say what is wrong and what to do.

    Changes nothing; works with and without a running daemon. Exit code 1 when something failed.
    """
    from appliance import doctor as house_call

    findings = house_call.examine(home)
    if as_json:
        tell_json(house_call.as_json(findings))
    else:
        for finding in findings:
            mark, colour = _MARKS[finding.level]
            tell(Styled(mark, fg=colour, bold=True), f"  {finding.check:<12} {_indented(finding.found)}", lines=True)
            if finding.remedy:
                tell(" " * 19, Styled("-> " + _indented(finding.remedy), dim=finding.level == "ok"), lines=True)
    raise click.exceptions.Exit(1 if house_call.is_sick(findings) else 0)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a table.")
@click.option(
    "--requests",
    "requests_n",
    type=click.IntRange(20, 10_000),
    default=200,
    show_default=True,
    help="Requests that are timed.",
)
@click.pass_obj
def bench(home: Home, as_json: bool, requests_n: int) -> None:  # noqa: FBT001 -- click passes flags
    """Measure this machine with a home of its own that is thrown away afterwards.

    Start-up, first answer, the model alone and a whole turn, memory, decisions per second that survive a power cut.
    """
    from appliance import bench as stopwatch

    measured = stopwatch.measure(home, requests_n=requests_n)
    if as_json:
        tell_json(measured)
    else:
        tell(stopwatch.as_table(measured), lines=True)


def _indented(text: str) -> str:
    lines = [line for part in text.splitlines() for line in textwrap.wrap(part, _WIDTH)]
    return ("\n" + " " * 19).join(lines)
