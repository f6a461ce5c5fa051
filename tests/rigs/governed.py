"""The appliance's parts under laws, in this process, without threads: a whole life passes in a second.

Real: database, ledger, inbox, turn, worker, judge, laws, registry and tools. What one cannot have here is handed in:
clocks, sensors, the words that a network would point at, and the moment at which the power goes.
"""

import sqlite3
from datetime import UTC, datetime, timedelta
from itertools import count

from appliance.agent import recovery
from appliance.agent.configuration import InForce
from appliance.agent.deciding import Judge
from appliance.agent.laws import Laws
from appliance.agent.maintenance import MaintenanceLock
from appliance.agent.outcomes import Outcomes
from appliance.agent.plan import Versions
from appliance.agent.reading import Reader
from appliance.agent.turn import Turn
from appliance.agent.worker import Worker
from appliance.contracts.audit import Moment
from appliance.contracts.decision import Configuration
from appliance.contracts.manifest import Thresholds
from appliance.contracts.request import Call, Origin, OriginKind, Request
from appliance.contracts.toolcall import Mention, Proposal, Span, ToolCall, ToolResult
from appliance.contracts.toolspec import Risk
from appliance.policy.lifecycle import Lifecycle
from appliance.policy.rules import PolicySettings
from appliance.policy.workflow import load
from appliance.policy.workflow.run import Reading
from appliance.storage import database, inbox, people
from appliance.storage import laws as kept_laws
from appliance.tools import declare
from appliance.tools.declare import CannotDo, Claims, Did
from appliance.tools.outputs import Outputs
from appliance.tools.registry import Registry

THRESHOLDS = Thresholds(act=0.7, confirm=0.3, abstain=0.6)
RESTS_WITHIN = 200
"""Passes of the worker's loop after which it is said to run in circles."""


class PowerCut(BaseException):
    """The power goes: nothing of this life goes on."""


class Clock:
    """Clocks that are set by hand: the true time, what the wall clock makes of it, and whether it is believed."""

    def __init__(self):
        self.true_s, self.skew_s, self.boot, self.booted_s, self.trusted = 0.0, 0.0, 1, 0.0, True

    def now(self):
        return datetime(2026, 11, 23, 12, 0, tzinfo=UTC) + timedelta(seconds=self.true_s + self.skew_s)

    def monotonic_s(self):
        return 100.0 + self.true_s - self.booted_s

    def is_trusted(self):
        return self.trusted

    def moment(self):
        clock = "trusted" if self.trusted else "untrusted"
        return Moment(at=self.now(), monotonic_s=self.monotonic_s(), boot=self.boot, clock=clock)


class Sensors:
    """What is measured, by the laws' own names."""

    def __init__(self, clock):
        self.clock, self.now, self.version = clock, {}, 0

    def set(self, name, value):
        self.now[name] = Reading(value, self.clock.moment())
        self.version += 1

    def watch(self, laws):
        pass

    def fresh(self):
        pass

    def of(self, law):
        return {name: self.now[name] for name in law.measures if name in self.now}


class Script:
    """A decoder that points at the words of the rig's few tools."""

    confidence = 0.9

    def propose(self, text, tools):
        found = []
        for spec in tools:
            words = spec.name.replace("_", " ")
            if words not in text:
                continue
            at = text.index(words)
            mentions = {}
            if spec.parameters:
                begins = at + len(words) + 1
                mentions["minutes"] = Mention(spans=(Span(begins, begins + len(text[begins:].split(" ")[0])),))
            anchor = Span(at, at + len(words))
            found.append(ToolCall(tool=spec.name, mentions=mentions, confidence=self.confidence, anchor=anchor))
        return Proposal(calls=tuple(found), abstain=0.0)


class Guards:
    """What the device knows of itself."""

    def __init__(self, life):
        self.life = life

    def is_locked(self):
        return self.life.stopped

    def is_recordable(self):
        return True

    def storage_failed(self, error):
        self.life.faults.append(str(error))


class Watched:
    """The registry, watched: what is performed is told first, and the power may go before or after it."""

    def __init__(self, life, registry):
        self.life, self._registry = life, registry
        self.specs, self.spec, self.every_spec = registry.specs, registry.spec, registry.every_spec

    def perform(self, call):
        life = self.life
        life.at("before-act")
        life.on_perform(call)
        ends, life.ends = life.ends, "done"
        life.fails = ends == "failed"
        result = self._registry.perform(call)
        during, life.during = life.during, None
        if during is not None:
            during()
        life.at("after-act")
        return ToolResult(status="indeterminate", message="It hangs.") if ends == "indeterminate" else result


class Life:
    """One device: its home lasts, its starts come and go."""

    def __init__(self, folder, on_perform):
        self.path = folder / "appliance.db"
        self.clock = Clock()
        self.on_perform = on_perform
        self.stopped, self.stops_n = False, 0
        self.during = None
        self.ends, self.fails = "done", False
        self.cut_at = None
        self.faults, self.steps = [], []
        self.outcomes = {}
        self.loaded, self.texts = {}, {}
        """Every law that ever was in force, by digest."""

        self.wanted = {}
        self._ids = count(1)
        self._requests = count(1)

    def boot(self):
        """Start as the daemon does: recovery first, then the laws, then requests."""
        self.db = database.open_database(self.path).db
        # What a disk loses in a power cut is other rigs' business, and this one wants many lives.
        self.db.connection.execute("pragma synchronous = off")
        self.sensors = Sensors(self.clock)
        self.registry = Watched(self, Registry(self._tools(), Outputs({})))
        lifecycle = self.lifecycle = Lifecycle()
        versions = Versions(software="rig")
        policy = PolicySettings()
        self.in_force = InForce(
            Configuration(
                agent_id="rig", software="rig", machine="rig", thresholds=THRESHOLDS, zone="UTC",
                policy=policy.model_dump(mode="json"), tools=self.registry.every_spec(),
            )
        )  # fmt: skip
        self.decoder = Script()
        self.laws = Laws(
            self.db, self.clock, self.sensors,
            stopped=lambda: self.stopped,
            stops=lambda: self.stops_n,
            new_id=lambda: f"i{next(self._ids)}",
            on_change=self._configure,
        )  # fmt: skip
        self.maintenance = MaintenanceLock(self.db, self.clock)
        self.turn = Turn(
            db=self.db,
            reader=Reader(self.decoder, self.registry, THRESHOLDS, UTC),
            judge=Judge(self.registry, THRESHOLDS, policy),
            laws=self.laws,
            maintenance=self.maintenance,
            registry=self.registry,
            lifecycle=lifecycle,
            guards=Guards(self),
            settings=policy,
            configuration=self.in_force,
            versions=versions,
            clock=self.clock,
            new_id=lambda: f"i{next(self._ids)}",
            reports=lambda: False,
            step=self.at,
        )
        recovery.recover(self.db, self.clock.moment, versions, reports=False)
        with self.db.atomic():
            live = {row["digest"] for row in self.db.rows("select digest from runs where ended_at is null")}
            older = [self.loaded[digest].compiled for digest in live if digest not in self.wanted]
            self.laws.resume([one.compiled for one in self.wanted.values()], older)
        recovery.drop_stale(self.db, self.clock.moment, versions, reports=False)
        lifecycle.fire("ready")
        if self.stopped:
            lifecycle.fire("stop")
        self._told = Outcomes()
        self.worker = Worker(
            db=self.db,
            turn=self.turn,
            clock=self.clock,
            outcomes=self._told,
            fire_due=self._pass,
            tick=self.laws.tick,
            is_recordable=lambda: True,
            on_storage=lambda error: self.faults.append(str(error)) if error else None,
            on_fault=self._on_fault,
            on_settled=lambda: None,
        )
        self.broken = []

    def power_cut(self, off_s=1.0, *, trusted=True):
        """Go off, wherever it is, and come back."""
        self.db.connection.set_progress_handler(None, 0)
        self.db.connection.rollback()
        self.db.close()
        self.cut_at = self.during = None
        self.ends, self.fails = "done", False
        self.clock.true_s += off_s
        self.clock.boot += 1
        self.clock.booted_s, self.clock.trusted = self.clock.true_s, trusted
        self.boot()

    def at(self, boundary):
        self.steps.append(boundary)
        if self.cut_at is not None:
            name, left = self.cut_at
            if name in {boundary, "any"}:
                self.cut_at = (name, left - 1)
                if left == 0:
                    self.cut_at = None
                    raise PowerCut

    def fail_storage(self, after_n):
        """Let the next statements fail after so many steps of SQLite's machine; once."""

        def interrupt():
            self.db.connection.set_progress_handler(None, 0)
            return 1

        self.db.connection.set_progress_handler(interrupt, after_n)

    def enrol(self, everybody):
        """Put people on the list; who they are is established elsewhere."""
        for one in everybody:
            enrolled_at = self.clock.now().isoformat()
            person = people.Person(key=one.person, name=one.person, role=one.role, pin="", enrolled_at=enrolled_at)
            people.save(self.db, person)

    def submit(self, body, *, kind=OriginKind.OPERATOR, person="", role="operator", peer="", yes=False, for_s=None):
        """Put a request into the inbox, as the doors do."""
        request_id = f"r{next(self._requests)}"
        expires_at = None if for_s is None else self.clock.now() + timedelta(seconds=for_s)
        peer = peer or f"uid:1000 pid:{next(self._ids)}"
        origin = Origin(kind=kind, peer=peer, person=person, role=role, expires_at=expires_at)
        inbox.submit(
            self.db,
            Request(request_id=request_id, received_at=self.clock.now(), origin=origin, body=body, assume_yes=yes),
        )
        return request_id

    def call(self, tool, arguments=None, **who):
        return self.submit(Call(call=ToolCall(tool=tool, literals=arguments or {})), **who)

    def work(self):
        """Let the worker go on until nothing is left to do."""
        self._passes = 0
        self.worker._stopping.clear()
        self.worker._run()

    def load(self, *texts):
        """Put laws into force, as `Enforcement` does."""
        loaded = [load.parse(text.encode(), "law.json", self.registry.every_spec()) for text in texts]
        wanted = {one.compiled.digest: one for one in loaded}
        self.loaded |= wanted
        self.texts |= {one.compiled.digest: text for one, text in zip(loaded, texts, strict=True)}
        kept = self.laws.kept()
        before, self.wanted = self.wanted, wanted
        try:
            with self.db.atomic():
                for text in texts:
                    kept_laws.keep_text(self.db, text)
                self.laws.adopt([one.compiled for one in loaded])
        except Exception:
            self.wanted = before
            self.laws.back_to(kept)
            raise

    def stop(self):
        self.stopped, self.stops_n = True, self.stops_n + 1
        self.lifecycle.fire("stop")

    def release(self):
        self.stopped = False
        self.lifecycle.fire("release")

    def _pass(self):
        self._passes += 1
        if self._passes > RESTS_WITHIN:
            raise PowerCut  # ends the loop; `work` is asked again
        self.worker.wake()
        if self._passes > 1 and not inbox.queued(self.db):
            self.worker._stopping.set()
        return False

    def _on_fault(self, request, error):
        if error is not None:
            self.broken.append((request, error))

    def _configure(self):
        texts = tuple(
            {"name": law.name, "version": law.version, "digest": digest, "text": self.texts[digest]}
            for digest, law in sorted(self.laws.needed().items())
        )
        self.in_force.with_laws(texts)

    def _tools(self):
        def acts():
            return CannotDo("It is stuck.") if self.fails else Did("Done.")

        def pump(minutes: float):
            return acts()

        number = {"type": "object", "properties": {"minutes": {"type": "number"}}, "required": ["minutes"]}
        nothing = {"type": "object", "properties": {}}
        rows = (
            ("read_gauge", Risk.READ, "sensors", acts, nothing, None, ()),
            ("start_pump", Risk.LOW, "pumps", pump, number, lambda **_: ToolCall(tool="stop_pump"), ()),
            ("stop_pump", Risk.LOW, "pumps", acts, nothing, None, ()),
            ("open_valve", Risk.HIGH, "valves", acts, nothing, None, ("wet",)),
        )
        for name, risk, family, run, parameters, undo, tags in rows:
            declaration = {"name": name, "description": name.replace("_", " "), "parameters": parameters}
            check = None if risk is Risk.READ else lambda _did, **_: True
            claims = Claims(risk=risk, family=family, check=check, undo=undo, tags=frozenset(tags))
            yield declare.from_schema(declaration, run, claims)


def interrupted(error):
    """Return whether *error* is the fault that `fail_storage` made."""
    return isinstance(error.__cause__, sqlite3.OperationalError) and "interrupted" in str(error.__cause__)
