"""A key is made once, kept from others, and never guessed at when something is wrong."""

import hashlib
import threading

import pytest

from appliance.errors import TrustError
from appliance.trust import keys
from appliance.trust.keys import PublicKey


def test_a_key_is_made_at_the_first_start_and_stays(tmp_path):
    path = tmp_path / "keys" / "device.key"

    first = keys.load_or_make(path)

    assert keys.load_or_make(path).key_id == first.key_id
    assert path.stat().st_mode & 0o777 == 0o400
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert list(path.parent.iterdir()) == [path]


def test_the_key_id_is_the_beginning_of_the_public_keys_hash(tmp_path):
    key = keys.load_or_make(tmp_path / "a.key")

    assert key.key_id == hashlib.sha256(key.public.raw).hexdigest()[:16]


def test_two_that_make_a_key_at_once_use_the_same(tmp_path):
    path, found = tmp_path / "keys" / "device.key", []
    threads = [threading.Thread(target=lambda: found.append(keys.load_or_make(path).key_id)) for _ in range(8)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 8
    assert len(set(found)) == 1


def test_a_key_that_others_may_read_is_refused(tmp_path):
    path = tmp_path / "a.key"
    keys.load_or_make(path)
    path.chmod(0o444)

    with pytest.raises(TrustError, match="others may read"):
        keys.load(path)


@pytest.mark.parametrize(
    "content", [b"", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", b"\x00" * 48]
)
def test_a_damaged_key_is_named_not_replaced(tmp_path, content):
    path = tmp_path / "a.key"
    path.write_bytes(content)
    path.chmod(0o400)

    with pytest.raises(TrustError, match=r"a\.key"):
        keys.load_or_make(path)
    assert path.read_bytes() == content


def test_an_absent_key_is_a_clear_error(tmp_path):
    with pytest.raises(TrustError, match="is missing; restore it"):
        keys.load(tmp_path / "a.key")


@pytest.mark.parametrize("text", ["", "zz", "00" * 31])
def test_a_public_key_that_is_none_is_refused(text):
    with pytest.raises(TrustError):
        PublicKey.from_hex(text)


def test_a_signature_holds_for_its_bytes_only(tmp_path):
    key = keys.load_or_make(tmp_path / "a.key")
    signature = key.sign(b"on")

    assert key.public.accepts(signature, b"on")
    assert not key.public.accepts(signature, b"off")
