"""A stick between a controller and devices that have no network: whole devices, the real files, both command lines."""

import base64
import hashlib
import json
import os
import shutil
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner

from appliance import cli
from appliance.agent import carrying as agent_carrying
from appliance.agent import clock
from appliance.agent.carrying import LIMITS, UNUSABLE_N
from appliance.agent.refusals import MOST_PER_MINUTE
from appliance.contracts.enrolment import Role
from appliance.contracts.envelope import Ack, CallBody, PingBody, SetConfigBody, StopBody
from appliance.contracts.evidence import ArchiveSaid
from appliance.contracts.stick import DOWN, FOLDER, UP, Line
from appliance.fleet import carrying, desired, enrolling, outgoing
from appliance.fleet.home import make
from appliance.storage import outbox
from appliance.trust import keys, parcels, rotation
from appliance.trust.signature import sealed

NOW = datetime(2026, 11, 22, tzinfo=UTC)
NOTE = CallBody(tool="add_note", arguments={"text": "buy milk"})


class Fleet:
    """A controller with its folder, a stick, and devices that were never on a network."""

    def __init__(self, tmp_path, bench, name="controller"):
        self.bench = bench
        self.home = make(tmp_path / name, site="farm")
        self.home.use_broker(enrolling.broker_at("127.0.0.1:1"))
        self.stick = tmp_path / "stick"
        self.stick.mkdir(exist_ok=True)

    def enrol(self, device="lamp", **more):
        enrolling.enrol_here(
            self.home, self.bench.home.root, device=device, role=Role.OPERATOR, replace=False, now=self.now(), **more
        )
        return self

    def now(self):
        return datetime.now(UTC)

    def put(self, body, device="lamp"):
        return carrying.put(self.home, self.stick, device, body, now=self.now(), expires_s=86_400)

    def take(self):
        collector = carrying.collector_for(self.home, self.now())
        try:
            return carrying.take(self.home, collector, self.stick)
        finally:
            collector.close()

    def down(self):
        return self.stick / FOLDER / DOWN

    def up(self):
        return sorted((self.stick / FOLDER / UP).iterdir())

    def imported(self):
        """What the device says of each file on the stick."""
        carrier = self.bench.daemon._wire._carrier
        return {one.file: one for one in carrier.take(self.stick, "test")}

    def exported(self):
        return self.bench.daemon._wire._carrier.give(self.stick, "test")

    def acts(self):
        return [row for row in self.bench.records if row.kind == "decided"]

    def refusals(self):
        found = [row for row in self.bench.records if row.kind == "refused_message"]
        return [json.loads(row.body)["facts"]["code"] for row in found]

    def answers(self):
        return {
            (row["correlation"], row["life"]): row["code"]
            for row in self.home.db.rows("select correlation, life, code from answers")
        }


@pytest.fixture
def fleet(tmp_path, bench, monkeypatch):
    vouched = tmp_path / "synchronized"
    vouched.touch()
    monkeypatch.setattr(clock, "_SYNCHRONIZED", vouched)
    made = Fleet(tmp_path, bench).enrol()
    bench.start()
    yield made
    made.home.close()


def settle(fleet):
    """Wait until the device has done what was put into its inbox."""
    for _ in range(6000):
        open_n = fleet.bench.db.row(
            "select (select count(*) from inbox where status in ('queued', 'taken'))"
            " + (select count(*) from errands) as n"
        )
        if open_n["n"] == 0:
            return
        fleet.bench.daemon.wait(0.02)
    raise AssertionError("the device does not come to an end")


def test_commands_go_in_and_answers_records_and_reports_come_out(fleet):
    ping, note = fleet.put(PingBody()), fleet.put(NOTE)

    found = fleet.imported()
    assert [(found[name].status, found[name].life) for name in (ping, note)] == [(200, "executed"), (202, "received")]
    settle(fleet)
    fleet.exported()
    brought = fleet.take()

    assert len(fleet.acts()) == 1
    assert sorted(fleet.answers().values()) == ["done", "pong"]
    (device,) = fleet.home.db.rows("select device, state from devices")
    assert (device["device"], device["state"]) == ("lamp", "disconnected")
    kinds = {row["kind"] for row in fleet.home.db.rows("select kind from records where stream = 'audit'")}
    assert {"epoch", "boot", "decided", "settled"} <= kinds
    assert fleet.home.db.rows("select * from faults") == []
    assert any("audit up to" in line for line in brought.acknowledged)


def test_acknowledgements_travel_back_and_free_the_outbox(fleet):
    fleet.put(NOTE)
    fleet.imported()
    settle(fleet)
    fleet.exported()
    fleet.take()
    assert outbox.mark(fleet.bench.db, "evt").acked == 0

    found = fleet.imported()

    assert found["lamp.evt.ack.json"].code == "acknowledged"
    assert outbox.mark(fleet.bench.db, "evt").acked == 1
    assert outbox.waiting(fleet.bench.db, "evt", limit=9) == []
    assert outbox.mark(fleet.bench.db, "audit").acked > 5


def test_a_stick_used_twice_does_nothing_twice_on_either_side(fleet):
    fleet.put(NOTE)
    first = fleet.imported()
    settle(fleet)
    again = fleet.imported()
    assert set(first) == set(again)
    assert next(iter(again.values())).life == "executed"
    assert len(fleet.acts()) == 1
    assert fleet.refusals() == []

    fleet.exported()
    fleet.take()
    rows = fleet.home.db.rows("select * from records order by stream, seq")
    fleet.take()
    fleet.exported()
    fleet.take()
    now = fleet.home.db.rows("select * from records order by stream, seq")

    assert [row for row in now if row in rows] == rows
    assert len({(row["epoch"], row["stream"], row["seq"]) for row in now}) == len(now)


def test_a_stick_used_on_two_devices_acts_on_the_one_it_names_or_on_each_once(fleet, tmp_path):
    other = type(fleet.bench)(tmp_path / "other")
    second = Fleet(tmp_path, other)
    second.home.close()
    second.home = fleet.home
    second.enrol("fan")
    other.start()
    try:
        fleet.put(NOTE)
        for _ in range(2):
            fleet.imported()
            assert second.imported() == {}
        settle(fleet)
        fleet.put(NOTE, "all")
        for _ in range(2):
            fleet.imported()
            second.imported()
        settle(fleet)
        settle(second)

        assert (len(fleet.acts()), len(second.acts())) == (2, 1)
        # Renamed to be the other's, it is still not its own.
        name = next(path for path in fleet.down().iterdir() if path.name.startswith("lamp."))
        shutil.copy(name, fleet.down() / name.name.replace("lamp", "fan"))
        second.imported()
        assert second.refusals() == ["wrong_audience"]
    finally:
        other.stop()


def test_the_same_command_by_stick_and_by_broker_is_one(fleet):
    from appliance.transport.messages import Incoming

    name = fleet.put(NOTE)
    data = (fleet.down() / name).read_bytes()
    fleet.imported()
    settle(fleet)
    said = json.loads(data)["payload"]

    by_broker = Incoming(
        "edge/v1/farm/lamp/cmd/call",
        data,
        retained=False,
        correlation=bytes.fromhex(said["correlation"]),
        response_topic=said["response_topic"],
        expiry_s=60,
    )
    assert fleet.bench.daemon._wire._uplink._downlink.receive(by_broker) is None
    settle(fleet)

    assert len(fleet.acts()) == 1


def test_what_is_no_command_of_ours_is_refused_and_recorded_one_by_one(fleet):
    good = fleet.put(PingBody())
    body = json.loads((fleet.down() / good).read_bytes())
    (fleet.down() / "lamp.a.command.json").write_bytes(b"\xff\xfe not JSON")
    (fleet.down() / "lamp.b.command.json").write_text(json.dumps({**body, "signature": "0" * 128}))
    (fleet.down() / "lamp.c.command.json").write_text(json.dumps({**body, "key": "0" * 16}))
    (fleet.down() / "lamp.d.ack.json").write_text("{}")
    (fleet.down() / "lamp.e.command.json").write_bytes(b"x" * (LIMITS.file_bytes + 1))

    found = fleet.imported()

    assert found[good].status == 200
    told = {name.split(".")[1]: one.code for name, one in found.items() if name != good}
    assert told == {
        "a": "malformed",
        "b": "bad_signature",
        "c": "unknown_issuer",
        "d": "malformed",
        "e": "not_taken",
    }
    assert sorted(fleet.refusals()) == ["bad_signature", "malformed", "malformed", "unknown_issuer"]


def test_an_expired_command_on_a_forgotten_stick_is_not_obeyed(fleet):
    carrying.put(fleet.home, fleet.stick, "lamp", NOTE, now=datetime(2026, 1, 1, tzinfo=UTC), expires_s=60)

    (found,) = fleet.imported().values()

    assert (found.life, found.status) == ("expired", 410)
    assert fleet.refusals() == ["expired"]


def test_without_the_time_a_command_needs_the_nonce_that_the_last_export_brought(fleet, tmp_path):
    (tmp_path / "synchronized").unlink()
    fleet.bench.daemon._clock.is_trusted = lambda: False
    first = fleet.put(NOTE)
    assert fleet.imported()[first].code == "nonce_needed"

    fleet.exported()
    fleet.take()
    second = fleet.put(NOTE)
    assert fleet.imported()[second].life == "received"


def test_an_emergency_stop_by_stick_stops(fleet):
    name = fleet.put(StopBody(reason="smoke"))

    assert fleet.imported()[name].code == "stopped"
    assert fleet.bench.daemon.status()["locked"]


def test_a_configuration_travels_like_a_command_or_as_it_stands_at_the_broker(fleet):
    name = fleet.put(SetConfigBody(version=1, config={"uplink": {"batch_n": 7}}))

    assert fleet.imported()[name].code == "configured"
    assert desired.want(fleet.home, "lamp", {"uplink": {"batch_n": 8}}, now=fleet.now(), because="test") >= 1
    desired.want(fleet.home, "lamp", {"uplink": {"batch_n": 9}}, now=fleet.now(), because="test")
    assert carrying.give(fleet.home, fleet.stick, fleet.now()) >= 1

    assert fleet.imported()["lamp.config.desired.json"].code in {"taken", "configured"}
    assert fleet.bench.daemon._wire._uplink._downlink.memory.desired == 2
    fleet.exported()
    fleet.take()
    (said,) = fleet.home.db.rows("select device from reported")
    assert said["device"] == "lamp"


def test_a_command_that_waits_for_the_network_may_go_by_stick_and_counts_once(fleet):
    outgoing.queue(fleet.home, "lamp", NOTE, now=fleet.now(), expires_s=600, because="test")
    assert carrying.give(fleet.home, fleet.stick, fleet.now()) == 1

    for _ in range(2):
        (found,) = fleet.imported().values()
        settle(fleet)

    assert found.life == "executed"
    assert len(fleet.acts()) == 1


def test_links_fifos_and_devices_in_the_place_of_commands_are_not_followed(fleet, tmp_path):
    fleet.put(PingBody())
    victim = tmp_path / "secret"
    victim.write_text("secret")
    (fleet.down() / "lamp.link.command.json").symlink_to(victim)
    os.mkfifo(fleet.down() / "lamp.fifo.command.json")
    (fleet.down() / "lamp.zero.command.json").symlink_to("/dev/zero")

    found = fleet.imported()

    assert sum(one.code == "not_taken" for one in found.values()) == 3
    assert sum(one.status == 200 for one in found.values()) == 1
    assert list(fleet.bench.home.root.glob(".stick-*")) == []


def last_note(fleet):
    found = [json.loads(row.body)["facts"] for row in fleet.bench.records if row.kind == "note"]
    return [facts for facts in found if facts["event"] == "a stick was read"][-1]


def test_whatever_was_not_taken_from_a_stick_is_in_the_ledger_as_a_number(fleet, tmp_path):
    good = fleet.put(PingBody())
    for n in range(80):
        (fleet.down() / f"lamp.junk{n:02}.command.json").write_bytes(b"{}")
        (fleet.down() / f"lamp.link{n:02}.command.json").symlink_to(tmp_path)
    (fleet.down() / "lamp.large.command.json").write_bytes(b"x" * (LIMITS.file_bytes + 1))

    found = fleet.imported()

    assert found[good].status == 200
    assert last_note(fleet) == {
        "event": "a stick was read",
        "files": 81,
        "codes": {"malformed": 80, "pong": 1},
        "not_taken": {"no_plain_file": 80, "too_large": 1},
        "peer": "test",
    }
    assert fleet.refusals() == ["malformed"] * MOST_PER_MINUTE
    assert len(found) == 81 + UNUSABLE_N


def test_a_stick_with_twelve_hundred_commands_is_taken_to_its_end_in_three_imports(fleet):
    fleet.exported()
    fleet.take()
    with fleet.home.writing():
        names = [fleet.put(PingBody()) for _ in range(1200)]

    found = [fleet.imported() for _ in range(3)]

    assert last_note(fleet)["files"] == LIMITS.files_n
    assert last_note(fleet)["not_taken"] == {"left": 1}
    assert {"lamp.audit.ack.json"} <= set(found[0])
    taken = [name for name in names if any(name in one and one[name].code == "pong" for one in found)]
    assert taken == names
    assert set(names[:500]) <= set(found[0])  # the oldest first: the others would be too far behind the newest
    assert fleet.refusals() == []


def test_an_emergency_stop_is_taken_before_whatever_else_lies_on_the_stick(fleet, monkeypatch):
    monkeypatch.setattr(agent_carrying, "LIMITS", LIMITS._replace(files_n=5))
    names = [fleet.put(NOTE) for _ in range(20)]
    for n in range(20):
        (fleet.down() / f"lamp.a{n}.command.json").write_bytes(b"{}")
    stop = fleet.put(StopBody(reason="smoke"))

    found = fleet.imported()

    assert found[stop].code == "stopped"
    assert [name for name in names if name in found and found[name].life == "received"] == names[:4]


def test_an_export_removes_what_this_controller_put_there_and_nobody_needs_any_more(fleet, tmp_path):
    answered = fleet.put(PingBody())
    fleet.imported()
    fleet.exported()
    fleet.take()
    open_ = fleet.put(PingBody())
    old = carrying.put(fleet.home, fleet.stick, "lamp", NOTE, now=datetime(2026, 1, 1, tzinfo=UTC), expires_s=60)
    gone = Ack(audience="fan", issuer=fleet.home.key.key_id, stream="evt", epoch="before", upto=9)
    (fleet.down() / "fan.evt.ack.json").write_bytes(sealed(fleet.home.key, gone))
    other = Fleet(tmp_path, fleet.bench, "other")
    theirs = sealed(other.home.key, gone.model_copy(update={"issuer": other.home.key.key_id}))
    (fleet.down() / "fan.audit.ack.json").write_bytes(theirs)
    (fleet.down() / "lamp.junk.command.json").write_bytes(b"{}")
    other.home.close()

    carrying.give(fleet.home, fleet.stick, fleet.now())

    left = {path.name for path in fleet.down().iterdir()}
    assert left >= {open_, "fan.audit.ack.json", "lamp.junk.command.json", "lamp.audit.ack.json"}
    assert left.isdisjoint({answered, old, "fan.evt.ack.json"})


def test_what_leaves_is_sealed_to_the_controller(fleet, tmp_path):
    fleet.put(NOTE)
    fleet.imported()
    settle(fleet)
    fleet.exported()

    whole = b"".join(path.read_bytes() for path in fleet.up())
    assert b"decided" not in whole
    assert b"add_note" not in whole
    head, _, _ = parcels.read_head(fleet.up()[0].read_bytes())
    assert (head.device, head.controller) == ("lamp", fleet.home.key.key_id)

    other = Fleet(tmp_path, fleet.bench, "thief")
    stolen = [path.name for path in fleet.up()]
    for name in stolen:
        (fleet.stick / FOLDER / UP / name).rename(
            fleet.stick / FOLDER / UP / name.replace(fleet.home.key.key_id, other.home.key.key_id)
        )
    assert len(other.take().unusable) == len(stolen)
    assert other.home.db.rows("select * from records") == []
    other.home.close()


def test_a_parcel_that_was_altered_is_named_and_the_others_are_taken(fleet):
    fleet.exported()
    (path,) = fleet.up()
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.with_name(path.name.replace("-0001", "-0002")).write_bytes(data)

    brought = fleet.take()

    assert len(brought.unusable) == 1
    assert brought.messages_n > 3


def test_weeks_of_records_go_out_in_parcels_and_an_export_replaces_the_one_before(fleet, monkeypatch):
    from appliance.agent import carrying as device_side

    monkeypatch.setattr(device_side, "CONTENT_BYTES", 20_000)
    for n in range(400):
        fleet.bench.daemon._keeper.append("note", {"event": "x" * 200, "n": n})
    fleet.exported()
    first = {path.name for path in fleet.up()}
    fleet.exported()

    assert len(first) > 2
    assert first.isdisjoint(path.name for path in fleet.up())
    fleet.take()
    seqs = [row["seq"] for row in fleet.home.db.rows("select seq from records where stream = 'audit' order by seq")]
    assert seqs == list(range(1, len(seqs) + 1))
    assert len(seqs) > 400


def test_what_was_lost_on_the_way_comes_with_the_next_export(fleet):
    fleet.put(NOTE)
    fleet.imported()
    settle(fleet)
    fleet.exported()
    for path in fleet.up():
        path.unlink()
    fleet.exported()
    fleet.take()

    assert "done" in fleet.answers().values()
    assert fleet.home.db.rows("select * from gaps") == []


def test_an_archive_of_evidence_travels_too(fleet):
    from appliance.contracts.envelope import ExportAuditBody

    name = fleet.put(ExportAuditBody(after=0))
    fleet.imported()
    settle(fleet)
    fleet.exported()

    brought = fleet.take()

    assert fleet.imported()[name].code == "exported"
    (archive,) = brought.files
    assert archive.read_bytes().startswith(b"PK")
    assert archive.stat().st_mode & 0o777 == 0o600
    assert fleet.take().files == (archive,)


class Forger:
    """Somebody who found a grant: the controller's public sealing key, and no device's key."""

    def __init__(self, fleet):
        self.fleet = fleet
        self.public = parcels.load_or_make(fleet.home.path / parcels.SEALING_KEY).public
        (fleet.stick / FOLDER / UP).mkdir(parents=True, exist_ok=True)

    def parcel(self, device, *lines, name="aa"):
        key_id = self.fleet.home.key.key_id
        head = parcels.Head(device=device, controller=key_id, made_at=self.fleet.now(), n=1, last=True)
        content = b"".join(line.model_dump_json().encode() + b"\n" for line in lines)
        path = self.fleet.stick / FOLDER / UP / f"{device}.{key_id}.{name}.parcel"
        path.write_bytes(parcels.seal(content, head, self.public))

    def junk(self, device, name):
        path = self.fleet.stick / FOLDER / UP / f"{device}.{self.fleet.home.key.key_id}.{name}.parcel"
        path.write_bytes(b"x")

    def part(self, data, *, part=0, parts=1, sha256=None, payload=""):
        sha256 = sha256 or hashlib.sha256(data).hexdigest()
        text = base64.b64encode(data).decode()
        return Line(file=sha256, part=part, parts=parts, data=text, payload=payload)

    def said(self, device, data, key, **changes):
        facts = {"device": device, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data), **changes}
        return sealed(key, ArchiveSaid(**facts)).decode()


@pytest.mark.parametrize(
    "write",
    [
        lambda forger, name: forger.junk("0", name),
        lambda forger, name: forger.junk("lamp", name),
        lambda forger, name: forger.parcel("0", name=name),
        lambda forger, name: forger.parcel("attic", name=name),
    ],
    ids=["junk", "junk in its name", "nobody's", "another device's"],
)
def test_no_number_of_other_parcels_keeps_those_of_a_device_from_being_read(fleet, tmp_path, monkeypatch, write):
    monkeypatch.setattr(carrying, "LIMITS", carrying.LIMITS._replace(files_n=6))
    enrolling.enrol_here(fleet.home, tmp_path / "attic", device="attic", role=Role.OPERATOR, replace=False, now=NOW)
    fleet.exported()
    forger = Forger(fleet)
    for n in range(9):
        write(forger, f"{n:08x}")

    brought = fleet.take()

    assert any(line.startswith("lamp: audit up to") for line in brought.acknowledged)
    assert any("left for the next time" in line for line in brought.unusable)


FORGED = b"PK\x03\x04 forged evidence"


def test_nobody_can_plant_evidence_under_a_devices_name(fleet, tmp_path):
    forger = Forger(fleet)
    own = keys.load_or_make(tmp_path / "forger.key")
    device = rotation.current(fleet.bench.home.root)
    forger.parcel("lamp", forger.part(FORGED), name="aa")
    forger.parcel("nosuchdevice", forger.part(FORGED, payload=forger.said("nosuchdevice", FORGED, own)), name="ab")
    forger.parcel("lamp", forger.part(FORGED, payload=forger.said("lamp", FORGED, own)), name="ac")
    forger.parcel("lamp", forger.part(FORGED, payload=forger.said("lamp", b"true", device)), name="ad")
    forger.parcel("lamp", forger.part(FORGED, payload="\x00 nothing", sha256="1" * 64, parts=9), name="ae")
    forger.parcel("lamp", forger.part(FORGED, part=3, parts=9), name="af")

    brought = fleet.take()

    assert brought.files == ()
    assert [line.split(" (")[0] for line in brought.unusable] == [
        "lamp: archives that it did not sign for",
        "lamp: archives that it signed something else for",
        "lamp: archives whose beginning is missing",
        "nosuchdevice: archives of a device that is not enrolled here",
    ]
    assert list((fleet.home.path / carrying.FILES).rglob("*")) == []


@pytest.mark.parametrize(
    ("parts", "why", "kept"),
    [
        ([b"ab"], "end too early", []),
        ([b"ab", b"cd", b"ef"], "a part missing, damaged, or too many", [b"abcd"]),
        ([b"ab", b""], "a part missing, damaged, or too many", []),
        ([b"ab", b"xx"], "not what it signed for", []),
    ],
)
def test_nothing_but_what_a_device_signed_for_is_kept(fleet, parts, why, kept):
    forger = Forger(fleet)
    key = rotation.current(fleet.bench.home.root)
    said = forger.said("lamp", b"abcd", key)
    sha256 = hashlib.sha256(b"abcd").hexdigest()
    forger.parcel(
        "lamp",
        *(forger.part(data, part=n, parts=2, sha256=sha256, payload="" if n else said) for n, data in enumerate(parts)),
    )

    brought = fleet.take()

    assert [why in line for line in brought.unusable] == [True]
    found = [path for path in (fleet.home.path / carrying.FILES).rglob("*") if path.is_file()]
    assert [path.read_bytes() for path in found] == kept
    assert list(fleet.home.path.glob(".stick-*")) == []


def test_an_acknowledgement_of_what_never_left_is_believed_only_as_far_as_it_did(fleet):
    epoch = fleet.bench.db.row("select value from meta where key = 'epoch'")["value"]
    fleet.put(PingBody())
    ack = Ack(audience="lamp", issuer=fleet.home.key.key_id, stream="audit", epoch=epoch, upto=9999)
    (fleet.down() / "lamp.audit.ack.json").write_bytes(sealed(fleet.home.key, ack))

    fleet.imported()

    assert outbox.mark(fleet.bench.db, "audit").acked == 0


def test_both_command_lines_carry_a_stick_round(fleet, tmp_path):
    fleet.home.close()

    def run(*words, code=0):
        result = CliRunner().invoke(cli.group, [str(word) for word in words])
        assert result.exit_code == code, (words, result.output, result.exception)
        return result.output

    device = ("--home", fleet.bench.home.root, "sync")
    ours = ("--fleet-home", fleet.home.path)
    body = tmp_path / "body.json"
    body.write_text('{"kind": "diagnose"}')

    assert "call for lamp" in run(
        "fleet", "sync", "put", *ours, fleet.stick, "lamp", "--call", "add_note", "--arguments", '{"text": "x"}'
    )
    run("fleet", "sync", "put", *ours, fleet.stick, "lamp", "--body", body)
    run("fleet", "sync", "put", *ours, fleet.stick, "lamp", "--ping")
    run("fleet", "sync", "put", *ours, fleet.stick, "door", "--ping", code=1)
    assert "202 received" in run(*device, "import", fleet.stick)
    settle(fleet)
    assert "parcels" in run(*device, "export", fleet.stick)
    told = json.loads(run("fleet", "sync", "import", *ours, "--json", fleet.stick))
    assert told["messages_n"] > 3
    found = json.loads(run(*device, "import", "--json", fleet.stick))["files"]
    assert {one["code"] for one in found} >= {"done", "diagnosed", "pong", "acknowledged"}
    assert "files" in run("fleet", "sync", "export", *ours, fleet.stick)
    found = json.loads(run(*device, "import", "--json", fleet.stick))["files"]
    assert {one["code"] for one in found} == {"acknowledged"}
    (fleet.down() / "lamp.x.command.json").write_text("{}")
    assert "malformed" in run(*device, "import", fleet.stick, code=11)


def test_a_device_that_belongs_to_nobody_carries_nothing(appliance, tmp_path):
    (tmp_path / "stick").mkdir()
    result = CliRunner().invoke(
        cli.group, ["--home", str(appliance.home.root), "sync", "export", str(tmp_path / "stick")]
    )

    assert result.exit_code == 1
    assert "no fleet" in str(result.output) + str(result.exception)
