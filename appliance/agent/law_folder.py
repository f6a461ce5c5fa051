"""HOME/laws: its files read once, as they are, and exchanged for others as a whole.

Covers: links, pipes, devices and folders in the place of a file (named, never opened further), files that change while
they are read (what was read is what is judged), too many and too large ones; a power cut during an exchange (`finish`
leaves the old or the new folder, never a part), two that exchange at once.
Does not cover: what the files say; `law_sets` judges.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from appliance import lasting
from appliance.policy.workflow.reader import MAX_FILE_BYTES
from appliance.trust.law_set import MAX_LAWS_N
from appliance.trust.notes import MAX_NOTE_BYTES

FOLDER: Final = "laws"
NOTE: Final = "laws.note"
"""The owner's signature, beside the files."""

_NEXT: Final = "laws.next"
_BEFORE: Final = "laws.before"
_MAX_ENTRIES_N: Final = 256
_ENDINGS: Final = (".yaml", ".json")
_LIKE_A_LAW: Final = re.compile(r"\.(ya?ml|json)\b", re.IGNORECASE)
_SCRIPT: Final = ".script.yaml"


class LawFile(NamedTuple):
    """A file of laws, as it was read."""

    name: str
    raw: bytes


class Found(NamedTuple):
    """What lay in a folder of laws."""

    files: tuple[LawFile, ...] = ()
    note: bytes | None = None
    unexpected: tuple[str, ...] = ()
    """Entries that are neither laws nor scripts of laws."""

    faults: tuple[str, ...] = ()
    """Why the folder cannot be used."""


class _Unusable(Exception):
    """One entry cannot be read; never leaves this file."""


def read(folder: Path) -> Found:
    """Read every file of laws in *folder*; one that is not there is empty."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return Found()
    except OSError as error:
        why = "it is a link or no folder" if error.errno in {errno.ENOTDIR, errno.ELOOP} else error.strerror
        return Found(faults=(f"{folder}: {why}",))
    try:
        names = sorted(os.listdir(handle))  # noqa: PTH208 -- of the folder that was opened, whatever its name leads to now
        if len(names) > _MAX_ENTRIES_N:
            return Found(faults=(f"{folder}: {len(names)} entries; at most {_MAX_ENTRIES_N} are looked at",))
        return _read(handle, names)
    except OSError as error:
        return Found(faults=(f"{folder}: {error.strerror}",))
    finally:
        os.close(handle)


def replace(root: Path, files: Mapping[str, bytes], *, step: Callable[[str], None] = lambda _name: None) -> None:
    """Put *files* in the place of everything in the folder of laws of the home *root*.

    Args:
        step: told the name of every boundary: for tests that cut the power there.

    Raises:
        OSError: the home cannot be written; the folder is as before.
        BlockingIOError: somebody else exchanges it now.
    """
    with _alone(root):
        _finish(root)
        for draft in root.glob(".laws-*"):
            shutil.rmtree(draft, ignore_errors=True)
        staged = Path(tempfile.mkdtemp(prefix=".laws-", dir=root))
        try:
            owner = root.stat()
            for name, raw in files.items():
                with (staged / name).open("xb") as file:
                    file.write(raw)
                    _give(file.fileno(), owner, 0o644)
                    os.fsync(file.fileno())
                step(f"wrote {name}")
            handle = os.open(staged, os.O_RDONLY | os.O_DIRECTORY)
            try:
                _give(handle, owner, 0o755)
                os.fsync(handle)
            finally:
                os.close(handle)
            step("staged")
            staged.rename(root / _NEXT)
        except OSError:
            shutil.rmtree(staged, ignore_errors=True)
            raise
        # Under this name it is whole; from here on a start can finish what follows.
        lasting.keep_names(root)
        step("ready")
        if os.path.lexists(root / FOLDER):
            (root / FOLDER).rename(root / _BEFORE)
            step("moved away")
        (root / _NEXT).rename(root / FOLDER)
        step("in place")
        lasting.keep_names(root)
        step("lasting")
        _finish(root)


def finish(root: Path) -> None:
    """Bring the folder of laws in the home *root* to what an exchange that was cut short had decided.

    Raises:
        OSError: the home cannot be written.
        BlockingIOError: somebody exchanges it just now.
    """
    if any(os.path.lexists(root / name) for name in (_NEXT, _BEFORE)):
        with _alone(root):
            _finish(root)


def _finish(root: Path) -> None:
    present, following, before = root / FOLDER, root / _NEXT, root / _BEFORE
    if not os.path.lexists(present):
        for left in (following, before):
            if os.path.lexists(left):
                left.rename(present)
                lasting.keep_names(root)
                break
    # What is left would come back to life once somebody removes the folder.
    for left in (following, before):
        if left.is_symlink() or left.is_file():
            left.unlink()
        elif left.exists():
            shutil.rmtree(left)


@contextlib.contextmanager
def _alone(root: Path) -> Iterator[None]:
    handle = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


def _give(handle: int, owner: os.stat_result, mode: int) -> None:
    """Let the daemon read what an administrator wrote, whatever the mask: laws are no secret."""
    os.fchmod(handle, mode)
    if os.geteuid() == 0:
        os.fchown(handle, owner.st_uid, owner.st_gid)


def _read(folder: int, names: list[str]) -> Found:
    files: list[LawFile] = []
    note = None
    unexpected: list[str] = []
    faults: list[str] = []
    for name in names:
        try:
            if name == NOTE:
                note = _content(folder, name, MAX_NOTE_BYTES)
            elif name.endswith(_SCRIPT):
                continue
            elif name.endswith(_ENDINGS):
                if len(files) >= MAX_LAWS_N:
                    faults.append(f"more than {MAX_LAWS_N} files of laws; join or remove some")
                    break
                files.append(LawFile(name, _content(folder, name, MAX_FILE_BYTES)))
            elif _LIKE_A_LAW.search(name) and not name.startswith("."):  # an editor hides its own copies
                # A law that was renamed would be out of force, and nobody would have said so.
                faults.append(f"{name!a}: files of laws end in .yaml or .json; rename it, or take it away")
            else:
                unexpected.append(name)
        except _Unusable as error:
            faults.append(f"{name!a}: {error}")
    return Found(tuple(files), note, tuple(unexpected), tuple(faults))


def _content(folder: int, name: str, most_bytes: int) -> bytes:
    try:
        # Opening a pipe for reading would wait for ever for a writer.
        handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except OSError as error:
        raise _Unusable("a link; put the file itself here" if error.errno == errno.ELOOP else error.strerror) from error
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise _Unusable("no regular file")
    with os.fdopen(handle, "rb") as file:
        try:
            raw = file.read(most_bytes + 1)
        except OSError as error:
            raise _Unusable(error.strerror) from error
    if len(raw) > most_bytes:
        raise _Unusable(f"larger than {most_bytes // 1024} KiB")
    return raw
