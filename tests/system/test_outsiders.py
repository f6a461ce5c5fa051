"""Checkpoints and proofs of a running appliance, checked by an implementation that is not ours: Go's own packages.

`golang.org/x/mod/sumdb/note` and `sumdb/tlog` are what the Go checksum database is verified with.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.contracts import tree
from appliance.trust import notes

pytestmark = pytest.mark.system

SOURCE = Path(__file__).parent / "outsider" / "main.go"


@pytest.fixture(scope="module")
def outsider(tmp_path_factory):
    """The Go program, built once; answers a command with its output, None where it says no."""
    folder = tmp_path_factory.mktemp("go")
    program = folder / "outsider"
    # Debian's Go packages lie in a GOPATH; nothing is fetched.
    environment = os.environ | {"GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOCACHE": str(folder / "cache")}
    subprocess.run(["go", "build", "-o", program, SOURCE], env=environment, check=True, timeout=300)

    def ask(*arguments):
        done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=60)
        return done.stdout if done.returncode == 0 else None

    return ask


@pytest.fixture
def say(appliance, tmp_path):
    """Run the command line on the running appliance's home; answer with what it printed, kept in a file."""

    def run(*arguments, name="out"):
        command = ["-m", "appliance", "--home", appliance.home.root, "audit", *map(str, arguments)]
        done = subprocess.run([sys.executable, *command], capture_output=True, check=True, timeout=60)
        (tmp_path / name).write_bytes(done.stdout)
        return tmp_path / name

    return run


def test_go_opens_our_checkpoint_with_our_verifier_key(appliance, say, outsider):
    vkey = say("key", name="key").read_text().strip()

    size = outsider("open", vkey, say("checkpoint"))

    assert int(size) == len(appliance.records)


def test_go_refuses_our_checkpoint_once_a_byte_of_it_has_changed(say, outsider, tmp_path):
    vkey = say("key", name="key").read_text().strip()
    whole = say("checkpoint").read_bytes()

    for n in range(0, len(whole), 7):
        (tmp_path / "altered").write_bytes(whole[:n] + bytes([whole[n] ^ 1]) + whole[n + 1 :])
        assert outsider("open", vkey, tmp_path / "altered") is None, n


def test_go_follows_every_record_to_the_root_and_no_other(appliance, say, outsider, tmp_path):
    for level in (10, 20, 30):
        appliance.client.call("set_light_level", {"room": "kitchen", "level_pct": level})
    vkey = say("key", name="key").read_text().strip()
    say("checkpoint")
    rows = appliance.records

    for row in rows:
        proof = say("prove", row.seq, name="proof")
        (tmp_path / "record").write_text(row.body)
        assert outsider("record", vkey, proof, tmp_path / "record") == f"{row.seq - 1}\n"
        (tmp_path / "record").write_text(row.body.replace(f'"seq":{row.seq}', f'"seq":{row.seq + 1}'))
        assert outsider("record", vkey, proof, tmp_path / "record") is None


def test_go_joins_every_older_checkpoint_to_the_newest(appliance, say, outsider, tmp_path):
    vkey = say("key", name="key").read_text().strip()
    older = []
    for level in range(1, 6):
        older.append(say("checkpoint", name=f"older-{level}"))
        appliance.client.call("set_light_level", {"room": "kitchen", "level_pct": level})
    say("checkpoint", name="newest")

    for one in older:
        proof = say("prove", "--from", one, name="proof")
        assert outsider("extends", vkey, one, proof) is not None
    # The proof for one size does not serve for another.
    assert outsider("extends", vkey, older[0], proof) is None


def test_we_open_what_go_signed_and_keep_a_signature_beside_ours(outsider, tmp_path):
    text = str(notes.Checkpoint("go.example/log", 3, tree.leaf_hash(b"")))
    (tmp_path / "text").write_text(text)

    vkey, _, signed = outsider("sign", "go.example/log", tmp_path / "text").partition("\n")

    verifier = notes.parse_verifier(vkey)
    note = notes.parse(signed.encode())
    assert str(verifier) == vkey
    assert notes.verified(note, [verifier]) == (verifier,)
    assert notes.parse_checkpoint(note.text).size == 3
    assert str(note) == signed
