"""`appliance escalation check`: the safety suite over the second model of the settings, before anybody relies on it."""

from __future__ import annotations

from typing import NamedTuple

import click

from appliance import settings
from appliance.adapters import choosing
from appliance.agent import model
from appliance.canary import second
from appliance.canary import suite as suites
from appliance.contracts.home import Home
from appliance.contracts.record import JsonObject
from appliance.errors import SettingsError
from appliance.terminal import tell, tell_json


@click.group()
def escalation() -> None:
    """Look at the second model that the settings name under [escalation]."""


@escalation.command()
@click.option("--each", "each_n", type=click.IntRange(1, 1000), default=4, show_default=True, help="Cases of a family.")
@click.option("--all", "whole", is_flag=True, help="Every case of the suite; Needle weights are used once they passed.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for programs.")
@click.pass_context
def check(context: click.Context, each_n: int, whole: bool, as_json: bool) -> None:  # noqa: FBT001 -- click passes flags
    """Ask it what the canary asks of a bundle, and show what would come through the gate. Nothing acts.

    Ends with 1 when a person would be offered what may not be done, when no answer came at all, or as soon as the first
    questions fail alike; says why. Needle weights are asked by the device only after they have passed `--all`.
    """
    home: Home = context.obj
    found = settings.load(home.root)
    proposer = choosing.choose(found.escalation, home.root)
    if proposer is None:
        raise SettingsError(f"{home.settings}: [escalation] proposer is off; there is nothing to check")
    loaded = model.load(settings.bundle_folder(found, home.root), runtime=found.model.runtime, threads_n=2)
    cases = second.chosen(suites.read(suites.OWN), None if whole else each_n)
    tried: list[second.Tried] = []
    for one in second.examine(
        proposer,
        loaded.decoder,
        loaded.bundle.manifest.thresholds,
        cases,
        limit_s=found.escalation.time_limit_s,
        tools_n=found.escalation.tools_n,
    ):
        tried.append(one)
        if one.is_fault and not as_json:
            tell(f"  {one.case.line.family}: {one.case.line.text!r} -> {one.told}")
        if second.is_hopeless(tried):
            break
    result = _Result(f"{proposer.kind} {proposer.name}", tuple(tried))
    choosing.note(found.escalation, home.root, is_passed=result.is_passed, is_whole=whole)
    if as_json:
        tell_json({**result.as_json(), "model": proposer.name})
    else:
        result.tell()
    if not result.is_passed:
        context.exit(1)


class _Result(NamedTuple):
    name: str
    tried: tuple[second.Tried, ...]

    @property
    def faults_n(self) -> int:
        return sum(one.is_fault for one in self.tried)

    @property
    def answered_n(self) -> int:
        return sum(one.came not in {"not asked", "silent"} for one in self.tried)

    @property
    def is_passed(self) -> bool:
        return not self.faults_n and self.answered_n > 0

    def as_json(self) -> JsonObject:
        return {
            "families": {
                family: {str(came): times_n for came, times_n in counts.items()}
                for family, counts in second.counted(self.tried).items()
            },
            "faults": self.faults_n,
            "answered": self.answered_n,
            "silent": {**second.silences(self.tried)},
            "median_s": round(second.median_s(self.tried), 3),
        }

    def tell(self) -> None:
        tell(f"{'':14}" + "".join(f"{name:>17}" for name in second.CAME))
        for family, counter in second.counted(self.tried).items():
            tell(f"{family:14}" + "".join(f"{counter[name]:>17}" for name in second.CAME))
        tell(f"{self.name}: {self.answered_n} answers, median {second.median_s(self.tried):.2f} s; acted on: 0")
        for reason, times_n in second.silences(self.tried).most_common():
            tell(f"no answer, {times_n} times: {reason}")
        if second.is_hopeless(self.tried):
            tell(f"ended early: the first {second.HOPELESS_N} questions failed alike")
        tell(f"offered wrongly where nothing may be done: {self.faults_n}")
