"""The laws of a recorded decision as they stood when it was made: text, run and readings to the gate that was asked."""

from __future__ import annotations

import json
from datetime import tzinfo

from pydantic import ValidationError

from appliance.contracts import decision as forms
from appliance.contracts.audit import Moment
from appliance.contracts.record import JsonObject
from appliance.contracts.request import Origin
from appliance.policy.workflow.compiled import Compiled
from appliance.policy.workflow.gate import Asking, Gate, Placed
from appliance.policy.workflow.load import Loaded, parse
from appliance.policy.workflow.run import Context, Given, Reading, RunState, Who
from appliance.replay.recorded import UNREADABLE, CannotReplay, Recorded, Setup


class Laws:
    """Compiles each recorded law once."""

    def __init__(self) -> None:
        self._compiled: dict[tuple[str, str, str], Compiled] = {}

    def gate(self, recorded: Recorded, setup: Setup, origin: Origin, zone: tzinfo | None) -> Gate:
        """Return the gate that *recorded* was judged by.

        Raises:
            CannotReplay: a law, a run or a reading is not as this software writes it.
        """
        facts = recorded.facts
        if not facts.workflows and not facts.barred:
            moment = Moment(at=recorded.at, monotonic_s=0.0, boot=0, clock="untrusted")
            return Gate((), Asking(recorded.request_id, moment, origin, facts.guards.confirmed))
        if facts.judged_at is None:
            raise CannotReplay(UNREADABLE)
        given = tuple(
            Given(of=one.of, who=Who.model_validate({"person": one.person, "role": one.role}), at=one.at)
            for one in facts.given
        )
        asking = Asking(recorded.request_id, facts.judged_at, origin, facts.guards.confirmed, given)
        placed = [self._placed(one, facts, setup, zone) for one in facts.workflows]
        return Gate(placed, asking, barred=facts.barred)

    def _placed(self, one: forms.Workflow, facts: forms.Decision, setup: Setup, zone: tzinfo | None) -> Placed:
        law = self._law(one, facts.configured, setup, zone)
        try:
            run = None if one.run is None else RunState.model_validate_json(json.dumps(one.run))
            readings = {name: _reading(value) for name, value in one.readings.items()}
        except (ValidationError, TypeError, KeyError) as error:
            raise CannotReplay(UNREADABLE) from error
        version = 0 if run is None else run.context_version
        return Placed(law, run, Context(version, readings, facts.guards.locked))

    def _law(self, one: forms.Workflow, configured: str, setup: Setup, zone: tzinfo | None) -> Compiled:
        key = (one.digest, configured, str(zone))
        known = self._compiled.get(key)
        if known is None:
            text = next((law.get("text") for law in setup.configuration.laws if law.get("digest") == one.digest), None)
            if not isinstance(text, str) or not text:
                raise CannotReplay(f"the text of the workflow {one.name}, version {one.version}, is not in its record")
            found = parse(text.encode(), one.name, setup.configuration.tools, *(() if zone is None else (zone,)))
            if not isinstance(found, Loaded):
                raise CannotReplay(f"this software cannot use the workflow {one.name}, version {one.version}")
            known = self._compiled[key] = found.compiled
        return known


def _reading(told: JsonObject | object) -> Reading:
    if not isinstance(told, dict):
        raise TypeError("a reading has a value and a moment")
    value = told["value"]
    if not isinstance(value, bool | int | float | str | None):
        raise TypeError("a measured value is true or false, a number, a word, or none")
    # As it is: 1 made 1.0 would be another sentence in the answer.
    return Reading(value, Moment.model_validate_json(json.dumps(told["at"])))
