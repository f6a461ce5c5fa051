"""What is committed to the acknowledgement that says so: signed later, and only to whom it may be said.

Nothing is acknowledged of a history that is closed, where this controller has no right to acknowledge, and where the
record at the mark has no name.
"""

from __future__ import annotations

from typing import Any

from appliance.contracts.enrolment import MAY, Role
from appliance.contracts.envelope import Ack
from appliance.fleet.home import FleetHome


def may(role: str | None) -> bool:
    """Tell whether a controller in *role* may acknowledge; what it was enrolled as before there were roles may."""
    return role is None or "ack" in MAY[Role(role)]


def ack(
    home: FleetHome, device: str, epoch: str, stream: str, upto: int, of: str, *, resume: bool = False
) -> Ack | None:
    """Return the acknowledgement of a stream up to a record that is called *of*; None: there is nothing to be said."""
    if upto and not of:
        return None
    return Ack.model_validate(
        {
            "audience": device,
            "issuer": home.key.key_id,
            "stream": stream,
            "epoch": epoch,
            "upto": upto,
            "of": of,
            "resume": resume,
        }
    )


def standing(home: FleetHome) -> list[Ack]:
    """Return how far every device's present history is here."""
    return _of_rows(
        home,
        home.db.rows(
            "select s.device, s.epoch, s.stream, s.upto, s.newest, d.role from streams s"
            " join devices d on d.device = s.device and d.epoch = s.epoch where s.upto > 0"
            " and not exists (select 1 from closures c where c.device = s.device and c.epoch = s.epoch"
            " and c.accepted_at is null)"
        ),
        resume=False,
    )


def again(home: FleetHome, device: str) -> list[Ack]:
    """Return what makes *device* send again whatever is not here."""
    return _of_rows(
        home,
        home.db.rows(
            "select s.device, s.epoch, s.stream, s.upto, s.newest, d.role from streams s"
            " join devices d on d.device = s.device where s.device = ?"
            " and not exists (select 1 from closures c where c.device = s.device and c.epoch = s.epoch"
            " and c.accepted_at is null)",
            [device],
        ),
        resume=True,
    )


def _of_rows(home: FleetHome, rows: list[dict[str, Any]], *, resume: bool) -> list[Ack]:
    found = (
        ack(home, r["device"], r["epoch"], r["stream"], int(r["upto"]), r["newest"], resume=resume)
        for r in rows
        if may(r["role"])
    )
    return [one for one in found if one is not None]
