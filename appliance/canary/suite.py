"""A canary file to cases, strictly: a bundle brings its own, and a bundle is not to be trusted."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

from pydantic import ValidationError

from appliance.contracts.canary import CANARY_LINE, CaseLine, CatalogueLine
from appliance.contracts.toolspec import ToolSpec
from appliance.errors import BundleError, ToolSchemaError

OWN: Final = Path(__file__).with_name("suite.jsonl")
"""The suite that comes with the software; no bundle can leave anything of it out."""

MAX_BYTES: Final = 8 * 2**20
MAX_LINES_N: Final = 5000


class Case(NamedTuple):
    """A request, with its tools parsed."""

    number: int
    line: CaseLine
    catalogue: int
    tools: tuple[ToolSpec, ...]


class Suite(NamedTuple):
    """Cases, and the catalogues that they are asked of."""

    catalogues: tuple[tuple[ToolSpec, ...], ...]
    cases: tuple[Case, ...]


def read(path: Path) -> Suite:
    """Read a canary file.

    Raises:
        BundleError: it cannot be read; the message names the line.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as fault:
        raise BundleError(f"{path.name} cannot be read: {fault.strerror}") from fault
    lines = raw.splitlines()
    if len(raw) > MAX_BYTES or len(lines) > MAX_LINES_N:
        raise BundleError(f"{path.name} is larger than {MAX_BYTES} bytes or {MAX_LINES_N} lines")
    catalogues: list[tuple[ToolSpec, ...]] = []
    places: dict[str, int] = {}
    cases: list[Case] = []
    for number, text in enumerate(lines, start=1):
        try:
            line = CANARY_LINE.validate_json(text)
            if isinstance(line, CatalogueLine):
                places[line.name] = len(catalogues)
                catalogues.append(tuple(ToolSpec.from_schema(t.name, t.description, t.parameters) for t in line.tools))
                continue
        except (ValidationError, ToolSchemaError) as fault:
            what = fault.errors()[0]["msg"] if isinstance(fault, ValidationError) else str(fault)
            raise BundleError(f"{path.name}, line {number}: {what}") from fault
        if line.catalogue not in places:
            raise BundleError(f"{path.name}, line {number}: no catalogue {line.catalogue!r} stands before it")
        place = places[line.catalogue]
        cases.append(Case(number, line, place, catalogues[place]))
    return Suite(tuple(catalogues), tuple(cases))
