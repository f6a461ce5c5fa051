"""What a model bundle says of itself: every file's hash, how to run the network, how sure its answers are."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from appliance.contracts.record import Record

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
FileName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]
"""A plain name in the bundle's own folder: no path can lead out of it."""

FORMAT: Literal["appliance-bundle/1"] = "appliance-bundle/1"
"""Raised when an older appliance could no longer read a bundle rightly."""


class BundleFile(Record):
    """One file, as it was when the bundle was made."""

    sha256: Sha256
    bytes_n: int = Field(ge=0, le=64 * 2**20)


class NetworkShape(Record):
    """How the network is fed and read."""

    inputs: dict[Literal["ids", "positions", "kinds", "blocks"], str]
    """What each input means, and the name of its tensor."""

    outputs: dict[Literal["scalars", "queries", "keys"], str]
    max_tokens: int = Field(ge=64, le=4096)
    parameters_n: int = Field(ge=1)


class Scale(Record):
    """A logistic regression: named evidence to a probability."""

    bias: float
    weights: dict[str, float]


class Calibration(Record):
    """Raw scores to probabilities, fitted on rows that training never saw."""

    call: Scale
    mention: Scale
    abstain: Scale
    call_logit: float = 0.0
    """A tool is called from this score on."""

    present_logit: float = 0.0
    """A parameter counts as said from this score on."""


class Thresholds(Record):
    """What to do at which confidence; a tool's own law may ask for more."""

    act: float = Field(ge=0, le=1)
    """From here on without a question."""

    confirm: float = Field(ge=0, le=1)
    """From here on after a person's yes; below it the request is refused."""

    abstain: float = Field(ge=0, le=1)
    """Refused when nothing should act with at least this probability."""


class Tolerance(Record):
    """How far two ways of running the same bundle may differ, as measured when it was made, with some room."""

    quantized_logit: float = Field(ge=0)
    """Int8 against the float network, largest difference of a judged score."""

    runtimes_logit: float = Field(ge=0)
    """Between the two runtimes."""

    confidence: float = Field(ge=0, le=1)
    """Between the confidence on device and the one in `golden.jsonl`."""


class DataSource(Record):
    """A file that training read."""

    name: str
    sha256: Sha256
    rows_n: int = Field(ge=0)
    licence: str = ""


class Training(Record):
    """Enough to make the same bundle again."""

    command: str
    seed: int
    steps_n: int = Field(ge=0)
    rows_seen_n: int = Field(ge=0)
    warm_start: DataSource
    data: tuple[DataSource, ...]


class Manifest(Record):
    """`manifest.json` of a bundle."""

    format: Literal["appliance-bundle/1"]
    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
    version: Annotated[str, StringConstraints(pattern=r"^\d+\.\d+\.\d+$")]
    made_at: str
    """ISO 8601, UTC."""

    minimum_software: Annotated[str, StringConstraints(pattern=r"^\d+\.\d+\.\d+$")]
    files: dict[FileName, BundleFile]
    network: NetworkShape
    calibration: Calibration
    thresholds: Thresholds
    tolerance: Tolerance
    training: Training
