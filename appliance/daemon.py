"""Builds the appliance from its settings, starts it, and ends it in good order: the only place that constructs."""

from __future__ import annotations

import os
import platform
import secrets
import signal
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from types import FrameType
from typing import Final, NamedTuple, assert_never

from appliance import __version__, settings
from appliance.agent import epochs, escalating, model, recovery, rekeying, scheduler
from appliance.agent.admission import Admission
from appliance.agent.announcing import Identity
from appliance.agent.bundles import Bundles
from appliance.agent.clock import SystemClock
from appliance.agent.commands import support
from appliance.agent.commands.diagnosing import Diagnosing
from appliance.agent.commands.evidence import Evidence
from appliance.agent.commands.lawgiving import Lawgiving
from appliance.agent.configuration import InForce
from appliance.agent.custody import Custody, Terms
from appliance.agent.deciding import Judge
from appliance.agent.emergency import Emergency
from appliance.agent.enforcement import Enforcement
from appliance.agent.frontdoor import FrontDoor
from appliance.agent.health import Health
from appliance.agent.keeper import Keeper
from appliance.agent.law_acceptance import Here
from appliance.agent.laws import Laws
from appliance.agent.maintenance import MaintenanceLock
from appliance.agent.measuring import Readings
from appliance.agent.outcomes import Outcomes
from appliance.agent.people import People
from appliance.agent.plan import Versions
from appliance.agent.reading import Reader
from appliance.agent.retaining import Bounds
from appliance.agent.status import Glance
from appliance.agent.troubles import Troubles
from appliance.agent.turn import Turn
from appliance.agent.updating import Updater
from appliance.agent.wire import Afar, Wire
from appliance.agent.worker import Worker
from appliance.canary.examine import examine
from appliance.contracts.canary import CanaryReport
from appliance.contracts.decision import Configuration
from appliance.contracts.enrolment import Enrolment
from appliance.contracts.home import Home
from appliance.contracts.local import (
    ActivateBundle,
    BundleChange,
    InstallBundle,
    LocalReply,
    RollBackBundle,
    SyncExport,
    SyncImport,
    TrustDocument,
)
from appliance.contracts.manifest import Thresholds
from appliance.contracts.pinned import SHIPPED
from appliance.contracts.record import JsonObject
from appliance.contracts.request import Request
from appliance.contracts.retaining import RetainingRequest
from appliance.contracts.toolcall import GroundedCall, ToolCall
from appliance.errors import BundleError, SettingsError, StorageError, TrustError
from appliance.journal import Journal, open_journal
from appliance.policy.lifecycle import Lifecycle, State
from appliance.policy.workflow.world import World
from appliance.settings import Settings
from appliance.settingsfile.remote import Wishes
from appliance.storage import database, meta, reserve, signed
from appliance.storage.database import Database
from appliance.storage.ownership import own
from appliance.storage.updates import Wanted
from appliance.tools import catalogue
from appliance.tools.declare import Tool
from appliance.tools.registry import Registry
from appliance.tools.toolbox import open_toolbox
from appliance.transport.local import socket_path
from appliance.transport.local_server import LocalServer
from appliance.trust import enrolment, pin, rotation
from appliance.trust.slots import Shelf

NO_BUNDLE: Final = Thresholds(act=1.0, confirm=1.0, abstain=0.0)
"""Without a bundle no words are read, so nothing is ever this sure."""

ROOM_LOOK_S: Final = 2.0
"""How often a start on a full disk looks whether somebody has made room."""

QUIT_AFTER_S: Final = 0.2
"""Between the answer to `quit` and the end, so that the answer arrives."""


class Parts(NamedTuple):
    """What tests and tools look at in a running appliance."""

    db: Database
    registry: Registry
    lifecycle: Lifecycle
    emergency: Emergency
    turn: Turn


class Daemon:
    """A running appliance: starts and stops its parts, and answers for the whole of it."""

    _begins_again = False

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
        self.journal = Journal()
        opened = database.open_database(home.database)
        self._db = opened.db
        last = signed.read(home.signed)
        boot = meta.next_boot(self._db, last.boot if last else 0)
        self._clock = SystemClock(boot)
        self._health = Health()
        self._outcomes = Outcomes()
        self._keeper = Keeper(self._db, self._clock, self.storage_failed)
        self._lifecycle = Lifecycle(self._illegal_trigger)
        self._troubles = Troubles(
            home.root,
            home.database,
            health=self._health,
            lifecycle=self._lifecycle,
            log=self.journal,
            writable=self._can_write_again,
            touch=self._outcomes.touch,
        )
        if rekeying.finish(home.root, self._db, rekeying.cosigning(self._db, home.signed, self._clock)):
            self.journal.warning("a change of the device's key was finished after a power cut")
        key = rotation.current(home.root, make=True)
        identity = Identity(key, rotation.kept(home.root))
        device = chosen.device.id or enrolment.device_name(home.root, key)
        granted = self._load_enrolment()
        site = chosen.device.site
        if granted is not None:
            # The fleet knows the device by what was granted; two names would be one too many.
            device, site = granted.device, granted.site
        self._bundles = Bundles(
            self._db,
            Shelf(home.bundles),
            Admission(
                self._db,
                self._clock,
                software=__version__,
                shipped=SHIPPED,
                cooldown_days=chosen.bundles.cooldown_days,
            ),
            clock=self._clock,
            append=self._keeper.append,
            examine=lambda candidate, active: self._examine(candidate, active, chosen),
            shipped=_shipped(),
            named=settings.bundle_folder(chosen, home.root) if chosen.model.bundle else None,
            restart=self._begin_again,
            limits=chosen.bundles.trial(),
            incoming=home.incoming,
        )
        self._updater = Updater(
            self._db,
            clock=self._clock,
            carry_out=self._carry_out,
            standing=self._bundles.standing,
            append=self._keeper.append,
            answered=lambda: self._wire.wake(),  # noqa: PLW0108 -- the wire is built further down
        )
        loaded = self._load_model(chosen)
        self._versions = Versions(
            software=__version__,
            bundle=loaded.bundle.manifest.name if loaded else "",
            bundle_version=loaded.bundle.manifest.version if loaded else "",
            bundle_sha256=loaded.sha256 if loaded else "",
            runtime=loaded.runtime if loaded else "",
        )
        self._reports = granted is not None and granted.is_collected
        begun = epochs.open_epoch(
            self._db,
            home.signed,
            device=device,
            key=key,
            boot=boot,
            clock=self._clock,
            set_aside=opened.set_aside,
        )
        self._tell_opened(opened, begun)
        self._custody = Custody(
            self._db,
            home,
            identity,
            begun,
            Terms(
                checkpoint_every_n=chosen.ledger.checkpoint_every_n,
                checkpoint_every_s=chosen.ledger.checkpoint_every_s,
                bounds=Bounds(
                    keep_days=chosen.ledger.keep_days,
                    quota_mb=chosen.ledger.quota_mb,
                    personal_days=chosen.privacy.personal_days,
                ),
            ),
            device=device,
            clock=self._clock,
            enrolled=self._reports,
            troubles=self._troubles,
            on_signed=self._on_signed,
            on_rekeyed=self._on_rekeyed,
        )
        toolbox = open_toolbox(
            chosen.site, db=self._db, clock=self._clock, home=home.root, understand=self._understand, more=more
        )
        self._registry = toolbox.registry
        _check_disabled(chosen.policy.disabled_tools, self._registry, home)
        self._simulated = toolbox.simulated
        self._emergency = Emergency(home.latch, self._make_safe, self._registry.release)
        thresholds = loaded.bundle.manifest.thresholds if loaded else NO_BUNDLE
        self._reader = Reader(loaded.decoder if loaded else None, self._registry, thresholds, chosen.site.zone)
        self._maintenance = MaintenanceLock(self._db, self._clock)
        self._readings = Readings(toolbox.sampler)
        self._laws = Laws(
            self._db,
            self._clock,
            self._readings,
            stopped=self._emergency.is_locked,
            stops=lambda: self._emergency.stops_n,
            new_id=_new_id,
            on_change=lambda: self._in_force.with_laws(self._enforcement.configured()),
        )
        world = World(
            times_s=self._registry.times_s(),
            sensors=catalogue.sensors_of(chosen.site),
            devices=catalogue.devices_of(chosen.site),
            needs=catalogue.needs(),
        )
        here = Here(site, device, self._registry.every_spec(), world, chosen.site.law_zone)
        self._enforcement = Enforcement(
            home.root,
            self._db,
            self._laws,
            here,
            clock=self._clock,
            health=self._health,
            maintenance=self._maintenance.text,
            wake=lambda: self._worker.wake(),  # noqa: PLW0108 -- the worker is built further down
        )
        configuration = Configuration(
            agent_id=device,
            **self._versions.model_dump(),
            machine=platform.machine(),
            thresholds=thresholds,
            zone=chosen.site.timezone,
            policy=chosen.policy.model_dump(mode="json"),
            escalation=escalating.described(chosen.escalation, home.root),
            tools=self._registry.every_spec(),
        )
        self._in_force = InForce(configuration)
        self._turn = Turn(
            db=self._db,
            reader=self._reader,
            judge=Judge(self._registry, thresholds, chosen.policy),
            laws=self._laws,
            maintenance=self._maintenance,
            registry=self._registry,
            lifecycle=self._lifecycle,
            guards=_Guards(self._emergency, self._troubles),
            settings=chosen.policy,
            configuration=self._in_force,
            versions=self._versions,
            clock=self._clock,
            new_id=_new_id,
            reports=lambda: self._reports,
            second=escalating.build(
                chosen.escalation,
                home.root,
                monotonic_s=self._clock.monotonic_s,
                wake=lambda: self._worker.wake(),  # noqa: PLW0108 -- the worker is built further down
            ),
            step=step,
        )
        self._wire = Wire(
            db=self._db,
            boot=boot,
            identity=identity,
            granted=granted,
            settings=chosen.uplink,
            clock=self._clock,
            tools=self._registry.specs(),
            versions=self._versions,
            state=lambda: self._lifecycle.state,
            append=self._keeper.append,
            emergency=self._stop_remotely,
            wake=lambda: self._worker.wake(),  # noqa: PLW0108 -- the worker is built further down
            share=chosen.privacy.share,
            trust=self._bundles.told,
            update=self._updater.wake,
            trouble=self._troubles.link,
            afar=Afar(
                home=home.root,
                exports=home.exports,
                floors=home.floors,
                doers={
                    "laws": Lawgiving(home.root, self._db, here, self.load_laws),
                    "diagnose": Diagnosing(home.root, lambda into: support.archive(home.root, into)),
                    "export-audit": Evidence(
                        home.root,
                        home.database,
                        home.exports,
                        share=chosen.privacy.share,
                        software=__version__,
                        clock=self._clock,
                        checkpoint=self.checkpoint,
                    ),
                },
                wishes=Wishes(home.root, settings.FILE_NAME, chosen),
                restart=self._begin_again,
            ),
        )
        self._worker = Worker(
            db=self._db,
            turn=self._turn,
            clock=self._clock,
            outcomes=self._outcomes,
            fire_due=lambda: scheduler.due(self._db, self._clock),
            tick=self._tick,
            is_recordable=lambda: not self._health.has("storage"),
            on_storage=self._troubles.storage,
            on_fault=self._on_fault,
            on_settled=self._on_settled,
            on_log=lambda small: self._troubles.log_held_back(not small),
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
            ledger=self._custody.standing,
            laws=self._enforcement.glance,
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
                people=People(self._db, self._clock, owner_uid=os.geteuid(), new_salt=_new_salt),
                unnamed=chosen.people.unnamed,
                request_expires_s=chosen.policy.request_expires_s,
            ),
        )

    @property
    def parts(self) -> Parts:
        """Return the parts, for tests and tools."""
        return Parts(self._db, self._registry, self._lifecycle, self._emergency, self._turn)

    def start(self) -> None:
        """Recover what the last run left open, then open for requests."""
        if self._custody.tell_salvaged():
            self.journal.error("a damaged database was set aside and salvaged")
        for outcome in recovery.recover(self._db, self._clock.moment, self._versions, reports=self._reports):
            self.journal.warning("an act is in doubt after a power cut", request_id=outcome.request_id)
        self.enforce()
        recovery.drop_stale(self._db, self._clock.moment, self._versions, reports=self._reports)
        self._lifecycle.fire("ready")
        if self._emergency.is_locked():
            self._registry.safe("latched before this start")
            self._lifecycle.fire("stop")
            facts: JsonObject = {"peer": "this start", "latched": True, "found": "latched before this start"}
            self._keeper.append("emergency", facts)
        self._keeper.append("boot", {"versions": self._versions.model_dump(mode="json"), "simulated": self._simulated})
        self._bundles.tell_named()
        self._troubles.settle()
        self._custody.start()
        self._worker.start()
        self._server.start()
        self._wire.start()
        if self._reports:
            self._updater.start()
        reserve.keep(self._home.root)
        self.journal.info("ready", version=__version__)

    def enforce(self) -> None:
        """Put the owner's laws into force, and take up their runs."""
        self._enforcement.start()

    def stop(self) -> None:
        """Finish the turn under way, drive outputs safe, close everything, in reverse order."""
        self._custody.leave()
        self._bundles.end()
        self._updater.stop()
        self._wire.stop()
        finished = self._worker.stop()
        # Whoever asked has an answer before the pins are given back.
        self._outcomes.end()
        self._server.stop()
        self._registry.close()
        self._lifecycle.fire("shut")
        self._keeper.append("shutdown", {"finished": finished})
        self._bundles.stop()
        self._custody.stop()
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
        self._keeper.append("emergency", facts, {"reason": reason})
        self._outcomes.touch()
        self._wire.wake()
        return refused

    def release(self, peer: str) -> bool:
        """Let go of the latch; outputs stay safe until a tool is called again."""
        released = self._emergency.release()
        if released:
            self._lifecycle.fire("release")
            self._keeper.append("emergency", {"peer": peer, "latched": False})
            self._troubles.settle()
            self._outcomes.touch()
            self._wire.wake()
        return released

    def resolve(self, request_id: str, happened: bool, note: str, peer: str) -> bool:  # noqa: FBT001 -- a fact
        """Record what a person found out about an act in doubt."""
        moment = self._clock.moment()
        found = recovery.resolve(self._db, moment, request_id, happened=happened, note=note, peer=peer)
        self._outcomes.touch()
        return found

    def rotate_key(self, reason: str, compromised: bool, peer: str) -> JsonObject:  # noqa: FBT001 -- a fact
        """Give the device a new key; the ledger, the checkpoints and the fleet go on with it."""
        changed = self._custody.rotate_key(reason=reason, compromised=compromised, peer=peer)
        self.journal.warning("the device has a new key")
        self._outcomes.touch()
        return changed

    def retain(self, request: RetainingRequest, peer: str) -> LocalReply:
        """Hold, release, redact or prune records of the ledger."""
        reply = self._custody.retain(request, peer)
        self._outcomes.touch()
        return reply

    def carry(self, request: SyncExport | SyncImport, peer: str) -> LocalReply:
        """Read or write a stick between this device and its fleet."""
        return self._wire.carry(request, peer)

    def load_laws(self) -> LocalReply:
        """Read the owner's laws again; whole or not at all."""
        reply = self._enforcement.load()
        self._outcomes.touch()
        return reply

    def law(self, workflow: str) -> LocalReply:
        """Describe a law in force, and where its run is."""
        return self._enforcement.describe(workflow)

    def quit(self) -> None:
        """Ask the daemon to end, once whoever asked has had the answer."""
        threading.Timer(QUIT_AFTER_S, self._ended.set).start()

    def _tell_opened(self, opened: database.Opened, begun: epochs.Begun) -> None:
        """Say what was wrong with the database that was found."""
        if begun.complaint is not None:
            self._health.set("epoch", begun.complaint)
        if begun.unwritable is not None:
            self._health.set("signing", begun.unwritable)
            self.journal.warning("nothing can be signed")
        for fault in opened.mended:
            self._health.set("schema", f"the database had what is not the appliance's, and it was removed: {fault}")
            self._keeper.append(
                "note",
                {
                    "event": "the database's schema was mended",
                    "type": fault.entry.type,
                    "name": fault.entry.name[:200],
                    "table": fault.entry.table[:200],
                    "sql_sha256": fault.sql_sha256,
                },
            )

    @property
    def begins_again(self) -> bool:
        """Whether it ends to begin again at once: with another bundle."""
        return self._begins_again

    def bundles(self) -> LocalReply:
        """List what lies in the slots, what decides, and how its trial does."""
        return LocalReply(ok=True, result=self._bundles.list())

    def bundle(self, request: BundleChange, peer: str) -> LocalReply:
        """Install, activate or roll back bundles, or take what says whom to trust."""
        match request:
            case InstallBundle(path=path, only_look=True):
                return self._bundles.look(Path(path))
            case InstallBundle(path=path):
                return self._bundles.install(Path(path), peer)
            case ActivateBundle(bundle=wanted, again=again):
                return self._bundles.activate(wanted, peer, again=again)
            case RollBackBundle():
                return self._bundles.roll_back(peer)
            case TrustDocument():
                return self._bundles.accept(
                    Path(request.path), request.fingerprint, peer, replace=request.replace, kind=request.kind or None
                )
            case _ as never:
                assert_never(never)

    def _carry_out(self, wanted: Wanted) -> LocalReply:
        """Do what a controller wants done with bundles."""
        match wanted.action:
            case "install":
                return self._bundles.bring(wanted.name, wanted.peer)
            case "activate":
                return self._bundles.activate(wanted.name, wanted.peer)
            case _:
                return self._bundles.roll_back(wanted.peer, wanted.name)

    def _load_model(self, chosen: Settings) -> model.Model | None:
        """Load the bundle that decides; one that cannot be used gives way to the one before it."""
        complaint = ""
        for candidate in self._bundles.start(_machine_start()):
            try:
                loaded = model.load(candidate.folder, runtime=chosen.model.runtime, threads_n=chosen.model.threads)
            except BundleError as error:
                complaint = str(error)
                self.journal.error("no usable model", error=error)
            else:
                self._bundles.decides(candidate)
                if said := self._bundles.about_named():
                    self._health.set("model", said)
                return loaded
        if (why := self._bundles.shipped_revoked()) is not None:
            complaint = f"the bundle that came with the software was revoked ({why}), and no other decides; install one"
        told = [why for why in (self._bundles.about_named(), complaint) if why]
        # Without a model the device still obeys tool calls, timers and the stop; it says so.
        self._health.set("model", "; ".join(told) or "none came with this installation; install one")
        return None

    def _examine(self, candidate: Path, active: Path | None, chosen: Settings) -> CanaryReport:
        with closing(database.open_reader(self._home.database)) as reader:
            return examine(candidate, active, reader, chosen.bundles.canary(), runtime=chosen.model.runtime)

    def _begin_again(self) -> None:
        self._begins_again = True
        self.quit()

    def _load_enrolment(self) -> Enrolment | None:
        try:
            return enrolment.load(self._home.root)
        except TrustError as error:
            # A grant that cannot be trusted is no grant; the device goes on alone and says so.
            self._health.set("enrolment", str(error))
            self.journal.error("no usable enrolment", error=error)
            return None

    def _illegal_trigger(self, state: State, trigger: str) -> None:
        self._keeper.append("illegal_trigger", {"state": state.value, "trigger": trigger})

    def storage_failed(self, error: StorageError) -> None:
        """Take note that something could not be written."""
        self._troubles.storage(error)

    def _can_write_again(self) -> None:
        if self._keeper.owes:
            self._keeper.append("note", {"event": "the ledger can be written again"})

    def _on_signed(self, _note: str) -> None:
        self._troubles.signed()
        self._wire.wake()
        self._outcomes.touch()

    def _on_rekeyed(self, identity: Identity) -> None:
        self._wire.rekey(identity)

    def checkpoint(self) -> str | None:
        """Sign how far the ledger is, now."""
        return self._custody.checkpoint()

    def _on_fault(self, request: Request | None, error: Exception | None) -> None:
        if request is not None and error is not None:
            self._troubles.in_turn(request, error)
        else:
            self._troubles.between_turns(error)

    def _on_settled(self) -> None:
        self._troubles.settle()
        self._wire.wake()

    def _stop_remotely(self, reason: str, issuer: str) -> None:
        self.stop_now(reason, issuer)

    def _tick(self) -> None:
        self._enforcement.tick()
        for change in self._registry.tick(self._permit):
            event = f"{change.order.tool} is held back" if change.held else f"{change.order.tool} goes on"
            self._keeper.append("note", {"event": event, "tool": change.order.tool}, {"why": change.held})
        self._custody.tick()
        self._bundles.tick()

    def _permit(self, order: ToolCall) -> str:
        """Say why an order that still has an effect may not go on having it."""
        locked = self._maintenance.text()
        return f"locked for maintenance ({locked})" if locked else self._laws.permit(order)

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
    def __init__(self, emergency: Emergency, troubles: Troubles) -> None:
        self._emergency = emergency
        self._troubles = troubles

    def is_locked(self) -> bool:
        return self._emergency.is_locked()

    def is_recordable(self) -> bool:
        return self._troubles.is_recordable()

    def storage_failed(self, error: StorageError) -> None:
        self._troubles.storage(error)


def run(home: Home) -> int:
    """Run the daemon of *home* until SIGTERM, Ctrl-C, `quit`, or until its home is taken away.

    Raises:
        AlreadyRunning: another daemon owns this home.
        ApplianceError: it cannot start; the message says why.
    """
    with own(home) as held:
        chosen = settings.load(home.root)
        open_journal()
        if not reserve.has_room(home.root):
            Journal().error("no room to start on this disk; free some, the start waits for it")
            while not reserve.has_room(home.root):
                time.sleep(ROOM_LOOK_S)
        settings.write_default_file(home.root)
        ended = threading.Event()
        daemon = Daemon(home, chosen)

        def end(_number: int, _frame: FrameType | None) -> None:
            ended.set()
            daemon.end()

        signal.signal(signal.SIGTERM, end)
        signal.signal(signal.SIGINT, end)
        while True:
            daemon.start()
            # A home that was deleted (a trial in a temporary folder) must not leave a daemon behind for ever.
            while not daemon.wait(2.0) and held.still_there():
                pass
            daemon.stop()
            if ended.is_set() or not daemon.begins_again or not held.still_there():
                return 0
            # With another bundle everything that cites one is another: built anew, in the one way there is.
            daemon = Daemon(home, settings.load(home.root))


def _check_disabled(tools: Iterable[str], registry: Registry, home: Home) -> None:
    """Refuse to start with a safety list that has a typo: it would do nothing."""
    unknown = [tool for tool in tools if registry.spec(tool) is None]
    if unknown:
        raise SettingsError(
            f"{home.settings}: [policy] disabled_tools: there is no tool called {', '.join(map(repr, unknown))}; "
            f"here are {', '.join(spec.name for spec in registry.specs())}"
        )


def _machine_start() -> str:
    """Name this start of the machine: a process that ends within it crashed, or was killed."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return "unknown"


def _shipped() -> Path | None:
    try:
        return settings.shipped_bundle()
    except BundleError:
        return None


def _new_salt() -> bytes:
    return secrets.token_bytes(pin.SALT_BYTES)


def _new_id() -> str:
    # Ordered by time: neighbours in an index are on one page, which is written once for many.
    return f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex(4)}"
