"""What lies on a stick is copied once, and only plain files of a decent size get that far."""

import os
import re
import socket
import threading

import pytest

from appliance.errors import StorageError, UsageError
from appliance.trust import staging
from appliance.trust.staging import Limits

NAME = re.compile(r"[a-z0-9]+\.json")
LIMITS = Limits(file_bytes=1000, files_n=4, total_bytes=2500)


@pytest.fixture
def stick(tmp_path):
    folder = tmp_path / "stick" / "a" / "b"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def staged(tmp_path, stick):
    def stage(limits=LIMITS):
        into = tmp_path / f"copies-{len(list(tmp_path.iterdir()))}"
        into.mkdir()
        with staging.opened(tmp_path / "stick", "a", "b") as folder:
            copies, unusable = staging.stage(folder, into, NAME, limits)
        return {copy.name: copy.path.read_bytes() for copy in copies}, {one.name: one.why for one in unusable}

    return stage


def test_plain_files_with_our_names_are_copied_and_nothing_else(stick, staged):
    (stick / "one.json").write_bytes(b"1")
    (stick / "README").write_bytes(b"2")
    (stick / "..json").write_bytes(b"3")

    assert staged() == ({"one.json": b"1"}, {})


def test_a_link_a_fifo_a_socket_a_folder_and_a_device_are_named_and_not_opened_further(stick, staged, tmp_path):
    (tmp_path / "secret").write_text("secret")
    (stick / "link.json").symlink_to(tmp_path / "secret")
    os.mkfifo(stick / "fifo.json")
    (stick / "folder.json").mkdir()
    (stick / "zero.json").symlink_to("/dev/zero")
    end = socket.socket(socket.AF_UNIX)
    end.bind(str(stick / "end.json"))
    end.close()

    copies, unusable = staged(Limits(1000, 10, 2500))

    assert copies == {}
    assert set(unusable) == {"link.json", "fifo.json", "folder.json", "zero.json", "end.json"}


def test_a_file_that_is_too_large_is_left_and_the_others_are_taken(stick, staged):
    (stick / "huge.json").write_bytes(b"x" * 1001)
    (stick / "fine.json").write_bytes(b"x" * 1000)

    copies, unusable = staged()

    assert set(copies) == {"fine.json"}
    assert "1,001 bytes" in unusable["huge.json"]


def test_a_sparse_file_of_any_length_costs_nothing(stick, staged):
    with (stick / "sparse.json").open("wb") as file:
        file.truncate(2**40)

    assert staged()[0] == {}


def test_more_than_is_taken_together_is_left(stick, staged):
    for name in "abc":
        (stick / f"{name}.json").write_bytes(b"x" * 1000)

    copies, unusable = staged()

    assert set(copies) == {"a.json", "b.json"}
    assert "c.json" in unusable


def test_too_many_files_are_left_for_the_next_time(stick, staged):
    for n in range(9):
        (stick / f"{n}.json").write_bytes(b"x")

    copies, unusable = staged()

    assert len(copies) == 4
    assert len(unusable) == 1


class Shifting:
    """An open file that changes under whoever reads it."""

    def __init__(self, file, change):
        self._file, self._change = file, change

    def read(self, n):
        change, self._change = self._change, None
        if change is not None:
            change()
        return self._file.read(n)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._file.close()


@pytest.mark.parametrize(
    ("change", "why"), [(b"x" * 900, "grew"), (b"x", "shorter")], ids=["a file that grows", "a file that shrinks"]
)
def test_a_file_that_changes_while_it_is_read_is_not_taken(stick, staged, monkeypatch, change, why):
    path = stick / "one.json"
    path.write_bytes(b"x" * 500)
    real = os.fdopen

    def fdopen(handle, mode, **more):
        file = real(handle, mode, **more)
        return Shifting(file, lambda: path.write_bytes(change)) if mode == "rb" else file

    monkeypatch.setattr(staging.os, "fdopen", fdopen)

    copies, unusable = staged()

    assert copies == {}
    assert why in unusable["one.json"]


def test_what_is_exchanged_after_the_copy_changes_nothing(stick, tmp_path):
    (stick / "one.json").write_bytes(b"good")
    with staging.opened(tmp_path / "stick", "a", "b") as folder, staging.private(tmp_path, ".s-") as into:
        copies, _ = staging.stage(folder, into, NAME, LIMITS)
        (stick / "one.json").write_bytes(b"evil")

        assert copies[0].path.read_bytes() == b"good"
    assert list(tmp_path.glob(".s-*")) == []


def test_a_folder_that_is_exchanged_for_a_link_is_not_followed(stick, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "one.json").write_bytes(b"secret")
    stick.rmdir()
    stick.symlink_to(elsewhere)

    with pytest.raises(UsageError, match="link"), staging.opened(tmp_path / "stick", "a", "b"):
        pass


def test_writing_never_follows_a_link_that_somebody_put_there(stick, tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    (stick / "one.json").symlink_to(victim)
    (stick / "one.json.part").symlink_to(victim)

    with staging.opened(tmp_path / "stick", "a", "b") as folder:
        staging.put(folder, "one.json", b"new")

    assert victim.read_text() == "untouched"
    assert not (stick / "one.json").is_symlink()
    assert (stick / "one.json").read_bytes() == b"new"


def test_a_missing_folder_is_nothing_and_a_missing_stick_is_said(tmp_path):
    with staging.opened(tmp_path, "none") as folder:
        assert folder is None
    with pytest.raises(UsageError, match="no such folder"), staging.opened(tmp_path / "gone", "a"):
        pass


def test_a_stick_that_cannot_be_written_is_a_fault_and_leaves_no_half(stick, tmp_path, monkeypatch):
    def full(_handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(staging.os, "fsync", full)
    with staging.opened(tmp_path / "stick", "a", "b") as folder, pytest.raises(StorageError, match="No space"):
        staging.put(folder, "one.json", b"x")

    assert list(stick.iterdir()) == []


def test_copies_of_an_import_that_was_cut_short_are_removed_by_the_next(tmp_path):
    left = tmp_path / ".s-left"
    left.mkdir()
    (left / "one.json").write_bytes(b"x")

    with staging.private(tmp_path, ".s-") as into:
        assert into.stat().st_mode & 0o777 == 0o700
        assert not left.exists()


def test_two_that_read_the_same_stick_at_once_do_not_disturb_each_other(stick, tmp_path):
    (stick / "one.json").write_bytes(b"x")
    found = []

    def read(n):
        into = tmp_path / f"into-{n}"
        into.mkdir()
        with staging.opened(tmp_path / "stick", "a", "b") as folder:
            found.append(staging.stage(folder, into, NAME, LIMITS)[0][0].path.read_bytes())

    threads = [threading.Thread(target=read, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert found == [b"x"] * 4
