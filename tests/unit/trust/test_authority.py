"""An authority issues to whoever holds the key it issues for, under the name that was said, and to nobody else."""

import ssl
import stat
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import NameOID
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.contracts.enrolment import BrokerSettings
from appliance.errors import TrustError
from appliance.trust import authority, certificates

NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
def site(tmp_path):
    return authority.make(tmp_path / "ca", "home devices", now=NOW)


def asked(name="lamp", key=None):
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    return x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())


def pem(request):
    return request.public_bytes(Encoding.PEM)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_only_its_owner_reads_the_key_and_everybody_the_certificate(site, tmp_path):
    assert mode(tmp_path / "ca" / "ca.key") == 0o600
    assert mode(tmp_path / "ca" / "ca.pem") == 0o644
    assert authority.load(tmp_path / "ca").pem == site.pem


def test_a_folder_that_is_an_authority_stays_one(site, tmp_path):
    with pytest.raises(TrustError, match="already"):
        authority.make(tmp_path / "ca", "again", now=NOW)

    assert authority.load(tmp_path / "ca").pem == site.pem


def test_a_key_that_others_may_read_signs_nothing(site, tmp_path):
    (tmp_path / "ca" / "ca.key").chmod(0o640)

    with pytest.raises(TrustError, match="chmod 0600"):
        authority.load(tmp_path / "ca")


def test_what_is_no_authority_is_called_so(site, tmp_path):
    with pytest.raises(TrustError, match="makes an authority"):
        authority.load(tmp_path / "nowhere")
    other = authority.make(tmp_path / "other", "other", now=NOW)
    (tmp_path / "ca" / "ca.pem").write_bytes(other.pem)
    with pytest.raises(TrustError, match="do not fit"):
        authority.load(tmp_path / "ca")


def test_a_device_is_issued_what_it_asked_for(site):
    request = asked()

    issued = x509.load_pem_x509_certificate(authority.issue(site, pem(request), "lamp", now=NOW, days=30))

    issued.verify_directly_issued_by(site.certificate)
    assert issued.public_key() == request.public_key()
    assert issued.subject == request.subject
    assert issued.not_valid_after_utc == NOW + timedelta(days=30)
    assert not issued.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def forged():
    """A request whose signature is of another key than the one in it."""
    honest, other = asked(), ec.generate_private_key(ec.SECP256R1())
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    der = honest.public_bytes(Encoding.DER)
    mine, theirs = honest.public_key().public_bytes(*form), other.public_key().public_bytes(*form)
    changed = x509.load_der_x509_csr(der.replace(mine, theirs))
    return pem(changed)


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        (lambda: pem(asked("fan")), "not for 'lamp'"),
        (lambda: pem(asked("lamp", rsa.generate_private_key(65537, 1024))), "kind or size"),
        (lambda: pem(asked("lamp", ec.generate_private_key(ec.SECP192R1()))), "kind or size"),
        (forged, "not signed by its own key"),
        (lambda: b"nothing", "no request"),
        (lambda: b"x" * 20_000, "at most"),
    ],
)
def test_a_request_that_is_not_right_is_issued_nothing(site, request_, why):
    with pytest.raises(TrustError, match=why):
        authority.issue(site, request_(), "lamp", now=NOW)


@given(noise=st.binary(max_size=300), at=st.integers(0, 300))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_noise_is_refused_and_never_a_crash(site, noise, at):
    with pytest.raises(TrustError):
        authority.issue(site, pem(asked())[:at] + noise + b"\x00", "lamp", now=NOW)


def test_nothing_outlives_the_authority_that_issued_it(site):
    with pytest.raises(TrustError, match="the authority itself ends"):
        authority.issue(site, pem(asked()), "lamp", now=NOW, days=authority.AUTHORITY_DAYS + 1)


def test_a_broker_gets_its_addresses_and_a_key_that_only_its_owner_reads(site, tmp_path):
    out = tmp_path / "broker.pem"

    key = authority.certify(site, "broker", out, addresses=("broker.example", "127.0.0.1"), now=NOW)

    names = x509.load_pem_x509_certificate(out.read_bytes()).extensions
    said = names.get_extension_for_class(x509.SubjectAlternativeName).value
    assert said.get_values_for_type(x509.DNSName) == ["broker.example"]
    assert [str(a) for a in said.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]
    assert mode(key) == 0o600
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(out, key)


def test_a_certificate_that_is_issued_again_keeps_its_key(site, tmp_path):
    out = tmp_path / "controller.pem"
    key = authority.certify(site, "ctl.controller", out, now=NOW)
    before = key.read_bytes()

    authority.certify(site, "ctl.controller", out, now=NOW + timedelta(days=300))

    assert key.read_bytes() == before
    ends = x509.load_pem_x509_certificate(out.read_bytes()).not_valid_after_utc
    assert ends == NOW + timedelta(days=300 + authority.MEMBER_DAYS)


@pytest.mark.parametrize("name", ["lamp", "ctl.controller", "a/../b", "..", "Werk Süd"])
def test_a_name_keeps_its_key_until_somebody_says_that_it_has_another(site, tmp_path, name):
    old, new = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority.issue(site, pem(asked(name, old)), name, now=NOW)

    with pytest.raises(TrustError, match="another key") as refused:
        authority.issue(authority.load(tmp_path / "ca"), pem(asked(name, new)), name, now=NOW)
    with pytest.raises(TrustError, match="another key"):
        authority.certify(site, name, tmp_path / "mine.pem", now=NOW)

    assert "say --new-key" in str(refused.value)
    assert not (tmp_path / "mine.key").exists()
    authority.issue(site, pem(asked(name, old)), name, now=NOW)
    authority.issue(site, pem(asked(name, new)), name, now=NOW, is_new_key=True)
    authority.issue(site, pem(asked(name, new)), name, now=NOW)
    with pytest.raises(TrustError, match="another key"):
        authority.issue(site, pem(asked(name, old)), name, now=NOW)
    assert len(list((tmp_path / "ca" / "issued").iterdir())) == 1


def test_a_name_whose_key_cannot_be_read_any_more_is_certified_only_when_somebody_says_so(site, tmp_path):
    authority.issue(site, pem(asked()), "lamp", now=NOW)
    (tmp_path / "ca" / "issued" / "lamp.pem").write_bytes(b"\xff" * 10)

    with pytest.raises(TrustError, match="backup"):
        authority.issue(site, pem(asked()), "lamp", now=NOW)

    authority.issue(site, pem(asked()), "lamp", now=NOW, is_new_key=True)


def test_a_weak_key_that_lies_beside_is_not_certified(site, tmp_path):
    weak = ec.generate_private_key(ec.SECP192R1())
    form = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "controller.key").write_bytes(weak.private_bytes(*form))

    with pytest.raises(TrustError, match="kind or size"):
        authority.certify(site, "ctl.controller", tmp_path / "controller.pem", now=NOW)


@pytest.mark.parametrize("address", ["ümlaut.example"])
def test_an_address_that_is_none_is_called_so(site, tmp_path, address):
    with pytest.raises(TrustError, match="no address"):
        authority.certify(site, "broker", tmp_path / "b.pem", addresses=(address,), now=NOW)


def test_a_device_renews_what_the_authority_issues_to_its_request(site, tmp_path):
    home = tmp_path / "lamp"
    first = authority.issue(site, certificates.first_request(home, "lamp"), "lamp", now=NOW, days=20)
    certificates.take(home, "lamp", certificate=first.decode(), authority=site.pem.decode())
    broker = BrokerSettings(
        host="broker",
        ca_file=str(home / certificates.AUTHORITY),
        certificate_file=str(home / certificates.CERTIFICATE),
        key_file=str(home / certificates.KEY),
    )

    path = certificates.ask_ahead(broker)
    end = certificates.renewed(broker, authority.issue(site, path.read_bytes(), "lamp", now=NOW, days=400))

    assert path == home / "keys" / "link.csr"
    assert end.at == NOW + timedelta(days=400)
    assert mode(home / certificates.KEY) == 0o400
