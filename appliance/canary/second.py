"""The safety suite over a second model: what of its proposals would come through the gate, family by family.

Every case is asked that no word forbids, also those that the device's own model would have known: a second model is
tried harder here than on a device, where it is asked little. Nothing acts: what comes through is offered to a person.

Covers: proposals that the gate refuses, asks back for, or offers rightly or wrongly; no answer at all.
Does not cover: the laws and the policy of a site, and what a person says to a wrong offer.
"""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Literal, NamedTuple

from appliance.adapters.saying import Proposer, Question, Silent
from appliance.agent.escalating import nearest, recorded
from appliance.agent.plan import Plan
from appliance.agent.propose import Decoder, Understanding
from appliance.agent.reading import Reader, wants_help
from appliance.canary.judging import is_right
from appliance.canary.suite import Case, Suite
from appliance.contracts.canary import SAFETY, Family
from appliance.contracts.decision import Escalated
from appliance.contracts.manifest import Thresholds
from appliance.contracts.toolcall import Refusal, RefusalCode
from appliance.contracts.toolspec import ToolSpec
from appliance.errors import InputTooLong

Came = Literal["not asked", "silent", "nothing", "refused", "asked back", "offered rightly", "offered wrongly"]
CAME: tuple[Came, ...] = (
    "not asked", "silent", "nothing", "refused", "asked back", "offered rightly", "offered wrongly",
)  # fmt: skip


HOPELESS_N: Final = 3
"""As many failures in a row make a device leave it alone, too."""


class Tried(NamedTuple):
    """One case, and what a second model's proposal for it came to."""

    case: Case
    came: Came
    took_s: float
    told: str = ""
    """The calls that would be offered, or why there are none."""

    @property
    def is_fault(self) -> bool:
        """Whether a person would be offered what may not be done."""
        return self.came == "offered wrongly" and self.case.line.family in SAFETY


class _Tools(NamedTuple):
    tools: tuple[ToolSpec, ...]

    def specs(self) -> tuple[ToolSpec, ...]:
        return self.tools

    def spec(self, name: str) -> ToolSpec | None:
        return next((tool for tool in self.tools if tool.name == name), None)


def chosen(suite: Suite, each_n: int | None) -> tuple[Case, ...]:
    """Return *each_n* cases of every family, spread over it; all of them when None."""
    if each_n is None:
        return suite.cases
    families: dict[Family, list[Case]] = {}
    for case in suite.cases:
        families.setdefault(case.line.family, []).append(case)
    return tuple(
        cases[place * len(cases) // min(each_n, len(cases))]
        for cases in families.values()
        for place in range(min(each_n, len(cases)))
    )


def examine(
    proposer: Proposer,
    decoder: Decoder,
    thresholds: Thresholds,
    cases: Sequence[Case],
    *,
    limit_s: float,
    tools_n: int,
    monotonic_s: Callable[[], float] = time.monotonic,
) -> Iterator[Tried]:
    """Ask *proposer* case by case; *decoder* only says which tools seem nearest, as on a device."""
    for case in cases:
        plan = _unread(case, decoder)
        if not wants_help(plan):
            yield Tried(case, "not asked", 0.0)
            continue
        begun_s = monotonic_s()
        said = Question(proposer, case.line.text, nearest(plan, case.tools, tools_n)).start().wait(limit_s)
        took_s = monotonic_s() - begun_s
        if isinstance(said, Silent):
            yield Tried(case, "silent", took_s, f"{said.why}: {said}")
            continue
        came, told = _judged(case, plan, Reader(None, _Tools(case.tools), thresholds), recorded(proposer, said))
        yield Tried(case, came, took_s, told)


def counted(tried: Sequence[Tried]) -> dict[Family, Counter[Came]]:
    """Count by family what came of the cases."""
    found: dict[Family, Counter[Came]] = {}
    for one in tried:
        found.setdefault(one.case.line.family, Counter())[one.came] += 1
    return found


def silences(tried: Sequence[Tried]) -> Counter[str]:
    """Count why there was no answer."""
    return Counter(one.told for one in tried if one.came == "silent")


def is_hopeless(tried: Sequence[Tried]) -> bool:
    """Return whether the first that it was asked failed alike: the rest would too, each as slowly."""
    asked = [one for one in tried if one.came != "not asked"][:HOPELESS_N]
    return len(asked) == HOPELESS_N and all(one.came == "silent" for one in asked) and len({o.told for o in asked}) == 1


def median_s(tried: Sequence[Tried]) -> float:
    """Return the median time of an answer; 0 where none came."""
    took = [one.took_s for one in tried if one.came not in {"not asked", "silent"}]
    return statistics.median(took) if took else 0.0


def _unread(case: Case, decoder: Decoder) -> Plan:
    """Return the plan of a device whose own model did not know."""
    try:
        proposal = decoder.propose(case.line.text, case.tools)
    except InputTooLong:
        return Plan(text=case.line.text, by_model=True)
    unknown = Refusal(code=RefusalCode.NOTHING_TO_DO, reason="")
    return Plan(text=case.line.text, by_model=True, proposal=proposal, refusal=unknown)


def _judged(case: Case, plan: Plan, reader: Reader, said: Escalated) -> tuple[Came, str]:
    read = reader.advised(plan, said, case.line.now)
    if read.refusal is not None:
        return ("refused" if said.calls else "nothing"), f"{read.refusal.code}: {read.refusal.reason}"
    if read.question is not None:
        return "asked back", read.question.text
    found = Understanding(decision="confirm", reason="", calls=read.calls)
    told = "; ".join(f"{call.tool} {call.arguments}" for call in read.calls)
    return ("offered rightly" if is_right(case, found) else "offered wrongly"), told
