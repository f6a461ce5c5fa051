"""A bundle is data, whole, and nothing else; one flipped byte anywhere is enough."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import random
import shutil

import pytest

from appliance.contracts.bundle import NotAdmitted
from appliance.contracts.pinned import SHIPPED
from appliance.settings import shipped_bundle
from appliance.trust import bundles, strict_json
from appliance.trust.untrusted import Untrusted

NAMES = ("manifest.json", "model.tflite", "vocab.txt", "golden.jsonl", "canary.jsonl", "card.md", "mlbom.json")


def why(folder):
    """Why a bundle is refused."""
    with pytest.raises(Untrusted) as caught:
        bundles.check(folder)
    return caught.value.code, caught.value.reason


def restamp(folder, name, content):
    """Put other content into a bundle, and make its manifest say so."""
    (folder / name).write_bytes(content)
    manifest = json.loads((folder / "manifest.json").read_bytes())
    manifest["files"][name] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes_n": len(content)}
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.fixture
def folder(tmp_path, ceremony):
    return ceremony.make_bundle(tmp_path / "bundle")


def test_the_bundle_that_ships_is_whole_and_is_the_one_that_the_software_names():
    shipped = bundles.check(shipped_bundle())

    assert (shipped.manifest.name, shipped.manifest.release, shipped.sha256) == SHIPPED


@pytest.mark.parametrize("name", NAMES)
def test_a_flipped_bit_is_noticed_in_every_class_of_file(device, site, name):
    delivery = site.delivery()
    whole = (delivery / "bundle" / name).read_bytes()
    chance = random.Random(name)
    for n in range(12):
        at, bit = chance.randrange(len(whole)), chance.randrange(8)
        flipped = bytearray(whole)
        flipped[at] ^= 1 << bit
        (delivery / "bundle" / name).write_bytes(flipped)

        answer, _ = device.admit(delivery)

        assert isinstance(answer, NotAdmitted), (n, at, bit)


def test_a_flipped_bit_in_a_signature_or_an_urgent_statement_admits_nothing_else(device, site):
    delivery = site.delivery(urgent=(site.ann, site.bob, site.cem))
    whole_answer, _ = device.admit(delivery)
    chance = random.Random(1)
    refused_n = 0
    for path in (next((delivery / "signatures").iterdir()), delivery / "urgent.json"):
        whole = path.read_bytes()
        for _ in range(60):
            flipped = bytearray(whole)
            flipped[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
            path.write_bytes(flipped)
            answer, _ = device.admit(delivery)
            refused_n += isinstance(answer, NotAdmitted)
            # A hint or a key's name beside a signature is signed by nobody, and nothing is decided by it.
            assert isinstance(answer, NotAdmitted) or answer == whole_answer
        path.write_bytes(whole)

    assert refused_n > 80


@pytest.mark.parametrize("name", NAMES[1:])
def test_a_file_that_is_missing_too_long_or_cut_is_named(folder, name):
    content = (folder / name).read_bytes()

    (folder / name).write_bytes(content + b"\n")
    assert name in why(folder)[1]
    (folder / name).write_bytes(content[:-1])
    assert name in why(folder)[1]
    (folder / name).unlink()
    assert why(folder) == ("files", f"{name} is missing")


def test_a_file_that_no_manifest_names_is_refused(folder):
    (folder / "hook.py").write_text("import os")

    assert why(folder) == ("files", "'hook.py' is not in the manifest")


@pytest.mark.parametrize(
    "name", ["weights.pkl", "weights.pt", "weights.npy", "hook.py", "hook.so", "model.tflite.gz", "noending"]
)
def test_code_and_pickles_are_refused_also_where_the_manifest_names_them(folder, name):
    restamp(folder, name, pickle.dumps(print))

    code, reason = why(folder)

    assert code == "files"
    assert "of a kind that no bundle holds" in reason


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("model.tflite", pickle.dumps({"weights": 1})),
        ("model.tflite", b"PK\x03\x04 a torch file"),
        ("model.tflite", b""),
        ("vocab.txt", b"\xff\xfe not UTF-8"),
        ("vocab.txt", b"a\0b"),
        ("card.md", b"\x80\x04\x95 a pickle"),
        ("golden.jsonl", b"import os\n"),
        ("golden.jsonl", b'{"a": 1, "a": 2}\n'),
        ("golden.jsonl", b"[1]\n"),
        ("golden.jsonl", b"[" * 200_000 + b"\n"),
        ("mlbom.json", b"{"),
        ("mlbom.json", b'{"a": NaN}'),
        ("mlbom.json", b"[" * 200_000),
    ],
)
def test_a_file_that_holds_something_else_than_its_name_says_is_refused(folder, name, content):
    restamp(folder, name, content)

    code, reason = why(folder)

    assert code == "files"
    assert reason.startswith(name)


def test_a_link_in_a_copy_is_refused(folder, tmp_path):
    shutil.move(folder / "vocab.txt", tmp_path / "vocab.txt")
    (folder / "vocab.txt").symlink_to(tmp_path / "vocab.txt")

    assert why(folder) == ("files", "vocab.txt is no plain file")


def test_a_manifest_that_can_be_read_in_two_ways_is_refused(folder):
    text = (folder / "manifest.json").read_text()
    (folder / "manifest.json").write_text(text.replace('"release": 2', '"release": 1,\n"release": 2'))

    assert why(folder) == ("manifest", "manifest.json: an object has the same name twice")


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("release", 0, "release"),
        ("release", 2**31, "release"),
        ("release", "2", "release"),
        ("expires_at", "2026-11-23T00:00:00", "expires_at"),
        ("format", "appliance-bundle/1", "not of format appliance-bundle/2"),
        ("name", "../pointer", "name"),
        ("minimum_revocations", -1, "minimum_revocations"),
        ("hooks", [], "hooks"),
    ],
)
def test_a_manifest_that_says_something_impossible_is_refused(folder, field, value, told):
    manifest = json.loads((folder / "manifest.json").read_bytes())
    (folder / "manifest.json").write_text(json.dumps(manifest | {field: value}))

    code, reason = why(folder)

    assert code == "manifest"
    assert told in reason


@pytest.mark.parametrize("name", ["../vocab.txt", "/etc/passwd", "sub/vocab.txt", "Vocab.txt", ".hidden.txt"])
def test_a_manifest_names_plain_files_of_its_own_folder_alone(folder, name):
    manifest = json.loads((folder / "manifest.json").read_bytes())
    manifest["files"][name] = {"sha256": "0" * 64, "bytes_n": 1}
    (folder / "manifest.json").write_text(json.dumps(manifest))

    assert why(folder)[0] == "manifest"


def test_a_manifest_names_what_every_bundle_has(folder):
    manifest = json.loads((folder / "manifest.json").read_bytes())
    del manifest["files"]["golden.jsonl"]
    (folder / "manifest.json").write_text(json.dumps(manifest))

    assert why(folder) == ("manifest", "manifest.json does not name golden.jsonl, which every bundle has")


def test_a_manifest_cannot_name_itself(folder):
    manifest = json.loads((folder / "manifest.json").read_bytes())
    manifest["files"]["manifest.json"] = {"sha256": "0" * 64, "bytes_n": 1}
    (folder / "manifest.json").write_text(json.dumps(manifest))

    assert "names itself" in why(folder)[1]


@pytest.mark.parametrize(
    "content",
    [
        b'{"a": 1, "a": 2}',
        b'{"a": NaN}',
        b'{"a": 1e999}',
        b'{"a": "\\ud800"}',
        b'{"\\udc00": 1}',
        b'{"a": [{"b": -1e999}]}',
    ],
)
def test_json_that_two_readers_read_differently_is_refused(content):
    with pytest.raises(ValueError, match=r"."):
        strict_json.parse(content, limit_bytes=1000)


def test_letters_that_take_two_halves_are_read():
    assert strict_json.parse(b'["\\ud83d\\ude00", 1e3]', limit_bytes=1000) == ["\U0001f600", 1000.0]


@pytest.mark.parametrize("content", [b"", b"null", b"[]", b"\xff", b'{"format": 1}', b"{" * 100_000, b" " * 2**21])
def test_nonsense_is_no_manifest(folder, content):
    (folder / "manifest.json").write_bytes(content)

    assert why(folder)[0] == "manifest"


def test_a_folder_without_a_manifest_is_refused(folder):
    (folder / "manifest.json").unlink()

    code, reason = why(folder)

    assert code == "unreadable"
    assert "manifest.json" in reason


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_cannot_be_read_is_named(folder):
    (folder / "vocab.txt").chmod(0)

    assert "vocab.txt" in why(folder)[1]
