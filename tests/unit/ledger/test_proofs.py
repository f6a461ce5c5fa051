"""Proofs leave the device as text, and come back strictly."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import StorageError, TrustError, UsageError, WireError
from appliance.ledger import proofs
from appliance.storage import audit
from appliance.trust import keys, notes


@pytest.fixture
def connection(device):
    return device.db.connection


@pytest.mark.parametrize("seq", [1, 2, 255, 256, 257, 511, 512, 513, 699, 700])
def test_a_record_is_proved_to_whoever_has_the_key(device, connection, seq):
    text = str(proofs.of_record(connection, seq))
    body = proofs.body(connection, seq)

    proof = proofs.parse(text.encode())

    assert str(proof) == text
    assert proof.leaf_index == seq - 1
    assert proofs.check_record(proof, body, device.key.public).size == 700
    with pytest.raises(TrustError, match="are not record"):
        proofs.check_record(proof, body + b" ", device.key.public)
    with pytest.raises(TrustError, match="are not record"):
        proofs.check_record(proof._replace(leaf_index=seq), body, device.key.public)


def test_a_proof_can_be_under_an_older_checkpoint(device, connection):
    proof = proofs.of_record(connection, 17, size=256)

    assert proofs.check_record(proof, proofs.body(connection, 17), device.key.public).size == 256
    with pytest.raises(UsageError, match="larger ones: 512, 700"):
        proofs.of_record(connection, 17, size=300)


def test_every_older_checkpoint_is_joined_to_the_newest(device, connection):
    for older in device.notes.values():
        proof = proofs.parse(str(proofs.between(connection, older)).encode())

        assert proofs.check_between(proof, older, device.key.public).size == 700


def test_a_proof_joins_no_other_checkpoint(device, connection):
    proof = proofs.between(connection, device.notes[300])

    with pytest.raises(TrustError, match="not shown to be the beginning"):
        proofs.check_between(proof, device.notes[256], device.key.public)
    with pytest.raises(TrustError, match="not shown to be the beginning"):
        proofs.check_between(proof._replace(old=256), device.notes[256], device.key.public)


def test_nothing_is_proved_to_somebody_with_another_key(device, connection, tmp_path):
    stranger = keys.load_or_make(tmp_path / "stranger.key")

    with pytest.raises(TrustError, match="not signed by a known key"):
        proofs.check_record(proofs.of_record(connection, 5), proofs.body(connection, 5), stranger.public)


def test_a_record_that_is_not_under_a_checkpoint_is_said(device, connection):
    device.write(1)

    with pytest.raises(UsageError, match="signs the rest"):
        proofs.of_record(connection, 701)
    with pytest.raises(UsageError, match="there is no 999"):
        proofs.of_record(connection, 999)
    device.tamper("delete from checkpoints")
    with pytest.raises(UsageError, match="no checkpoint yet"):
        proofs.of_record(connection, 1)


def test_a_pruned_record_cannot_be_proved_and_its_neighbours_can(device, connection):
    device.tamper("delete from audit where seq between 257 and 512")

    with pytest.raises(StorageError, match="were they pruned"):
        proofs.of_record(connection, 300)
    with pytest.raises(UsageError, match="pruned, or never written"):
        proofs.body(connection, 300)
    with pytest.raises(StorageError, match="only one over 512 records or a later one"):
        proofs.between(connection, device.notes[300])
    for seq in (256, 513):
        proofs.check_record(proofs.of_record(connection, seq), proofs.body(connection, seq), device.key.public)
    assert proofs.check_between(proofs.between(connection, device.notes[512]), device.notes[512], device.key.public)


def test_a_checkpoint_of_another_history_is_not_joined(device, connection):
    text = str(notes.Checkpoint(device.origin, 300, bytes(32)))
    forged = notes.sign(text, device.origin, device.key)

    with pytest.raises(UsageError, match="had another root"):
        proofs.between(connection, forged)
    with pytest.raises(UsageError, match="this ledger is"):
        proofs.between(connection, notes.sign(text.replace("barn", "shed"), "x", device.key))
    with pytest.raises(UsageError, match="the newest one here 700"):
        proofs.between(connection, notes.sign(text.replace("300", "900"), "x", device.key))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda _text: "x" * (proofs.MAX_PROOF_BYTES + 1), "are allowed"),
        (lambda text: text.replace("index 16", "index 016"), "no index"),
        (lambda text: text.replace("index 16", "index -1"), "no index"),
        (lambda text: text.replace("@v1", "@v2"), "its first line"),
        (lambda text: text.replace("index 16\n", "index 16\nAAAA\n"), "has not 32 bytes"),
        (
            lambda text: text.replace("index 16\n", "index 16\n" + "A" * 43 + "=\n" * 1 + ("A" * 43 + "=\n") * 200),
            "too many",
        ),
        (lambda text: text.replace("index 16\n", "extra !\nindex 16\n"), "extra is not base64"),
        (lambda text: text.partition("\n\n")[0], "no empty line"),
        (lambda text: text.replace("\n700\n", "\nmany\n"), "not a number of records"),
    ],
)
def test_what_is_wrong_with_a_proof_is_said(connection, change, complaint):
    text = str(proofs.of_record(connection, 17))

    with pytest.raises(WireError, match=complaint):
        proofs.parse(change(text).encode())


def test_what_others_add_to_a_proof_is_kept(device, connection):
    text = str(proofs.of_record(connection, 17)).replace("index 16\n", "extra YWJj\nindex 16\n")

    proof = proofs.parse(text.encode())

    assert (proof.extra, str(proof)) == (b"abc", text)
    assert proofs.check_record(proof, proofs.body(connection, 17), device.key.public)


@given(st.data())
def test_no_byte_of_a_proof_can_be_changed(written, data):
    connection = written.db.connection
    whole = str(proofs.of_record(connection, 17)).encode()
    body = proofs.body(connection, 17)
    place, change = data.draw(st.integers(0, len(whole) - 1)), data.draw(st.integers(1, 255))
    altered = whole[:place] + bytes([whole[place] ^ change]) + whole[place + 1 :]

    with pytest.raises((WireError, TrustError)):
        proofs.check_record(proofs.parse(altered), body, written.key.public)


@given(st.binary(max_size=300))
def test_anything_at_all_is_a_proof_or_a_clear_error(data):
    with pytest.raises(WireError):
        proofs.parse(data)


def test_the_bodies_are_the_ones_that_were_hashed(connection):
    rows = list(audit.rows(connection, limit=3))

    assert [proofs.body(connection, row.seq) for row in rows] == [row.body.encode() for row in rows]
