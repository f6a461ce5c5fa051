"""Import modules one after the other under an audit hook, and tell what they did besides.

Run as a script: names of modules on standard input, one a line; a JSON object on standard output: `acts`, each with the
module that was being imported; `failed`, what could not be imported and why; `left`, what is not as it was.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import threading
from pathlib import Path

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
ACTS = (
    "socket.",
    "subprocess.",
    "shutil.",
    "tempfile.",
    "sqlite3.",
    "ftplib.",
    "http.client.",
    "imaplib.",
    "poplib.",
    "smtplib.",
    "telnetlib.",
    "urllib.",
    "webbrowser.",
    "pty.",
    "fcntl.",
    "syslog.",
    "_thread.start_new_thread",
    "os.system",
    "os.exec",
    "os.spawn",
    "os.posix_spawn",
    "os.fork",
    "os.kill",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.mkdir",
    "os.link",
    "os.symlink",
    "os.truncate",
    "os.chmod",
    "os.chown",
    "os.chflags",
    "os.lockf",
    "os.utime",
    "os.setxattr",
    "os.removexattr",
    "os.chdir",
)
"""Audit events that reach beyond this process; to open a file is one when it is opened for writing."""


def watch(acts):
    """Note every act from now on, with the module that is being imported."""

    def hook(event, args):
        if event == "open":
            path, _, flags = args
            if not isinstance(flags, int) or not flags & WRITING:
                return
            told = f"open {path!r} for writing"
        elif event.startswith(ACTS):
            told = f"{event} {args!r}"
        else:
            return
        acts.append((importing[0], told[:300]))

    sys.addaudithook(hook)


def state():
    """What an import must leave as it was."""
    umask = os.umask(0)
    os.umask(umask)
    return {
        "threads": threading.active_count(),
        "signals": {number: repr(signal.getsignal(number)) for number in signal.valid_signals()},
        "environment": dict(os.environ),
        "folder": str(Path.cwd()),
        "umask": umask,
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
    }


importing = [""]


def main():
    names = sys.stdin.read().split()
    acts, failed, left = [], {}, []
    before = state()
    watch(acts)
    for name in names:
        importing[0] = name
        try:
            importlib.import_module(name)
        except BaseException as why:  # an import that ends the process is a finding, too
            failed[name] = f"{type(why).__name__}: {why}"
        after = state()
        left += [f"{name}: {key}: {before[key]} -> {after[key]}" for key in before if before[key] != after[key]]
        before = after
    sys.stdout.write(json.dumps({"acts": acts, "failed": failed, "left": left}))


if __name__ == "__main__":
    main()
