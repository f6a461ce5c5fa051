"""A certificate is renewed only by the right one, and everybody is told in time when it ends."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.contracts.enrolment import BrokerSettings
from appliance.errors import TrustError
from appliance.trust import certificates

NOW = datetime.now(UTC).replace(microsecond=0)


def named(name):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


class Site:
    """An authority, and what it issues."""

    def __init__(self, name="site-ca"):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = named(name)
        self.pem = self.issue(name, self.key.public_key(), days=3650)

    def issue(self, name, public, *, days):
        return (
            x509.CertificateBuilder()
            .subject_name(named(name))
            .issuer_name(self.name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - timedelta(days=1))
            .not_valid_after(NOW + timedelta(days=days))
            .sign(self.key, hashes.SHA256())
            .public_bytes(Encoding.PEM)
        )


class Device:
    """A device's files, for a certificate of ten days."""

    def __init__(self, folder, site, key=None):
        self.site = site
        self.key = key or ec.generate_private_key(ec.SECP256R1())
        self.file = folder / "lamp.pem"
        self.file.write_bytes(site.issue("lamp", self.key.public_key(), days=10))
        secret = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (folder / "lamp.key").write_bytes(secret)
        (folder / "ca.pem").write_bytes(site.pem)
        self.broker = BrokerSettings(
            host="broker",
            ca_file=str(folder / "ca.pem"),
            certificate_file=str(self.file),
            key_file=str(folder / "lamp.key"),
        )


@pytest.fixture
def device(tmp_path):
    return Device(tmp_path, Site())


def test_the_first_to_end_is_told_first(device):
    first, last = certificates.ends(device.broker)

    assert (first.what, first.at) == ("the device's certificate", NOW + timedelta(days=10))
    assert last.what == "the site's authority"


@pytest.mark.parametrize("make", [lambda: ec.generate_private_key(ec.SECP256R1()), ed25519.Ed25519PrivateKey.generate])
def test_what_the_authority_issues_to_a_request_takes_the_place_of_the_old(tmp_path, make):
    device = Device(tmp_path, Site(), make())
    asked = x509.load_pem_x509_csr(certificates.request(device.broker))
    assert asked.is_signature_valid
    new = device.site.issue("lamp", asked.public_key(), days=400)

    end = certificates.renewed(device.broker, new)

    assert end.at == NOW + timedelta(days=400)
    assert device.file.read_bytes() == new


def another_key(device):
    return device.site.issue("lamp", ec.generate_private_key(ec.SECP256R1()).public_key(), days=400)


def another_name(device):
    return device.site.issue("fan", device.key.public_key(), days=400)


def another_authority(device):
    return Site().issue("lamp", device.key.public_key(), days=400)


def no_newer(device):
    return device.site.issue("lamp", device.key.public_key(), days=9)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (another_key, "another key"),
        (another_name, "for 'fan'"),
        (another_authority, "not issued by the site"),
        (no_newer, "no later than"),
        (lambda _device: b"nothing", "no certificate"),
        (lambda _device: b"x" * 70_000, "at most"),
    ],
)
def test_the_present_certificate_stays_when_the_new_one_is_not_right(device, make, why):
    before = device.file.read_bytes()

    with pytest.raises(TrustError, match=why):
        certificates.renewed(device.broker, make(device))

    assert device.file.read_bytes() == before


@given(noise=st.binary(max_size=500))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_noise_is_refused_and_never_a_crash(device, noise):
    spoilt = device.file.read_bytes()[:200] + noise

    with pytest.raises(TrustError):
        certificates.renewed(device.broker, spoilt)


def test_a_device_that_shows_no_certificate_cannot_renew_one(tmp_path):
    with pytest.raises(TrustError, match="no certificate"):
        certificates.request(BrokerSettings(host="broker"))


@pytest.fixture
def asking(tmp_path):
    """A device that has asked for its first certificate, and the site that it asks."""
    home, site = tmp_path / "home", Site()
    asked = x509.load_pem_x509_csr(certificates.first_request(home, "lamp"))
    assert asked.is_signature_valid
    return home, site, asked


def test_a_grant_brings_the_first_certificate(asking):
    home, site, asked = asking
    issued = site.issue("lamp", asked.public_key(), days=400)

    certificates.take(home, "lamp", certificate=issued.decode(), authority=site.pem.decode())

    assert (home / certificates.CERTIFICATE).read_bytes() == issued
    assert (home / certificates.AUTHORITY).read_bytes() == site.pem


def test_asking_again_asks_for_the_same_key(asking):
    home, _, asked = asking

    assert x509.load_pem_x509_csr(certificates.first_request(home, "lamp")).public_key() == asked.public_key()


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda site, _asked: site.issue("lamp", Site().key.public_key(), days=9), "another key"),
        (lambda site, asked: site.issue("fan", asked.public_key(), days=9), "for 'fan'"),
        (lambda _site, asked: Site().issue("lamp", asked.public_key(), days=9), "not issued by the authority"),
        (lambda _site, _asked: b"nothing", "no certificate"),
    ],
)
def test_a_grant_with_a_certificate_that_is_not_right_changes_nothing(asking, make, why):
    home, site, asked = asking
    wrong = make(site, asked).decode()

    with pytest.raises(TrustError, match=why):
        certificates.take(home, "lamp", certificate=wrong, authority=site.pem.decode())

    assert not (home / certificates.CERTIFICATE).exists()
    assert not (home / certificates.AUTHORITY).exists()


def test_an_authority_between_device_and_site_is_followed_and_a_stranger_in_its_place_is_not(asking):
    home, site, asked = asking
    between = Site("between")
    link = site.issue("between", between.key.public_key(), days=400)
    issued = between.issue("lamp", asked.public_key(), days=300)

    with pytest.raises(TrustError, match="not issued by the authority"):
        certificates.take(home, "lamp", certificate=(issued + between.pem).decode(), authority=site.pem.decode())
    certificates.take(home, "lamp", certificate=(issued + link).decode(), authority=site.pem.decode())

    assert (home / certificates.CERTIFICATE).read_bytes() == issued + link
