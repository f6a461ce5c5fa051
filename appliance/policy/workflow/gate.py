"""All laws in force, asked about one request, call by call; pure, so that a replay asks the same.

Covers: several laws (all must say yes, also to an act that another one owes), the calls of one request counted one
after the other, approvals that are of one law's run each, laws that cannot be used (`barred`).
Does not cover: the device's own rules (`policy.rules` takes this answer among theirs), where runs and readings come
from.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from appliance.contracts.audit import Moment
from appliance.contracts.request import Origin, OriginKind
from appliance.contracts.toolcall import GroundedCall
from appliance.contracts.toolspec import Risk, ToolSpec
from appliance.contracts.verdict import Approve, Deny
from appliance.policy.answers import Answer, Said, Wanted
from appliance.policy.workflow.compiled import Compiled
from appliance.policy.workflow.judge import Judged, judge, owes, subject
from appliance.policy.workflow.people import who
from appliance.policy.workflow.run import Began, Context, Given, RunState
from appliance.policy.workflow.step import apply

_STRICTNESS: Final = {"allow": 0, "confirm": 1, "approve": 2, "deny": 3}


class Placed(NamedTuple):
    """A law, where its run is, and what is measured."""

    law: Compiled
    run: RunState | None
    context: Context


class Asking(NamedTuple):
    """What is the same for every call of a request."""

    request_id: str
    now: Moment
    origin: Origin
    confirmed: bool = False
    """A person at the device has said yes to exactly these calls."""

    given: tuple[Given, ...] = ()


class Gate:
    """Asks every law in force; counts what they let through."""

    def __init__(self, placed: Sequence[Placed], asking: Asking, *, barred: str = "") -> None:
        """Begin with the runs as they are.

        Args:
            barred: why the laws cannot be used; then nothing but reading is allowed.
        """
        self._placed = tuple(placed)
        self._runs = {one.law.name: one.run for one in placed}
        self._uncounted: tuple[tuple[Placed, ...], Began] | None = None
        self.asking = asking
        self.barred = barred

    @property
    def placed(self) -> tuple[Placed, ...]:
        """The laws and runs as they were before the first call."""
        return self._placed

    def ask(self, n: int, call: GroundedCall, spec: ToolSpec) -> Answer:
        """Judge call number *n* of the request; what all laws allow is counted as begun."""
        if self.barred and spec.risk is not Risk.READ:
            reason = f"The laws of this device cannot be used, so nothing acts: {self.barred}"
            denied = Deny(rule="laws", reason=reason, remedy="`appliance workflow status` says what to mend.")
            return Answer(denied, (Said("", "", denied, ()),))
        self._count()
        asked = self.asking
        said: list[Said] = []
        wanted: list[Wanted] = []
        asking: list[Placed] = []
        carried = False
        for law, _, context in self._placed:
            run = self._runs[law.name]
            judged = self._judged(law, run, context, n, call, spec)
            if judged.verdict is None:
                continue
            asking.append(Placed(law, run, context))
            weighed = tuple(one.to_json() for one in judged.weighed)
            said.append(Said(law.name, judged.state, judged.verdict, weighed))
            owed = asked.origin.kind is OriginKind.SYSTEM and judged.verdict.verdict == "allow"
            carried |= bool(judged.approved) or owed
            if isinstance(judged.verdict, Approve) and run is not None and judged.need is not None:
                need, of = judged.need, subject(run, call, self._call_id(n))
                wanted.append(
                    Wanted(
                        law=law.name,
                        of=of,
                        role=need.role,
                        people_n=need.people,
                        within_s=need.within,
                        others=need.others,
                    )
                )
        if not said:
            return Answer(None)
        strictest = max((one.verdict for one in said), key=lambda verdict: _STRICTNESS[verdict.verdict])
        if strictest.verdict == "allow":
            who_asks = who(asked.origin, asked.origin.person)
            began = Began(call_id=self._call_id(n), tool=call.tool, arguments=call.arguments, who=who_asks)
            self._uncounted = (tuple(asking), began)
        return Answer(strictest, tuple(said), carried, tuple(wanted))

    def _call_id(self, n: int) -> str:
        return call_id(self.asking.request_id, n)

    def _count(self) -> None:
        """Count the call before: only now, because most requests have one call."""
        if self._uncounted is None:
            return
        (asking, began), self._uncounted = self._uncounted, None
        for law, run, context in asking:
            if run is not None:
                self._runs[law.name] = apply(law, run, began, self.asking.now, context).run

    def _judged(
        self, law: Compiled, run: RunState | None, context: Context, n: int, call: GroundedCall, spec: ToolSpec
    ) -> Judged:
        asked = self.asking
        others = (one for name, one in self._runs.items() if name != law.name)
        return judge(
            law, run, call, spec, asked.origin, asked.now, context,
            call_id=self._call_id(n),
            person=asked.origin.person,
            confirmed=asked.confirmed,
            given=asked.given,
            owed_elsewhere=any(owes(other, call, asked.origin) for other in others),
        )  # fmt: skip


def call_id(request_id: str, n: int) -> str:
    """Name call number *n* of a request."""
    return f"{request_id}/{n}"
