"""Many tools to the few that a request may mean.

The network's own call score decides, group of tools by group: a tool's block sees the request and itself, so its
score hardly depends on which other tools happen to stand beside it. Every group costs one look; nothing is cut in
silence, because every tool is looked at.
"""

from collections.abc import Sequence
from typing import Final

from appliance.contracts.toolcall import Candidate
from appliance.contracts.toolspec import ToolSpec
from appliance.inference import readings
from appliance.inference.encoding import Encoder
from appliance.inference.interpreter import Scorer

SHORTLIST_N: Final = 8
"""More than any request means, fewer than a look can hold."""


def fits(encoder: Encoder, text: str, tools: Sequence[ToolSpec]) -> bool:
    """Whether one look can hold *text* and all *tools*."""
    return (
        len(encoder.tokenizer.tokens(text)) + 2 + sum(encoder.tokens_of(tool) for tool in tools) <= encoder.max_tokens
    )


def shortlist(
    encoder: Encoder, scorer: Scorer, text: str, tools: Sequence[ToolSpec]
) -> tuple[list[ToolSpec], list[Candidate]]:
    """The tools most likely meant, in the order given, as many as one look can hold; and the score of every tool.

    Raises:
        InputTooLong: the request does not fit together with one of the tools alone.
    """
    scored: list[tuple[float, int]] = []
    for group in _groups(encoder, text, tools):
        encoded = encoder.encode(text, [tools[place] for place in group])
        answer = scorer.score(encoded)
        scored += [
            (readings.scalar(answer, "call", p.marker), place) for p, place in zip(encoded.tools, group, strict=True)
        ]
    scored.sort(key=lambda pair: (-pair[0], pair[1]))
    chosen: list[int] = []
    for _, place in scored[:SHORTLIST_N]:
        if fits(encoder, text, [tools[p] for p in (*chosen, place)]):
            chosen.append(place)
    candidates = [Candidate(tools[place].name, readings.sigmoid(score)) for score, place in scored]
    return [tools[place] for place in sorted(chosen)], candidates


def _groups(encoder: Encoder, text: str, tools: Sequence[ToolSpec]) -> list[list[int]]:
    """Places of tools, cut so that each group fits one look; one that fits none stands alone, and `encode` says so."""
    room = encoder.max_tokens - len(encoder.tokenizer.tokens(text)) - 2
    groups: list[list[int]] = [[]]
    filled = 0
    for place, tool in enumerate(tools):
        cost = encoder.tokens_of(tool)
        if groups[-1] and filled + cost > room:
            groups.append([])
            filled = 0
        groups[-1].append(place)
        filled += cost
    return groups
