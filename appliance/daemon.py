"""Builds the appliance from its settings, starts it, and ends it in good order: the only place that constructs."""

from __future__ import annotations

import secrets
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Final, NamedTuple

from appliance import __version__, settings
from appliance.agent import model, recovery, scheduler
from appliance.agent.clock import SystemClock
from appliance.agent.emergency import Emergency
from appliance.agent.frontdoor import FrontDoor
from appliance.agent.health import Health
from appliance.agent.outcomes import Outcomes
from appliance.agent.plan import Versions
from appliance.agent.reading import Reader
from appliance.agent.status import Glance
from appliance.agent.turn import Turn
from appliance.agent.wire import Wire
from appliance.agent.worker import Worker
from appliance.contracts.audit import AuditRecord, RecordKind
from appliance.contracts.enrolment import Enrolment
from appliance.contracts.home import Home
from appliance.contracts.manifest import Thresholds
from appliance.contracts.record import JsonObject
from appliance.contracts.request import Request
from appliance.contracts.toolcall import GroundedCall
from appliance.errors import BundleError, SettingsError, StorageError, TrustError
from appliance.journal import Journal, open_journal
from appliance.policy.lifecycle import Lifecycle, State
from appliance.settings import Settings
from appliance.storage import audit, database, meta
from appliance.storage.database import Database
from appliance.storage.ownership import own
from appliance.tools.declare import Tool
from appliance.tools.registry import Registry
from appliance.tools.toolbox import open_toolbox
from appliance.transport.local import socket_path
from appliance.transport.local_server import LocalServer
from appliance.trust import enrolment, keys

NO_BUNDLE: Final = Thresholds(act=1.0, confirm=1.0, abstain=0.0)
"""Without a bundle no words are read, so nothing is ever this sure."""

QUIT_AFTER_S: Final = 0.2
"""Between the answer to `quit` and the end, so that the answer arrives."""

REMEMBER_EVERY_S: Final = 60.0
"""How old the ledger's head beside the database may be; a small file a minute, and only when there is news."""


class Parts(NamedTuple):
    """What tests and tools look at in a running appliance."""

    db: Database
    registry: Registry
    lifecycle: Lifecycle
    emergency: Emergency
    turn: Turn


class Daemon:
    """A running appliance: starts and stops its parts, and answers for the whole of it."""

    def __init__(
        self,
        home: Home,
        chosen: Settings,
        *,
        more: Iterable[Tool] = (),
        step: Callable[[str], None] = lambda _name: None,
    ) -> None:
        self._home = home
        self._ended = threading.Event()
        self._unwritten: deque[AuditRecord] = deque(maxlen=100)
        self._remembered_s, self._remembered_seq = 0.0, 0
        self.journal = Journal()
        opened = database.open_database(home.database)
        self._db = opened.db
        self._boot = boot = meta.next_boot(self._db, home.root)
        self._clock = SystemClock(boot)
        key = keys.load_or_make(home.root / keys.DEVICE_KEY)
        device = chosen.device.id or enrolment.device_name(key)
        self._health = Health()
        granted = self._load_enrolment()
        site = chosen.device.site
        if granted is not None:
            # The fleet knows the device by what was granted; two names would be one too many.
            device, site = granted.device, granted.site
        loaded = self._load_model(chosen)
        self._versions = Versions(
            software=__version__,
            bundle=loaded.bundle.manifest.name if loaded else "",
            bundle_version=loaded.bundle.manifest.version if loaded else "",
            bundle_sha256=loaded.sha256 if loaded else "",
            runtime=loaded.runtime if loaded else "",
        )
        self._reports = granted is not None
        self._open_epoch(device, key.key_id, opened.set_aside)
        self._lifecycle = Lifecycle(self._illegal_trigger)
        toolbox = open_toolbox(
            chosen.site, db=self._db, clock=self._clock, home=home.root, understand=self._understand, more=more
        )
        self._registry = toolbox.registry
        unknown = [t for t in chosen.policy.disabled_tools if self._registry.spec(t) is None]
        if unknown:
            # A safety list with a typo is a safety list that does nothing.
            raise SettingsError(
                f"{home.settings}: [policy] disabled_tools: there is no tool called {', '.join(map(repr, unknown))}; "
                f"here are {', '.join(spec.name for spec in self._registry.specs())}"
            )
        self._simulated = toolbox.simulated
        self._emergency = Emergency(home.latch, self._make_safe, self._registry.release)
        self._outcomes = Outcomes()
        thresholds = loaded.bundle.manifest.thresholds if loaded else NO_BUNDLE
        self._reader = Reader(loaded.decoder if loaded else None, self._registry, thresholds, chosen.site.zone)
        self._turn = Turn(
            db=self._db,
            reader=self._reader,
            registry=self._registry,
            lifecycle=self._lifecycle,
            guards=_Guards(self._emergency, self._health, self._on_storage),
            settings=chosen.policy,
            thresholds=thresholds,
            versions=self._versions,
            clock=self._clock,
            new_id=_new_id,
            reports=lambda: self._reports,
            step=step,
        )
        self._wire = Wire(
            db=self._db,
            boot=boot,
            key=key,
            granted=granted,
            settings=chosen.uplink,
            clock=self._clock,
            tools=self._registry.specs(),
            versions=self._versions,
            state=lambda: self._lifecycle.state,
            append=self._append,
            emergency=self._stop_remotely,
            wake=lambda: self._worker.wake(),  # noqa: PLW0108 -- the worker is built further down
        )
        self._worker = Worker(
            db=self._db,
            turn=self._turn,
            clock=self._clock,
            outcomes=self._outcomes,
            fire_due=lambda: scheduler.due(self._db, self._clock),
            tick=self._tick,
            is_recordable=lambda: not self._health.has("storage"),
            on_storage=self._on_storage,
            on_fault=self._on_fault,
            on_settled=self._on_settled,
        )
        self._glance = Glance(
            device={"device": device, "name": chosen.device.name or device, "site": site},
            versions=self._versions,
            boot=boot,
            db=self._db,
            lifecycle=self._lifecycle,
            clock=self._clock,
            devices=self._registry.state,
            simulated=lambda: self._simulated,
            locked=self._emergency.is_locked,
            degraded=self._health.reasons,
            link=self._wire.glance,
        )
        self._server = LocalServer(
            socket_path(home.root),
            FrontDoor(
                db=self._db,
                outcomes=self._outcomes,
                controls=self,
                clock=self._clock,
                new_id=_new_id,
                wake=self._worker.wake,
                request_expires_s=chosen.policy.request_expires_s,
            ),
        )

    @property
    def parts(self) -> Parts:
        """Return the parts, for tests and tools."""
        return Parts(self._db, self._registry, self._lifecycle, self._emergency, self._turn)

    def start(self) -> None:
        """Recover what the last run left open, then open for requests."""
        for outcome in recovery.recover(self._db, self._clock.moment, self._versions, reports=self._reports):
            self.journal.warning("an act is in doubt after a power cut", request_id=outcome.request_id)
        recovery.drop_stale(self._db, self._clock.moment, self._versions, reports=self._reports)
        self._lifecycle.fire("ready")
        if self._emergency.is_locked():
            self._registry.safe("latched before this start")
            self._lifecycle.fire("stop")
            self._append("emergency", {"peer": "this start", "latched": True, "found": "latched before this start"})
        self._append("boot", {"versions": self._versions.model_dump(mode="json"), "simulated": self._simulated})
        self._settle_health()
        self._worker.start()
        self._server.start()
        self._wire.start()
        self.journal.info("ready", version=__version__)

    def stop(self) -> None:
        """Finish the turn under way, drive outputs safe, close everything, in reverse order."""
        self._wire.stop()
        self._server.stop()
        finished = self._worker.stop()
        self._registry.close()
        self._lifecycle.fire("shut")
        self._append("shutdown", {"finished": finished})
        self._remember()
        if finished:
            self._db.close()

    def end(self) -> None:
        """End as soon as the turn under way is done; safe in a signal handler."""
        self._ended.set()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until somebody asks the daemon to end.

        Returns:
            Whether somebody did.
        """
        return self._ended.wait(timeout_s)

    def status(self) -> JsonObject:
        """Return what the console shows at a glance."""
        return self._glance.read()

    def stop_now(self, reason: str, peer: str) -> tuple[str, ...]:
        """Emergency stop: outputs first, then the latch, then the record.

        Returns:
            Outputs that could not be written, each with the reason.
        """
        refused = self._emergency.stop(reason, self._clock.now())
        self._lifecycle.fire("stop")
        facts: JsonObject = {"peer": peer, "latched": True, "outputs_not_written": list(refused)}
        self._append("emergency", facts, {"reason": reason})
        self._outcomes.touch()
        self._wire.wake()
        return refused

    def release(self, peer: str) -> bool:
        """Let go of the latch; outputs stay safe until a tool is called again."""
        released = self._emergency.release()
        if released:
            self._lifecycle.fire("release")
            self._append("emergency", {"peer": peer, "latched": False})
            self._settle_health()
            self._outcomes.touch()
            self._wire.wake()
        return released

    def resolve(self, request_id: str, happened: bool, note: str, peer: str) -> bool:  # noqa: FBT001 -- a fact
        """Record what a person found out about an act in doubt."""
        moment = self._clock.moment()
        found = recovery.resolve(self._db, moment, request_id, happened=happened, note=note, peer=peer)
        self._outcomes.touch()
        return found

    def quit(self) -> None:
        """Ask the daemon to end, once whoever asked has had the answer."""
        threading.Timer(QUIT_AFTER_S, self._ended.set).start()

    def _load_model(self, chosen: Settings) -> model.Model | None:
        try:
            folder = settings.bundle_folder(chosen, self._home.root)
            return model.load(folder, runtime=chosen.model.runtime, threads_n=chosen.model.threads)
        except BundleError as error:
            # Without a model the device still obeys tool calls, timers and the stop; it says so.
            self._health.set("model", str(error))
            self.journal.error("no usable model", error=error)
            return None

    def _load_enrolment(self) -> Enrolment | None:
        try:
            return enrolment.load(self._home.root)
        except TrustError as error:
            # A grant that cannot be trusted is no grant; the device goes on alone and says so.
            self._health.set("enrolment", str(error))
            self.journal.error("no usable enrolment", error=error)
            return None

    def _open_epoch(self, device: str, key_id: str, set_aside: object) -> None:
        """Write the first record of a new database: who writes, and what went before."""
        with self._db.reading() as connection:
            if audit.head(connection)[0]:
                return
        last = meta.remembered_head(self._home.root)
        facts: JsonObject = {
            "device": device,
            "key_id": key_id,
            "epoch": database.epoch(self._db),
            "predecessor": last,
            "set_aside": str(set_aside) if set_aside else None,
        }
        self._append("epoch", facts)
        if set_aside:
            self._health.set("database", f"the database was damaged; it lies in {set_aside}, a new one was begun")

    def _append(self, kind: RecordKind, facts: JsonObject, personal: JsonObject | None = None) -> None:
        record = AuditRecord(kind=kind, moment=self._clock.moment(), facts=facts, personal=personal or {})
        try:
            with self._db.atomic():
                while self._unwritten:
                    audit.append(self._db, self._unwritten[0])
                    self._unwritten.popleft()
                audit.append(self._db, record)
        except StorageError as error:
            # A stop on a full disk happened all the same: its record waits for the disk, with the time it was made.
            if kind == "emergency":
                self._unwritten.append(record)
            self._on_storage(error)

    def _illegal_trigger(self, state: State, trigger: str) -> None:
        self._append("illegal_trigger", {"state": state.value, "trigger": trigger})

    def _on_storage(self, error: StorageError | None) -> None:
        changed = self._health.clear("storage") if error is None else self._health.set("storage", str(error))
        if changed:
            if error is not None:
                self.journal.error("storage", error=error)
            elif self._unwritten:
                self._append("note", {"event": "the ledger can be written again"})
            self._settle_health()

    def storage_failed(self, error: StorageError) -> None:
        """Take note that something could not be written."""
        self._on_storage(error)

    def _on_fault(self, request: Request | None, error: Exception | None) -> None:
        if error is None:
            if self._health.clear("loop"):
                self._settle_health()
        elif request is not None:
            self.journal.error("fault in a turn", error=error, request_id=request.request_id)
        elif self._health.set("loop", f"a timer or a tool fails between calls: {type(error).__name__}: {error}"):
            self.journal.error("fault between turns", error=error)
            self._settle_health()

    def _on_settled(self) -> None:
        self._settle_health()
        self._wire.wake()

    def _settle_health(self) -> None:
        state, missing = self._lifecycle.state, self._health.reasons()
        if missing and state is State.IDLE:
            self._lifecycle.fire("degrade")
        elif not missing and state is State.DEGRADED:
            self._lifecycle.fire("recover")
        self._outcomes.touch()

    def _stop_remotely(self, reason: str, issuer: str) -> None:
        self.stop_now(reason, issuer)

    def _tick(self) -> None:
        self._registry.tick()
        if self._clock.monotonic_s() - self._remembered_s >= REMEMBER_EVERY_S:
            self._remember()

    def _remember(self) -> None:
        """Write the ledger's head beside the database, for the first record of a successor should it be damaged."""
        self._remembered_s = self._clock.monotonic_s()
        with self._db.reading() as connection:
            seq, head = audit.head(connection)
        if seq != self._remembered_seq:
            meta.remember_head(self._home.root, database.epoch(self._db), seq, head, self._boot)
            self._remembered_seq = seq

    def _make_safe(self, reason: str) -> tuple[str, ...]:
        return self._registry.safe(reason).failed

    def _understand(self, words: str) -> GroundedCall | str:
        """Read what a recurring schedule is to do; only one whole, allowed call will do."""
        plan = self._reader.words(words, self._clock.now())
        if plan.refusal is not None:
            return plan.refusal.reason
        if plan.question is not None:
            return plan.question.text
        return plan.calls[0] if len(plan.calls) == 1 else "A schedule does one thing at a time."


class _Guards:
    def __init__(self, emergency: Emergency, health: Health, on_storage: Callable[[StorageError | None], None]) -> None:
        self._emergency = emergency
        self._health = health
        self._on_storage = on_storage

    def is_locked(self) -> bool:
        return self._emergency.is_locked()

    def is_recordable(self) -> bool:
        return not self._health.has("storage")

    def storage_failed(self, error: StorageError) -> None:
        self._on_storage(error)


def run(home: Home) -> int:
    """Run the daemon of *home* until SIGTERM, Ctrl-C, `quit`, or until its home is taken away.

    Raises:
        AlreadyRunning: another daemon owns this home.
        ApplianceError: it cannot start; the message says why.
    """
    with own(home) as held:
        chosen = settings.load(home.root)
        open_journal()
        settings.write_default_file(home.root)
        daemon = Daemon(home, chosen)

        def end(_number: int, _frame: FrameType | None) -> None:
            daemon.end()

        signal.signal(signal.SIGTERM, end)
        signal.signal(signal.SIGINT, end)
        daemon.start()
        # A home that was deleted (a trial in a temporary folder) must not leave a daemon behind for ever.
        while not daemon.wait(2.0) and held.still_there():
            pass
        daemon.stop()
    return 0


def _new_id() -> str:
    return secrets.token_hex(8)
