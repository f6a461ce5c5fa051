"""A set of laws that the device's owner signed, brought by a controller, into force; the controller only carries it.

Covers: a device without an owner (nothing is taken from afar), a set that its owner did not sign or that cannot be
accepted (the folder of laws stays untouched), a set that is in force already, a power cut while the folder is
exchanged.
Does not cover: what makes a set acceptable; `law_acceptance` judges, here as at a start.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from appliance.agent import law_acceptance, law_folder
from appliance.agent.commands.deeds import Done, no
from appliance.agent.law_acceptance import Here, NotAccepted
from appliance.agent.law_folder import Found, LawFile
from appliance.contracts.envelope import Command, LawsBody
from appliance.contracts.local import LocalReply
from appliance.contracts.record import JsonObject
from appliance.errors import StorageError, TrustError
from appliance.storage import laws as kept_laws
from appliance.storage.database import Database
from appliance.trust import notes
from appliance.trust import owner as owners

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}\.(yaml|json)")


class Lawgiving:
    """Takes the owner's laws for one home."""

    def __init__(self, root: Path, db: Database, here: Here, load: Callable[[], LocalReply]) -> None:
        self._root = root
        self._db = db
        self._here = here
        self._load = load

    def __call__(self, command: Command) -> Done:
        """Put the set into force, or say why not."""
        body = command.body
        assert isinstance(body, LawsBody)
        kept = kept_laws.accepted(self._db)
        try:
            remembered = notes.parse_verifier(kept.owner) if kept is not None and kept.owner else None
            owner = owners.current(self._root, remembered)
            floor = owners.floor(self._root)
        except TrustError as error:
            return no(409, "owner_unclear", str(error))
        if owner is None:
            text = "this device has no owner whose signature could count; its laws are loaded at the device"
            return no(403, "no_owner", text)
        if not all(_NAME.fullmatch(name) for name in body.files):
            return no(422, "laws_not_accepted", "a file of laws is called NAME.yaml or NAME.json")
        files = tuple(LawFile(name, text.encode()) for name, text in sorted(body.files.items()))
        judged = law_acceptance.read_folder(Found(files, body.note.encode()), owner, self._here, kept, floor=floor)
        if isinstance(judged, NotAccepted):
            return no(422, "laws_not_accepted", judged.complaints[0])
        try:
            law_folder.replace(self._root, {**{f.name: f.raw for f in files}, law_folder.NOTE: body.note.encode()})
        except BlockingIOError:
            return no(409, "busy", "somebody exchanges the laws at the device just now; send it again")
        except OSError as error:
            raise StorageError(f"{self._root}: the laws cannot be written: {error.strerror}") from error
        reply = self._load()
        if not reply.ok:
            return no(409, "laws_not_loaded", reply.message)
        facts: JsonObject = {"number": judged.number, "signed_by": owner.public.key_id}
        return Done("executed", 200, "in_force", reply.message, {"number": judged.number}, facts)
