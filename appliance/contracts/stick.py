"""What lies on a stick between a controller and its devices: folders, names of files, and the lines of a report.

    appliance-sync/down/DEVICE.NAME.command.json    a command as it would cross the broker; DEVICE may be `all`
    appliance-sync/down/DEVICE.config.desired.json  the configuration wanted
    appliance-sync/down/DEVICE.STREAM.ack.json      up to where the controller has a stream
    appliance-sync/up/DEVICE.CONTROLLER.NAME.parcel what the device reports, sealed to that controller

Every file of `down` is the wrapper `Signed`, byte for byte as on the wire. A parcel holds lines of JSON, each a `Line`.
A parcel is sealed, not signed: whoever has the controller's public sealing key can make one. So every line is, or
follows, something that the device signed.
"""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import Field, StringConstraints

from appliance.contracts.envelope import MAX_MESSAGE_BYTES
from appliance.contracts.record import Record
from appliance.contracts.topics import MAX_TOPIC_CHARS

FOLDER: Final = "appliance-sync"
DOWN: Final = "down"
UP: Final = "up"

DOWN_NAME: Final = re.compile(
    r"(?P<device>[a-z0-9][a-z0-9-]{0,63})\.(?P<name>[a-z0-9]{1,64})\.(?P<what>command|desired|ack)\.json"
)
UP_NAME: Final = re.compile(
    r"(?P<device>[a-z0-9][a-z0-9-]{0,63})\.(?P<controller>[0-9a-f]{16})\.(?P<name>[0-9a-f-]{1,32})\.parcel"
)

PART_BYTES: Final = 256 * 1024

MAX_LINES_N: Final = 20_000
"""In a parcel: more than any device fits into one, fewer than what a reader would stumble over."""


class Line(Record):
    """One line of a parcel: a message as it would cross the broker, or a part of a file."""

    topic: Annotated[str, StringConstraints(min_length=1, max_length=MAX_TOPIC_CHARS)] = "-"
    payload: Annotated[str, StringConstraints(max_length=2 * MAX_MESSAGE_BYTES)] = ""
    """The message's bytes; they are UTF-8. With part 0 of a file: an `ArchiveSaid`, signed by the device."""

    file: Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{64})?$")] = ""
    """SHA-256 of an archive of evidence; then `part` of it is in `data`, and there is no topic."""

    part: Annotated[int, Field(ge=0, le=100_000)] = 0
    parts: Annotated[int, Field(ge=0, le=100_000)] = 0
    data: Annotated[str, StringConstraints(max_length=2 * PART_BYTES)] = ""
    """Base64."""
