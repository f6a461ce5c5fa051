"""May this call be made now? The gate: one function, the same for model, operator, controller, timer, act and undo.

Covers: tools outside the state, arguments outside the grant, guards that do not hold or are unknown, caps, deadlines
that are due, approvals, confirmations, acts that the law owes, every rule beside the states, a run that is missing or
of another version.
Does not cover: what the device's own rules say (`policy.rules`: emergency stop, maintenance lock); both must agree.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from appliance.contracts import canonical
from appliance.contracts.audit import Moment
from appliance.contracts.request import Origin
from appliance.contracts.toolcall import GroundedCall
from appliance.contracts.toolspec import ToolSpec
from appliance.contracts.verdict import Allow, Approve, Confirm, Deny, Verdict
from appliance.contracts.workflow import Weighed
from appliance.errors import WireError
from appliance.policy.workflow import beside, route, selecting
from appliance.policy.workflow.allowing import allowed_now, bounded
from appliance.policy.workflow.compiled import Allowed, Compiled, StateLaw
from appliance.policy.workflow.expression import Look
from appliance.policy.workflow.language import Approval
from appliance.policy.workflow.measuring import looking, unmet, weighed
from appliance.policy.workflow.people import approvers, is_approved, who
from appliance.policy.workflow.run import (
    Context,
    Given,
    Owed,
    RunState,
    Who,
)
from appliance.policy.workflow.timing import elapsed_s
from appliance.policy.workflow.words import duration

_STRICTNESS: Final = {"allow": 0, "confirm": 1, "approve": 2, "deny": 3}


class Judged(NamedTuple):
    """The law's answer, and everything that was asked on the way to it."""

    verdict: Verdict | None
    """None: this workflow does not govern the call."""

    weighed: tuple[Weighed, ...] = ()
    state: str = ""
    approved: tuple[Given, ...] = ()
    """The people whose approvals carry this call; a risk that they approved needs no further yes."""

    need: Approval | None = None
    """Whose approvals it waits for."""


def judge(
    law: Compiled,
    run: RunState | None,
    call: GroundedCall,
    spec: ToolSpec,
    origin: Origin,
    now: Moment,
    context: Context,
    *,
    call_id: str = "",
    person: str = "",
    confirmed: bool = False,
    given: Iterable[Given] = (),
    owed_elsewhere: bool = False,
) -> Judged:
    """Decide whether *call* may be made now.

    Args:
        run: where the workflow is; None, or one of another version, denies.
        origin: for an act of the law its `peer` is the act's id.
        call_id: the request's id with the number of the call in it; approvals are of exactly one.
        person: the enrolled operator who asks, where known.
        confirmed: a person at the device has said yes to exactly this call.
        given: approvals, each of `subject(run, call, call_id)`.
        owed_elsewhere: another law owes exactly this act; for this one it is a call like any other.
    """
    if not selecting.any_matches(law.governs, spec, call.arguments):
        return Judged(None)
    if run is None or run.digest != law.digest or run.state not in law.states:
        reason = f"The workflow {law.name} has no run that this version of it knows, so nothing is allowed."
        return Judged(Deny(rule=f"workflow:{law.name}", reason=reason, remedy="`appliance workflow status` says more."))
    asker = who(origin, person)
    gate = _Gate(law, run, call, spec, asker, now, context, call_id=call_id, confirmed=confirmed, given=tuple(given))
    act = _act(run, call, asker, origin)
    if asker.role == "system" and act is None and not owed_elsewhere:
        gate.deny("acts", "The law does not owe this act, so nobody may make it in its name.", "Ask as yourself.")
    state = law.states[run.state if act is None else act.state]
    if act is None:
        gate.deadlines()
        gate.cap(state)
    gate.grant(state, act)
    question = beside.Question(call, spec, asker, confirmed or bool(gate.approved), now, gate.look)
    for answer in beside.asked(law, run, question):
        gate.note(answer.weighed, answer.verdict)
    return Judged(gate.answer(question), tuple(gate.weighed), run.state, gate.approved, gate.need)


def subject(run: RunState, call: GroundedCall, call_id: str) -> str:
    """Name what people approve: exactly this call, once, in exactly this visit of the state."""
    body = {
        "run": run.run_id, "visit": run.visit, "tool": call.tool, "arguments": call.arguments, "call_id": call_id,
    }  # fmt: skip
    try:
        return canonical.digest(body)
    except WireError:
        return ""  # nobody can approve what cannot be named


def owes(run: RunState | None, call: GroundedCall, origin: Origin) -> bool:
    """Return whether *call* is an act that this run owes."""
    return run is not None and _act(run, call, who(origin), origin) is not None


def _act(run: RunState, call: GroundedCall, asker: Who, origin: Origin) -> Owed | None:
    if asker.role != "system":
        return None
    same = (
        act
        for act in run.owed
        if act.act_id == origin.peer and act.tool == call.tool and act.arguments == call.arguments
    )
    return next(same, None)


class _Gate:
    """Collects what is asked and keeps the strictest answer."""

    def __init__(
        self,
        law: Compiled,
        run: RunState,
        call: GroundedCall,
        spec: ToolSpec,
        asker: Who,
        now: Moment,
        context: Context,
        *,
        call_id: str,
        confirmed: bool,
        given: tuple[Given, ...],
    ) -> None:
        self.law = law
        self.run = run
        self.call = call
        self.spec = spec
        self.asker = asker
        self.now = now
        self.call_id = call_id
        self.confirmed = confirmed
        self.given = given
        self.look: Look = looking(law.measures, context, now)
        self.rule = f"workflow:{law.name}/{run.state}"
        self.weighed: list[Weighed] = []
        self.verdict: Verdict | None = None
        self.approved: tuple[Given, ...] = ()
        self.need: Approval | None = None
        self.stopped = context.stopped
        self.is_over = False
        """The state allows nothing more: its time or its calls are used up."""

    def answer(self, question: beside.Question) -> Verdict:
        """Return the strictest answer; a denial with what is allowed now."""
        if not isinstance(self.verdict, Deny):
            return self.verdict or Allow(rule=self.rule)
        if self.is_over or self.asker.role == "system":
            return self.verdict  # the law itself may only what it owes
        allowed = allowed_now(self.law, self.run, question, stopped=self.stopped)
        return self.verdict.model_copy(update={"allowed": allowed})

    def note(self, said: Weighed, verdict: Verdict | None) -> None:
        self.weighed.append(said)
        if verdict is not None and (
            self.verdict is None or _STRICTNESS[verdict.verdict] > _STRICTNESS[self.verdict.verdict]
        ):
            self.verdict = verdict

    def deny(self, what: str, reason: str, remedy: str, *, said: Weighed | None = None) -> None:
        denial = Deny(rule=self.rule, reason=reason, remedy=remedy)
        self.note(said or Weighed(what=what, said="false", text=reason), denial)

    def deadlines(self) -> None:
        """A state whose time is over allows nothing more, even before the next look leaves it."""
        for way in self.law.states[self.run.state].urgent:
            if way.cause != "deadline":
                continue
            entered = next((lvl.entered for lvl in self.run.levels if lvl.state == way.level), None)
            passed = None if entered is None else elapsed_s(entered, self.now)
            if passed is None or passed >= way.after_s:
                reason = f"The time of {way.level} ({duration(way.after_s)}) is over; {self.law.name} goes to {way.to}."
                self.is_over = True
                self.deny(way.key, reason, "Ask again in a moment.")

    def cap(self, state: StateLaw) -> None:
        if state.cap_n is None:
            return
        said = Weighed(
            what=f"{state.name}: calls",
            said="true" if self.run.calls_n < state.cap_n else "false",
            text=f"{self.run.calls_n} of {state.cap_n} calls used",
        )
        if self.run.calls_n < state.cap_n:
            self.note(said, None)
            return
        reason = f"{state.name} lets {state.cap_n} calls through each time it is entered, and they are used."
        self.is_over = True
        self.deny("cap", reason, route.again(self.law, self.run.state, self.call), said=said)

    def grant(self, state: StateLaw, act: Owed | None) -> None:
        """Look for a grant that means this call; the first whose guard holds counts."""
        misses, ways = [], []
        for allowed in state.allowed:
            if not selecting.matches_tool(allowed.selection.tool, self.spec):
                continue
            if not selecting.matches_arguments(allowed.selection.where, self.call.arguments):
                misses.append(f"only as {selecting.described(allowed.selection)}")
                when = "" if allowed.guard is None else f" when `{allowed.guard.text}`"
                ways.append(f"{bounded(self.call.tool, allowed.selection.where)}{when}")
                continue
            if allowed.guard is not None:
                found, said = weighed(allowed.key, allowed.guard, self.look)
                if found is not True:
                    self.weighed.append(said)
                    misses.append(f"only when {unmet(said)}")
                    ways.append(f"once `{allowed.guard.text}`")
                    continue
                self.note(said, None)
            else:
                self.note(Weighed(what=allowed.key, said="true", text=selecting.described(allowed.selection)), None)
            self._carried(allowed, act)
            return
        where = f"{self.law.title} is in {state.name}"
        if misses:
            here = f"Here: {' or '.join(ways)}."
            remedy = f"{here} {route.elsewhere(self.law, self.run.state, self.call)}".rstrip()
            self.deny("tools", f"{where}, which allows {self.call.tool} {'; '.join(misses)}.", remedy)
        else:
            remedy = route.to_tool(self.law, self.run.state, self.call)
            self.deny("tools", f"{where}, and {self.call.tool} is not allowed there.", remedy)

    def _carried(self, allowed: Allowed, act: Owed | None) -> None:
        """Look whether the people whom the grant asks for have said yes."""
        if act is not None and act.approved:
            self.approved = act.approved
        if allowed.approve is not None:
            self._approvals(allowed, act)
        elif allowed.confirm and not self.confirmed and not self.approved:
            question = f"{self.call.tool.replace('_', ' ').capitalize()} in {self.run.state}. Do it?"
            self.note(
                Weighed(what=allowed.key, said="false", text="a person confirms"),
                Confirm(rule=self.rule, question=question),
            )

    def _approvals(self, allowed: Allowed, act: Owed | None) -> None:
        need = allowed.approve
        assert need is not None  # the caller looked
        of, given = subject(self.run, self.call, self.call_id), self.given
        if act is not None and act.approved:
            # Who approved the arrow approved what the law does at its end, and this is asked at the moment of the act.
            of, given = act.approved[0].of, (*act.approved,)
        enough, people_n = is_approved(need, given, of, self.asker.person, self.now) if of else (False, 0)
        said = Weighed(
            what=allowed.key,
            said="true" if enough else "false",
            text=approvers(need),
            values={"approved": people_n, "needed": need.people},
        )
        if enough:
            self.approved = tuple(one for one in given if one.of == of)
            self.note(said, None)
            return
        self.need = need
        question = f"{self.call.tool.replace('_', ' ').capitalize()}: {approvers(need)} must approve it."
        self.note(said, Approve(rule=self.rule, role=need.role, approvals_n=need.people, question=question))
