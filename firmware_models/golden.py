"""Writes the golden file of a bundle: requests with the answers that the float network gave.

`appliance.canary.golden` reads it again on the device.
"""

from collections.abc import Iterable
from pathlib import Path

from appliance.canary.golden import Golden, difference, read, words
from appliance.contracts.canary import Tool
from appliance.inference.decoder import Decoder
from firmware_models.rows import Row

__all__ = ["Golden", "difference", "read", "words", "write"]


def write(path: Path, decoder: Decoder, data: Iterable[Row]) -> int:
    """Write what *decoder* proposes for *data*; returns how many lines."""
    lines = [
        Golden(
            request=row.line.request,
            tools=tuple(Tool(**dict(tool)) for tool in row.line.tools),
            proposal=decoder.propose(row.line.request, row.tools),
        ).model_dump_json()
        for row in data
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return len(lines)
