"""What crosses the broker: one signed wrapper, and the records that may lie in it.

Every payload is `{"key", "payload", "signature"}`: Ed25519 over the RFC 8785 bytes of `payload`. Each payload names its
own `record`, so that a signed acknowledgement can never be read as a command. docs/reference/wire.md is printed from
here.
"""

from __future__ import annotations

import json
import math
from datetime import datetime
from typing import Annotated, Any, Final, Literal, Self, TypeVar

from pydantic import AwareDatetime, Field, StringConstraints, ValidationError, model_validator

from appliance.contracts.canonical import canonical
from appliance.contracts.record import JsonObject, Record
from appliance.contracts.request import MAX_TEXT_CHARS
from appliance.contracts.rotation import SignedRotation
from appliance.contracts.topics import MAX_TOPIC_CHARS, Name
from appliance.errors import WireError

VERSION: Final = 1
MAX_MESSAGE_BYTES: Final = 256 * 1024
"""What either side accepts; batches are cut to stay below it."""

MAX_COMMAND_BYTES: Final = 64 * 1024
MAX_LAWS_BYTES: Final = 248 * 1024
"""Of the command that brings a set of laws: its texts are in it."""

MAX_COUNTER: Final = 2**53 - 1
"""The largest integer that canonical JSON carries exactly."""

CORRELATION_BYTES: Final = 16
MAX_ROTATIONS_N: Final = 64
MAX_LIFETIME_S: Final = 7 * 86_400
"""No command may be good for longer than a broker keeps it."""

FILE_NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,127}$"
"""A file's name and nothing else: no folder, nothing hidden."""
SPREAD_S: Final = 5.0
MAX_SPREAD_S: Final = 300.0
MAX_REVOKED_N: Final = 256
MAX_LAW_FILES_N: Final = 32

KeyId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
Correlation = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
Epoch = Annotated[str, StringConstraints(min_length=1, max_length=64)]
StreamName = Literal["audit", "evt"]
TopicText = Annotated[str, StringConstraints(min_length=1, max_length=MAX_TOPIC_CHARS)]
Counter = Annotated[int, Field(ge=1, le=MAX_COUNTER)]
Seq = Annotated[int, Field(ge=0, le=MAX_COUNTER)]
Hash = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class Signed(Record):
    """The wrapper of every message."""

    key: KeyId
    """Who signed: the first 16 hexadecimal digits of SHA-256 over the public key."""

    payload: JsonObject
    signature: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{128}$")]


class AskBody(Record):
    """Words, as an operator would say them."""

    kind: Literal["ask"] = "ask"
    text: Annotated[str, StringConstraints(min_length=1, max_length=MAX_TEXT_CHARS)]


class CallBody(Record):
    """A tool call; grounded and judged like any other proposal."""

    kind: Literal["call"] = "call"
    tool: Annotated[str, StringConstraints(min_length=1, max_length=128)]
    arguments: JsonObject = Field(default_factory=dict)
    because: Annotated[str, StringConstraints(max_length=500)] = ""


class PingBody(Record):
    """Are you there: answered without an act."""

    kind: Literal["ping"] = "ping"


class StopBody(Record):
    """Emergency stop: at once, latched, past every queue."""

    kind: Literal["stop"] = "stop"
    reason: Annotated[str, StringConstraints(max_length=500)] = ""


class TrustBody(Record):
    """A root of trust or a revocation list, as its signed file is; whose word it is, its own signatures say."""

    kind: Literal["trust"] = "trust"
    document: Annotated[str, StringConstraints(min_length=1, max_length=48 * 1024)]


class UpdateBody(Record):
    """Install, activate or roll back a bundle, with the checks that the device makes; nothing is fetched.

    An installation names a delivery, an activation a bundle; a return may name the bundle that is to go.
    """

    kind: Literal["update"] = "update"
    action: Literal["install", "activate", "rollback"]
    delivery: Annotated[str, StringConstraints(pattern=FILE_NAME)] | None = None
    """For `install`: a file's name in `HOME/bundles/incoming`, where somebody has put it."""

    bundle: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None
    """For `activate`: slot, name, `name/version`, or the first eight or more digits of its hash.

    For `rollback`: nothing is done where another one decides.
    """

    @model_validator(mode="after")
    def _complete(self) -> Self:
        named = (self.delivery is not None, self.bundle is not None)
        if (
            named
            not in {
                "install": [(True, False)],
                "activate": [(False, True)],
                "rollback": [(False, False), (False, True)],
            }[self.action]
        ):
            raise ValueError("install names a delivery, activate a bundle, rollback at most a bundle")
        return self


class EventBody(Record):
    """Something is said to a workflow; the law itself says whether a controller may say it."""

    kind: Literal["event"] = "event"
    event: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    workflow: Annotated[str, StringConstraints(max_length=64)] = ""
    """Which; the only one that knows the event, when empty."""


class SetConfigBody(Record):
    """A configuration, as `desired` holds it, for a controller that wants an answer to it."""

    kind: Literal["set-config"] = "set-config"
    version: Counter
    config: JsonObject = Field(default_factory=dict)
    revoked: Annotated[tuple[KeyId, ...], Field(max_length=MAX_REVOKED_N)] = ()
    restart: bool = False


class LawsBody(Record):
    """A set of laws that the device's owner signed: its files, and the owner's note over them."""

    kind: Literal["laws"] = "laws"
    files: Annotated[dict[str, str], Field(max_length=MAX_LAW_FILES_N)]
    """Text by the name of the file."""

    note: Annotated[str, StringConstraints(min_length=1, max_length=64 * 1024)]


class ExportAuditBody(Record):
    """An incident: records into one signed archive on the device; then, part by part, that archive."""

    kind: Literal["export-audit"] = "export-audit"
    requests: Annotated[tuple[str, ...], Field(max_length=64)] = ()
    """Everything of these requests."""

    after: Seq | None = None
    """Records above this number."""

    before: Seq | None = None
    """Records below this number."""

    since: AwareDatetime | None = None
    until: AwareDatetime | None = None
    note: Annotated[str, StringConstraints(max_length=500)] = ""
    """A sentence about the occasion; it stands at the head of the report."""

    fetch: Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{64})?$")] = ""
    """SHA-256 of an archive that was made before: one part of it is wanted, and nothing else of this body counts."""

    part: Annotated[int, Field(ge=0, le=100_000)] = 0


class DiagnoseBody(Record):
    """What is wrong with the device, without anybody's words, names, hosts or keys."""

    kind: Literal["diagnose"] = "diagnose"


CommandBody = Annotated[
    AskBody
    | CallBody
    | EventBody
    | PingBody
    | StopBody
    | TrustBody
    | UpdateBody
    | SetConfigBody
    | LawsBody
    | ExportAuditBody
    | DiagnoseBody,
    Field(discriminator="kind"),
]


def right_of(body: CommandBody) -> str:
    """Return what a role must hold for *body*: its kind, and of an update also what is to be done."""
    return f"{body.kind} {body.action}" if isinstance(body, UpdateBody) else body.kind


class Command(Record):
    """What a controller wants, as it signed it."""

    record: Literal["command"] = "command"
    version: Literal[1] = 1
    audience: Name
    """The device, or `all`."""

    issuer: KeyId
    correlation: Correlation
    """Equal to the MQTT correlation data; signed, so that no broker can move an answer."""

    counter: Counter
    """Never used twice by an issuer for an audience; a device keeps a window of 1,024, and one for `all`."""

    issued_at: AwareDatetime
    expires_at: AwareDatetime
    """What counts; the MQTT expiry only bounds the broker's queue."""

    response_topic: TopicText
    nonce: Annotated[str, StringConstraints(max_length=64)] | None = None
    """The boot nonce of the device's `state`; needed to act while the device's time is untrusted."""

    spread_s: Annotated[float, Field(ge=0, le=MAX_SPREAD_S)] = SPREAD_S
    """Of a command to `all`: over how long its devices spread their answers."""

    body: CommandBody


class Desired(Record):
    """The configuration that a controller wants, retained: the only retained thing that a device obeys.

    A version is obeyed once; a higher one takes its place whole.
    """

    record: Literal["desired"] = "desired"
    form: Literal[1] = 1
    audience: Name
    issuer: KeyId
    version: Counter
    """Of the configuration; grows with every change."""

    issued_at: AwareDatetime
    config: JsonObject = Field(default_factory=dict)
    """Sections and keys as in appliance.toml, those that may be set from afar; what is left out is as it is locally."""

    revoked: Annotated[tuple[KeyId, ...], Field(max_length=MAX_REVOKED_N)] = ()
    """Keys of controllers that the device never listens to again; the list only grows."""

    restart: bool = False
    """Begin again at once, should that be needed: outputs are driven safe by it. Else the next start counts."""


class Reported(Record):
    """The configuration in force, retained."""

    record: Literal["reported"] = "reported"
    form: Literal[1] = 1
    site: Name
    device: Name
    version: Seq
    """Of the newest configuration that is wholly in force; 0 for none."""

    accepted: Seq
    """Of the newest one that was accepted; above `version` while `pending` waits for a start."""

    config: JsonObject
    """Every key that may be set from afar, with the value in force."""

    hash: Hash
    """SHA-256 over the canonical JSON of `config`."""

    pending: tuple[str, ...] = ()
    """Keys that get their new value at the next start."""

    conflicts: tuple[JsonObject, ...] = ()
    """Keys that the device's own file sets, which wins: `key`, `desired`, `local`."""

    refused: JsonObject = Field(default_factory=dict)
    """The newest configuration that was refused, if any: `version`, `code`, `text`."""

    revoked: tuple[KeyId, ...] = ()
    at: AwareDatetime


LifeCycle = Literal["received", "accepted", "rejected", "executed", "failed", "expired", "indeterminate"]

FINAL: Final = frozenset({"rejected", "executed", "failed", "expired", "indeterminate"})
"""After one of these no other answer to the same command comes."""


class Response(Record):
    """What became of a command so far."""

    record: Literal["response"] = "response"
    version: Literal[1] = 1
    device: Name
    correlation: Correlation
    request_id: str | None = None
    life: LifeCycle
    status: Annotated[int, Field(ge=100, le=599)]
    """As in HTTP: 2xx good, 4xx the command's fault, 5xx the device's."""

    code: str
    """For machines: see the table of codes."""

    text: str = ""
    """For people."""

    result: JsonObject = Field(default_factory=dict)
    at: AwareDatetime


DeviceWord = Literal["ready", "updating", "degraded", "locked", "disconnected", "lost"]


class State(Record):
    """How the device is, retained; the last will is the same record with `lost`."""

    record: Literal["state"] = "state"
    version: Literal[1] = 1
    site: Name
    device: Name
    state: DeviceWord
    boot: Annotated[int, Field(ge=0)]
    """Counts starts: a will of an earlier boot is stale."""

    session: Annotated[int, Field(ge=0)] = 0
    """Counts connections within the boot: a will of an earlier connection is stale too."""

    nonce: str
    """Random for each boot; quoted by commands while time is untrusted."""

    time: Literal["trusted", "untrusted"]
    epoch: Epoch
    counters: dict[KeyId, Counter] = Field(default_factory=dict)
    """The highest counter seen of each issuer, for a controller restored from a backup."""

    group_counters: dict[KeyId, Counter] = Field(default_factory=dict)
    """The same of what was for `all`."""

    at: AwareDatetime


class Desc(Record):
    """What the device is, retained."""

    record: Literal["desc"] = "desc"
    version: Literal[1] = 1
    site: Name
    device: Name
    software: str
    schema_version: int = VERSION
    epoch: Epoch
    bundle: JsonObject = Field(default_factory=dict)
    """Name and sha256 of the model bundle."""

    tools: tuple[JsonObject, ...] = ()
    """Each with name, description and JSON Schema."""

    boot: Annotated[int, Field(ge=0)] = 0
    """Counts starts, as in `state`: a description of an earlier one is stale."""

    at: AwareDatetime


class Keys(Record):
    """Every change of the device's key, retained; signed with the present key, which they lead to."""

    record: Literal["keys"] = "keys"
    version: Literal[1] = 1
    site: Name
    device: Name
    rotations: Annotated[tuple[SignedRotation, ...], Field(max_length=MAX_ROTATIONS_N)]
    """The newest ones, oldest first; a controller that knows none of their keys must enrol the device again."""

    at: AwareDatetime


class Item(Record):
    """One record of a stream."""

    seq: Annotated[int, Field(ge=1, le=MAX_COUNTER)]
    id: str
    kind: str
    at: datetime
    body: JsonObject
    """For `audit`: `{"body": the hashed text}`, whose leaf is SHA-256 over a zero byte and its bytes; with `personal`
    beside it when the site shares words, and `{"leaf": ...}` alone when it shares counts only."""


class Batch(Record):
    """Consecutive records of one stream; (device, epoch, stream, seq) names each of them for ever."""

    record: Literal["batch"] = "batch"
    version: Literal[1] = 1
    device: Name
    epoch: Epoch
    stream: StreamName
    after: Seq
    """The last number before this batch: between it and the first item there is nothing."""

    floor: Seq
    """What the controllers have acknowledged: nothing up to here is sent again."""

    items: Annotated[tuple[Item, ...], Field(min_length=1, max_length=1000)]
    before: Annotated[tuple[Hash, ...], Field(max_length=64)] | None = None
    """For `audit`, where a controller may lack what came before: the roots of the complete runs of records that make
    up everything before the first item, largest first. A later signed checkpoint proves them right or wrong."""


class Ack(Record):
    """Everything up to `upto` is committed at the controller; the device may delete it."""

    record: Literal["ack"] = "ack"
    version: Literal[1] = 1
    audience: Name
    issuer: KeyId
    stream: StreamName
    epoch: Epoch
    upto: Seq
    resume: bool = False
    """Send again from the next one: something between was missed."""

    of: Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{64})?$")] = ""
    """The name of record `upto` (`receipts`): a device frees nothing for a history that is not its own. Empty with
    `upto` 0, and from a controller older than this field, which is believed by its number alone."""


Payload = Command | Desired | Response | State | Desc | Keys | Reported | Batch | Ack
_R = TypeVar("_R", bound=Record)


def parse_signed(data: bytes, *, limit_bytes: int = MAX_MESSAGE_BYTES) -> Signed:
    """Read the wrapper; the signature is not checked here.

    Raises:
        WireError: too long, not JSON, a key twice, or not a wrapper.
    """
    if len(data) > limit_bytes:
        raise WireError(f"a message of {len(data)} bytes; at most {limit_bytes}")
    try:
        value = json.loads(
            data,
            object_pairs_hook=_each_once,
            parse_constant=_no_constant,
            parse_int=_exact,
            parse_float=_finite,
        )
    except (ValueError, RecursionError) as error:
        raise WireError(f"not JSON as we accept it: {str(error)[:200]}") from error
    try:
        return Signed.model_validate(value)
    except ValidationError as error:
        raise WireError(f"not a signed message: {_first(error)}") from error


def parse_payload(signed: Signed, record: type[_R], said: bytes | None = None) -> _R:
    """Read a verified payload as *record*; *said* are its bytes, where the caller has them.

    Raises:
        WireError: a field is missing, unknown or of another type; the message names it.
    """
    try:
        return record.model_validate_json(canonical(signed.payload) if said is None else said)
    except ValidationError as error:
        raise WireError(f"not a {record.__name__.lower()}: {_first(error)}") from error


def payload_of(record: Payload) -> JsonObject:
    """Return *record* as the JSON object that is signed."""
    return record.model_dump(mode="json")


def _first(error: ValidationError) -> str:
    fault = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(str(part) for part in fault["loc"]) or "the message"
    return f"{place[:120]}: {fault['msg'][:200]}"


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object has the same key twice")
    return found


def _exact(text: str) -> int:
    number = int(text[:20])
    if abs(number) > MAX_COUNTER:
        raise ValueError(f"{text[:40]} is beyond 2**53, where JSON has no exact numbers")
    return number


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text[:40]} is larger than any number")
    return number


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")
