"""What was signed last is known after any power cut, and on a full disk."""

import resource
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import StorageError
from appliance.storage import signed
from appliance.storage.signed import COPY_BYTES, Signed


def state(size, boot=1):
    return Signed(epoch="e1", origin="edge-agent-appliance/barn/e1", size=size, root=f"{size:064x}", boot=boot)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "keys" / "signed.jsonl"


def test_what_was_written_last_is_read(path):
    assert signed.read(path) is None
    for size in range(5):
        signed.write(path, state(size))
        assert signed.read(path) == state(size)
    assert path.stat().st_size == 2 * COPY_BYTES
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_write_that_was_cut_anywhere_leaves_the_state_before(path):
    for size in (1, 2):
        signed.write(path, state(size))
    before = path.read_bytes()
    signed.write(path, state(3))
    after = path.read_bytes()

    for cut in range(COPY_BYTES + 1):
        # The third state lies over the first: some of its bytes have arrived, in order.
        path.write_bytes(after[:cut] + before[cut:])
        assert signed.read(path) in (state(2), state(3))
    assert signed.read(path) == state(3)


@given(st.integers(0, 2 * COPY_BYTES - 1), st.integers(1, 255))
def test_a_byte_that_rotted_never_makes_up_a_state(tmp_path_factory, place, change):
    path = tmp_path_factory.mktemp("rot") / "signed.jsonl"
    for size in (1, 2):
        signed.write(path, state(size))
    data = bytearray(path.read_bytes())
    data[place] ^= change
    path.write_bytes(data)

    assert signed.read(path) in (state(1), state(2))


@pytest.mark.parametrize("data", [b"", b"{}", b"\xff" * 4096, b'{"counter": 1}\n' * 100, b" " * 2048])
def test_a_file_that_is_none_is_no_state_and_is_written_anew(path, data):
    path.parent.mkdir()
    path.write_bytes(data)

    assert signed.read(path) is None
    signed.write(path, state(7))
    assert signed.read(path) == state(7)


def test_a_later_state_needs_no_new_room(path):
    signed.write(path, state(1))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # No file may grow past the two copies: what a full disk does to a file.
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 * COPY_BYTES, hard))
    try:
        for size in range(2, 6):
            signed.write(path, state(size))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert signed.read(path) == state(5)


def test_a_place_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "keys").write_text("a file where a folder should be")

    with pytest.raises(StorageError, match="cannot be written"):
        signed.write(tmp_path / "keys" / "signed.jsonl", state(1))


def test_an_origin_that_does_not_fit_is_said(path):
    with pytest.raises(StorageError, match="does not fit"):
        signed.write(path, state(1).model_copy(update={"origin": "x" * COPY_BYTES}))
    assert not path.exists()
