"""Archives of evidence from a stick: parts to whole files, each of a device that says that it made it.

A parcel is sealed to the controller and signed by nobody, so anybody who has seen a grant can write one. An archive
begins with a statement that the device signed (`ArchiveSaid`): its hash and its size, before a byte of it is kept.

Covers: devices that are not enrolled here, statements by another key or of another device, parts that are missing,
damaged, repeated or too many, an archive that is not what was said, one that is here already, an import that was cut
short (a draft lies in the import's private folder and goes with it).
Does not cover: what an archive holds (`appliance audit verify --export` does); how many archives an enrolled device
makes.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from appliance import lasting
from appliance.contracts.evidence import ArchiveSaid
from appliance.contracts.stick import PART_BYTES, Line
from appliance.errors import StorageError, TrustError, WireError
from appliance.trust.keys import PublicKey
from appliance.trust.signature import opened

_DRAFT: Final = "archive.part"


class Archives:
    """Puts archives together, one after the other, as a device writes them."""

    def __init__(self, folder: Path, into: Path, keys: Callable[[], Mapping[str, PublicKey]]) -> None:
        """Keep what is given.

        Args:
            folder: where whole archives lie, each in the folder of its device.
            into: a private folder for the draft, on the same disk, that is gone after the import.
            keys: of the devices that are enrolled at present.
        """
        self._folder = folder
        self._draft = into / _DRAFT
        self._keys = keys
        self._place: tuple[str, str] | None = None
        """Device and hash of the archive under way."""

        self._said: ArchiveSaid | None = None
        """None where it was refused; its other parts are passed over then."""

        self._part_n = 0
        self._had_bytes = 0
        self._is_here = False
        self._refused: Counter[tuple[str, str]] = Counter()
        self.whole: list[Path] = []

    def add(self, device: str, line: Line) -> None:
        """Take one part that a parcel of *device* holds.

        Raises:
            StorageError: it cannot be written.
        """
        if line.part == 0:
            self._begin(device, line)
        elif (device, line.file) != self._place:
            self._end()
            self._place = (device, line.file)
            self._refuse("archives whose beginning is missing")
        if self._said is not None:
            self._take(self._said, line)

    def refused(self) -> list[str]:
        """Return what was not taken, and why; nothing more is added after that."""
        self._end()
        return [f"{device}: {why} ({n})" for (device, why), n in sorted(self._refused.items())]

    def _begin(self, device: str, line: Line) -> None:
        self._end()
        self._place = (device, line.file)
        key = self._keys().get(device)
        if key is None:
            self._refuse("archives of a device that is not enrolled here")
            return
        try:
            said = opened(line.payload.encode(), ArchiveSaid, {key.key_id: key})
        except (WireError, TrustError, UnicodeEncodeError):
            self._refuse("archives that it did not sign for")
            return
        if (said.device, said.sha256) != self._place:
            self._refuse("archives that it signed something else for")
            return
        self._said, self._part_n, self._had_bytes = said, 0, 0
        target = self._target(said)
        self._is_here = target.exists()
        if self._is_here:
            self.whole.append(target)

    def _take(self, said: ArchiveSaid, line: Line) -> None:
        try:
            data = base64.b64decode(line.data, validate=True)
        except ValueError:
            data = b""
        if line.part != self._part_n or not data or len(data) > PART_BYTES or self._had_bytes + len(data) > said.bytes:
            self._refuse("archives with a part missing, damaged, or too many")
            return
        self._part_n += 1
        self._had_bytes += len(data)
        if self._is_here:
            return
        try:
            self._write(data, is_last=self._had_bytes == said.bytes)
            if self._had_bytes == said.bytes:
                self._finish(said)
        except OSError as error:
            raise StorageError(f"{self._target(said)}: {error.strerror}") from error

    def _end(self) -> None:
        """Leave the archive that was under way."""
        if self._said is not None and self._had_bytes < self._said.bytes:
            self._refuse("archives that end too early")
        self._place = self._said = None

    def _refuse(self, why: str) -> None:
        assert self._place is not None
        self._refused[self._place[0], why] += 1
        self._said = None

    def _target(self, said: ArchiveSaid) -> Path:
        return self._folder / said.device / f"{said.sha256}.zip"

    def _write(self, data: bytes, *, is_last: bool) -> None:
        how = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | (os.O_TRUNC if self._part_n == 1 else os.O_APPEND)
        with os.fdopen(os.open(self._draft, how, 0o600), "wb") as file:
            file.write(data)
            if is_last:
                file.flush()
                os.fsync(file.fileno())

    def _finish(self, said: ArchiveSaid) -> None:
        with self._draft.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != said.sha256:
            self._refuse("archives that are not what it signed for")
            return
        target = self._target(said)
        lasting.make_folder(target.parent, 0o700)
        self._draft.replace(target)
        lasting.keep_names(target.parent)
        self.whole.append(target)
