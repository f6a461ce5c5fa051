"""To import any module of the package is to do nothing else: no socket, no file, no process, no thread."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RIG = ROOT / "tests" / "rigs" / "quiet_import.py"


def modules(root=ROOT):
    """Every module of the package by name, the optional ones included."""
    paths = sorted((root / "appliance").rglob("*.py"))
    return [".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__") for path in paths]


def told(names, folder, **environment):
    """What the rig says of importing *names* in an empty folder, which is its home, too."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("COVERAGE", "XDG_"))}
    # The interpreter's own cache of compiled modules is no act of the package.
    clean |= {"HOME": str(folder), "TMPDIR": str(folder), "PYTHONDONTWRITEBYTECODE": "1", **environment}
    done = subprocess.run(
        [sys.executable, RIG],
        input="\n".join(names),
        cwd=folder,
        check=False,
        capture_output=True,
        text=True,
        env=clean,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


def test_importing_every_module_does_nothing_else(tmp_path):
    names = modules()

    result, stderr = told(names, tmp_path)

    assert len(names) > 400
    assert result == {"acts": [], "failed": {}, "left": []}
    assert stderr == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("code", "seen"),
    [
        ("import socket; socket.socket().close()", "socket.__new__"),
        ("import socket; socket.getaddrinfo('localhost', 80)", "socket.getaddrinfo"),
        ("open('note', 'w').close()", "open 'note' for writing"),
        ("import os; os.close(os.open('note', os.O_CREAT | os.O_RDWR))", "open 'note' for writing"),
        ("import pathlib; pathlib.Path('folder').mkdir()", "os.mkdir"),
        ("import os; os.remove(__file__)", "os.remove"),
        ("import subprocess; subprocess.run(['true'])", "subprocess.Popen"),
        ("import os; os.system('true')", "os.system"),
        ("import sqlite3; sqlite3.connect(':memory:')", "sqlite3.connect"),
        ("import tempfile; tempfile.TemporaryDirectory().cleanup()", "tempfile.mkdtemp"),
        ("import os; os.environ['X'] = '1'", "environment"),
        ("import os; os.umask(0o77)", "umask"),
        ("import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)", "signals"),
        ("import threading, time; threading.Thread(target=time.sleep, args=(9,), daemon=True).start()", "threads"),
        ("kept = open(__file__)", "descriptors"),
        ("raise SystemExit(0)", "SystemExit"),
    ],
)
def test_the_rig_notices(tmp_path, code, seen):
    (tmp_path / "noisy.py").write_text(code + "\n", encoding="utf-8")

    result, _ = told(["noisy"], tmp_path, PYTHONPATH=str(tmp_path))

    assert seen in json.dumps(result)


def test_a_dependency_that_does_something_when_it_is_imported_is_noticed(tmp_path):
    # As the packages of May 2026 did: no script of an installer, a line in the package itself.
    (tmp_path / "rfc8785.py").write_text("import socket\nsocket.socket().close()\n", encoding="utf-8")

    result, _ = told(modules(), tmp_path, PYTHONPATH=str(tmp_path))

    assert [act for _, act in result["acts"] if act.startswith("socket.__new__")] != []
