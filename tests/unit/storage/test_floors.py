"""What must outlive the database: two copies, either of which may be damaged, and numbers that only grow."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import StorageError
from appliance.storage import floors, twofold
from appliance.storage.floors import Floors

BYTES = 512


def test_what_was_written_last_is_read(tmp_path):
    path = tmp_path / "state"
    for n in range(5):
        twofold.write(path, {"n": n}, BYTES)

    assert twofold.read(path, BYTES) == {"n": 4}
    assert path.stat().st_size == 2 * BYTES
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("torn", range(0, BYTES, 37))
def test_a_torn_write_leaves_the_state_before(tmp_path, torn):
    path = tmp_path / "state"
    twofold.write(path, {"n": 1}, BYTES)
    before = path.read_bytes()
    twofold.write(path, {"n": 2}, BYTES)
    after = path.read_bytes()
    # The second write goes to the second half; only a part of it got there.
    path.write_bytes(before[:BYTES] + after[BYTES : BYTES + torn] + before[BYTES + torn :])

    assert twofold.read(path, BYTES) in ({"n": 1}, {"n": 2})
    twofold.write(path, {"n": 3}, BYTES)
    assert twofold.read(path, BYTES) == {"n": 3}


def test_both_copies_lost_is_said(tmp_path):
    path = tmp_path / "state"
    twofold.write(path, {"n": 1}, BYTES)
    path.write_bytes(b"\0" * 2 * BYTES)

    assert twofold.read(path, BYTES) is None


@given(st.binary(max_size=2 * BYTES))
def test_any_bytes_are_no_state_or_one_never_a_fault(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("f") / "state"
    path.write_bytes(data)

    assert twofold.read(path, BYTES) is None
    assert floors.read(path) is None


def test_a_state_that_does_not_fit_is_refused_and_the_one_before_stands(tmp_path):
    path = tmp_path / "state"
    twofold.write(path, {"n": 1}, BYTES)

    with pytest.raises(StorageError, match="does not fit"):
        twofold.write(path, {"n": "x" * BYTES}, BYTES)

    assert twofold.read(path, BYTES) == {"n": 1}


def test_a_disk_that_is_full_later_still_takes_it(tmp_path):
    path = tmp_path / "state"
    twofold.write(path, {"n": 1}, BYTES)
    before = path.stat().st_blocks

    twofold.write(path, {"n": 2}, BYTES)

    assert path.stat().st_blocks == before


def test_every_number_only_grows():
    one = Floors(counters={"a": 5, "b": 1}, desired=3, revoked=("x",), bundles={"m": 2})
    other = Floors(grant="new", counters={"a": 4, "c": 9}, desired=2, revoked=("y",), bundles={"m": 7})

    assert one.raised(other) == Floors(
        grant="new", counters={"a": 5, "b": 1, "c": 9}, desired=3, revoked=("x", "y"), bundles={"m": 7}
    )


def test_a_new_grant_keeps_what_was_counted(tmp_path):
    path = tmp_path / "keys" / "floors"
    floors.write(path, Floors(grant="old", counters={"a": 5}))

    floors.begin(path, "new")

    assert floors.read(path) == Floors(grant="new", counters={"a": 5})


def test_the_most_that_is_kept_fits():
    many = Floors(
        grant="f" * 64,
        counters={f"{n:016x}": 2**53 - 1 for n in range(floors.MOST_WINDOWS_N)},
        revoked=tuple(f"{n:016x}" for n in range(256)),
        bundles={f"{n:064}": 2**53 - 1 for n in range(floors.MOST_BUNDLES_N)},
    )

    assert len(many.model_dump_json()) < floors.COPY_BYTES - 256
