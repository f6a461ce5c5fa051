"""What goes into the cage and what comes out of it: typed, bounded, one line each way.

The parent writes one `Errand` into the child's standard input. The child answers on its standard output, a record a
line: `Caged`, `Ready`, an `Answered` for every request in order, `Finished`; or `Failed`, and nothing after it.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field, TypeAdapter

from appliance.contracts.record import Record
from appliance.contracts.toolcall import Proposal
from appliance.contracts.toolspec import ToolSpec

MAX_LINE_BYTES: Final = 256 * 1024
"""A proposal with every candidate of a long catalogue takes a tenth of it."""


class Asked(Record):
    """A request, and the number of the catalogue that it is read against."""

    text: str
    catalogue: int = Field(ge=0)


class Errand(Record):
    """Everything that the child is told."""

    folder: str
    runtime: str
    catalogues: tuple[tuple[ToolSpec, ...], ...]
    asked: tuple[Asked, ...]
    address_space_mb: int
    cpu_s: int
    niceness: int
    least: bool = True
    """Whether to refuse the errand where confinement is not enough."""


class Caged(Record):
    """The child has given up its rights: what goes wrong from here on, the bundle did."""

    say: Literal["caged"] = "caged"


class Ready(Record):
    """The bundle is loaded."""

    say: Literal["ready"] = "ready"
    runtime: str
    held: tuple[str, ...]
    loading_ms: float
    """Of processor time."""


class Answered(Record):
    """What the bundle proposes for one request."""

    say: Literal["answered"] = "answered"
    proposal: Proposal | None = None
    too_long: str = ""
    """Why there is no proposal: request and tools do not fit."""

    took_ms: float = Field(ge=0)
    """Of processor time."""


class Finished(Record):
    """Every request is answered; the child waits to be looked at and killed."""

    say: Literal["finished"] = "finished"


class Failed(Record):
    """The bundle cannot be run; the reason is for a person."""

    say: Literal["failed"] = "failed"
    reason: str = Field(max_length=2000)


Told = Caged | Ready | Answered | Finished | Failed
TOLD: Final[TypeAdapter[Told]] = TypeAdapter(Annotated[Told, Field(discriminator="say")])
