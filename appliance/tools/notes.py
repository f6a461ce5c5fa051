"""Notes: words to keep."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field

from appliance.contracts.clock import Clock
from appliance.contracts.toolcall import ToolCall
from appliance.contracts.toolspec import Risk
from appliance.storage import notes
from appliance.storage.database import Database
from appliance.tools import declare
from appliance.tools.declare import CannotDo, Did

FAMILY: Final = "notes"
LISTED_N: Final = 10


class Notes:
    """The notes of a site."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    def _is_kept(self, did: Did, text: str) -> bool:
        note = notes.find(self._db, did.output) if isinstance(did.output, int) else None
        return note is not None and note.text == text

    def _is_gone(self, did: Did, number: int) -> bool:
        return notes.find(self._db, number) is None

    def _write_again(self, number: int) -> ToolCall | None:
        note = notes.find(self._db, number)
        return None if note is None else declare.call(Notes.add_note, text=note.text)

    @declare.tool(risk=Risk.LOW, family=FAMILY, check=_is_kept, undoable=True)
    def add_note(self, text: Annotated[str, Field(min_length=1, max_length=1000)]) -> Did | CannotDo:
        """Write down or take a note.

        Args:
            text: what to write down
        """
        number = notes.add(self._db, text, self._clock.now())
        if number is None:
            return CannotDo("There are too many notes; delete some first.")
        return Did(f"Note #{number}: {text}", number, declare.call(Notes.delete_note, number=number))

    @declare.tool(risk=Risk.READ, family=FAMILY)
    def list_notes(self) -> Did | CannotDo:
        """Read out or show the notes."""
        found = notes.newest(self._db, limit=LISTED_N)
        if not found:
            return Did("There are no notes.", [])
        return Did("; ".join(f"#{n.note_id} {n.text}" for n in found), [n.note_id for n in found])

    @declare.tool(risk=Risk.LOW, family=FAMILY, check=_is_gone, undo=_write_again)
    def delete_note(self, number: Annotated[int, Field(ge=1)]) -> Did | CannotDo:
        """Delete or erase a note.

        Args:
            number: number of the note
        """
        if not notes.remove(self._db, number):
            return CannotDo(f"There is no note #{number}.")
        return Did(f"Note #{number} is deleted.", number)
