"""A call that was allowed once and still has an effect: may it go on? Asked every second, of a heating, of a machine.

Only what protects asks again: interlocks and quiet hours. States, caps, limits, distances, roles and confirmations are
about making the call; it has been made.

Covers: interlocks whose condition does not hold any more or is unknown, quiet hours that begin, a run that is missing.
Does not cover: the emergency stop and the maintenance lock, which are the device's own.
"""

from __future__ import annotations

from appliance.contracts.audit import Moment
from appliance.contracts.toolcall import GroundedCall
from appliance.contracts.toolspec import ToolSpec
from appliance.contracts.verdict import Deny
from appliance.contracts.workflow import Weighed
from appliance.policy.workflow import beside, selecting
from appliance.policy.workflow.beside import Answer, Question
from appliance.policy.workflow.compiled import Compiled
from appliance.policy.workflow.measuring import looking
from appliance.policy.workflow.run import Context, RunState, Who


def still_allowed(
    law: Compiled, run: RunState | None, call: GroundedCall, spec: ToolSpec, now: Moment, context: Context
) -> Answer | None:
    """Return the first rule that is against *call* going on, with its denial; None where it may go on."""
    if not selecting.any_matches(law.governs, spec, call.arguments):
        return None
    if run is None or run.digest != law.digest:
        reason = f"The workflow {law.name} has no run that this version of it knows, so nothing goes on."
        denied = Deny(rule=f"workflow:{law.name}", reason=reason, remedy="`appliance workflow status` says more.")
        return Answer(denied, Weighed(what="run", said="false", text=reason))
    # Whoever asked is not asked about again: a standing order is nobody's but the law's own.
    look = looking(law.measures, context, now)
    question = Question(call, spec, Who(person="", role="system"), confirmed=True, now=now, look=look)
    for one in law.rules:
        if one.rule.needs is None and one.rule.quiet is None:
            continue
        answer = beside.asked_of(law, run, one, question)
        if answer is not None and answer.verdict is not None:
            return answer
    return None
