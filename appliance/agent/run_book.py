"""Runs as they are kept: every step in the transaction of what caused it, in the ledger and where a restart finds it.

Covers: a transaction that failed (the copy in memory is read again), acts that a step makes a law owe (into the inbox,
in the same transaction), a run that ends, what a new run remembers of the last one.
Does not cover: what a step is, and when one is taken; `laws` says that.
"""

from __future__ import annotations

from appliance.agent.plan import split
from appliance.contracts.audit import AuditRecord, Moment
from appliance.contracts.request import Call, Origin, OriginKind, Request, RequestId
from appliance.contracts.toolcall import ToolCall
from appliance.contracts.workflow import Step
from appliance.policy.workflow.compiled import Compiled
from appliance.policy.workflow.run import Perform, RunState, Stepped
from appliance.storage import audit, inbox, runs
from appliance.storage.database import Database


class RunBook:
    """The runs that go on, by workflow."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self.runs: dict[str, RunState] = {}

    def reread(self) -> None:
        """Read the runs from the database."""
        live = (RunState.model_validate_json(row.body) for row in runs.live(self._db))
        self.runs = {run.workflow: run for run in live}

    def reread_if_changed(self) -> None:
        """Read the runs again where the kept copy is not what was committed: a transaction that failed took it back."""
        kept = {run.run_id: run.seq for run in self.runs.values()}
        if runs.numbers(self._db) != kept:
            self.reread()

    def keep(self, law: Compiled, stepped: Stepped, now: Moment, request: Request | None) -> None:
        """Write a step, the run after it, and the acts that it makes the law owe."""
        record = stepped.record
        with self._db.atomic():
            # A call that is only counted stands in the decision's own records already.
            if record.kind != "noted" or record.event.get("kind") not in {"began", "ended"}:
                self._write(_without_words(record, law), now, request)
            self._save(stepped.run, record)
            for effect in stepped.effects:
                if isinstance(effect, Perform):
                    self.send(effect, now)
        self.runs[law.name] = stepped.run

    def swap(self, law: Compiled, run: RunState, now: Moment) -> None:
        """Write that *law*, a newer version, has taken over as *run*."""
        self.keep(law, Stepped(run, (), _turned(run, now, "swapped", f"version {law.version}")), now, None)

    def end(self, run: RunState, now: Moment, reason: str) -> None:
        """Write that *run* goes on no more."""
        ended = run.model_copy(update={"seq": run.seq + 1})
        with self._db.atomic():
            record = _turned(ended, now, "ended", reason)
            self._write(record, now, None)
            self._save(ended, record)
        del self.runs[run.workflow]

    def send(self, act: Perform, now: Moment) -> None:
        """Put an act that a law owes into the inbox; one that is there already stays once."""
        origin = Origin(kind=OriginKind.SYSTEM, peer=act.act_id, role="system")
        body = Call(call=ToolCall(tool=act.tool, literals=act.arguments), because="a workflow's own act")
        request_id = RequestId(f"{inbox.OWED}{act.act_id.replace(':', '-')}")
        inbox.submit(self._db, Request(request_id=request_id, received_at=now.at, origin=origin, body=body))

    def remembering(self, law: Compiled, run: RunState) -> RunState:
        """Return a new run with the calls that its rules remember of the last one: to end a run frees no limit."""
        last = runs.last_ended(self._db, law.name)
        if last is None:
            return run
        used = RunState.model_validate_json(last.body).used
        names = {rule.name for rule in law.rules}
        return run.model_copy(update={"used": {name: uses for name, uses in used.items() if name in names}})

    def _write(self, record: Step, now: Moment, request: Request | None) -> None:
        name = None if request is None else request.request_id
        facts = AuditRecord(kind="run", moment=now, request_id=name, facts=record.to_json())
        audit.append(self._db, facts)

    def _save(self, run: RunState, record: Step) -> None:
        ended_at = record.at.at.isoformat() if record.kind == "ended" else None
        started_at = record.at.at.isoformat()  # kept from the first time by the table
        row = runs.Run(
            run.run_id, run.workflow, run.version, run.digest, started_at, ended_at, run.seq, run.state,
            run.model_dump_json(exclude_defaults=True),
        )  # fmt: skip
        runs.save(self._db, row)


def _without_words(record: Step, law: Compiled) -> Step:
    """Leave out what somebody said of a call that has ended: the request's records have it, where it can be erased."""
    tool, arguments = record.event.get("tool"), record.event.get("arguments")
    spec = law.tools.get(str(tool))
    if spec is None or not isinstance(arguments, dict):
        return record
    public, _ = split(spec.name, arguments, spec)
    return record.model_copy(update={"event": {**record.event, "arguments": public}})


def _turned(run: RunState, now: Moment, kind: str, reason: str) -> Step:
    return Step.model_validate(
        {
            "kind": kind,
            "run_id": run.run_id,
            "workflow": run.workflow,
            "version": run.version,
            "seq": run.seq,
            "at": now,
            "event": {"kind": kind},
            "before": run.state,
            "after": run.state,
            "reason": reason,
        }
    )
