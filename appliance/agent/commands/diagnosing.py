"""What is wrong with the device, to a controller: the archive of `appliance diagnose`, read into a bounded answer.

The archive holds nobody's words, names, hosts, keys or texts of settings; it is made by the same code as at the device,
in a process of its own, so that neither its memory nor a fault in it is the daemon's.

Covers: an archive that cannot be made, or not in time; more of the log than fits (the newest stays).
Does not cover: what is in it; `appliance/diagnose.py` says that.
"""

from __future__ import annotations

import json
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from appliance.agent.commands.deeds import Done
from appliance.contracts.canonical import canonical
from appliance.contracts.envelope import Command
from appliance.contracts.record import JsonObject
from appliance.errors import ApplianceError

MAX_ANSWER_BYTES: Final = 48 * 1024
MAX_MEMBER_BYTES: Final = 4 * 2**20
_PARTS: Final = ("doctor", "counts", "versions", "settings")
"""In the order of what is left out last."""


class Diagnosing:
    """Answers `diagnose`."""

    def __init__(self, home: Path, make: Callable[[Path], None]) -> None:
        """Keep what is given.

        Args:
            make: writes the archive to a file that is not there yet; raises `ApplianceError`.
        """
        self._home = home
        self._make = make

    def __call__(self, command: Command) -> Done:
        """Make the archive and read it."""
        with tempfile.TemporaryDirectory(prefix=".diagnose-", dir=self._home) as folder:
            archive = Path(folder) / "diagnose.tar.gz"
            self._make(archive)
            found = _read(archive)
        return Done("executed", 200, "diagnosed", "See the result.", _bounded(found))


def _read(archive: Path) -> dict[str, bytes]:
    try:
        with tarfile.open(archive, "r:gz") as tar:
            found = {}
            for member in tar:
                content = tar.extractfile(member) if member.isfile() else None
                if content is not None:
                    found[Path(member.name).name] = content.read(MAX_MEMBER_BYTES)
            return found
    except (OSError, tarfile.TarError, EOFError) as error:
        raise ApplianceError(f"the archive cannot be read: {error}") from error


def _bounded(found: dict[str, bytes]) -> JsonObject:
    told: JsonObject = {}
    left_out: list[str] = []
    for name in _PARTS:
        raw = found.get(f"{name}.json")
        value = None if raw is None else json.loads(raw)
        if value is None or len(canonical({**told, name: value})) > MAX_ANSWER_BYTES:
            left_out.append(name)
        else:
            told[name] = value
    lines = [json.loads(line) for line in found.get("journal.jsonl", b"").splitlines() if line.strip()]
    room = MAX_ANSWER_BYTES - len(canonical(told)) - 64
    kept: list[JsonObject] = []
    for line in reversed(lines):
        room -= len(canonical(line)) + 1
        if room < 0:
            left_out.append("journal")
            break
        kept.insert(0, line)
    return {**told, "journal": list(kept), "left_out": list(left_out)}
