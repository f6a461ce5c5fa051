"""Mutual TLS: a device proves its name with a certificate, and leaves a broker that another authority vouches for."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from appliance.contracts.envelope import PingBody

pytestmark = pytest.mark.system


class Authority:
    def __init__(self, folder, name):
        self.folder = folder / name
        self.folder.mkdir()
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = self._issue(self.name, self.key.public_key(), authority=True)
        self.file = self._write("ca.pem", self.certificate.public_bytes(Encoding.PEM))

    def member(self, name):
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._issue(subject, key.public_key(), authority=False)
        secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return (
            self._write(f"{name}.pem", certificate.public_bytes(Encoding.PEM)),
            self._write(f"{name}.key", secret),
        )

    def _write(self, name, data):
        path = self.folder / name
        path.write_bytes(data)
        return str(path)

    def _issue(self, subject, public, *, authority):
        now = datetime.now(UTC)
        names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        return (builder if authority else builder.add_extension(names, critical=False)).sign(self.key, hashes.SHA256())


@pytest.fixture
def site(tmp_path, mosquitto_rig):
    authority = Authority(tmp_path, "site-ca")
    certificate, key = authority.member("broker")
    (tmp_path / "broker").mkdir()
    broker = mosquitto_rig.Mosquitto(
        tmp_path / "broker",
        f"cafile {authority.file}",
        f"certfile {certificate}",
        f"keyfile {key}",
        "require_certificate true",
        "use_identity_as_username true",
        "allow_anonymous false",
    ).start()
    yield authority, broker
    broker.stop()


def test_a_command_crosses_a_broker_that_wants_certificates(site, make_fleet):
    authority, broker = site
    certificate, key = authority.member("lamp")
    fleet = make_fleet(broker.port, ca_file=authority.file, certificate_file=certificate, key_file=key)
    fleet.device()

    assert fleet.send("lamp", PingBody()).final().code == "pong"


def test_a_broker_of_another_authority_is_not_trusted(site, make_fleet, tmp_path):
    authority, broker = site
    certificate, key = authority.member("lamp")
    other = Authority(tmp_path, "other-ca")
    fleet = make_fleet(broker.port, ca_file=other.file, certificate_file=certificate, key_file=key)
    device = fleet.device()

    fleet.until(lambda: "certificate verify failed" in device.uplink.facts()["last_loss"])

    assert not device.uplink.facts()["connected"]


def test_without_a_certificate_nobody_gets_in(site, make_fleet):
    authority, broker = site
    fleet = make_fleet(broker.port, ca_file=authority.file)
    device = fleet.device()

    fleet.until(lambda: device.uplink.facts()["last_loss"] != "")

    assert device.uplink.facts()["sessions"] == 0
