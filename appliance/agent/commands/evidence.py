"""An incident to one signed archive on the device, and that archive, part by part, to the controller that asked.

The answer to the first command names the archive by its hash; every further one fetches a part of it. Nothing is
pushed: an archive of any size takes no room from reports that wait, and a controller that is gone takes none at all.
The same files go out on a stick.

Covers: the share level (`counts` lets no records out; words only at `words`), records that are nobody's, more archives
than are kept (the oldest go), a part that is not there.
Does not cover: what an archive holds and proves; `ledger.export` knows.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from appliance import lasting
from appliance.agent.commands.deeds import Done, no
from appliance.agent.sharing import Share
from appliance.contracts.clock import Clock
from appliance.contracts.envelope import Command, ExportAuditBody
from appliance.contracts.evidence import ANSWER_PART_BYTES, ExportTold, PartTold
from appliance.contracts.record import JsonObject
from appliance.contracts.selection import Selection
from appliance.errors import StorageError, UsageError
from appliance.ledger import export as exporting
from appliance.ledger.export import Exported, Occasion
from appliance.storage import database
from appliance.trust import rotation

ATTEMPTS_N: Final = 5
KEPT_N: Final = 8


class Evidence:
    """Answers `export-audit` for one home."""

    def __init__(
        self,
        root: Path,
        ledger: Path,
        folder: Path,
        *,
        share: Share,
        software: str,
        clock: Clock,
        checkpoint: Callable[[], str | None],
    ) -> None:
        """Keep what is given.

        Args:
            ledger: the database's file; it is read through a connection of its own.
            folder: where archives are kept.
            checkpoint: signs how far the ledger is, now.
        """
        self._root = root
        self._ledger = ledger
        self._folder = folder
        self._share: Share = share
        self._software = software
        self._clock = clock
        self._checkpoint = checkpoint

    def __call__(self, command: Command) -> Done:
        """Make an archive, or hand out a part of one."""
        body = command.body
        assert isinstance(body, ExportAuditBody)
        if self._share == "counts":
            return no(403, "not_shared", "this device tells its controllers only that something was decided")
        return self._part(body) if body.fetch else self._make(body)

    def _make(self, body: ExportAuditBody) -> Done:
        selections = [Selection(request_id=name) for name in body.requests]
        if body.after is not None or body.before is not None:
            selections.append(Selection(after=body.after, before=body.before))
        if body.since is not None or body.until is not None:
            selections.append(Selection(since=body.since, until=body.until))
        if len(selections) != max(1, len(body.requests)):
            return no(422, "say_which", "say which records in one way: requests, numbers, or times")
        occasion = Occasion(
            at=self._clock.now(),
            clock_trusted=self._clock.is_trusted(),
            software=self._software,
            note=body.note,
            with_words=self._share == "words",
        )
        try:
            made = self._exported(selections, occasion)
        except UsageError as error:
            return no(422, "say_which", str(error))
        if made is None:
            return no(503, "unsigned", "the ledger cannot be signed at present; `appliance status` says why")
        sha256 = hashlib.sha256(made.data).hexdigest()
        self._write(self._folder / f"{sha256}.zip", made.data)
        told = ExportTold(
            sha256=sha256,
            bytes=len(made.data),
            parts=-(-len(made.data) // ANSWER_PART_BYTES),
            records=made.manifest.records_n,
            key=made.manifest.key,
        )
        text = f"An archive of {told.records} records lies on the device; fetch its parts."
        facts: JsonObject = {"sha256": sha256, "records": told.records}
        return Done("executed", 200, "exported", text, told.model_dump(mode="json"), facts)

    def _exported(self, selections: list[Selection], occasion: Occasion) -> Exported | None:
        """Return the archive; None where nothing can be signed."""
        key = rotation.current(self._root)
        for left in reversed(range(ATTEMPTS_N)):
            note = self._checkpoint()
            if note is None:
                return None
            with contextlib.closing(database.open_reader(self._ledger)) as reader:
                try:
                    return exporting.export(reader, selections, note.encode(), key, occasion)
                except StorageError:
                    # A record that was written since the signature; the next one covers it.
                    if not left:
                        raise
        return None

    def _part(self, body: ExportAuditBody) -> Done:
        try:
            with (self._folder / f"{body.fetch}.zip").open("rb") as file:
                file.seek(body.part * ANSWER_PART_BYTES)
                data = file.read(ANSWER_PART_BYTES)
        except OSError:
            return no(404, "no_archive", "there is no such archive here any more; have it made again")
        if not data:
            return no(416, "no_part", f"the archive has no part {body.part}")
        facts: JsonObject = {"sha256": body.fetch, "part": body.part}
        told = PartTold(sha256=body.fetch, part=body.part, data=base64.b64encode(data).decode())
        return Done("executed", 200, "part", f"Part {body.part}.", told.model_dump(mode="json"), facts)

    def _write(self, path: Path, data: bytes) -> None:
        draft = path.with_name(f".{path.name}.part")
        try:
            lasting.make_folder(self._folder, 0o700)
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
            lasting.keep_names(self._folder)
            kept = sorted(self._folder.glob("*.zip"), key=lambda one: one.stat().st_mtime_ns)
            for old in kept[:-KEPT_N]:
                old.unlink()
        except OSError as error:
            draft.unlink(missing_ok=True)
            raise StorageError(f"the archive cannot be written: {error.strerror}") from error
