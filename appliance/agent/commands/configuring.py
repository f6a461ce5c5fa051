"""The configuration that the fleet wants: taken whole, once for each version, and reported as it is in force.

Covers: a version that was had, an older one, the same one with other content; wishes that are the owner's alone or
break a bound; keys that the owner's own file sets (reported, not overridden); keys of controllers that are revoked
with it.
Does not cover: what may be wished for; `Wishes` knows. A wish counts from the next start on, as the owner's own does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from appliance.agent.commands.deeds import Done
from appliance.agent.downlink_memory import Memory
from appliance.agent.refusals import Codes, Refused
from appliance.contracts.canonical import digest
from appliance.contracts.clock import Clock
from appliance.contracts.envelope import Command, Desired, Reported, SetConfigBody
from appliance.contracts.record import JsonObject


class Judged(Protocol):
    """What a wish comes to."""

    @property
    def complaints(self) -> tuple[str, ...]:
        """Why it cannot be taken."""

    @property
    def owners(self) -> tuple[str, ...]:
        """Keys in it that are the owner's alone."""

    @property
    def conflicts(self) -> tuple[JsonObject, ...]:
        """Keys that the owner's own file sets to something else."""

    @property
    def pending(self) -> tuple[str, ...]:
        """Keys that get another value at the next start."""


class Wishes(Protocol):
    """The fleet's wishes beside the owner's settings."""

    @property
    def began_with(self) -> Desired | None:
        """The wish that this start was begun with."""

    def newest(self) -> Desired | None:
        """Return the wish that is kept now."""

    def keep(self, wanted: Desired) -> None:
        """Let *wanted* count from the next start."""

    def judge(self, config: JsonObject) -> Judged:
        """Say what *config* would come to."""

    def in_force(self) -> JsonObject:
        """Return every key that may be set from afar, with its value of now."""


class _No(NamedTuple):
    version: int
    code: Codes
    text: str


class Configuring:
    """Takes configurations for one device; called by the downlink, one at a time, and asked by the uplink."""

    def __init__(
        self,
        wishes: Wishes,
        memory: Callable[[], Memory],
        *,
        site: str,
        device: str,
        clock: Clock,
        restart: Callable[[], None],
        changed: Callable[[], None],
    ) -> None:
        self._wishes = wishes
        self._memory = memory
        self._site, self._device = site, device
        self._clock = clock
        self._restart = restart
        self._changed = changed
        self._no: _No | None = None

    def command(self, command: Command) -> Done:
        """Take a configuration from a command."""
        body = command.body
        assert isinstance(body, SetConfigBody)
        wanted = Desired(
            audience=command.audience,
            issuer=command.issuer,
            version=body.version,
            issued_at=command.issued_at,
            config=body.config,
            revoked=body.revoked,
            restart=body.restart,
        )
        return self.take(wanted)

    def knows(self, wanted: Desired) -> bool:
        """Tell whether *wanted* was taken already: what stands at the broker comes again with every new session."""
        newest = self._wishes.newest()
        had = newest is not None and newest.version == wanted.version == self._memory().desired
        return had and newest is not None and _content(newest) == _content(wanted)

    def take(self, wanted: Desired) -> Done:
        """Let *wanted* count, or say why not.

        Raises:
            Refused: an old version, a used one, or one that cannot be taken.
            StorageError: it cannot be kept.
        """
        try:
            return self._take(wanted)
        except Refused as refused:
            self._no = _No(wanted.version, refused.code, str(refused))
            self._changed()
            raise

    def reported(self) -> Reported:
        """Return what is in force now."""
        config = self._wishes.in_force()
        began, newest = self._wishes.began_with, self._wishes.newest()
        judged = self._wishes.judge({} if newest is None else newest.config)
        accepted = 0 if newest is None else newest.version
        version = accepted if not judged.pending else 0 if began is None else began.version
        no = self._no
        return Reported(
            site=self._site,
            device=self._device,
            version=version,
            accepted=accepted,
            config=config,
            hash=digest(config),
            pending=judged.pending,
            conflicts=judged.conflicts,
            refused={} if no is None else {"version": no.version, "code": no.code.word, "text": no.text[:500]},
            revoked=tuple(sorted(self._memory().revoked)),
            at=self._clock.now(),
        )

    def _take(self, wanted: Desired) -> Done:
        memory, newest = self._memory(), self._wishes.newest()
        if wanted.version < memory.desired:
            text = f"version {wanted.version} is older than {memory.desired}, which this device has had"
            raise Refused(Codes.OLD_VERSION, text, wanted.issuer)
        is_had = wanted.version == memory.desired and newest is not None and newest.version == wanted.version
        if is_had and newest is not None and _content(newest) != _content(wanted):
            text = f"version {wanted.version} was something else; a change takes a higher one"
            raise Refused(Codes.OTHER_VERSION, text, wanted.issuer)
        judged = self._wishes.judge(wanted.config)
        if judged.complaints:
            code = Codes.OWNER_ONLY if judged.owners else Codes.BAD_CONFIG
            raise Refused(code, "; ".join(judged.complaints)[:400], wanted.issuer)
        if not is_had:
            self._wishes.keep(wanted)
            memory.accept(wanted.version, wanted.revoked)
        self._no = None
        self._changed()
        if judged.pending and wanted.restart and not is_had:
            self._restart()
        when = "; the rest counts from the next start" if judged.pending else ""
        told: JsonObject = {
            "version": wanted.version,
            "pending": list(judged.pending),
            "conflicts": list(judged.conflicts),
        }
        facts: JsonObject = {**told, "revoked": list(wanted.revoked), "sha256": digest(wanted.config)}
        return Done("executed", 200, "configured", f"Version {wanted.version} is accepted{when}.", told, facts)


def _content(wanted: Desired) -> str:
    return digest({"config": wanted.config, "revoked": list(wanted.revoked), "restart": wanted.restart})
