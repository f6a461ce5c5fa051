"""What is wrong with a file of laws: where, what, and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple


class Place(NamedTuple):
    """A line and a column of the file, both counted from one."""

    line: int
    column: int


class Complaint(NamedTuple):
    """One defect, as an author reads it."""

    place: Place
    what: str
    remedy: str = ""
    check: str = "load"
    """Which check found it: `load`, or the name of one of the validator's."""

    level: Literal["error", "warning"] = "error"

    def sentence(self, name: str) -> str:
        """Write it as compilers do, so that an editor can jump there."""
        kind = "" if self.check == "load" else f" [{self.check}]"
        mark = "warning: " if self.level == "warning" else ""
        remedy = f"\n    -> {self.remedy}" if self.remedy else ""
        return f"{name}:{self.place.line}:{self.place.column}: {mark}{self.what}{kind}{remedy}"


class Refused(NamedTuple):
    """A file that is not loaded, not even in part."""

    name: str
    complaints: tuple[Complaint, ...]

    def text(self) -> str:
        """Write every complaint, in the order of the file."""
        return "\n".join(complaint.sentence(self.name) for complaint in self.complaints)


def ordered(complaints: Iterable[Complaint]) -> tuple[Complaint, ...]:
    """Sort by place, errors first where two share one, each once."""
    return tuple(sorted(set(complaints), key=lambda c: (c.place, c.level, c.check, c.what)))
