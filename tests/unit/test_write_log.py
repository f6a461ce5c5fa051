"""The disk that the power-cut rig assumes loses exactly what was not synced."""

import importlib.util
from pathlib import Path
from random import Random

import pytest


def _load():
    path = Path(__file__).parents[1] / "rigs" / "write_log.py"
    spec = importlib.util.spec_from_file_location("write_log", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


write_log = _load()


def op(kind, path="", other="", *, file=1, offset=0, data=b""):
    return write_log.Op(kind, f"/r/{path}".rstrip("/"), f"/r/{other}", file, offset, data)


def after(*ops):
    disk = write_log.Disk("/r")
    for one in ops:
        disk.apply(one)
        disk.touched(one)
    return disk


def everything_lost(disk):
    return disk.image("everything", Random(1))


def test_a_name_lasts_only_after_its_folder_was_synced():
    written = (op("C", "a"), op("W", "a", data=b"new"), op("F", "a"))

    assert everything_lost(after(*written)) == {}
    assert everything_lost(after(*written, op("D"))) == {"a": b"new"}


def test_what_was_written_after_the_last_sync_is_lost():
    disk = after(op("C", "a"), op("W", "a", data=b"old"), op("F", "a"), op("D"), op("W", "a", data=b"new"))

    assert everything_lost(disk) == {"a": b"old"}
    assert disk.image("nothing", Random(1)) == {"a": b"new"}


def test_a_rename_is_one_change():
    disk = after(
        op("C", "a"), op("W", "a", data=b"x"), op("F", "a"), op("D"), op("C", "b", file=2), op("R", "b", "a", file=2)
    )

    assert everything_lost(disk) == {"a": b"x"}
    assert disk.image("nothing", Random(1)) == {"a": b""}


A_FOLDER = (op("M", "new", file=9), op("C", "new/a"), op("W", "new/a", data=b"x"), op("F", "new/a"))


def test_a_renamed_folder_takes_along_what_lies_in_it_durably_and_nothing_else():
    unsynced = after(*A_FOLDER, op("R", "new", "slot", file=9), op("D"))
    synced = after(*A_FOLDER, op("D", "new"), op("R", "new", "slot", file=9), op("D"))

    assert everything_lost(unsynced) == {"slot": None}
    assert everything_lost(synced) == {"slot": None, "slot/a": b"x"}


def test_until_the_folder_above_is_synced_a_renamed_folder_has_its_old_name():
    disk = after(*A_FOLDER, op("D", "new"), op("D"), op("R", "new", "slot", file=9), op("C", "slot/b", file=3))

    assert everything_lost(disk) == {"new": None, "new/a": b"x"}
    assert disk.image("nothing", Random(1)) == {"slot": None, "slot/a": b"x", "slot/b": b""}


@pytest.mark.parametrize("loss", write_log.LOSSES)
def test_no_loss_touches_what_was_synced(loss):
    synced = bytes(range(256)) * 8
    disk = after(
        op("C", "a"), op("W", "a", data=synced), op("F", "a"), op("D"), op("W", "a", offset=512, data=b"!" * 700)
    )

    for seed in range(50):
        left = disk.image(loss, Random(seed))["a"]
        assert left[:512] == synced[:512]
        assert left[512 + 700 :] == synced[512 + 700 :]


def test_sectors_of_one_write_arrive_in_any_order():
    disk = after(op("C", "a"), op("W", "a", data=bytes(2048)), op("F", "a"), op("D"), op("W", "a", data=b"!" * 2048))

    left = {disk.image("some", Random(seed))["a"] for seed in range(200)}

    assert bytes(512) + b"!" * 512 + bytes(512) + b"!" * 512 in left
