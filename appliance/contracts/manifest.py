"""What a model bundle says of itself: every file's hash, how to run the network, how sure its answers are."""

from typing import Annotated, Final, Literal

from pydantic import AwareDatetime, Field, StringConstraints

from appliance.contracts.record import Record

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
FileName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]
"""A plain name in the bundle's own folder: no path can lead out of it."""

BundleName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]

FORMAT: Literal["appliance-bundle/2"] = "appliance-bundle/2"
"""Raised when an older appliance could no longer read a bundle rightly."""

MAX_RELEASE: Final = 2**31 - 1
Release = Annotated[int, Field(ge=1, le=MAX_RELEASE)]


class BundleFile(Record):
    """One file, as it was when the bundle was made."""

    sha256: Sha256
    """Of its bytes, in lower-case hexadecimal."""

    bytes_n: int = Field(ge=0, le=64 * 2**20)
    """How many bytes it has."""


class NetworkShape(Record):
    """How the network is fed and read."""

    inputs: dict[Literal["ids", "positions", "kinds", "blocks"], str]
    """What each input means, and the name of its tensor."""

    outputs: dict[Literal["scalars", "queries", "keys"], str]
    """What each output means, and the name of its tensor."""

    max_tokens: int = Field(ge=64, le=4096)
    """Tokens of a request together with its tools; what is longer is refused."""

    parameters_n: int = Field(ge=1)
    """Weights of the network; told to people, checked by nothing."""


class Scale(Record):
    """A logistic regression: named evidence to a probability."""

    bias: float
    """Log-odds where no evidence speaks."""

    weights: dict[str, float]
    """By the name of a piece of evidence: what one unit of it adds to the log-odds."""


class Calibration(Record):
    """Raw scores to probabilities, fitted on rows that training never saw."""

    call: Scale
    """Of a whole call, with its arguments."""

    mention: Scale
    """Of the words that fill one parameter."""

    abstain: Scale
    """That nothing should act on the request."""

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
    """What people call it."""

    sha256: Sha256
    """Of the file."""

    rows_n: int = Field(ge=0)
    """Rows that were read of it."""

    licence: str = ""
    """SPDX identifier, or words; empty where it is our own."""


class Training(Record):
    """Enough to make the same bundle again."""

    command: str
    """What was typed."""

    seed: int
    """Of every choice that chance made."""

    steps_n: int = Field(ge=0)
    """Steps of the optimizer."""

    rows_seen_n: int = Field(ge=0)
    """Rows that it learned from, repeated ones counted again."""

    warm_start: DataSource
    """The weights that it began with."""

    data: tuple[DataSource, ...]
    """Every file that it learned from."""


class Manifest(Record):
    """`manifest.json` of a bundle."""

    format: Literal["appliance-bundle/2"]
    """Of the bundle; a device refuses one that it does not know. Frozen: a change of this table is another format."""

    name: BundleName
    """What it is called through all its releases; numbers are compared within a name."""

    version: Annotated[str, StringConstraints(pattern=r"^\d+\.\d+\.\d+$")]
    """For people; what a device compares is `release`."""

    release: Release
    """Grows by one with every release of this name and never falls: a device takes no lower one than it has had."""

    made_at: str
    """ISO 8601, UTC."""

    expires_at: AwareDatetime
    """From then on no device installs or activates it; one that runs it goes on."""

    minimum_software: Annotated[str, StringConstraints(pattern=r"^\d+\.\d+\.\d+$")]
    """The oldest appliance that reads it rightly."""

    minimum_revocations: int = Field(default=0, ge=0, le=MAX_RELEASE)
    """Number of the newest revocation list when this was made: a device that was not given that one takes it first."""

    files: dict[FileName, BundleFile]
    """Every file of the folder but this one; no other may lie there."""

    network: NetworkShape
    """How the network is fed and read; see below."""

    calibration: Calibration
    """How its scores become probabilities; see below."""

    thresholds: Thresholds
    """What to do at which confidence; see below."""

    tolerance: Tolerance
    """How far its golden answers may be missed; see below."""

    training: Training
    """Enough to make the same bundle again; see below."""
