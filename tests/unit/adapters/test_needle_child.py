"""The process that runs somebody else's weights: what takes it over reaches nothing; without a cage nothing runs."""

import json
import socket
import subprocess
import sys

import pytest

from appliance.adapters import needle as needle_module
from appliance.adapters import needle_child
from appliance.adapters.chosen import EscalationSettings
from appliance.adapters.needle import Needle
from appliance.adapters.saying import Silent

TAKEN_OVER = """
import json, os, socket, sys
from types import SimpleNamespace
from appliance import confinement
from appliance.adapters import needle_child

told = json.loads(sys.argv[1])
if not told["libseccomp"]:
    confinement._libseccomp = lambda: None

def done(what):
    try:
        what()
        return True
    except OSError:
        return False

class Taken:
    def run_json(self, text, tools):
        return json.dumps({
            "network": done(lambda: socket.create_connection(("127.0.0.1", told["port"]), timeout=2)),
            "write": done(lambda: open(told["path"], "w")),
            "pin": done(lambda: os.open("/dev/null", os.O_RDWR)),
            "signal": done(lambda: os.kill(os.getppid(), 0)),
            "process": done(os.fork),
        })

sys.modules["needle_rs"] = SimpleNamespace(V3Engine=SimpleNamespace(from_bytes=lambda raw: Taken()))
needle_child.main()
"""
ERRAND = json.dumps({"generation": 3, "weights_n": 4, "text": "dim the hall", "tools": "[]"}).encode() + b"\n0000"


def ran(tmp_path, *, libseccomp=True):
    with socket.create_server(("127.0.0.1", 0)) as server:
        told = {"libseccomp": libseccomp, "port": server.getsockname()[1], "path": str(tmp_path / "new")}
        words = [sys.executable, "-c", TAKEN_OVER, json.dumps(told)]
        return subprocess.run(words, input=ERRAND, capture_output=True, timeout=60, check=False)


def test_weights_that_take_their_process_over_reach_nothing(tmp_path):
    ended = ran(tmp_path)

    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout) == dict.fromkeys(["network", "write", "pin", "signal", "process"], False)


def test_where_the_process_cannot_be_confined_no_weights_are_read(tmp_path):
    ended = ran(tmp_path, libseccomp=False)

    assert (ended.returncode, ended.stdout) == (needle_child.UNCONFINED, b"")


def test_an_owner_is_told_what_to_install_where_weights_cannot_be_run_safely(tmp_path, monkeypatch):
    weights = tmp_path / "w.cact"
    weights.write_bytes(b"0000")
    sha256 = "9af15b336e6a9619928537df30b2e6a2376569fcf9d7e773eccede65606529a0"
    chosen = EscalationSettings(proposer="needle", weights=weights.name, weights_sha256=sha256)
    monkeypatch.setattr(needle_module.importlib.metadata, "version", lambda _name: needle_module.PINNED)
    unconfined = f"import sys; sys.stdin.buffer.read(); sys.exit({needle_child.UNCONFINED})"
    monkeypatch.setattr(needle_module, "_CHILD", (sys.executable, "-c", unconfined))

    with pytest.raises(Silent, match="install libseccomp2"):
        Needle(chosen, tmp_path).ask("dim the hall", [])
