"""What a rollout's file may say: what is to come to which devices, in which rings, and what would be too bad.

Covers: every key, its type and its bounds; what belongs together. Does not cover: whether the devices exist; `rings`
finds them when it is planned.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Final, Self

from pydantic import AfterValidator, Field, StringConstraints, TypeAdapter, ValidationError, model_validator

from appliance.contracts.envelope import MAX_LIFETIME_S, CommandBody
from appliance.contracts.record import JsonObject, Record
from appliance.contracts.topics import Name
from appliance.errors import UsageError
from appliance.fleet import selecting

MOST_RINGS_N: Final = 32
MOST_STEPS_N: Final = 8

_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_COMMANDS: Final[TypeAdapter[tuple[CommandBody, ...]]] = TypeAdapter(tuple[CommandBody, ...])

Duration = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,6}[smhd]$")]
"""A number with s, m, h or d: `90s`, `2h`, `7d`."""

Share = Annotated[float, Field(ge=0, le=1)]


def _readable(text: str) -> str:
    try:
        selecting.parse(text)
    except UsageError as error:
        raise ValueError(str(error)) from None
    return text


SelectionText = Annotated[str, StringConstraints(min_length=1, max_length=4000), AfterValidator(_readable)]
"""As `fleet send` takes it: `all`, a device, or `tag=workshop,state=ready`."""


class Bundle(Record):
    """A bundle: installed, activated, or first the one and then the other.

    Where a root of trust has a cooldown, a bundle must have lain in a device for that long before it may be activated:
    that is two rollouts, one of the delivery and one of the activation.
    """

    delivery: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None
    """To be installed: a file's name in the devices' `bundles/incoming`."""

    activate: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None
    """To decide: `name/version`, or the first eight or more digits of its hash. Where it returns, this one goes."""

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.delivery is None and self.activate is None:
            raise ValueError("say delivery, activate or both")
        return self


class What(Record):
    """What each device is told: one of the three."""

    commands: Annotated[tuple[CommandBody, ...], Field(min_length=1, max_length=MOST_STEPS_N)] | None = None
    """In order, each after the one before was carried out; as docs/reference/wire.md has them."""

    configuration: JsonObject | None = None
    """Keys that are set on top of what is wanted of the device already; null leaves a key to the device."""

    bundle: Bundle | None = None
    restart: bool = False
    """Of a configuration: begin again at once where it needs that."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        given = [name for name in ("commands", "configuration", "bundle") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError("say one of commands, configuration, bundle")
        if self.restart and self.configuration is None:
            raise ValueError("restart belongs to a configuration")
        for section, keys in (self.configuration or {}).items():
            if not isinstance(keys, dict):
                raise ValueError(f"configuration.{section[:64]}: a section with keys is wanted")  # noqa: TRY004 -- pydantic's
        self.steps()
        return self

    def steps(self) -> tuple[CommandBody, ...]:
        """Return the commands that this comes to; none for a configuration."""
        if self.bundle is not None:
            return _bodies(installing(self.bundle))
        return self.commands or ()


class Undo(Record):
    """How a device takes it back; a configuration and a bundle know that themselves."""

    commands: Annotated[tuple[CommandBody, ...], Field(min_length=1, max_length=1)]


class Expect(Record):
    """What would be too bad, of one ring; a share that is left out is not judged."""

    success: Share = 0.95
    """At least so many of the devices that answered."""

    unreached: Share = 0.5
    """At most so many of the ring's devices without an answer in time."""

    unwell: Share = 0.02
    """At most so many of those that did it with an alarm afterwards: lost, degraded, stopped, sent back, in doubt."""

    refusals: Share | None = None
    """At most so many of the requests that these devices had afterwards."""

    failures: Share | None = None
    corrections: Share | None = None
    """At most so many of their decisions: taken back, or put right by hand."""

    least_devices: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    """Before so many have done it, alarms stop nothing but at the end of the soak."""

    least_requests: Annotated[int, Field(ge=1, le=1_000_000_000)] = 20
    """Below so many no share of requests is judged; the soak goes on until they are there."""

    patience: Duration = "1d"
    """For so long after the soak; then it halts, because nothing is known."""


class Ring(Record):
    """The devices that are told together; those of an earlier ring are not told again."""

    name: Name
    percent: Annotated[float, Field(gt=0, le=100)] | None = None
    """The first so many, in the order of this rollout's hash; counted from 0, so that rings grow: 5, 25, 100."""

    where: SelectionText | None = None
    soak: Duration = "0s"
    """How long what they report is watched before the next ring."""

    expect: Expect | None = None
    """Instead of the rollout's own."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.percent is None) == (self.where is None):
            raise ValueError("say either percent or where")
        return self


class Rollout(Record):
    """The whole file."""

    rollout: Name
    """Its name: used once, and part of which device is in which ring."""

    what: What
    among: SelectionText = "all"
    rings: Annotated[tuple[Ring, ...], Field(min_length=1, max_length=MOST_RINGS_N)]
    answer_within: Duration = "1h"
    """How long a command is good for; a device that is away for longer is `unreached`."""

    expect: Expect = Expect()
    undo: Undo | None = None
    return_when_halted: bool = False
    """Tell those that did it to take it back, as soon as something is too bad."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if len({ring.name for ring in self.rings}) != len(self.rings):
            raise ValueError("two rings have the same name")
        if not 1 <= seconds(self.answer_within) <= MAX_LIFETIME_S:
            raise ValueError(
                f"answer_within: from 1s to {MAX_LIFETIME_S // 86_400}d, as long as a broker keeps a command"
            )
        if self.undo is not None and self.what.commands is None:
            raise ValueError("undo: a configuration and a bundle know themselves how they are taken back")
        if self.return_when_halted and not self.returns:
            raise ValueError("return_when_halted: say under undo how a device takes it back")
        return self

    @property
    def returns(self) -> bool:
        """Whether it is known how a device takes it back; what only lies there decides nothing, and stays."""
        if self.what.bundle is not None:
            return self.what.bundle.activate is not None
        return self.what.commands is None or self.undo is not None

    def undoing(self) -> tuple[CommandBody, ...]:
        """Return the commands that take it back; none for a configuration."""
        if self.what.bundle is not None:
            # Named: a device that has sent it back by itself must not go back one further.
            return _bodies(({"kind": "update", "action": "rollback", "bundle": self.what.bundle.activate},))
        return () if self.undo is None else self.undo.commands

    def expected(self, ring: int) -> Expect:
        """Return what would be too bad in the ring with this number."""
        return self.rings[ring].expect or self.expect


def installing(bundle: Bundle) -> tuple[JsonObject, ...]:
    """Return the commands that bring a bundle to a device, and into force."""
    found: list[JsonObject] = []
    if bundle.delivery is not None:
        found.append({"kind": "update", "action": "install", "delivery": bundle.delivery})
    if bundle.activate is not None:
        found.append({"kind": "update", "action": "activate", "bundle": bundle.activate})
    return tuple(found)


def seconds(duration: Duration) -> float:
    """Return a duration in seconds."""
    return timedelta(**{_UNITS[duration[-1]]: int(duration[:-1])}).total_seconds()


def _bodies(commands: tuple[JsonObject, ...]) -> tuple[CommandBody, ...]:
    try:
        return _COMMANDS.validate_python(commands)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False, include_context=False)[0]
        raise ValueError(f"bundle: {fault['msg'][:200]}") from None
