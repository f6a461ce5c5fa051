"""Requests with the answers that the float network gave, to be answered again by the int8 network on a device.

Source:
    The idea is llm.c's: one implementation writes what it computed, the other must reproduce it within a stated
    tolerance.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from pydantic import ValidationError

from appliance.contracts.canary import Tool
from appliance.contracts.record import Record
from appliance.contracts.toolcall import Proposal, ToolCall
from appliance.contracts.toolspec import ToolSpec
from appliance.errors import BundleError, ToolSchemaError

MAX_LINE_BYTES: Final = 256 * 1024
MAX_LINES_N: Final = 2000


class Golden(Record):
    """One line of `golden.jsonl`."""

    request: str
    tools: tuple[Tool, ...]
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


def read(path: Path) -> Iterator[Golden]:
    """Yield the lines of a golden file.

    Raises:
        BundleError: it cannot be read; the message names the line.
    """
    try:
        with path.open("rb") as file:
            for number in range(1, MAX_LINES_N + 1):
                line = file.readline(MAX_LINE_BYTES + 1)
                if not line:
                    return
                found = Golden.model_validate_json(line)
                if not found.specs:
                    raise BundleError(f"{path.name}, line {number}: a golden answer without tools says nothing")
                yield found
            if file.readline(1):
                raise BundleError(f"{path.name} has more than {MAX_LINES_N} lines")
    except OSError as fault:
        raise BundleError(f"{path.name} cannot be read: {fault.strerror}") from fault
    except (ValidationError, ToolSchemaError) as fault:
        what = fault.errors()[0]["msg"] if isinstance(fault, ValidationError) else str(fault)
        raise BundleError(f"{path.name}, line {number}: {what}") from fault


def difference(a: Proposal, b: Proposal) -> Difference:
    """Compare two proposals."""
    same = words(a.calls) == words(b.calls)
    if not same or not a.calls:
        return Difference(same, abs(a.abstain - b.abstain))
    return Difference(same, max(abs(x.confidence - y.confidence) for x, y in zip(a.calls, b.calls, strict=True)))


def words(calls: Sequence[ToolCall]) -> list[tuple[str, dict[str, object]]]:
    """What calls say, without how surely: of each argument its option, or else its words."""
    return [(c.tool, {n: m.spans if m.option is None else m.option for n, m in c.mentions.items()}) for c in calls]
