"""Code of its own in a confined process reaches no network, no file, no pin, no other process, and has no threads.

What is tried is what an unconfined process of the same user may do: the same lines succeed there.
"""

import json
import os
import signal
import socket
import subprocess
import sys

import pytest

from appliance import confinement

PRISONER = """
import ctypes, fcntl, json, os, resource, signal, socket, sys, threading
from pathlib import Path
from appliance import confinement

told = json.loads(sys.argv[1])
if "landlock" in told["without"]:
    confinement._landlock = lambda *_: False
held = ()
if told["confined"]:
    held = confinement.confine([*confinement.software(), Path(told["readable"])], address_space_mb=1024, cpu_s=20)
libc = ctypes.CDLL(None, use_errno=True)
other = told["other"]
F_SETSIG, F_SETOWN_EX = 10, 15

def command(number, what, pad=0):
    # Past libc, which would cut off what the filter must not be fooled by.
    reading, writing = os.pipe()
    call = libc.syscall(ctypes.c_long(told["fcntl"]), reading, ctypes.c_ulong(pad + number), ctypes.c_ulong(what))
    if call != 0:
        raise OSError(ctypes.get_errno(), "fcntl")

def same_limits():
    resource.prlimit(other, resource.RLIMIT_NOFILE, resource.prlimit(other, resource.RLIMIT_NOFILE))

def opened(path, flags):
    os.close(os.open(path, flags))

def locked():
    with open(told["given"], "rb") as file:
        fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)

def flocked():
    with open(told["given"], "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

tries = {
    "socket": lambda: socket.create_connection(("127.0.0.1", told["port"]), timeout=2),
    "write": lambda: open(told["new"], "w"),
    "append": lambda: open(told["secret"], "a").write("x"),
    "read": lambda: open(told["secret"]).read(),
    "device": lambda: os.open("/dev/null", os.O_RDWR),
    "memory": lambda: bytearray(2 << 30),
    "signal": lambda: os.kill(other, 0),
    "limits of another": same_limits,
    "limits of its own": lambda: resource.setrlimit(resource.RLIMIT_CORE, (0, 0)),
    "priority of another": lambda: os.setpriority(os.PRIO_PROCESS, other, os.getpriority(os.PRIO_PROCESS, other)),
    "scheduling of another": lambda: os.sched_setscheduler(other, os.SCHED_OTHER, os.sched_param(0)),
    "processors of another": lambda: os.sched_setaffinity(other, os.sched_getaffinity(other)),
    "owner of a signal": lambda: command(fcntl.F_SETOWN, other),
    "owner of a signal, with a bit above": lambda: command(fcntl.F_SETOWN, other, pad=1 << 32),
    "which signal": lambda: command(F_SETSIG, signal.SIGKILL),
    "which signal, with a bit above": lambda: command(F_SETSIG, signal.SIGKILL, pad=1 << 40),
    "lock": locked,
    "lock of the whole file": flocked,
    "thread": lambda: threading.Thread(target=len, args=((),)).start(),
    "process": os.fork,
    "emptied by a reader": lambda: opened(told["given"], os.O_RDONLY | os.O_TRUNC),
    "remove": lambda: os.unlink(told["secret"]),
}
done = {}
for name, what in tries.items():
    try:
        if name == "process" and what() == 0:
            os._exit(0)
        if name != "process":
            what()
        done[name] = True
    except (OSError, MemoryError, RuntimeError, ValueError):
        done[name] = False
print(json.dumps({"held": held, "done": done}), flush=True)
os._exit(0)
"""
OTHER = "import time; time.sleep(300)"
NUMBERS = {"x86_64": 72, "aarch64": 25}
"""Of the call `fcntl`."""


@pytest.fixture
def tried(tmp_path):
    """What code of its own gets done in a process, beside another one of the same user."""
    other = subprocess.Popen([sys.executable, "-c", OTHER])
    (tmp_path / "readable").mkdir()

    def run(*, confined=True, without=()):
        given, secret = tmp_path / "readable" / "given", tmp_path / "appliance.db"
        given.write_text("weights")
        secret.write_text("words")
        with socket.create_server(("127.0.0.1", 0)) as server:
            told = {
                "confined": confined, "without": without, "readable": str(given.parent), "given": str(given),
                "secret": str(secret), "new": str(tmp_path / "new"), "port": server.getsockname()[1],
                "other": other.pid, "fcntl": NUMBERS[os.uname().machine],
            }  # fmt: skip
            ran = subprocess.run(
                [sys.executable, "-c", PRISONER, json.dumps(told)],
                env={"OPENBLAS_NUM_THREADS": "1"}, stdout=subprocess.PIPE, text=True, timeout=60, check=True,
            )  # fmt: skip
        found = json.loads(ran.stdout)
        kept = given.read_text() if given.exists() else None, secret.read_text() if secret.exists() else None
        return found["held"], {name for name, did in found["done"].items() if did}, kept

    yield run
    other.kill()
    other.wait()


def test_what_is_tried_can_be_done_by_whoever_is_not_confined(tried):
    _, done, kept = tried(confined=False)

    assert {
        "signal",
        "limits of another",
        "limits of its own",
        "owner of a signal",
        "which signal",
        "lock",
        "thread",
    } <= done
    assert {
        "which signal, with a bit above",
        "process",
        "socket",
        "scheduling of another",
        "processors of another",
    } <= done
    assert kept == ("", None)


def test_code_of_its_own_reaches_no_network_no_file_no_process_and_no_pin(tried):
    held, done, kept = tried()

    assert confinement.is_enough(held)
    assert done == (set() if "landlock" in held else {"read"})
    assert kept == ("weights", "words")


def test_with_seccomp_alone_it_can_read_and_nothing_else(tried):
    held, done, kept = tried(without=("landlock",))

    assert "landlock" not in held
    assert confinement.is_enough(held)
    assert done == {"read"}
    assert kept == ("weights", "words")


ARMED = """
import fcntl, os, signal, sys
from appliance import confinement
if sys.argv[2] == "confined":
    confinement.confine(confinement.software(), address_space_mb=1024, cpu_s=20)
reading, writing = os.pipe()
try:
    fcntl.fcntl(reading, 10, signal.SIGKILL)
    fcntl.fcntl(reading, fcntl.F_SETOWN, int(sys.argv[1]))
except OSError:
    pass
fcntl.fcntl(reading, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)
os.write(writing, b"x")
os._exit(0)
"""


@pytest.mark.parametrize(("how", "by"), [("free", signal.SIGKILL), ("confined", signal.SIGTERM)])
def test_a_pipe_that_is_written_to_ends_nobody_else(how, by):
    with subprocess.Popen([sys.executable, "-c", OTHER]) as other:
        subprocess.run([sys.executable, "-c", ARMED, str(other.pid), how], timeout=60, check=True)
        # What was sent before is dealt with before.
        other.terminate()
        other.wait()

    assert other.returncode == -by


def test_without_seccomp_it_is_not_enough_whatever_else_holds():
    assert not confinement.is_enough(())
    assert not confinement.is_enough(("limits", "namespaces", "landlock"))
    assert confinement.is_enough(("limits", "seccomp"))


def test_a_machine_without_libseccomp_says_so_and_confines_with_the_rest():
    ran = subprocess.run(
        [sys.executable, "-c", WITHOUT], env={"OPENBLAS_NUM_THREADS": "1"}, capture_output=True, text=True, check=True
    )

    assert "limits" in ran.stdout.split()
    assert not confinement.is_enough(ran.stdout.split())


WITHOUT = """
from appliance import confinement
confinement._libseccomp = lambda: None
print(*confinement.confine(confinement.software(), address_space_mb=1024, cpu_s=20), flush=True)
"""
