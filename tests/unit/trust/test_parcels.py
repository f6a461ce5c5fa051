"""What travels on a stick is read by its controller alone, and only as it was sealed."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import TrustError, WireError
from appliance.trust import parcels
from appliance.trust.parcels import Head

HEAD = Head(device="lamp", controller="0" * 16, made_at=datetime(2026, 11, 23, tzinfo=UTC), n=1, last=True)


@pytest.fixture(scope="module")
def key(tmp_path_factory):
    return parcels.load_or_make(tmp_path_factory.mktemp("keys") / "keys" / "c.key")


def test_a_parcel_comes_out_as_it_went_in(key):
    sealed = parcels.seal(b"content" * 1000, HEAD, key.public)

    assert parcels.open_parcel(sealed, key) == (HEAD, b"content" * 1000)
    assert b"content" not in sealed


def test_the_key_is_made_once_and_for_its_owner_alone(tmp_path):
    path = tmp_path / "keys" / "c.key"

    first = parcels.load_or_make(path)

    assert parcels.load_or_make(path).public == first.public
    assert path.stat().st_mode & 0o777 == 0o400
    path.chmod(0o644)
    with pytest.raises(TrustError, match="others may read it"):
        parcels.load_or_make(path)


def test_another_controller_opens_nothing(key, tmp_path):
    other = parcels.load_or_make(tmp_path / "other.key")

    with pytest.raises(TrustError, match="not sealed for this controller"):
        parcels.open_parcel(parcels.seal(b"x", HEAD, other.public), key)


def test_a_head_that_was_exchanged_is_noticed(key):
    sealed = parcels.seal(b"x", HEAD, key.public)

    with pytest.raises(TrustError):
        parcels.open_parcel(sealed.replace(b'"lamp"', b'"door"'), key)


@pytest.mark.parametrize("cut", [1, 16, 40])
def test_a_parcel_that_was_cut_or_extended_is_noticed(key, cut):
    sealed = parcels.seal(b"x" * 500, HEAD, key.public)

    for changed in (sealed[:-cut], sealed + b"\0" * cut):
        with pytest.raises((TrustError, WireError)):
            parcels.open_parcel(changed, key)


@given(st.integers(0, 200), st.integers(1, 255))
def test_any_altered_byte_is_noticed(key, place, flip):
    sealed = bytearray(parcels.seal(b"x" * 50, HEAD, key.public))
    sealed[place % len(sealed)] ^= flip

    with pytest.raises((TrustError, WireError)):
        parcels.open_parcel(bytes(sealed), key)


@given(st.binary(max_size=400))
def test_any_bytes_are_refused_never_a_fault(key, data):
    for candidate in (data, parcels.MAGIC + data, parcels.MAGIC + b"{}\n" + data):
        with pytest.raises((TrustError, WireError)):
            parcels.open_parcel(candidate, key)


def test_one_that_unpacks_to_too_much_takes_no_memory(key):
    bomb = parcels.seal(b"\0" * (parcels.MAX_CONTENT_BYTES + 1), HEAD, key.public)

    assert len(bomb) < 100_000
    with pytest.raises(WireError, match="more than"):
        parcels.open_parcel(bomb, key)


def test_an_independent_implementation_opens_it(key):
    """RFC 9180 by hand, from the primitives: another program can be written from the page in docs."""
    import gzip

    from cryptography.hazmat.primitives import hashes, hmac
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
    from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

    def extract(salt, suite, label, ikm):
        mac = hmac.HMAC(salt or bytes(32), hashes.SHA256())
        mac.update(b"HPKE-v1" + suite + label + ikm)
        return mac.finalize()

    def expand(prk, suite, label, info, n):
        labelled = n.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info
        return HKDFExpand(algorithm=hashes.SHA256(), length=n, info=labelled).derive(prk)

    _, info, sealed = parcels.read_head(parcels.seal(b"by hand", HEAD, key.public))
    enc, ciphertext = sealed[:32], sealed[32:]
    kem = b"KEM" + (0x20).to_bytes(2, "big")
    shared = key._private.exchange(X25519PublicKey.from_public_bytes(enc))
    secret = expand(extract(b"", kem, b"eae_prk", shared), kem, b"shared_secret", enc + key.public, 32)
    suite = b"HPKE" + b"".join(n.to_bytes(2, "big") for n in (0x20, 0x01, 0x03))
    context = b"\0" + extract(b"", suite, b"psk_id_hash", b"") + extract(b"", suite, b"info_hash", info)
    prk = extract(secret, suite, b"secret", b"")
    opener = ChaCha20Poly1305(expand(prk, suite, b"key", context, 32))

    packed = opener.decrypt(expand(prk, suite, b"base_nonce", context, 12), ciphertext, b"")

    assert gzip.decompress(packed) == b"by hand"
