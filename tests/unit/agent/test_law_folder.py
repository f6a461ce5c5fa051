"""A folder of laws is read as it is, and exchanged whole or not at all."""

import fcntl
import os
import socket
from pathlib import Path

import pytest

from appliance.agent import law_folder
from appliance.policy.workflow.reader import MAX_FILE_BYTES
from appliance.trust.law_set import MAX_LAWS_N

OLD = {"gate.yaml": b"old gate", "laws.note": b"old note"}
NEW = {"gate.yaml": b"new gate", "night.yaml": b"new night", "laws.note": b"new note"}


class Cut(Exception):
    """The power went."""


@pytest.fixture
def home(tmp_path):
    root = tmp_path / "home"
    root.mkdir()
    return root


@pytest.fixture
def folder(home):
    (home / "laws").mkdir()
    return home / "laws"


def contents(found):
    files = {file.name: file.raw for file in found.files}
    return files if found.note is None else {**files, "laws.note": found.note}


def written(folder, files):
    folder.mkdir(exist_ok=True)
    for name, raw in files.items():
        (folder / name).write_bytes(raw)


def test_a_folder_that_is_not_there_is_empty(home):
    assert law_folder.read(home / "laws") == law_folder.Found()


def test_laws_and_their_note_are_read_scripts_are_left_and_the_rest_is_named(folder):
    written(folder, {**NEW, "b.json": b"{}", "gate.script.yaml": b"x", "README": b"x", ".gate.yaml.swp": b"x"})
    (folder / "more").mkdir()

    found = law_folder.read(folder)

    assert contents(found) == {**NEW, "b.json": b"{}"}
    assert set(found.unexpected) == {"README", ".gate.yaml.swp", "more"}
    assert found.faults == ()


def test_the_ending_that_people_mistake_is_a_fault_and_not_left_out_in_silence(folder):
    written(folder, {"gate.yml": b"x"})

    assert "rename it" in law_folder.read(folder).faults[0]


def link(path):
    path.with_name("target").write_bytes(b"x")
    path.symlink_to("target")


def dangling(path):
    path.symlink_to("nowhere")


def endless(path):
    path.symlink_to("/dev/zero")


def loop(path):
    path.symlink_to(path.name)


def listening(path):
    server = socket.socket(socket.AF_UNIX)
    here = Path.cwd()
    os.chdir(path.parent)  # the name of a socket has to be short
    try:
        server.bind(path.name)
    finally:
        os.chdir(here)
        server.close()


@pytest.mark.parametrize("make", [link, dangling, endless, loop, os.mkfifo, os.mkdir, listening])
@pytest.mark.parametrize("name", ["gate.yaml", "laws.note"])
def test_what_is_no_regular_file_is_named_and_never_waited_for(folder, make, name):
    make(folder / name)

    found = law_folder.read(folder)

    assert contents(found) == {}
    assert len(found.faults) == 1
    assert name in found.faults[0]


def test_a_link_in_the_place_of_the_folder_is_refused(home, tmp_path):
    written(tmp_path / "elsewhere", NEW)
    (home / "laws").symlink_to(tmp_path / "elsewhere")

    found = law_folder.read(home / "laws")

    assert contents(found) == {}
    assert "a link or no folder" in found.faults[0]


def test_a_file_in_the_place_of_the_folder_is_refused(home):
    (home / "laws").write_text("x")

    assert "a link or no folder" in law_folder.read(home / "laws").faults[0]


def test_too_large_and_too_many_files_are_refused(folder):
    written(folder, {"large.yaml": b"a" * (MAX_FILE_BYTES + 1)})
    written(folder, {"laws.note": b"a" * 100_000})
    assert [fault.split(": ")[1] for fault in law_folder.read(folder).faults] == [
        "larger than 1024 KiB",
        "larger than 64 KiB",
    ]

    written(folder, {f"{n}.yaml": b"x" for n in range(MAX_LAWS_N)})
    assert "more than 32" in law_folder.read(folder).faults[-1]

    written(folder, {f"{n}.txt": b"x" for n in range(300)})
    assert "at most 256" in law_folder.read(folder).faults[0]


def test_a_file_that_nobody_may_read_is_a_fault(folder):
    written(folder, {"gate.yaml": b"x"})
    (folder / "gate.yaml").chmod(0)
    if os.access(folder / "gate.yaml", os.R_OK):
        pytest.skip("who runs this reads everything")

    assert "Permission denied" in law_folder.read(folder).faults[0]


def test_an_exchange_puts_exactly_the_new_files_there(home, folder):
    written(folder, {**OLD, "stray.yaml": b"x"})

    law_folder.replace(home, NEW)

    assert contents(law_folder.read(folder)) == NEW
    assert [path.name for path in home.iterdir()] == ["laws"]
    assert folder.stat().st_mode & 0o777 == 0o755
    assert (folder / "gate.yaml").stat().st_mode & 0o777 == 0o644


def test_an_exchange_makes_the_folder_where_there_was_none(home):
    law_folder.replace(home, NEW)

    assert contents(law_folder.read(home / "laws")) == NEW


def home_with(path, files):
    path.mkdir()
    if files:
        written(path / "laws", files)
    return path


@pytest.mark.parametrize("before", [OLD, {}], ids=["over an old set", "over nothing"])
def test_a_power_cut_at_any_boundary_leaves_the_old_or_the_new_folder(tmp_path, before):
    boundaries = []
    law_folder.replace(home_with(tmp_path / "whole", before), NEW, step=boundaries.append)
    left = {}
    for at in boundaries:
        home = home_with(tmp_path / at.replace(" ", "-"), before)

        def cut(name, at=at):
            if name == at:
                raise Cut

        with pytest.raises(Cut):
            law_folder.replace(home, NEW, step=cut)
        law_folder.finish(home)

        left[at] = contents(law_folder.read(home / "laws"))
        assert not (home / "laws.next").exists()
        assert not (home / "laws.before").exists()
        law_folder.replace(home, NEW)
        assert [path.name for path in home.iterdir()] == ["laws"]  # drafts too

    assert all(files in (before, NEW) for files in left.values())
    assert left["staged"] == before
    assert left["in place"] == left["lasting"] == NEW
    assert left.get("moved away", NEW) == NEW


def test_what_an_exchange_left_does_not_come_back_once_the_owner_removes_the_folder(home, folder):
    written(folder, OLD)
    written(home / "laws.next", NEW)
    law_folder.finish(home)

    (folder / "gate.yaml").unlink()
    (folder / "laws.note").unlink()
    folder.rmdir()
    law_folder.finish(home)

    assert law_folder.read(folder) == law_folder.Found()


@pytest.mark.parametrize("failing", ["wrote night.yaml", "staged"])
def test_a_full_disk_leaves_the_old_folder(home, folder, failing):
    written(folder, OLD)

    def full(name):
        if name == failing:
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        law_folder.replace(home, NEW, step=full)

    assert contents(law_folder.read(folder)) == OLD
    assert [path.name for path in home.iterdir()] == ["laws"]


def test_two_do_not_exchange_at_once(home, folder):
    written(folder, OLD)
    handle = os.open(home, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        with pytest.raises(BlockingIOError):
            law_folder.replace(home, NEW)
    finally:
        os.close(handle)

    assert contents(law_folder.read(folder)) == OLD


def test_a_folder_that_is_exchanged_while_it_is_read_is_the_old_one_or_the_new_one(home, folder, monkeypatch):
    written(folder, {"gate.yaml": b"old gate", "night.yaml": b"old night", "laws.note": b"old note"})
    read_one = law_folder._content

    def slowly(handle, name, most_bytes):
        if name == "laws.note":
            law_folder.replace(home, NEW)  # between one file and the next
        return read_one(handle, name, most_bytes)

    monkeypatch.setattr(law_folder, "_content", slowly)
    found = law_folder.read(folder)
    monkeypatch.undo()

    # What is left of the old folder is gone when it is opened, and that is a fault; it never mixes with the new one.
    assert found.note is None
    assert {raw for _, raw in found.files} <= {b"old gate", b"old night"}
    assert found.faults
    assert contents(law_folder.read(folder)) == NEW
