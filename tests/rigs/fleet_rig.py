"""Devices and a controller over a real broker, each with a real database; only the tools behind the inbox are
simulated."""

import hashlib
import random
import secrets
import sqlite3
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from appliance import settings
from appliance.agent import rekeying
from appliance.agent.admission import Admission
from appliance.agent.announcing import Description, Identity
from appliance.agent.bundles import Bundles
from appliance.agent.checkpointing import Checkpointer
from appliance.agent.commands.configuring import Configuring
from appliance.agent.downlink import Downlink
from appliance.agent.updating import Updater
from appliance.agent.uplink import Uplink, UplinkSettings
from appliance.contracts.audit import AuditRecord, Moment
from appliance.contracts.canary import CanaryReport, Check
from appliance.contracts.enrolment import BrokerSettings, Role
from appliance.contracts.envelope import FINAL, Command, PingBody
from appliance.contracts.home import Home
from appliance.contracts.local import Outcome
from appliance.contracts.topics import EVERY_DEVICE
from appliance.errors import StorageError
from appliance.fleet import enrolling, numbering
from appliance.fleet.collector import Collector
from appliance.fleet.home import make
from appliance.fleet.many import Many, Progress
from appliance.settingsfile.remote import Wishes
from appliance.storage import audit, checkpoints, database, inbox, meta, outbox, signed
from appliance.storage.signed import Signed
from appliance.transport.mqtt import Link, Message
from appliance.trust import enrolment, rotation
from appliance.trust.signature import sealed
from appliance.trust.slots import Shelf

SITE = "site"


class RigClock:
    """Clocks that a test can set; the monotonic one runs by itself."""

    def __init__(self):
        self.offset = timedelta(0)
        self.skipped_s = 0.0
        self.trusted = True

    def now(self):
        return datetime.now(UTC) + self.offset

    def monotonic_s(self):
        return time.monotonic() + self.skipped_s

    def skip(self, seconds):
        """Let time go by at once, on every clock."""
        self.skipped_s += seconds
        self.offset += timedelta(seconds=seconds)

    def is_trusted(self):
        return self.trusted

    def moment(self):
        clock = "trusted" if self.trusted else "untrusted"
        return Moment(at=self.now(), monotonic_s=self.monotonic_s(), boot=1, clock=clock)


def broker_settings(port, **more):
    chosen = {"first_connect_s": 0.0, "reconnect_s": (0.1, 0.5), "will_delay_s": 0, "connect_timeout_s": 1.0, **more}
    return BrokerSettings(host="127.0.0.1", port=port, **chosen)


def passes(_candidate, _active):
    """What the canary says; whether it says so of a real bundle is another test's question."""
    return CanaryReport(sha256="0" * 64, against="", checks=(Check(name="runs", passed=True),))


class DeviceRig:
    """One device: uplink, downlink and a database; `performed` is what its tools were told."""

    def __init__(self, home, *, uplink=None, working=True):
        self.home = home
        self.clock = RigClock()
        self.uplink_settings = uplink or UplinkSettings(poll_s=0.02, ack_timeout_s=2.0, stop_s=3.0)
        self.working = working
        self.performed = []
        self.refused = []
        self.stops = []
        self.restarts = []
        self.complaints = []
        self.word = "ready"
        self.examine = passes
        self.restarts_n = 0
        self.db = None

    def start(self):
        self.db = database.open_database(self.home / "appliance.db").db
        self.boot = meta.next_boot(self.db, 0)
        self.nonce = secrets.token_hex(16)
        self.enrolment = enrolment.load(self.home)
        rekeying.finish(self.home, self.db, rekeying.cosigning(self.db, self.home / "signed.jsonl", self.clock))
        key = rotation.current(self.home)
        epoch = database.epoch(self.db)
        origin = f"edge-agent-appliance/{self.enrolment.device}/{epoch}"
        last = Signed(epoch=epoch, origin=origin, size=0, root=hashlib.sha256().hexdigest(), boot=self.boot)
        self.checkpointer = Checkpointer(
            self.db,
            self.home / "signed.jsonl",
            signed.read(self.home / "signed.jsonl") or last,
            key=key,
            clock=self.clock,
            every_n=50,
            every_s=600.0,
            on_refused=self.complaints.append,
            on_signed=lambda _note: self.uplink.wake(),
        )
        self.admission = Admission(self.db, self.clock, software="0.1.0")
        self.bundles = Bundles(
            self.db,
            Shelf(Home(self.home).bundles),
            self.admission,
            clock=self.clock,
            append=self.append,
            examine=lambda *folders: self.examine(*folders),  # noqa: PLW0108 -- a test exchanges it
            shipped=self.home,
            restart=self._restart,
            incoming=Home(self.home).incoming,
        )
        self.bundles.decides(next(self.bundles.start("this machine")))
        self.updater = Updater(
            self.db,
            clock=self.clock,
            carry_out=self._carry_out,
            standing=self.bundles.standing,
            append=self.append,
            answered=lambda: self.uplink.wake(),  # noqa: PLW0108 -- made further down
        )
        self.configuring = Configuring(
            Wishes(self.home, settings.FILE_NAME, settings.load(self.home)),
            lambda: self.downlink.memory,
            site=self.enrolment.site,
            device=self.enrolment.device,
            clock=self.clock,
            restart=lambda: self.restarts.append(self.boot),
            changed=lambda: self.uplink.reconfigured(),  # noqa: PLW0108 -- there is no uplink yet
        )
        self.downlink = Downlink(
            db=self.db,
            enrolment=self.enrolment,
            nonce=self.nonce,
            clock=self.clock,
            refuse=self._refuse,
            emergency=lambda reason, issuer: self.stops.append((reason, issuer)),
            wake=lambda: None,
            chance=random.Random(1),
            trust=lambda data, _issuer: self.admission.accept(data),
            update=self.updater.wake,
            configuring=self.configuring,
        )
        self.uplink = Uplink(
            db=self.db,
            enrolment=self.enrolment,
            identity=Identity(key, rotation.kept(self.home)),
            downlink=self.downlink,
            settings=self.uplink_settings,
            boot=self.boot,
            nonce=self.nonce,
            clock=self.clock,
            status=lambda: self.word,
            describe=lambda: Description("0.1", {"name": "none"}, ({"name": "turn_on", "parameters": {}},)),
            note=lambda event, facts: self.note({"event": event, **facts}),
            checkpoint=self.newest_checkpoint,
            chance=random.Random(2),
            report=self.configuring.reported,
        )
        self.uplink.start()
        self.updater.start()
        self._ending = threading.Event()
        self._worker = threading.Thread(target=self._work, daemon=True)
        self._worker.start()
        return self

    def append(self, kind, facts):
        audit.append(self.db, AuditRecord(kind=kind, moment=self.clock.moment(), facts=facts))

    def _restart(self):
        self.restarts_n += 1

    def _carry_out(self, wanted):
        match wanted.action:
            case "install":
                return self.bundles.bring(wanted.name, wanted.peer)
            case "activate":
                return self.bundles.activate(wanted.name, wanted.peer)
        return self.bundles.roll_back(wanted.peer, wanted.name)

    def note(self, facts):
        audit.append(self.db, AuditRecord(kind="note", moment=self.clock.moment(), facts=facts))

    def newest_checkpoint(self):
        with self.db.reading() as connection:
            found = checkpoints.latest(connection)
        return found.note if found else None

    def rotate(self, *, compromised=False):
        new = rekeying.rotate(
            self.home,
            self.db,
            device=self.enrolment.device,
            moment=self.clock.moment(),
            peer="test",
            reason="test",
            compromised=compromised,
            cosign=self.checkpointer.rekey,
        )
        self.uplink.rekey(Identity(new, rotation.kept(self.home)))
        return new

    def event(self, name, body=None):
        outbox.enqueue(self.db, envelope_id=name, kind="turn", at=self.clock.now(), body=body or {"name": name})
        self.uplink.wake()

    def stop(self):
        self.bundles.end()
        self.updater.stop()
        ended = self.uplink.stop()
        self.checkpointer.stop()
        self._end_worker()
        self.db.close()
        return ended

    def crash(self):
        """End as a power cut would: no farewell, no DISCONNECT."""
        link = self.uplink._link
        link.close = lambda _farewell=None: (link._drop("power cut"), Link.close(link))
        self.uplink.stop()
        self.updater.stop()
        self.checkpointer.stop()
        self._end_worker()
        self.db.close()

    def _end_worker(self):
        self._ending.set()
        self._worker.join()

    def _refuse(self, code, facts):
        self.refused.append(code)
        audit.append(
            self.db,
            AuditRecord(kind="refused_message", moment=self.clock.moment(), facts={"code": code, **facts}),
        )

    def _work(self):
        while not self._ending.wait(0.01):
            if not self.working:
                continue
            try:
                request = inbox.next_queued(self.db)
                if request is not None:
                    self._one(request)
            except (StorageError, sqlite3.Error):
                continue

    def _one(self, request):
        audit.append(self.db, AuditRecord(kind="decided", moment=self.clock.moment(), request_id=request.request_id))
        inbox.take(self.db, request.request_id)
        self.performed.append(request.body)
        said = Outcome(request_id=request.request_id, status="done", reason="Done.", code="done")
        with self.db.atomic():
            audit.append(
                self.db, AuditRecord(kind="settled", moment=self.clock.moment(), request_id=request.request_id)
            )
            outbox.enqueue(
                self.db,
                envelope_id=f"{request.request_id}:done",
                kind="turn",
                at=self.clock.now(),
                body={"request_id": request.request_id},
            )
            inbox.done(self.db, request.request_id, said.model_dump(mode="json"))
        self.uplink.wake()


class Sent(NamedTuple):
    """Every answer that came in time, and how far the devices were then."""

    answers: tuple
    progress: Progress

    def final(self):
        """Return the answer that ends it, if it came."""
        return next((one for one in reversed(self.answers) if one.life in FINAL), None)


class FleetRig:
    """A controller, its collector, and whatever devices a test enrols; everything is stopped at the end."""

    def __init__(self, folder, port, *, postgresql=None, **broker):
        self.folder = folder
        self.port = port
        self.broker = broker_settings(port, **broker)
        self.home = make(folder / "controller", site=SITE, postgresql=postgresql)
        self.home.use_broker(self.broker)
        self.seen = []
        self.links = []
        self.devices = []
        self.taps = []
        self.collector = None

    def now(self):
        return datetime.now(UTC)

    def collect(self):
        self.collector = Collector(
            self.home,
            now=self.now,
            chance=random.Random(3),
            on_seen=self.seen.append,
            on_link=self.links.append,
        )
        self.until(lambda: self.collector.connected)
        return self.collector

    def stop_collecting(self):
        self.collector.close()
        self.collector = None

    def device(self, name="lamp", *, start=True, role=Role.OPERATOR, **more):
        enrolling.enrol_here(self.home, self.folder / name, device=name, role=role, replace=False, now=self.now())
        rig = DeviceRig(self.folder / name, **more)
        self.devices.append(rig)
        return rig.start() if start else rig

    def send(self, device, body, *, wait_s=8.0, expires_s=60.0):
        """Send *body* to *device* (or `all`) as `fleet send` does, and return what came of it."""
        answers = []
        many = Many(self.home, now=self.now, chance=random.Random(4), on_answer=answers.append)
        names = sorted(self.home.device_keys()) if device == EVERY_DEVICE else [device]
        more = {"wait_s": wait_s, "expires_s": expires_s, "because": "test", "as_one": device == EVERY_DEVICE}
        progress = many.send(names, body, **more)
        return Sent(tuple(answers), progress)

    def tap(self, *filters):
        tap = Tap(self.broker, filters)
        self.taps.append(tap)
        return tap

    def until(self, done, wait_s=10.0):
        """Keep the collector going until *done*; fail when it takes too long."""
        end_s = time.monotonic() + wait_s
        while not done():
            assert time.monotonic() < end_s, f"not so after {wait_s} s; links: {self.links[-3:]}"
            if self.collector is not None:
                self.collector.step(0.05)
            else:
                time.sleep(0.02)

    def upto(self, stream, device="lamp"):
        rows = self.home.db.rows("select upto from streams where stream = ? and device = ?", [stream, device])
        return rows[-1]["upto"] if rows else 0

    def records(self, stream, device="lamp"):
        return self.home.db.rows(
            "select * from records where stream = ? and device = ? order by epoch, seq", [stream, device]
        )

    def command(self, device="lamp", body=None, **changes):
        """A command as the controller would sign it, for tests that alter one thing."""
        now = self.now()
        key_id = self.home.key.key_id
        fields = {
            "audience": device,
            "issuer": key_id,
            "correlation": secrets.token_hex(16),
            "counter": numbering.next_number(self.home, device),
            "issued_at": now,
            "expires_at": now + timedelta(seconds=60),
            "response_topic": f"edge/v1/{SITE}/{device}/rsp/{key_id}",
            "body": body or PingBody(),
            **changes,
        }
        return Command(**fields)

    def message(self, command, *, key=None, **changes):
        fields = {
            "topic": f"edge/v1/{SITE}/{command.audience}/cmd/{command.body.kind}",
            "payload": sealed(key or self.home.key, command),
            "correlation": bytes.fromhex(command.correlation),
            "response_topic": command.response_topic,
            "expiry_s": 60,
            **changes,
        }
        return Message(**fields)

    def close(self):
        for tap in self.taps:
            tap.close()
        if self.collector is not None:
            self.collector.close()
        for device in self.devices:
            if device.db is not None:
                device.stop()
        self.home.close()


class Tap:
    """Somebody else at the broker: hears what it subscribed to, says whatever a test wants."""

    def __init__(self, broker, filters):
        self.heard = []
        self._link = Link(
            broker.model_copy(update={"session_expiry_s": 0}),
            f"tap-{secrets.token_hex(4)}",
            filters=filters,
            on_message=self.heard.append,
            on_opened=lambda _opened: None,
            on_lost=lambda _reason: None,
            chance=random.Random(5),
        )
        self.until(lambda: self._link.connected)
        self.pump(0.1)

    def say(self, message):
        taken = []
        assert self._link.publish(message, taken.append)
        self.until(lambda: taken)
        return taken[0]

    def pump(self, for_s):
        end_s = time.monotonic() + for_s
        while time.monotonic() < end_s:
            self._link.step(0.02)

    def until(self, done, wait_s=8.0):
        end_s = time.monotonic() + wait_s
        while not done():
            assert time.monotonic() < end_s, f"not so after {wait_s} s"
            self._link.step(0.05)

    def close(self):
        self._link.close()
