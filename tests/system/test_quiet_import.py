"""What the kernel sees while every module of the package is imported: files are read, and nothing else.

An audit hook (`tests/packaging/test_quiet_import.py`) knows which module does what, and is blind below Python; strace
sees every call, that of a library in C included.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.system

ROOT = Path(__file__).resolve().parents[2]
RIG = ROOT / "tests" / "rigs" / "quiet_import.py"
READING = {
    "open", "openat", "openat2", "stat", "lstat", "fstat", "newfstatat", "statx", "statfs", "fstatfs", "access",
    "faccessat", "faccessat2", "readlink", "readlinkat", "getcwd", "chdir", "exit", "exit_group", "wait4", "waitid",
    "rt_sigreturn", "arch_prctl", "getxattr", "lgetxattr",
}  # fmt: skip


def calls(trace):
    """Name and text of each call in a trace, without the lines that end one which was begun before."""
    for line in trace.read_text(encoding="utf-8", errors="replace").splitlines():
        match = re.match(r"\d+\s+(\w+)\((.*)", line)
        if match:
            yield match[1], match[2]


def beyond_reading(trace):
    """Every call that does more than read, the first `execve`, which starts the interpreter, left out."""
    found = []
    for at, (name, text) in enumerate(calls(trace)):
        writes = re.search(r"O_(WRONLY|RDWR|CREAT|TRUNC|APPEND)", text)
        thread = name in {"clone", "clone3"} and "CLONE_THREAD" in text  # of an arithmetic library, for its own sums
        if (at == 0 and name == "execve") or thread or (name in READING and not writes):
            continue
        found.append(f"{name}({text}")
    return found


def traced(names, folder):
    trace = folder.parent / "trace"
    command = ["strace", "-f", "-qq", "-o", trace, "-e", "trace=%network,%file,%process,ftruncate,fchmod,fchown"]
    clean = {key: value for key, value in os.environ.items() if not key.startswith("COVERAGE")}
    clean |= {"HOME": str(folder), "TMPDIR": str(folder), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(folder)}
    subprocess.run(
        [*command, sys.executable, RIG], input="\n".join(names), cwd=folder, check=True, text=True, env=clean,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    return trace


def test_the_kernel_sees_files_being_read_and_nothing_else(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    paths = sorted((ROOT / "appliance").rglob("*.py"))
    names = [".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for p in paths]

    trace = traced(names, home)

    assert sum(1 for _ in calls(trace)) > len(names)
    assert beyond_reading(trace) == []
    assert list(home.iterdir()) == []


@pytest.mark.parametrize(
    "code",
    [
        "import socket; socket.socket().close()",
        "open('note', 'w').close()",
        "import ctypes; ctypes.CDLL(None).socket(2, 1, 0)",
        "import ctypes; ctypes.CDLL(None).unlink(b'noisy.py')",
        "import subprocess; subprocess.run(['true'])",
    ],
)
def test_the_trace_would_show_it(tmp_path, code):
    home = tmp_path / "home"
    home.mkdir()
    (home / "noisy.py").write_text(code + "\n", encoding="utf-8")

    assert beyond_reading(traced(["noisy"], home)) != []
