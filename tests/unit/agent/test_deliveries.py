"""What was brought is found by its name, a document by what it says it is; nothing is followed or read through."""

import importlib.util
import os
from pathlib import Path

import pytest

from appliance.agent import deliveries

RIG = Path(__file__).parents[2] / "rigs" / "ceremony.py"


@pytest.fixture
def site(tmp_path):
    spec = importlib.util.spec_from_file_location("ceremony", RIG)
    ceremony = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(ceremony)
    (tmp_path / "people").mkdir()
    return ceremony.Site(tmp_path / "people")


def paths(found):
    return [(one.path.rpartition("/")[2], one.kind) for one in found]


def test_files_and_folders_that_look_like_deliveries_are_found_on_sticks_and_in_incoming(tmp_path, site):
    incoming, media = tmp_path / "incoming", tmp_path / "media"
    stick = media / "ann" / "STICK"
    for folder in (incoming, stick / "release-3" / "bundle"):
        folder.mkdir(parents=True)
    (incoming / "a.tar").write_bytes(b"x" * 10)
    (stick / "b.tar").touch()
    (stick / "revocations-2.json").write_bytes(site.revocations(2))
    (stick / "root-2.json").write_bytes(site.root(2))
    (stick / "photo.jpg").touch()
    (stick / "release-3" / "bundle" / "manifest.json").touch()

    found = deliveries.found(incoming, (media,))

    assert paths(found) == [
        ("a.tar", "bundle"),
        ("b.tar", "bundle"),
        ("release-3", "bundle"),
        ("revocations-2.json", "revocations"),
        ("root-2.json", "root"),
    ]
    assert found[0].bytes_n == 10


def test_what_is_no_document_that_a_device_takes_is_offered_to_nobody(tmp_path, site):
    stick = tmp_path / "stick"
    stick.mkdir()
    (stick / "empty.json").touch()
    (stick / "photos.json").write_text('{"album": []}')
    (stick / "deep.json").write_text("[" * 20_000)
    (stick / "urgent.json").write_bytes(site.urgent(site.delivery() / "bundle", (site.ann,)))
    (stick / "large.json").write_bytes(site.root(2) + b" " * deliveries.MAX_READ_BYTES)
    (stick / "link.json").symlink_to(stick / "urgent.json")
    os.mkfifo(stick / "pipe.json")

    assert deliveries.found(stick, ()) == []


def test_of_thousands_of_files_only_a_few_are_read(tmp_path, site):
    stick = tmp_path / "stick"
    stick.mkdir()
    for n in range(deliveries.READ_N):
        (stick / f"{n:03}.json").touch()
    (stick / "root-2.json").write_bytes(site.root(2))

    assert deliveries.found(stick, ()) == []
    (stick / "000.json").unlink()
    assert paths(deliveries.found(stick, ())) == [("root-2.json", "root")]


def test_links_hidden_files_and_names_that_write_on_the_terminal_are_passed_over(tmp_path):
    (tmp_path / "real.tar").touch()
    (tmp_path / "link.tar").symlink_to(tmp_path / "real.tar")
    (tmp_path / "folder").symlink_to(tmp_path)
    (tmp_path / ".hidden.tar").touch()
    (tmp_path / "bad\x1b[2J.tar").touch()
    (tmp_path / "left\u202eright.tar").touch()
    os.mkfifo(tmp_path / "pipe.tar")

    assert paths(deliveries.found(tmp_path, ())) == [("real.tar", "bundle")]


def test_a_stick_that_is_gone_or_full_of_other_things_holds_nobody_up(tmp_path):
    many = tmp_path / "media" / "STICK"
    many.mkdir(parents=True)
    for n in range(deliveries.LOOKED_N + 100):
        (many / f"{n:05}.tar").touch()

    assert deliveries.found(tmp_path / "gone", (tmp_path / "media" / "gone",)) == []
    assert len(deliveries.found(tmp_path / "gone", (tmp_path / "media",))) == deliveries.FOUND_N


def test_nothing_below_the_sticks_own_folders_is_looked_for(tmp_path):
    deep = tmp_path / "media" / "ann" / "STICK" / "deep"
    deep.mkdir(parents=True)
    (deep / "a.tar").touch()

    assert deliveries.found(tmp_path / "incoming", (tmp_path / "media",)) == []
