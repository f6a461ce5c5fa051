"""A home to one file and back: backup, restore, reset.

Covers: a daemon that runs (backup copies beside it, restore and reset refuse), a power cut in the middle (a backup is
whole or absent; a restore moves only finished files, and what it replaces lies in `before-restore-*`), a damaged or
foreign file (refused before anything is touched), paths that lead out of the home (only known names are read).
Does not cover: bundles in the slots. What came with the software decides after a restore, until somebody installs the
other again: the database brings the root of trust, the numbers that only grow and the time that it has waited.
Nor secrecy of the file. It holds the device's private key unless it was left out: keep it like the device.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tarfile
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Final, Literal

from pydantic import Field, ValidationError

from appliance import __version__
from appliance.agent import law_folder, law_sets
from appliance.contracts.home import Home
from appliance.contracts.record import Record
from appliance.errors import StorageError, UsageError
from appliance.storage import archive, database
from appliance.storage.ownership import own
from appliance.trust.slots import Shelf

MAX_BYTES: Final = 4 * 2**30
"""Of everything in a backup, unpacked; a home of years is a tenth of it."""

CONTENTS: Final = "backup.json"
DATABASE: Final = "appliance.db"
SETTINGS: Final = "appliance.toml"
DEVICE_KEY: Final = "keys/device.key"
ROTATIONS: Final = "keys/rotations.json"
OWNER: Final = "keys/owner.pub"
HANDED: Final = "keys/owner-handed-over.json"
_MODES: Final = {
    DATABASE: 0o640, SETTINGS: 0o640, DEVICE_KEY: 0o600, ROTATIONS: 0o600, OWNER: 0o644, HANDED: 0o644,
}  # fmt: skip
"""What a backup may hold, and how it lies in the home. The enrolment is not in it: a restored device enrols again."""


class PackedFile(Record):
    """One file of a backup."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    bytes_n: int = Field(ge=0, le=MAX_BYTES)


class Backup(Record):
    """`backup.json`: what a backup holds and where its ledger stood."""

    format: Literal["appliance-backup/1"] = "appliance-backup/1"
    made_at: str
    software: str
    epoch: str
    seq: int
    head: str
    bundle: str = ""
    """The installed bundle that decided then; empty where it was the one that came with the software."""

    files: dict[str, PackedFile]


def backup(home: Home, target: Path, now: datetime, *, with_key: bool = True) -> Backup:
    """Write everything that makes *home* this device into *target*, beside a running daemon if there is one.

    Raises:
        UsageError: *target* exists.
        StorageError: there is nothing to keep, or *target* cannot be written.
    """
    if target.exists():
        raise UsageError(f"{target} exists; name a new file, a backup is never overwritten")
    draft = target.with_name(f".{target.name}.part")
    try:
        with tempfile.TemporaryDirectory(prefix=".backup-", dir=home.root) as folder:
            copied = archive.copy(home.database, Path(folder) / DATABASE)
            sources = {DATABASE: Path(folder) / DATABASE, SETTINGS: home.settings}
            sources |= {name: home.root / name for name in (OWNER, HANDED)}
            if with_key:
                sources |= {name: home.root / name for name in (DEVICE_KEY, ROTATIONS)}
            sources = {name: path for name, path in sources.items() if path.exists()}
            contents = Backup(
                made_at=now.isoformat(),
                software=__version__,
                epoch=copied.epoch,
                seq=copied.seq,
                head=copied.head,
                bundle=_deciding(home),
                files={name: _packed(path) for name, path in sources.items()},
            )
            # 0600 from its first byte: it holds a private key and what people said.
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                with tarfile.open(fileobj=file, mode="w:gz") as tar:
                    _add(tar, CONTENTS, contents.model_dump_json(indent=2).encode())
                    for name, path in sources.items():
                        tar.add(path, arcname=name, filter=_nobody)
                file.flush()
                os.fsync(file.fileno())
        draft.rename(target)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise StorageError(f"the backup cannot be written to {target}: {error.strerror}") from error
    return contents


def restore(home: Home, source: Path, now: datetime) -> Backup:
    """Make *home* what *source* kept, in a new epoch; what lies there now is set aside, not deleted.

    Raises:
        AlreadyRunning: the daemon of *home* runs.
        UsageError: *source* is not a backup, or not whole.
        StorageError: its database is damaged, or the home cannot be written.
    """
    home.root.mkdir(mode=0o750, parents=True, exist_ok=True)
    with own(home):
        try:
            with tempfile.TemporaryDirectory(prefix=".restore-", dir=home.root) as folder:
                unpacked = Path(folder)
                contents = _unpack(source, unpacked)
                found = archive.look(unpacked / DATABASE)
                if (found.epoch, found.seq, found.head) != (contents.epoch, contents.seq, contents.head):
                    raise UsageError(f"{source}: the ledger in it does not end where its list says; use another backup")
                archive.begin_epoch(unpacked / DATABASE, now)
                _lay_out_laws(unpacked)
                _set_aside(home, now)
                # The database last: a device that has it and not yet its laws would do without them.
                for path in sorted(unpacked.rglob("*"), key=lambda path: (path.name == DATABASE, path)):
                    if path.is_file():
                        place = home.root / path.relative_to(unpacked)
                        place.parent.mkdir(mode=0o700, exist_ok=True)
                        path.chmod(_MODES.get(path.relative_to(unpacked).as_posix(), 0o640))
                        path.rename(place)
        except OSError as error:
            raise StorageError(f"{home.root} cannot be written: {error.strerror}") from error
    return contents


def reset(home: Home, *, keep_settings: bool = True) -> list[str]:
    """Erase what this device knows: records, notes, keys, enrolment; the next start makes a new device.

    Returns:
        The names that were removed.

    Raises:
        AlreadyRunning: the daemon of *home* runs.
        StorageError: something could not be removed.
    """
    if not home.root.exists():
        return []
    with own(home):
        removed = []
        for path in sorted(home.root.iterdir()):
            if path == home.lock or (keep_settings and path == home.settings):
                continue
            try:
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
            except OSError as error:
                raise StorageError(f"{path} cannot be removed: {error.strerror}") from error
            removed.append(path.name)
    return removed


def _deciding(home: Home) -> str:
    slots = Shelf(home.bundles).read()
    lies = slots.at(slots.active)
    return "" if lies is None else f"{lies.name} {lies.version} (sha256 {lies.sha256})"


def _lay_out_laws(folder: Path) -> None:
    """Write the laws that were in force as files again: a backup has them in its database alone."""
    db = database.open_database(folder / DATABASE).db
    try:
        files = law_sets.files_of(db)
    finally:
        db.close()
    if files:
        law_folder.replace(folder, files)


def _set_aside(home: Home, now: datetime) -> None:
    """Move what a restore replaces into a folder of its own; the lock and earlier such folders stay."""
    aside = home.root / f"before-restore-{now:%Y%m%dT%H%M%S}"
    for path in sorted(home.root.iterdir()):
        if path == home.lock or path.name.startswith(("before-restore-", ".restore-", ".backup-")):
            continue
        aside.mkdir(mode=0o700, exist_ok=True)
        path.rename(aside / path.name)


def _unpack(source: Path, folder: Path) -> Backup:
    """Read *source* into *folder*; nothing but the names we know, each as its list says."""
    try:
        with tarfile.open(source, "r:gz") as tar:
            members = iter(tar)
            first = next(members, None)
            if first is None or first.name != CONTENTS or first.size > 2**20:
                raise UsageError(f"{source} is not a backup of an appliance")
            contents = Backup.model_validate_json(_read(tar, first))
            if unknown := sorted(set(contents.files) - set(_MODES)):
                raise UsageError(f"{source} holds {unknown[0]!r}, which no backup does; was it made by newer software?")
            for member in members:
                expected = contents.files.get(member.name)
                if expected is None or not member.isfile() or member.size != expected.bytes_n:
                    raise UsageError(f"{source}: {member.name!r} is not in its list, or not as large as it says")
                place = folder / member.name
                place.parent.mkdir(mode=0o700, exist_ok=True)
                _write(tar, member, place, expected.sha256)
    except FileNotFoundError as error:
        raise UsageError(f"there is no file {source}") from error
    except (tarfile.TarError, EOFError, OSError, ValidationError) as error:
        raise UsageError(f"{source} is not a whole backup: {type(error).__name__}") from error
    if missing := sorted(name for name in contents.files if not (folder / name).exists()):
        raise UsageError(f"{source} is cut short: {missing[0]} is missing")
    if DATABASE not in contents.files:
        raise UsageError(f"{source} holds no database")
    return contents


def _read(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    assert file is not None  # `isfile` or our own first member
    return file.read()


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, place: Path, sha256: str) -> None:
    digest = hashlib.sha256()
    file = tar.extractfile(member)
    assert file is not None  # the caller has looked: a regular file
    with place.open("xb") as target:
        while chunk := file.read(2**20):
            digest.update(chunk)
            target.write(chunk)
    if digest.hexdigest() != sha256:
        raise UsageError(f"{member.name} in the backup was altered; use another one")


def _packed(path: Path) -> PackedFile:
    with path.open("rb") as file:
        return PackedFile(sha256=hashlib.file_digest(file, "sha256").hexdigest(), bytes_n=path.stat().st_size)


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    member.mode = 0o600
    tar.addfile(member, io.BytesIO(data))


def _nobody(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Strip whose file it was: a restored device may have other users."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member
