"""What was found to how sure it is: named evidence, one logistic regression for each kind of statement."""

import math
from collections.abc import Mapping
from typing import Final

from appliance.contracts.manifest import Scale

CAP: Final = 12.0
"""Evidence beyond this is certain either way; capping it keeps one wild score from drowning the others."""

Evidence = Mapping[str, float]


def probability(scale: Scale, evidence: Evidence) -> float:
    """The calibrated probability that *evidence* stands for."""
    total = scale.bias + sum(weight * capped(evidence.get(name, 0.0)) for name, weight in scale.weights.items())
    return 1 / (1 + math.exp(-max(-60.0, min(60.0, total))))


def capped(value: float) -> float:
    """*value* within the range that calibration was fitted on."""
    return max(-CAP, min(CAP, value))
