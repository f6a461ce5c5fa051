"""What the controller can vouch for of one device: its ledgers, its checkpoints, its keys, and what was wrong."""

from __future__ import annotations

from typing import Any, NamedTuple

from appliance.contracts.record import JsonObject
from appliance.errors import UsageError
from appliance.fleet import histories
from appliance.fleet.home import FleetHome
from appliance.trust.keys import PublicKey


class Standing(NamedTuple):
    """A device's proof, as far as it came here."""

    device: str
    key_id: str
    rotations: tuple[dict[str, Any], ...]
    epochs: tuple[dict[str, Any], ...]
    """Newest first."""

    closures: tuple[dict[str, Any], ...]
    """Histories that contradicted themselves, and what somebody decided; oldest first."""

    faults: tuple[dict[str, Any], ...]
    notes: tuple[str, ...]
    """The newest checkpoint of each epoch, as it was signed."""

    def facts(self) -> JsonObject:
        """Return it as JSON."""
        return {
            "device": self.device,
            "key_id": self.key_id,
            "rotations": list(self.rotations),
            "epochs": list(self.epochs),
            "closures": list(self.closures),
            "faults": list(self.faults),
            "notes": list(self.notes),
        }


def standing(home: FleetHome, device: str) -> Standing:
    """Return what is known of the ledgers of *device*.

    Raises:
        UsageError: it is not enrolled here.
    """
    row = home.db.row("select public_key from devices where device = ?", [device])
    if row is None:
        raise UsageError(f"no device {device!r} is enrolled here")
    epochs = [_epoch(home, device, epoch) for epoch in _epochs(home, device)]
    return Standing(
        device=device,
        key_id=PublicKey.from_hex(row["public_key"]).key_id,
        rotations=tuple(
            {
                "old_key_id": PublicKey.from_hex(r["old_key"]).key_id,
                "new_key_id": PublicKey.from_hex(r["new_key"]).key_id,
                "at": r["at"],
                "accepted_at": r["accepted_at"],
            }
            for r in home.db.rows("select * from rotations where device = ? order by accepted_at, at", [device])
        ),
        epochs=tuple(epoch for epoch, _ in epochs),
        closures=tuple(histories.closures(home, device)),
        faults=tuple(
            {k: r[k] for k in ("what", "text", "first_at", "last_at", "times")}
            for r in home.db.rows("select * from faults where device = ? order by last_at", [device])
        ),
        notes=tuple(note for _, note in epochs if note),
    )


def _epochs(home: FleetHome, device: str) -> list[dict[str, Any]]:
    return home.db.rows("select * from epochs where device = ? order by began_at desc", [device])


def _epoch(home: FleetHome, device: str, row: dict[str, Any]) -> tuple[dict[str, Any], str]:
    of = [device, row["epoch"]]
    stream = home.db.row("select upto, first from streams where device = ? and epoch = ? and stream = 'audit'", of) or {
        "upto": 0,
        "first": 1,
    }
    # A controller that joined later never had the first ones.
    here = home.db.row(
        "select min(seq) as first from records where device = ? and epoch = ? and stream = 'audit'", of
    ) or {"first": None}
    counted = {
        r["checked"]: r["n"]
        for r in home.db.rows(
            "select checked, count(*) as n from checkpoints where device = ? and epoch = ? group by checked", of
        )
    }
    newest = home.db.row(
        "select size, root, note from checkpoints where device = ? and epoch = ? order by size desc limit 1", of
    )
    facts = {
        "epoch": row["epoch"],
        "began_at": row["began_at"],
        "standing": row["standing"],
        "first": int(stream["first"] if here["first"] is None else here["first"]),
        "upto": int(stream["upto"]),
        "checked": counted.get(1, 0),
        "waiting": counted.get(0, 0),
        "broken": counted.get(-1, 0),
        "size": 0 if newest is None else newest["size"],
        "root": "" if newest is None else bytes(newest["root"]).hex(),
    }
    return facts, "" if newest is None else str(newest["note"])
