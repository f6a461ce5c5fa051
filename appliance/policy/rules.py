"""The rules every grounded call passes, whoever proposed it: a list that one reads from top to bottom.

Covers: emergency stop, a device that cannot record, roles and risk ceilings of origins, tools switched off by the
owner, the maintenance lock, confirmation by risk and by confidence.
Does not cover: what a workflow's state allows; its answer is handed in and joins the list.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from pydantic import Field

from appliance.contracts.record import JsonObject, Record
from appliance.contracts.request import Origin, OriginKind
from appliance.contracts.toolcall import GroundedCall
from appliance.contracts.toolspec import Risk, ToolSpec
from appliance.contracts.verdict import Allow, Confirm, Deny, Verdict
from appliance.policy.answers import Answer


class PolicySettings(Record):
    """What the owner allows."""

    act_at: float | None = Field(default=None, ge=0, le=1)
    """Confidence from which a call may act without confirmation; the bundle's own threshold when absent, or where that
    is higher. A bundle was calibrated and tried at its own, so an owner can ask for more certainty, never for less."""

    refuse_below: float | None = Field(default=None, ge=0, le=1)
    """Confidence below which a call is refused; the bundle's own threshold when absent, or where that is higher."""

    confirm_expires_s: float = Field(default=120.0, gt=0, le=86_400)
    """How long a request waits for a yes."""

    answer_expires_s: float = Field(default=300.0, gt=0, le=86_400)
    """How long a question waits for its answer."""

    request_expires_s: float = Field(default=60.0, gt=0, le=3600)
    """How long a request may lie in the inbox before it is too old to act on."""

    controller_risk: Risk = Risk.LOW
    """The highest risk that a controller may act on without a person at the device."""

    group_risk: Risk = Risk.LOW
    """The highest risk of a tool that a command to the whole site may call here; one above it is refused."""

    disabled_tools: tuple[str, ...] = ()
    """Tools that nobody may call."""


class Situation(Record):
    """What is true of the device when a call is judged; measured here, never claimed by a proposer."""

    locked: bool
    """The emergency stop is latched."""

    recordable: bool
    """The ledger can be written."""

    confirmed: bool
    """A person at the device has said yes to exactly this call."""

    by_model: bool
    """The call came from words, so its confidence counts."""

    maintenance: str = ""
    """Who has locked the device for maintenance, and why; empty where nobody has."""

    doubtful: bool
    """The words leave a doubt that confidence does not show."""

    act_at: float
    refuse_below: float
    tools: tuple[str, ...]


class Applied(Record):
    """One rule that was looked at, what it said, and the values that it judged on."""

    rule: str
    said: str
    values: JsonObject = Field(default_factory=dict)


class Judgement(Record):
    """The verdict, and every rule on the way to it."""

    verdict: Verdict
    rules: tuple[Applied, ...]


class Looked(NamedTuple):
    """What a rule looked at, and its verdict where it has something against the call."""

    values: JsonObject
    verdict: Verdict | None = None


Rule = Callable[[GroundedCall, ToolSpec, Origin, Situation, PolicySettings], Looked]

_RISKS: Final = (Risk.READ, Risk.LOW, Risk.HIGH)


def emergency_stop(
    call: GroundedCall, spec: ToolSpec, origin: Origin, now: Situation, settings: PolicySettings
) -> Looked:
    """Nothing but reading while the emergency stop is latched."""
    values: JsonObject = {"locked": now.locked, "risk": spec.risk.value}
    if now.locked and spec.risk is not Risk.READ:
        deny = Deny(
            rule="emergency-stop",
            reason="The emergency stop is latched: every output is safe and stays so.",
            allowed=(),
            remedy="Release it at the device: `appliance release`, or the console's release key.",
        )
        return Looked(values, deny)
    return Looked(values)


def maintenance(call: GroundedCall, spec: ToolSpec, origin: Origin, now: Situation, settings: PolicySettings) -> Looked:
    """Nothing but reading while somebody works on the machine."""
    values: JsonObject = {"maintenance": now.maintenance}
    if now.maintenance and spec.risk is not Risk.READ:
        deny = Deny(
            rule="maintenance",
            reason=f"Locked for maintenance ({now.maintenance}): nothing acts.",
            remedy="Whoever locked it, or an admin, releases it: `appliance maintenance off`.",
        )
        return Looked(values, deny)
    return Looked(values)


def recordable(call: GroundedCall, spec: ToolSpec, origin: Origin, now: Situation, settings: PolicySettings) -> Looked:
    """No act without a record."""
    values: JsonObject = {"recordable": now.recordable}
    if not now.recordable and spec.risk is not Risk.READ:
        deny = Deny(
            rule="recordable",
            reason="The decision cannot be recorded (disk full or unreadable), so it is not acted on.",
            remedy="Free some space; `appliance doctor` says where.",
        )
        return Looked(values, deny)
    return Looked(values)


def disabled_tools(
    call: GroundedCall, spec: ToolSpec, origin: Origin, now: Situation, settings: PolicySettings
) -> Looked:
    """Tools that the owner has switched off."""
    disabled = call.tool in settings.disabled_tools
    if disabled:
        deny = Deny(
            rule="disabled-tools",
            reason=f"The owner of this device has switched {call.tool} off.",
            allowed=tuple(t for t in now.tools if t not in settings.disabled_tools),
            remedy="[policy] disabled_tools in appliance.toml",
        )
        return Looked({"disabled": True}, deny)
    return Looked({"disabled": False})


def roles(call: GroundedCall, spec: ToolSpec, origin: Origin, now: Situation, settings: PolicySettings) -> Looked:
    """A viewer only reads; what a controller risks waits for a person at the device, and to all is refused."""
    values: JsonObject = {"role": origin.role, "origin": origin.kind.value}
    if origin.role == "viewer" and spec.risk is not Risk.READ:
        return Looked(values, Deny(rule="roles", reason="A viewer may read, not act.", remedy="Ask an operator."))
    if origin.to_all:
        values |= {"to_all": True, "group_risk": settings.group_risk.value}
        if _RISKS.index(spec.risk) > _RISKS.index(settings.group_risk):
            deny = Deny(
                rule="roles",
                reason=f"{call.tool} is too risky for a command to the whole site.",
                remedy="Send it to this device alone, or let its owner raise [policy] group_risk.",
            )
            return Looked(values, deny)
    if origin.kind is OriginKind.CONTROLLER:
        values |= {"controller_risk": settings.controller_risk.value, "confirmed": now.confirmed}
        if not now.confirmed and _RISKS.index(spec.risk) > _RISKS.index(settings.controller_risk):
            return Looked(values, Confirm(rule="roles", question=f"The controller asks for {call.tool}. Allow it?"))
    return Looked(values)


def risk(call: GroundedCall, spec: ToolSpec, origin: Origin, now: Situation, settings: PolicySettings) -> Looked:
    """What opens, unlocks or spends is confirmed by a person, however sure the model is."""
    values: JsonObject = {"risk": spec.risk.value, "confirmed": now.confirmed}
    if spec.risk is Risk.HIGH and not now.confirmed:
        return Looked(values, Confirm(rule="risk", question=f"{described(call)} is risky. Do it?"))
    return Looked(values)


def confidence(call: GroundedCall, spec: ToolSpec, origin: Origin, now: Situation, settings: PolicySettings) -> Looked:
    """Below the floor refuse, below the act threshold ask; a tool that only reads is not worth a question."""
    if not now.by_model:
        return Looked({"by_model": False})
    values: JsonObject = {
        "confidence": round(call.confidence, 6),
        "act_at": now.act_at,
        "refuse_below": now.refuse_below,
        "doubtful": now.doubtful,
        "confirmed": now.confirmed,
    }
    if call.confidence < now.refuse_below:
        deny = Deny(
            rule="confidence",
            reason=f"Not sure enough what was meant ({call.confidence:.0%}).",
            remedy="Say it with the name of the thing and the value.",
        )
        return Looked(values, deny)
    if spec.risk is not Risk.READ and (call.confidence < now.act_at or now.doubtful) and not now.confirmed:
        return Looked(values, Confirm(rule="confidence", question=f"{described(call)}: is that what you meant?"))
    return Looked(values)


RULES: Final[tuple[Rule, ...]] = (emergency_stop, maintenance, recordable, disabled_tools, roles, risk, confidence)
"""In the order in which they are asked; the first denial wins, else the first wish for a confirmation."""


def judge(
    call: GroundedCall,
    spec: ToolSpec,
    origin: Origin,
    now: Situation,
    settings: PolicySettings,
    laws: Answer | None = None,
) -> Judgement:
    """Decide whether *call* may happen now; every rule is asked, so that the record shows them all.

    Args:
        laws: what the declared workflows answered about it.
    """
    if laws is not None and laws.carried:
        # Enrolled people approved it, or the owner's law owes it: that is the yes that a risk asks for.
        now = now.model_copy(update={"confirmed": True})
    found: Verdict | None = None
    applied = []
    for rule in RULES:
        values, said = rule(call, spec, origin, now, settings)
        name = rule.__name__.replace("_", "-")
        applied.append(Applied(rule=name, said="pass" if said is None else said.verdict, values=values))
        found = _stricter(found, said)
    for one in () if laws is None else laws.said:
        verdict = None if one.verdict.verdict == "allow" else one.verdict
        values = {"state": one.state, "asked": list(one.weighed)}
        name = f"workflow:{one.law}" if one.law else "laws"
        applied.append(Applied(rule=name, said="pass" if verdict is None else verdict.verdict, values=values))
        found = _stricter(found, verdict)
    return Judgement(verdict=found or Allow(), rules=tuple(applied))


def described(call: GroundedCall) -> str:
    """Write a call as a person reads it: `Set light level (room: kitchen, level pct: 30)`."""
    name = call.tool.replace("_", " ").capitalize()
    values = ", ".join(f"{k.replace('_', ' ')}: {_plain(v)}" for k, v in call.arguments.items())
    return f"{name} ({values})" if values else name


_STRICTNESS: Final = {"allow": 0, "confirm": 1, "approve": 2, "deny": 3}


def _stricter(one: Verdict | None, other: Verdict | None) -> Verdict | None:
    if one is None or other is None:
        return one or other
    return other if _STRICTNESS[other.verdict] > _STRICTNESS[one.verdict] else one


def _plain(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
