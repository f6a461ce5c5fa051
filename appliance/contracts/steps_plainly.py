"""A workflow's step as a person reads it: for the report, the console and the command line alike."""

from __future__ import annotations

from typing import Any, Final, Protocol

from appliance.contracts.plainly import plain_name, shown_value
from appliance.contracts.record import JsonObject
from appliance.contracts.workflow import StepKind, Weighed


class SomeStep(Protocol):
    """A step as its record has it, or as a row of the view `workflow_steps` does."""

    @property
    def kind(self) -> StepKind:
        """What it did."""

    @property
    def workflow(self) -> str:
        """Whose run."""

    @property
    def before(self) -> str:
        """The state before."""

    @property
    def after(self) -> str:
        """The state after."""

    @property
    def cause(self) -> str:
        """Why an arrow was taken, in the words of the file."""

    @property
    def reason(self) -> str:
        """What else there is to say."""

    @property
    def set_aside(self) -> bool:
        """Something more urgent went first."""

    @property
    def event(self) -> JsonObject:
        """What happened."""


_DID: Final[dict[StepKind, str]] = {
    "started": "begins in {after}",
    "moved": "goes from {before} to {after}",
    "returned": "returns from {before} to {after}",
    "parked": "stays in {after} until people approve",
    "approved": "stays in {after}: one approval more, not enough yet",
    "lapsed": "stays in {after}: what waited for approval waits no more",
    "held": "stays in {after}: what it takes does not hold",
    "denied": "stays in {after}: not from this role",
    "illegal": "stays in {after}: nothing there waits for this",
    "swapped": "goes on in {after} by a newer version of its file",
    "ended": "ends in {after}",
    "noted": "stays in {after}",
}

_HAPPENED: Final = {
    "looked": "clock and sensors",
    "emergency": "the emergency stop",
    "resumed": "the device started again",
    "lock_set": "a maintenance lock",
    "lock_released": "the end of a maintenance lock",
}


def did(step: SomeStep) -> str:
    """Say what *step* did: `shop goes from closed to open`."""
    set_aside = ", and what was said is set aside" if step.set_aside else ""
    return f"{step.workflow} {_way(step).format(before=step.before, after=step.after)}{set_aside}"


def _way(step: SomeStep) -> str:
    if step.kind != "moved" or step.before != step.after:
        return _DID[step.kind]
    # An arrow to where it was is a visit of its own; a stop that finds the safe state moves nothing.
    return "stays in {after}" if step.event.get("kind") == "emergency" else "enters {after} again"


def because(step: SomeStep) -> str:
    """Say what happened, and what was said to it: `open_shop by mara (operator): only after six`."""
    event: dict[str, Any] = step.event
    tool, result = event.get("tool"), event.get("result")
    told = {f"say {event.get('event')}", f"{tool} {result}", f"{tool}: {result}"}
    if event.get("kind") == "emergency":
        told |= {"emergency", "emergency stop"}  # is said as what happened
    return ": ".join(part for part in (_happened(step), step.cause, step.reason) if part and part not in told)


def line(step: SomeStep) -> str:
    """Say *step* in one line."""
    why = because(step)
    return did(step) + (f" ({why})" if why else "")


def weighed(one: Weighed) -> str:
    """Say what a guard or rule was asked and what it answered: `fridge_c > 8: true (fridge c 9.5)`."""
    values = ", ".join(f"{plain_name(name)} {shown_value(value)}" for name, value in one.values.items())
    looked = "; ".join(part for part in (values, one.why) if part)
    return f"{one.text or one.what}: {one.said}" + (f" ({looked})" if looked else "")


def _happened(step: SomeStep) -> str:
    event: dict[str, Any] = step.event
    kind = str(event.get("kind", ""))
    match kind:
        case "said":
            return f"{event.get('event')} by {_who(event)}"
        case "approved":
            return f"{_who(event)} {'approves' if event.get('yes', True) else 'refuses'}"
        case "ended" if "tool" in event:
            return f"{plain_name(str(event['tool']))}: {event.get('result')}"
        case _:
            return _HAPPENED.get(kind, "")


def _who(event: dict[str, Any]) -> str:
    found = event.get("who")
    if not isinstance(found, dict):
        return "somebody"
    return f"{found.get('person') or 'somebody'} ({found.get('role')})"
