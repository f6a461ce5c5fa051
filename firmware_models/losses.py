"""Scores and labels to one number; the dangerous mistakes weigh more."""

from typing import Final, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from appliance.inference.readings import ACT, POINTER_D, POINTERS, SCALARS
from firmware_models.batches import Targets

WRONG_CALL_WEIGHT: Final = 2.0
"""Calling a tool that was not asked for costs twice what overlooking one does."""

INVENTED_WEIGHT: Final = 2.0
"""So does finding a required value that nobody said."""


class Losses(NamedTuple):
    """One mean loss a head."""

    call: Tensor
    again: Tensor
    present: Tensor
    option: Tensor
    span: Tensor
    spans: Tensor
    outcome: Tensor

    def total(self) -> Tensor:
        """Their weighted sum."""
        return (
            2.0 * self.call
            + 0.3 * self.again
            + self.present
            + self.option
            + self.span
            + 0.5 * self.spans
            + 0.5 * self.outcome
        )


def losses(scalars: Tensor, queries: Tensor, keys: Tensor, t: Targets) -> Losses:
    """Score a batch.

    Shapes:
        scalars: (B, T, S); queries, keys: (B, T, P * d).
    """
    calls = _judged(_at(scalars, t.tools, "call"), t.called, 1 + (WRONG_CALL_WEIGHT - 1) * (1 - t.called))
    again = _judged(_at(scalars, t.tools, "again"), t.again, 0.1 + t.called)
    invented = 1 + (INVENTED_WEIGHT - 1) * (1 - t.present) * t.required
    present = _judged(_at(scalars, t.parameters, "present"), t.present, invented)

    option = scalars.sum() * 0
    if len(t.meant):
        scores = scalars[t.options[..., 0], t.options[..., 1], SCALARS.index("option")]
        option = functional.cross_entropy(scores.masked_fill(~t.option_exists, -1e4), t.meant)

    span = spans = scalars.sum() * 0
    if len(t.pointers):
        request_n = t.tokens.shape[1]
        query = queries[t.pointers[:, 0], t.pointers[:, 1]].view(-1, len(POINTERS), POINTER_D)
        key = keys[:, 1 : request_n + 1].reshape(len(keys), request_n, len(POINTERS), POINTER_D)[t.pointers[:, 0]]
        start, end, begin, inside = (torch.einsum("npd,nrpd->pnr", query, key) / POINTER_D**0.5).unbind(0)
        hidden = ~t.tokens
        span = (
            functional.cross_entropy(start.masked_fill(hidden, -1e4), t.starts)
            + functional.cross_entropy(end.masked_fill(hidden, -1e4), t.ends)
        ) / 2
        each = functional.binary_cross_entropy_with_logits
        spans = (each(begin[t.tokens], t.begins[t.tokens]) + each(inside[t.tokens], t.insides[t.tokens])) * 2

    outcome = functional.cross_entropy(scalars[:, 0, ACT : ACT + 3], t.outcomes, ignore_index=-1)
    return Losses(calls, again, present, option, span, spans, torch.nan_to_num(outcome))


def _at(scalars: Tensor, places: Tensor, name: str) -> Tensor:
    return scalars[places[:, 0], places[:, 1], SCALARS.index(name)]


def _judged(scores: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Weighted yes-or-no loss; nothing to judge is no loss."""
    each = functional.binary_cross_entropy_with_logits(scores, labels, reduction="none")
    return (each * weights).sum() / weights.sum().clamp(min=1.0)
