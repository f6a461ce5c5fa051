"""A bundle on trial to a verdict: go on, it has passed, or it goes back, and why. Pure."""

from __future__ import annotations

import math
from typing import Final, Literal, NamedTuple

from appliance.contracts.slots import Trial, TrialLimits

GATE_N: Final = 10
"""From so many on refusals are counted against it."""

USUAL: Final = 0.3
"""What is taken for usual where too little is known."""

USUAL_MOST: Final = 0.5
"""No more is taken for usual: whoever had everything refused before an update would otherwise switch the gate off."""

USUAL_N: Final = 20
BROKEN_N: Final = 3
CRASHES_N: Final = 3
CUTS_N: Final = 10
SURE_Z: Final = 1.645
"""One-sided, 95 in a hundred: three refusals in a row prove nothing."""


class Fared(NamedTuple):
    """How requests in words have fared since the trial began."""

    n: int
    refused_n: int
    broken_n: int


class Verdict(NamedTuple):
    """What becomes of a bundle on trial."""

    what: Literal["goes on", "passed", "goes back"]
    why: str = ""


def usual(trial: Trial) -> float:
    """Return the share of requests that was refused or asked back before, half of them at most."""
    return min(USUAL_MOST, trial.usual_refused_n / trial.usual_n) if trial.usual_n >= USUAL_N else USUAL


def judge(trial: Trial, fared: Fared, limits: TrialLimits) -> Verdict:
    """Judge a trial by what has happened in it."""
    if trial.crashes_n >= CRASHES_N:
        return Verdict("goes back", f"the appliance ended {trial.crashes_n} times without notice")
    if trial.cuts_n >= CUTS_N:
        return Verdict("goes back", f"the machine went down {trial.cuts_n} times without notice")
    if fared.broken_n >= BROKEN_N:
        return Verdict("goes back", f"{fared.broken_n} requests ended in a fault or could not be read")
    was = usual(trial)
    if fared.n >= GATE_N and _at_least(fared.refused_n, fared.n) > was + limits.worse:
        told = f"{fared.refused_n} of {fared.n} requests were refused or asked back, {was:.0%} is usual here"
        return Verdict("goes back", told)
    is_long = trial.powered_s >= limits.least_s and fared.n >= limits.least_n
    if is_long or trial.powered_s >= limits.longest_s:
        return Verdict("passed")
    return Verdict("goes on")


def _at_least(hits_n: int, n: int) -> float:
    """The lower end of Wilson's interval: the share that is surely exceeded."""
    share, z2 = hits_n / n, SURE_Z**2
    middle = share + z2 / (2 * n)
    spread = SURE_Z * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return max(0.0, (middle - spread) / (1 + z2 / n))
