"""The laws in force and where their runs are; every step is written in the transaction of what caused it.

Covers: a request judged by every law, calls that begin and end, what is said to a workflow, approvals of arrows, looks
at clock and sensors, the emergency stop, a restart, a newer version of a file, acts that a law owes (they go through
the inbox like everybody's). Only the worker's thread calls what changes something.
Does not cover: reading and trusting the files (`law_sets`), what a step is (`policy.workflow.step`), and whether a call
may be made (`policy.workflow.gate`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple, Protocol

from appliance.agent.run_book import RunBook
from appliance.contracts.audit import Moment
from appliance.contracts.clock import Clock
from appliance.contracts.request import Call, OriginKind, Request
from appliance.contracts.toolcall import GroundedCall, ToolCall
from appliance.contracts.verdict import Deny
from appliance.contracts.workflow import Step
from appliance.policy.workflow import selecting, step, swap
from appliance.policy.workflow.compiled import Compiled
from appliance.policy.workflow.gate import Asking, Gate, Placed, call_id
from appliance.policy.workflow.judge import owes
from appliance.policy.workflow.people import fallen, who
from appliance.policy.workflow.rebase import rebased
from appliance.policy.workflow.run import (
    Approved,
    Began,
    Context,
    Emergency,
    Ended,
    Event,
    Flying,
    Looked,
    Perform,
    Reading,
    Resumed,
    RunState,
    Said,
    Stepped,
)
from appliance.policy.workflow.standing import still_allowed
from appliance.storage import meta, people
from appliance.storage.database import Database

SETTLE_N: Final = 16
"""Moves that may follow from one event before the rest waits for the next look."""

LOOK_EVERY_S: Final = 1.0

_STOP_TOLD: Final = "laws_stop_told"


class Readings(Protocol):
    """What the device measures for the laws."""

    def watch(self, laws: Iterable[Compiled]) -> None:
        """Say for which laws to measure from now on."""

    def fresh(self) -> None:
        """Look again now, as far as that is quick."""

    def of(self, law: Compiled) -> Mapping[str, Reading]:
        """Return what *law* measures, by its own names."""

    @property
    def version(self) -> int:
        """Grows whenever a value changes."""


class Answered(NamedTuple):
    """What came of something that was said to a workflow."""

    done: bool
    code: str
    reason: str


class Laws:
    """Keeps the runs of all laws in force."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        readings: Readings,
        *,
        stopped: Callable[[], bool],
        stops: Callable[[], int],
        new_id: Callable[[], str],
        on_change: Callable[[], None],
    ) -> None:
        self._db = db
        self._clock = clock
        self._readings = readings
        self._stopped = stopped
        self._stops = stops  # how many there were: one that was released before the next look is told all the same
        self._new_id = new_id
        self._on_change = on_change
        self._newest: dict[str, Compiled] = {}
        self._by_digest: dict[str, Compiled] = {}
        self._book = RunBook(db)
        self._barred = ""
        self._stop_told = False
        self._stops_told_n = 0
        self._seen: dict[str, Context] = {}  # by the law's digest
        self._seen_at: Moment | None = None
        self._looked_s = 0.0
        self._seen_version = -1

    @property
    def barred(self) -> str:
        """Why the laws cannot be used, and so nothing acts; empty when they can."""
        return self._barred

    def needed(self) -> Mapping[str, Compiled]:
        """Return by digest every law that is in force or that a run is judged by; from any thread."""
        judging = {law.digest: law for law, _ in self.placed()}
        return judging | {law.digest: law for law in self._newest.values()}

    def placed(self) -> tuple[tuple[Compiled, RunState], ...]:
        """Return every law that judges, with its run; from any thread."""
        runs_now = dict(self._book.runs)
        return tuple((self._by_digest[run.digest], run) for run in runs_now.values() if run.digest in self._by_digest)

    def newest(self) -> Mapping[str, Compiled]:
        """Return the newest accepted version of every law, by name."""
        return dict(self._newest)

    def resume(
        self,
        laws: Iterable[Compiled],
        earlier: Iterable[Compiled],
        *,
        barred: str = "",
        same_kernel_since: int | None = None,
    ) -> None:
        """Take up every run where it was left, and start those that are new; once, before the first request.

        Args:
            laws: the set in force.
            earlier: older versions that a run may still be judged by.
            barred: why the laws cannot be used.
            same_kernel_since: the number of the start before, where the machine itself was not restarted since: then
                the monotonic clock has gone on, and every duration is known.
        """
        chosen = tuple(laws)
        self._by_digest = {law.digest: law for law in (*earlier, *chosen)}
        self._stop_told = meta.get(self._db, _STOP_TOLD) == "1"
        self._book.reread()
        if same_kernel_since is not None:
            boot = self._clock.moment().boot
            self._book.runs = {name: rebased(run, same_kernel_since, boot) for name, run in self._book.runs.items()}
        for run in self._book.runs.values():
            if run.digest not in self._by_digest:
                barred = barred or f"version {run.version} of {run.workflow}, by which its run is judged, is not here"
        self._readings.watch(self._by_digest.values())
        self._readings.fresh()
        for law, run in self.placed():
            for flying in run.flying:
                self._apply(law, _doubtful(flying))
            self._apply(law, Resumed())
            self._settle(law)
        self.adopt(chosen, barred=barred)
        self._send_owed()

    def adopt(self, laws: Iterable[Compiled], *, barred: str = "") -> None:
        """Put *laws* into force: new ones start, newer ones take over where both versions let them."""
        self._barred = barred
        if barred:
            # A set that cannot be used ends no run: what is under way waits for one that can.
            self._on_change()
            return
        self._newest = {law.name: law for law in laws}
        self._by_digest |= {law.digest: law for law in self._newest.values()}
        self._take_over()
        self._readings.watch(self._by_digest.values())
        self._on_change()

    def end_all(self, reason: str) -> None:
        """End every run where it is; `adopt` begins those of the laws in force anew."""
        now = self._clock.moment()
        for run in list(self._book.runs.values()):
            self._book.end(run, now, reason)

    def end_lost(self, reason: str) -> None:
        """End every run whose version of its law is not here any more; a person has looked, and loads the laws anew."""
        now = self._clock.moment()
        for run in [run for run in self._book.runs.values() if run.digest not in self._by_digest]:
            self._book.end(run, now, reason)

    def kept(self) -> tuple[dict[str, Compiled], dict[str, Compiled], str]:
        """Return what `back_to` takes, should a set of laws not be recorded."""
        return dict(self._newest), dict(self._by_digest), self._barred

    def back_to(self, kept: tuple[dict[str, Compiled], dict[str, Compiled], str]) -> None:
        """Let what was in force before be in force again; the runs are read from the database."""
        self._newest, self._by_digest, self._barred = kept
        self._book.reread()
        self._readings.watch(self._by_digest.values())
        self._on_change()

    def gate(self, asking: Asking) -> Gate:
        """Return what judges a request by what the last look saw: nothing that a look would step on is left between."""
        return Gate(
            [
                Placed(law, self._book.runs.get(name), self._seen.get(law.digest) or self._context(law))
                for name, law in sorted(self._judging().items())
            ],
            asking._replace(now=self._seen_at or asking.now),
            barred=self._barred,
        )

    def escalates(self) -> bool:
        """Return whether every law in force lets a second model be asked in the state that its run is in."""
        runs = self._book.runs
        here = [law.states.get(runs[name].state) if name in runs else None for name, law in self._judging().items()]
        return not self._barred and all(state is not None and state.escalation for state in here)

    def look(self) -> None:
        """Look at clock and sensors, the quick ones anew, and take every step that they cause."""
        self._book.reread_if_changed()
        if self._judging():
            self._readings.fresh()
        self._look()

    def tick(self) -> None:
        """Look about every second, and at once when a value has changed; call it between requests."""
        now_s, version = self._clock.monotonic_s(), self._readings.version
        is_quiet = version == self._seen_version and self._stops() == self._stops_told_n
        if not self._book.runs or (is_quiet and now_s - self._looked_s < LOOK_EVERY_S):
            return
        self._look()
        self._seen_version, self._looked_s = version, now_s

    def permit(self, order: ToolCall) -> str:
        """Say why an order that was granted may not go on having its effect; empty while it may."""
        call = GroundedCall(tool=order.tool, arguments=order.literals, confidence=order.confidence)
        if self._barred:
            return f"the laws of this device cannot be used: {self._barred}"
        for name, law in self._judging().items():
            spec = law.tools.get(call.tool)
            if spec is None:
                continue
            against = still_allowed(
                law, self._book.runs.get(name), call, spec, self._clock.moment(), self._context(law)
            )
            if against is not None and isinstance(against.verdict, Deny):
                return against.verdict.reason
        return ""

    def _look(self) -> None:
        self._book.reread_if_changed()
        self._tell_stop()
        self._seen_at = self._clock.moment()
        self._seen = {law.digest: self._context(law) for law in self._judging().values()}
        for law, _ in self.placed():
            self._settle(law, as_judged=True)
        if self._barred:
            return  # without a set that can be used nothing is known to be withdrawn
        if any(self._judging()[name] is not law for name, law in self._newest.items()) or (
            self._book.runs.keys() - self._newest.keys()
        ):
            self._take_over()

    def begin(self, request: Request, n: int, call: GroundedCall) -> None:
        """Count a call that is about to act and that `gate` has let through; in the transaction of the decision."""
        self._book.reread_if_changed()
        for law, run in self._governing(request, call):
            asker = who(request.origin, request.origin.person)
            named = _name(run, request, n)
            began = Began(call_id=named, tool=call.tool, arguments=call.arguments, who=asker)
            # By what it was judged by: between the judgement and this line no time has passed for the law.
            self._apply(law, began, request, as_judged=True)

    def end(self, request: Request, n: int, call: GroundedCall, result: str) -> None:
        """Tell the laws how a call ended; in the transaction of its outcome.

        Args:
            result: done, failed, indeterminate; denied for an act of a law that was not let through.
        """
        self._book.reread_if_changed()
        for law, run in self._governing(request, call):
            named = _name(run, request, n)
            event = Ended.model_validate(
                {"call_id": named, "tool": call.tool, "arguments": call.arguments, "result": result}
            )
            self._apply(law, event, request)
            self._settle(law, request)

    def doubt(self, request: Request) -> None:
        """Tell the laws that nobody knows how the calls of *request* ended."""
        self._book.reread_if_changed()
        for law, run in self.placed():
            mine = (f"{request.request_id}/", request.origin.peer)
            for flying in run.flying:
                if flying.call_id.startswith(mine[0]) or flying.call_id == mine[1]:
                    self._apply(law, _doubtful(flying), request)
                    self._settle(law, request)

    def deny(self, request: Request) -> None:
        """Tell a law that its act was not let through; nothing for requests of others."""
        if request.origin.kind is OriginKind.SYSTEM and isinstance(request.body, Call):
            asked = request.body.call
            call = GroundedCall(tool=asked.tool, arguments=asked.literals, confidence=asked.confidence)
            self.end(request, 0, call, "denied")

    def say(self, request: Request, event: str, workflow: str) -> Answered:
        """Say *event* to the workflow that knows it."""
        self._book.reread_if_changed()
        knowing = [law for law, _ in self.placed() if event in law.events and workflow in ("", law.name)]
        if len(knowing) != 1:
            return Answered(done=False, code="unknown_event", reason=self._unknown(event, workflow, knowing))
        origin = request.origin
        said = Said(event=event, who=who(origin, origin.person))
        return _answered(self._apply(knowing[0], said, request).record, self._settle(knowing[0], request))

    def awaits(self, approval_id: str) -> bool:
        """Return whether an arrow waits for that approval."""
        return any(run.pending is not None and run.pending.approval_id == approval_id for _, run in self.placed())

    def approve(self, request: Request, approval_id: str, *, yes: bool) -> Answered:
        """Take a person's word on an arrow that waits."""
        self._book.reread_if_changed()
        waits = (
            law for law, run in self.placed() if run.pending is not None and run.pending.approval_id == approval_id
        )
        law = next(waits, None)
        if law is None:
            return Answered(done=False, code="not_waiting", reason="Nothing waits for that approval any more.")
        origin = request.origin
        if not origin.person:
            # Two programs of one account would be two people.
            return Answered(done=False, code="roles", reason="Enrolled people approve, with name and PIN.")
        void = self._fallen(law, self._book.runs[law.name])
        approved = Approved(of=approval_id, who=who(origin, origin.person), yes=yes, void=void)
        return _answered(self._apply(law, approved, request).record, self._settle(law, request))

    def _fallen(self, law: Compiled, run: RunState) -> tuple[str, ...]:
        """Return who approved the arrow that waits and could not do it now."""
        way = None if run.pending is None else law.way(run.pending.way, run.state)
        if run.pending is None or not run.pending.given or way is None or way.approve is None:
            return ()
        return fallen(run.pending.given, people.roles(self._db), way.approve.role)

    def _judging(self) -> dict[str, Compiled]:
        """Return by name the version that judges: the run's own, else the newest, whose run is missing."""
        return self._newest | {law.name: law for law, _ in self.placed()}

    def _governing(self, request: Request, call: GroundedCall) -> list[tuple[Compiled, RunState]]:
        found = []
        for law, run in self.placed():
            spec = law.tools.get(call.tool)
            governed = spec is not None and selecting.any_matches(law.governs, spec, call.arguments)
            if governed or owes(run, call, request.origin):
                found.append((law, run))
        return found

    def _context(self, law: Compiled) -> Context:
        return Context(self._readings.version, dict(self._readings.of(law)), self._stopped())

    def _apply(
        self, law: Compiled, event: Event, request: Request | None = None, *, as_judged: bool = False
    ) -> Stepped:
        run = self._book.runs[law.name]
        now, context = self._clock.moment(), self._context(law)
        if as_judged and self._seen_at is not None:
            now, context = self._seen_at, self._seen.get(law.digest, context)
        stepped = step.apply(law, run, event, now, context)
        if stepped.run.seq != run.seq:
            self._book.keep(law, stepped, now, request)
        return stepped

    def _settle(self, law: Compiled, request: Request | None = None, *, as_judged: bool = False) -> Step | None:
        """Look until nothing moves any more; return the last move."""
        moved = None
        for _ in range(SETTLE_N):
            record = self._apply(law, Looked(), request, as_judged=as_judged).record
            if record.kind not in {"moved", "returned"}:
                break
            moved = record
        return moved

    def _send_owed(self) -> None:
        """Put acts that a power cut left owed into the inbox; those that are there already stay once."""
        for _, run in self.placed():
            for act in run.owed:
                self._book.send(
                    Perform(act_id=act.act_id, tool=act.tool, arguments=act.arguments), self._clock.moment()
                )

    def _take_over(self) -> None:
        now = self._clock.moment()
        for name, law in self._newest.items():
            run = self._book.runs.get(name)
            if run is None:
                begun = step.start(law, f"{name}-{self._new_id()}", now)
                self._book.keep(law, begun._replace(run=self._book.remembering(law, begun.run)), now, None)
            elif run.digest != law.digest:
                old = self._by_digest.get(run.digest)
                new = None if old is None else swap.swapped(run, old, law)
                if new is not None:
                    self._book.swap(law, new, now)
                    self._on_change()
        for name in self._book.runs.keys() - self._newest.keys():
            run = self._book.runs[name]
            old = self._by_digest.get(run.digest)
            if old is not None and not _lets_go(old, run):
                continue  # what is under way is finished first
            self._book.end(run, now, "withdrawn")
            self._on_change()

    def _tell_stop(self) -> None:
        stops_n, stopped = self._stops(), self._stopped()
        if stopped == self._stop_told and stops_n == self._stops_told_n:
            return
        with self._db.atomic():
            if stops_n != self._stops_told_n or not self._stop_told:
                for law, _ in self.placed():
                    self._apply(law, Emergency())
            meta.put(self._db, _STOP_TOLD, "1" if stopped else "")
        self._stop_told, self._stops_told_n = stopped, stops_n

    def _unknown(self, event: str, workflow: str, knowing: list[Compiled]) -> str:
        if knowing:
            names = ", ".join(law.name for law in knowing)
            return f"More than one workflow knows {event}: {names}. Say which."
        events = sorted(f"{law.name}: {name}" for law, _ in self.placed() for name in law.events)
        return f"No workflow here knows {event!r}. Known are: {'; '.join(events) or 'none'}."


def _name(run: RunState, request: Request, n: int) -> str:
    """Name a call as its law knows it: an act of the law by the act's own id."""
    own = {act.act_id for act in run.owed} | {call.call_id for call in run.flying}
    peer = request.origin.peer
    mine = request.origin.kind is OriginKind.SYSTEM and peer in own
    return peer if mine else call_id(request.request_id, n)


def _doubtful(call: Flying) -> Ended:
    """Return the end of a call of which nobody knows whether it acted."""
    return Ended(call_id=call.call_id, tool=call.tool, arguments=call.arguments, result="indeterminate")


def _lets_go(law: Compiled, run: RunState) -> bool:
    """Return whether a workflow that its owner withdrew may end: where a newer version could take over, or in `safe`.

    Without the second, a file that marks no state `swap` could never be withdrawn at all.
    """
    under_way = run.stack or run.pending is not None or run.owed or run.flying
    return not under_way and (law.states[run.state].swap or run.state == law.safe)


def _answered(record: Step, moved: Step | None) -> Answered:
    """Say what a step did, as whoever caused it is told."""
    if record.kind in {"moved", "returned"}:
        last = record if moved is None else moved
        return Answered(done=True, code="moved", reason=f"{record.workflow} is now in {last.after}.")
    done = record.kind in {"parked", "approved", "noted"}
    return Answered(done=done, code=record.kind, reason=f"{record.workflow}, in {record.after}: {record.reason}.")
