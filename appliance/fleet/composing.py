"""A wish to a command with a number of its own, kept with what was sent, by whichever way it leaves."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from typing import Final

from pydantic import ValidationError

from appliance.contracts.canonical import canonical
from appliance.contracts.envelope import (
    CORRELATION_BYTES,
    Command,
    CommandBody,
    ExportAuditBody,
    SetConfigBody,
    UpdateBody,
)
from appliance.contracts.topics import EVERY_DEVICE, Channel, Topic
from appliance.errors import MalformedTopic, UsageError, WireError
from appliance.fleet import numbering
from appliance.fleet.home import FleetHome, iso

ONE_AT_A_TIME: Final = (UpdateBody, SetConfigBody, ExportAuditBody)
"""What no device takes from a command to all."""


def compose(home: FleetHome, device: str, body: CommandBody, *, now: datetime, expires_s: float) -> Command:
    """Return *body* as a command for *device* (or `all`), and keep that it was made.

    Raises:
        UsageError: no such command can be made; nothing is kept.
    """
    if device == EVERY_DEVICE and isinstance(body, ONE_AT_A_TIME):
        raise UsageError(f"{body.kind} is for one device at a time, not for all: each would refuse it; name devices")
    row = None
    if device != EVERY_DEVICE:
        row = home.db.row("select nonce, time from devices where device = ?", [device])
    with home.writing():
        try:
            command = Command(
                audience=device,
                issuer=home.key.key_id,
                correlation=secrets.token_hex(CORRELATION_BYTES),
                counter=numbering.next_number(home, device),
                issued_at=now,
                expires_at=now + timedelta(seconds=expires_s),
                response_topic=str(Topic.make(home.settings.site, device, Channel.RSP, home.key.key_id)),
                # A device that does not know the time acts on what quotes its present start.
                nonce=row["nonce"] if row is not None and row["time"] == "untrusted" else None,
                body=body,
            )
            said = canonical(body.model_dump(mode="json")).decode()
        except (ValidationError, MalformedTopic, WireError, OverflowError) as error:
            raise UsageError(f"no {body.kind} for {device[:80]!r} can be made: {_first(error)}") from error
        home.db.execute(
            "insert into commands (correlation, device, kind, body, issued_at, expires_at) values (?, ?, ?, ?, ?, ?)",
            [
                *(command.correlation, device, body.kind, said),
                *(iso(command.issued_at), iso(command.expires_at)),
            ],
        )
    return command


def _first(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    fault = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(map(str, fault['loc']))}: {fault['msg'][:300]}"
