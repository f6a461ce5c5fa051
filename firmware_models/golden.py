"""Requests with the answers that the float network gave, replayed on the device's int8 network.

Source:
    The idea is llm.c's: one implementation writes what it computed, the other must reproduce it within a stated
    tolerance.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from appliance.contracts.record import Record
from appliance.contracts.toolcall import Proposal, ToolCall
from appliance.contracts.toolspec import ToolSpec
from appliance.inference.decoder import Decoder
from firmware_models.rows import Declaration, Row


class Golden(Record):
    """One line of `golden.jsonl`."""

    request: str
    tools: tuple[Declaration, ...]
    proposal: Proposal
    """What the float network proposed, timings left out."""

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        """The tools, parsed."""
        return tuple(ToolSpec.from_schema(t.name, t.description, t.parameters) for t in self.tools)


class Difference(NamedTuple):
    """How two proposals for one request differ."""

    same: bool
    """Same tools, same words, same options, in the same order."""

    confidence: float
    """Largest difference of a call's confidence; of abstaining, where neither calls."""


def write(path: Path, decoder: Decoder, data: Iterable[Row]) -> int:
    """Write what *decoder* proposes for *data*; returns how many lines."""
    lines = [
        Golden(
            request=row.line.request, tools=row.line.tools, proposal=decoder.propose(row.line.request, row.tools)
        ).model_dump_json()
        for row in data
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return len(lines)


def read(path: Path) -> Iterator[Golden]:
    """Yield the lines of a golden file."""
    with path.open("rb") as lines:
        for line in lines:
            yield Golden.model_validate_json(line)


def difference(a: Proposal, b: Proposal) -> Difference:
    """Compare two proposals."""
    same = words(a.calls) == words(b.calls)
    if not same or not a.calls:
        return Difference(same, abs(a.abstain - b.abstain))
    return Difference(same, max(abs(x.confidence - y.confidence) for x, y in zip(a.calls, b.calls, strict=True)))


def words(calls: Sequence[ToolCall]) -> list[tuple[str, dict[str, object]]]:
    """What calls say, without how surely: of each argument its option, or else its words."""
    return [(c.tool, {n: m.spans if m.option is None else m.option for n, m in c.mentions.items()}) for c in calls]
