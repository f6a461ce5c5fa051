"""A process for one question: what it is told is in memory, what it says has a bound, and so has its time.

Covers: a process that never reads, never ends, writes without end, or goes on after it closed its output.
Does not cover: what the process may do meanwhile; it confines itself.
"""

from __future__ import annotations

import os
import selectors
import subprocess
import time
from collections.abc import Sequence
from typing import Final, NamedTuple

_READ_BYTES: Final = 64 * 1024


class TooMuch(Exception):
    """It wrote more than it may."""


class Ended(NamedTuple):
    """A process that ended by itself."""

    status: int
    said: bytes


def run(command: Sequence[str], told: bytes, *, limit_s: float, most_bytes: int) -> Ended:
    """Run *command* with *told* as its input, and return its output.

    Raises:
        TooMuch: it wrote more than *most_bytes*; no more of it was read.
        TimeoutError: it was not done after *limit_s*.
        OSError: it cannot be started.
    """
    until_s = time.monotonic() + limit_s
    child = _started(command, told)
    try:
        said = _said(child, until_s, most_bytes)
        return Ended(child.wait(max(0.0, until_s - time.monotonic())), said)
    except subprocess.TimeoutExpired as error:
        raise TimeoutError from error
    finally:
        child.kill()
        child.wait()
        if child.stdout is not None:
            child.stdout.close()


def _started(command: Sequence[str], told: bytes) -> subprocess.Popen[bytes]:
    # In memory, so that a process that never reads cannot keep this one from going on.
    with os.fdopen(os.memfd_create("told", os.MFD_CLOEXEC), "w+b") as file:
        file.write(told)
        file.seek(0)
        return subprocess.Popen(command, stdin=file, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={})


def _said(child: subprocess.Popen[bytes], until_s: float, most_bytes: int) -> bytes:
    assert child.stdout is not None
    handle = child.stdout.fileno()
    said = b""
    with selectors.DefaultSelector() as selector:
        selector.register(handle, selectors.EVENT_READ)
        while selector.select(max(0.0, until_s - time.monotonic())):
            piece = os.read(handle, _READ_BYTES)
            if not piece:
                return said
            said += piece
            if len(said) > most_bytes:
                raise TooMuch
    raise TimeoutError
