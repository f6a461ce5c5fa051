"""`appliance doctor` names what is wrong and what to do, and changes nothing."""

from __future__ import annotations

import hashlib
import json
import shutil
import socket
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from appliance import doctor
from appliance.checks import machine, records
from appliance.checks.finding import Finding, Patient
from appliance.contracts.audit import AuditRecord, Moment
from appliance.contracts.bundle import Admitted
from appliance.contracts.home import Home
from appliance.contracts.local import EnrolPerson
from appliance.contracts.slots import Trial
from appliance.settings import Settings, StorageSettings, shipped_bundle
from appliance.storage import audit, database
from appliance.transport.local import LocalClient
from appliance.trust import enrolment, keys
from appliance.trust.slots import Shelf

MOMENT = Moment(at=datetime(2026, 11, 22, tzinfo=UTC), monotonic_s=1.0, boot=1, clock="trusted")


def found(home, check):
    (finding,) = [f for f in doctor.examine(home) if f.check == check]
    return finding


def test_a_home_that_does_not_exist_yet_is_not_made(tmp_path):
    findings = doctor.examine(Home(tmp_path / "home"))

    assert not (tmp_path / "home").exists()
    assert [f.check for f in findings if f.check in ("permissions", "records", "daemon") and f.level != "ok"] == []


def test_a_running_appliance_is_well(appliance):
    appliance.home.root.chmod(0o750)  # as the daemon makes it

    said = found(appliance.home, "daemon")

    assert "start 1, pins simulated" in said.found
    assert found(appliance.home, "records").level == "ok"
    assert found(appliance.home, "permissions").level == "ok"


def test_a_latched_stop_is_named_with_its_remedy(appliance):
    appliance.client.stop("smoke")

    said = found(appliance.home, "daemon")

    assert said.level == "warn"
    assert "appliance release" in said.remedy


def test_a_mistake_in_the_settings_is_a_finding_and_the_other_checks_go_on(bench):
    bench.configure("[model]\nthreds = 2\n")

    findings = doctor.examine(bench.home)

    assert findings[0].level == "fail"
    assert "did you mean [model] threads?" in findings[0].found
    assert len(findings) == len(doctor.CHECKS) + 1


def test_a_damaged_database_is_found(appliance):
    appliance.stop()
    data = bytearray(appliance.home.database.read_bytes())
    data[4096:8192] = b"\xff" * 4096
    appliance.home.database.write_bytes(data)

    said = found(appliance.home, "records")

    assert said.level == "fail"
    assert "nothing is deleted" in said.remedy


def test_a_database_that_was_set_aside_is_pointed_at(appliance):
    (appliance.home.root / "appliance.db.corrupt-1").write_bytes(b"")

    said = found(appliance.home, "records")

    assert said.level == "warn"
    assert "appliance.db.corrupt-1" in said.found


def test_a_key_that_others_may_read_fails(appliance):
    (appliance.home.root / keys.DEVICE_KEY).chmod(0o644)

    said = found(appliance.home, "permissions")

    assert said.level == "fail"
    assert "chmod" in said.remedy


def test_a_home_that_is_open_to_everyone_is_a_warning(bench):
    bench.configure("")
    bench.home.root.chmod(0o755)

    assert found(bench.home, "permissions").level == "warn"


def test_less_room_than_the_reserve_is_a_warning(tmp_path):
    chosen = Settings(storage=StorageSettings(reserve_mb=100_000))
    small = machine.disk(Patient(Home(tmp_path), chosen))

    assert small.level == ("warn" if "less than the reserve" in small.found else "ok")


@pytest.mark.parametrize(
    ("version", "named"),
    [((3, 6, 23), False), ((3, 7, 0), True), ((3, 40, 1), True), ((3, 51, 2), True), ((3, 51, 3), False)],
)
def test_the_wal_reset_bug_is_named_for_the_versions_that_have_it(monkeypatch, tmp_path, version, named):
    monkeypatch.setattr(sqlite3, "sqlite_version_info", version)

    said = records.sqlite_version(Patient(Home(tmp_path), Settings()))

    assert ("WAL-reset" in said.found) is named


@pytest.fixture
def enrolled(appliance, tmp_path):
    """The home of a device whose broker is a port on loopback."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        device = keys.load(appliance.home.root / keys.DEVICE_KEY)
        identity = enrolment.DeviceIdentity(site="home", device="d1", public_key=device.public.raw.hex())
        controller = keys.load_or_make(tmp_path / "controller.key")
        broker = enrolment.BrokerSettings(host="127.0.0.1", port=port)
        enrolment.write_grant(controller, "office", identity, broker, tmp_path / "grant", role=enrolment.Role.OPERATOR)
        enrolment.install(appliance.home.root, tmp_path / "grant")
        yield appliance.home, server


def test_a_broker_that_listens_is_reached(enrolled):
    home, _ = enrolled

    assert found(home, "fleet") == Finding("fleet", "ok", found(home, "fleet").found)
    assert "office" in found(home, "fleet").found


def test_a_broker_that_is_gone_is_a_warning_because_nothing_here_needs_it(enrolled):
    home, server = enrolled
    server.close()

    said = found(home, "fleet")

    assert said.level == "warn"
    assert "reports wait" in said.remedy


def test_an_enrolment_that_was_altered_fails(enrolled):
    home, _ = enrolled
    home.enrolment.write_bytes(home.enrolment.read_bytes().replace(b"office", b"0ffice"))

    assert found(home, "fleet").level == "fail"


def test_a_check_that_breaks_is_a_finding_itself(tmp_path):
    def broken(patient):
        raise ZeroDivisionError

    findings = doctor.examine(Home(tmp_path), (broken, machine.machine))

    assert [f.level for f in findings] == ["ok", "fail", "ok"]


def test_the_command_ends_with_1_when_something_failed_and_says_it_as_json_too(bench):
    bench.configure("[polcy]\n")

    ran = subprocess.run(
        [sys.executable, "-m", "appliance", "--home", bench.home.root, "doctor", "--json"],
        capture_output=True,
        text=True,
        check=False,
    )

    said = json.loads(ran.stdout)
    assert ran.returncode == 1
    assert said["ok"] is False
    assert said["checks"][0]["check"] == "settings"


def test_a_ledger_with_a_missing_record_is_a_finding_and_not_a_fault_of_the_check(tmp_path):
    home = Home(tmp_path)
    db = database.open_database(home.database).db
    for n in range(5):
        audit.append(db, AuditRecord(kind="note", moment=MOMENT, facts={"n": n}))
    db.execute("delete from audit where seq = 3")
    db.close()

    said = records.records(Patient(home, Settings()))

    assert said.level == "fail"
    assert said.found.startswith("records are missing from the ledger")


def test_a_foreign_trigger_is_named(tmp_path):
    home = Home(tmp_path)
    database.open_database(home.database).db.close()
    with sqlite3.connect(home.database) as attacker:
        attacker.execute("create trigger x before insert on audit begin select raise(ignore); end")
    attacker.close()

    said = records.records(Patient(home, Settings()))

    assert said.level == "fail"
    assert "the trigger x hangs on audit" in said.found


def test_the_slots_are_told_without_a_name(tmp_path):
    home = Home(tmp_path)
    shelf = Shelf(home.bundles)
    lies = Admitted(sha256="ab" * 32, name="secret", version="9", release=5, expires_at=MOMENT.at, signers=())
    for slot in ("a", "b"):
        shelf.clear().mkdir()
        shelf.put(slot, lies)
    shelf.activate("a", Trial(began_at=MOMENT.at, since_seq=0, powered_s=7200.0))
    told = found(home, "slots")
    (home.bundles / "b").rmdir()
    gone = found(home, "slots")
    (home.bundles / "slots.json").write_text("{")
    damaged = found(home, "slots")

    assert told.level == "ok"
    assert "a release 5 (abababababab), decides on trial for 2.0 h, 0 crashes; b release 5" in told.found
    assert "secret" not in told.found
    assert (gone.level, damaged.level) == ("fail", "fail")
    assert "slot b" in gone.found
    assert "what came with the software decides" in damaged.remedy.lower()


def test_whether_a_new_bundle_could_be_tried_here_is_said(tmp_path):
    said = found(Home(tmp_path), "cage")

    assert said.level == "ok"
    assert "limits" in said.found


def test_the_bundle_that_is_examined_is_the_one_that_decides(tmp_path):
    home = Home(tmp_path)
    shelf = Shelf(home.bundles)
    lies = Admitted(sha256="ab" * 32, name="p", version="9", release=5, expires_at=MOMENT.at, signers=())
    arriving = shelf.clear()
    shutil.copytree(shipped_bundle(), arriving / "bundle")
    shelf.put("a", lies)
    before = found(home, "bundle")
    shelf.activate("a", None)
    (home.bundles / "a" / "bundle" / "vocab.txt").write_text("x")

    assert before.level == "ok"
    assert found(home, "bundle").level == "fail"


def test_a_law_that_waits_for_more_people_than_are_enrolled_is_named(bench):
    laws = bench.home.root / "laws"
    laws.mkdir(parents=True)
    (laws / "back.yaml").write_text(
        "workflow: back\nversion: 1\ninitial: open\nsafe: open\ngoverns: [unlock_door]\nstates:\n  open:\n"
        "    tools: [{tool: unlock_door, approve: {role: approver, people: 2, within: 2min}}]\n"
    )
    bench.start()
    client = LocalClient(bench.home.root)
    client.request(EnrolPerson(name="ana", role="admin", new_pin="739154"))
    short = found(bench.home, "people")
    client.request(EnrolPerson(name="bo", role="approver", new_pin="boat-82", person="ana", pin="739154"))

    assert short.level == "warn"
    assert "back 1, states.open.tools[0], waits for 2 different people in the role approver; enrolled: 1" in short.found
    assert found(bench.home, "people").level == "ok"


def test_a_second_model_that_could_not_be_asked_is_found_without_asking(bench, second):
    assert found(bench.home, "escalation").found == "off: no second model is asked"
    server = second.open_server()
    bench.configure(server.settings(key_file="server.key"))
    key = bench.home.root / "server.key"
    key.write_text("s3cret")
    key.chmod(0o644)

    exposed = found(bench.home, "escalation")
    key.chmod(0o600)
    fit = found(bench.home, "escalation")

    assert (exposed.level, fit.level) == ("fail", "ok")
    assert "others may read `key_file`" in exposed.found
    assert server.asked == []
    assert server.endpoint not in fit.found


def test_needle_weights_with_another_hash_or_that_have_not_passed_are_found(bench):
    pytest.importorskip("needle_rs", reason="needle-rs is not installed: pip install 'edge-agent-appliance[needle]'")
    raw = b"weights"
    sha256 = hashlib.sha256(raw).hexdigest()
    bench.configure(f'[escalation]\nproposer = "needle"\nweights = "n.cact"\nweights_sha256 = "{sha256}"\n')
    (bench.home.root / "n.cact").write_bytes(b"others")
    other = found(bench.home, "escalation")
    (bench.home.root / "n.cact").write_bytes(raw)

    untried = found(bench.home, "escalation")

    assert (other.level, untried.level) == ("fail", "warn")
    assert "not the one in [escalation]" in other.found
    assert "escalation check --all" in untried.remedy
