"""An archive of evidence on its way to a controller: what the device says of it, and of each part.

The archive proves itself to anybody who has the device's key (`appliance audit verify --export`). What is said here
lets a controller know, before it keeps a byte, whose archive it is and how long.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field, StringConstraints

from appliance.contracts.envelope import Hash
from appliance.contracts.record import Record
from appliance.contracts.topics import Name

MAX_ARCHIVE_BYTES: Final = 128 * 2**20
"""As long as an export gets; `ledger.archive_format` writes none that is longer."""

ANSWER_PART_BYTES: Final = 32 * 1024
"""Of a part that is an answer: as Base64 it passes any broker's limit."""

MAX_ANSWER_PARTS_N: Final = MAX_ARCHIVE_BYTES // ANSWER_PART_BYTES


class ArchiveSaid(Record):
    """Signed by the device, before the parts of an archive on a stick."""

    record: Literal["archive"] = "archive"
    device: Name
    sha256: Hash
    bytes: Annotated[int, Field(ge=1, le=MAX_ARCHIVE_BYTES)]


class ExportTold(Record):
    """The result of an answer `exported`: the archive that lies on the device now."""

    sha256: Hash
    bytes: Annotated[int, Field(ge=1, le=MAX_ARCHIVE_BYTES)]
    parts: Annotated[int, Field(ge=1, le=MAX_ANSWER_PARTS_N)]
    records: Annotated[int, Field(ge=0)]
    key: Annotated[str, StringConstraints(max_length=512)]
    """Who signed it, as a verifier of signed notes is written."""


class PartTold(Record):
    """The result of an answer `part`."""

    sha256: Hash
    part: Annotated[int, Field(ge=0, lt=MAX_ANSWER_PARTS_N)]
    data: Annotated[str, StringConstraints(max_length=2 * ANSWER_PART_BYTES)]
    """Base64."""
