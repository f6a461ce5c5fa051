"""A bundle, asked in a process of its own that can do nothing else; what comes back is typed, or a reason.

Covers: a network file that crashes the runtime, never answers, floods, allocates without bound or answers nonsense:
each is a reason, never a fault of the daemon; software that cannot start, which is no fault of the bundle.
Does not cover: whether the answers are right; `judging` looks.
"""

from __future__ import annotations

import os
import re
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Final, NamedTuple

from pydantic import ValidationError

from appliance.canary.errand import (
    MAX_LINE_BYTES,
    TOLD,
    Answered,
    Asked,
    Caged,
    Errand,
    Failed,
    Finished,
    Ready,
    Told,
)
from appliance.contracts.canary import CanaryLimits
from appliance.contracts.toolspec import ToolSpec

_ENVIRONMENT: Final = {
    "PATH": "/usr/bin:/bin",
    "LANG": "C.UTF-8",
    # A library that starts threads before the cage is closed would keep it from being closed.
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}
_PEAK: Final = re.compile(rb"^VmHWM:\s+(\d+) kB$", re.MULTILINE)
_READ_BYTES: Final = 64 * 1024
_COMPLAINT_BYTES: Final = 500


class Answers(NamedTuple):
    """What a bundle answered, and what that took."""

    ready: Ready
    answered: tuple[Answered, ...]
    resident_mb: float
    """Peak, as the kernel counted it."""


class Broke(NamedTuple):
    """Why there are no answers."""

    reason: str


def ask(
    folder: Path,
    catalogues: Sequence[tuple[ToolSpec, ...]],
    asked: Sequence[Asked],
    limits: CanaryLimits,
    *,
    runtime: str = "auto",
) -> Answers | Broke:
    """Ask the bundle in *folder* every request, in a cage."""
    errand = Errand(
        folder=str(folder.resolve()),
        runtime=runtime,
        catalogues=tuple(catalogues),
        asked=tuple(asked),
        address_space_mb=limits.address_space_mb,
        cpu_s=int(limits.whole_s) + 1,
        niceness=limits.niceness,
    )
    with ExitStack() as opened:
        try:
            # In memory, and bounded: once it is caged the child writes no more into any file, this one included.
            complaint = opened.enter_context(os.fdopen(os.memfd_create("complaint", os.MFD_CLOEXEC), "w+b"))
            child = _started(errand, complaint)
        except OSError as fault:
            return Broke(f"no process can be started for it: {fault.strerror}")
        opened.callback(_end, child)
        return _heard(child, len(asked), limits, complaint)


def _started(errand: Errand, complaint: IO[bytes]) -> subprocess.Popen[bytes]:
    # In memory, so that a child that never reads cannot keep the parent from going on.
    errand_fd = os.memfd_create("errand", os.MFD_CLOEXEC)
    with os.fdopen(errand_fd, "w+b") as told:
        told.write(errand.model_dump_json().encode())
        told.seek(0)
        return subprocess.Popen(
            [sys.executable, "-I", "-m", "appliance.canary.caged"],
            stdin=told,
            stdout=subprocess.PIPE,
            stderr=complaint,
            cwd="/",
            env=_ENVIRONMENT,
            start_new_session=True,
        )


def _heard(
    child: subprocess.Popen[bytes], wanted_n: int, limits: CanaryLimits, complaint: IO[bytes]
) -> Answers | Broke:
    is_caged = False
    ready: Ready | None = None
    answered: list[Answered] = []
    for told in _told(child, limits):
        match told:
            case str():
                return Broke(told)
            case Failed():
                return Broke(told.reason)
            case Caged() if not is_caged:
                is_caged = True
            case Ready() if is_caged and ready is None:
                ready = told
            case Answered() if ready is not None and len(answered) < wanted_n:
                answered.append(told)
            case Finished() if ready is not None and len(answered) == wanted_n:
                return Answers(ready, tuple(answered), _resident_mb(child.pid))
            case _:
                return Broke("it did not answer in the order agreed")
    if not is_caged:
        return Broke(_not_started(child, complaint))
    return Broke(_ended(child, len(answered), wanted_n))


def _told(child: subprocess.Popen[bytes], limits: CanaryLimits) -> Iterator[Told | str]:
    """Yield what the child says; a sentence where it says nothing in time, too much, or nonsense."""
    assert child.stdout is not None
    handle = child.stdout.fileno()
    os.set_blocking(handle, False)
    end_s = time.monotonic() + limits.whole_s
    unread = b""
    with selectors.DefaultSelector() as selector:
        selector.register(handle, selectors.EVENT_READ)
        while True:
            left_s = end_s - time.monotonic()
            if left_s <= 0:
                yield f"it was not done after {limits.whole_s:g} s"
                return
            if not selector.select(min(left_s, limits.silent_s)):
                if left_s > limits.silent_s:
                    yield f"it said nothing for {limits.silent_s:g} s"
                    return
                continue
            read = os.read(handle, _READ_BYTES)
            if not read:
                return
            *lines, unread = (unread + read).split(b"\n")
            if len(unread) > MAX_LINE_BYTES:
                yield "it answered more than anybody could have asked"
                return
            for line in lines:
                try:
                    yield TOLD.validate_json(line)
                except ValidationError:
                    yield "what it answered is no answer"
                    return


def _resident_mb(pid: int) -> float:
    try:
        found = _PEAK.search(Path(f"/proc/{pid}/status").read_bytes())
    except OSError:
        found = None
    # Unknown is too much: what cannot be counted cannot be within bounds.
    return int(found[1]) / 1024 if found else float("inf")


def _not_started(child: subprocess.Popen[bytes], complaint: IO[bytes]) -> str:
    code = child.wait()
    complaint.seek(max(0, os.fstat(complaint.fileno()).st_size - _COMPLAINT_BYTES))
    said = " ".join(complaint.read(_COMPLAINT_BYTES).decode("utf-8", "replace").split())
    return f"the tester could not start (status {code}), which says nothing of the bundle: {said or 'no reason given'}"


def _ended(child: subprocess.Popen[bytes], answered_n: int, wanted_n: int) -> str:
    code = child.wait()
    after = f"after {answered_n} of {wanted_n} answers" if answered_n else "before its first answer"
    if code == -signal.SIGXCPU:
        return f"it used up its processor time {after}"
    if code < 0:
        return f"it crashed the runtime ({signal.Signals(-code).name}) {after}"
    return f"it ended by itself (status {code}) {after}"


def _end(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        child.kill()
    child.wait()
    if child.stdout is not None:
        child.stdout.close()
