"""What needs a person is said in time, in words, once; what mends itself is not said at all."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from appliance.agent.rationing import Limits, Ration
from appliance.agent.upkeep import CERTIFICATES_S, LOOK_S, SAME_AGAIN_S, Upkeep
from appliance.contracts.audit import Moment
from appliance.contracts.enrolment import BrokerSettings
from appliance.storage import database
from appliance.transport.reasons import reason

NOW = datetime(2026, 11, 23, tzinfo=UTC)
ENDS = NOW + timedelta(days=100)


class Clock:
    def __init__(self):
        self.at, self.seconds, self.trusted = NOW, 0.0, True

    def now(self):
        return self.at

    def monotonic_s(self):
        return self.seconds

    def is_trusted(self):
        return self.trusted

    def moment(self):
        return Moment(at=self.at, monotonic_s=self.seconds, boot=1, clock="trusted")


class Connection:
    def __init__(self):
        self.trouble = None
        self.ended = []
        self.hurried = 0

    def refuse_session(self, why):
        self.ended.append(why)

    def hurry(self):
        self.hurried += 1


def pair(folder, stem="lamp"):
    """A certificate that ends in 100 days, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, stem)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(ENDS)
        .sign(key, hashes.SHA256())
    )
    (folder / f"{stem}.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    (folder / f"{stem}.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return folder / f"{stem}.pem", folder / f"{stem}.key"


class Bench:
    def __init__(self, db, folder):
        self.db = db
        self.folder = folder
        self.certificate, self.key = pair(folder)
        self.clock = Clock()
        self.link = Connection()
        self.notes = []
        self.troubles = {}
        self.again()

    def again(self):
        files = {"ca_file": str(self.certificate), "certificate_file": str(self.certificate), "key_file": str(self.key)}
        none = Limits(10**9, 10**12, 0)
        self.upkeep = Upkeep(
            self.db,
            BrokerSettings(host="broker", **files),
            clock=self.clock,
            ration=Ration(self.db, self.clock, events=none, ledger=none),
            note=lambda event, facts: self.notes.append((event, facts)),
            trouble=self.troubles.__setitem__,
        )

    def look(self, after_s=LOOK_S):
        self.clock.seconds += after_s
        self.upkeep.look(self.link)

    def told(self, event):
        return [facts for said, facts in self.notes if said == event]


@pytest.fixture
def bench(tmp_path):
    db = database.open_database(tmp_path / "a.db").db
    yield Bench(db, tmp_path)
    db.close()


def test_a_certificate_is_told_thirty_and_seven_days_and_one_day_before_its_end_and_after_it(bench):
    for _ in range(24 * 110):
        bench.clock.at += timedelta(hours=1)
        bench.look(CERTIFICATES_S)

    assert [facts["days_left"] for facts in bench.told("a certificate ends")] == [30, 7, 1, 0]


def test_a_month_before_its_end_the_next_certificate_is_asked_for(bench):
    bench.look(CERTIFICATES_S)
    assert not (bench.folder / "lamp.csr").exists()

    bench.clock.at = ENDS - timedelta(days=29)
    bench.look(CERTIFICATES_S)

    asked = x509.load_pem_x509_csr((bench.folder / "lamp.csr").read_bytes())
    present = x509.load_pem_x509_certificate(bench.certificate.read_bytes())
    assert (asked.public_key(), asked.subject) == (present.public_key(), present.subject)
    assert bench.told("a certificate ends")[0]["request"] == str(bench.folder / "lamp.csr")


def test_only_the_last_week_is_a_reason_to_be_degraded(bench):
    bench.clock.at = ENDS - timedelta(days=29)
    bench.look()
    assert bench.troubles["certificate"] is None

    bench.clock.at = ENDS - timedelta(days=6)
    bench.look(CERTIFICATES_S)

    assert "in 6 days" in bench.troubles["certificate"]
    assert bench.upkeep.facts()["certificate_ends"] == ENDS.isoformat()


def test_a_restart_tells_the_same_end_once(bench):
    bench.clock.at = ENDS - timedelta(days=20)
    bench.look()
    bench.again()
    bench.look()

    assert len(bench.told("a certificate ends")) == 1


def test_without_a_clock_nobody_knows_when_a_certificate_ends(bench):
    bench.clock.trusted = False
    bench.clock.at = ENDS + timedelta(days=5)

    bench.look()

    assert bench.told("a certificate ends") == []
    assert bench.troubles["certificate"] is None


def test_new_credentials_are_taken_without_a_restart(bench):
    bench.look()
    assert bench.link.ended == []

    pair(bench.folder)
    bench.look()

    assert bench.link.ended == ["certificate, key or password were replaced"]
    assert bench.link.hurried == 1
    bench.look()
    assert len(bench.link.ended) == 1


def test_half_of_a_new_pair_changes_nothing_until_the_other_half_is_there(bench):
    bench.look()
    (bench.folder / "new").mkdir()
    certificate, key = pair(bench.folder / "new")
    certificate.replace(bench.certificate)
    bench.look()
    assert bench.link.ended == []
    assert "cannot be used" in bench.troubles["credentials"]

    key.replace(bench.key)
    bench.look()

    assert len(bench.link.ended) == 1
    assert bench.troubles["credentials"] is None


def test_a_refusal_that_only_a_person_can_mend_is_told_in_words(bench):
    bench.link.trouble = reason(0x87)
    bench.look()
    assert bench.troubles["broker"] == "the broker does not authorize this device"

    bench.link.trouble = None
    bench.look()
    assert bench.troubles["broker"] is None


def test_a_refusal_that_passes_is_recorded_and_no_reason_to_be_degraded(bench):
    bench.link.trouble = reason(0x97)

    bench.look()

    assert bench.troubles["broker"] is None
    assert bench.told("the broker refused")[0]["code"] == 0x97


def test_a_broker_that_keeps_changing_its_mind_does_not_fill_the_ledger(bench):
    for n in range(100):
        bench.link.trouble = reason(0x97) if n % 2 else None
        bench.look()

    assert len(bench.told("the broker refused")) == 1
    bench.link.trouble = None
    bench.look()
    bench.link.trouble = reason(0x97)
    bench.look(SAME_AGAIN_S)
    assert len(bench.told("the broker refused")) == 2
