"""What the controller can vouch for of one device: its ledgers, its checkpoints, its keys, and what was wrong."""

from __future__ import annotations

from typing import Any, NamedTuple

from appliance.contracts.record import JsonObject
from appliance.errors import UsageError
from appliance.fleet.home import FleetHome
from appliance.trust.keys import PublicKey


class Standing(NamedTuple):
    """A device's proof, as far as it came here."""

    device: str
    key_id: str
    rotations: tuple[dict[str, Any], ...]
    epochs: tuple[dict[str, Any], ...]
    """Newest first."""

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
            "faults": list(self.faults),
            "notes": list(self.notes),
        }


def standing(home: FleetHome, device: str) -> Standing:
    """Return what is known of the ledgers of *device*.

    Raises:
        UsageError: it is not enrolled here.
    """
    row = next(home.db.query("select public_key from devices where device = ?", [device]), None)
    if row is None:
        raise UsageError(f"no device {device!r} is enrolled here")
    epochs = [_epoch(home, device, dict(epoch)) for epoch in _epochs(home, device)]
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
            for r in home.db.query("select * from rotations where device = ? order by accepted_at, at", [device])
        ),
        epochs=tuple(epoch for epoch, _ in epochs),
        faults=tuple(
            {k: r[k] for k in ("what", "text", "first_at", "last_at", "times")}
            for r in home.db.query("select * from faults where device = ? order by last_at", [device])
        ),
        notes=tuple(note for _, note in epochs if note),
    )


def _epochs(home: FleetHome, device: str) -> list[dict[str, Any]]:
    return list(home.db.query("select * from epochs where device = ? order by began_at desc", [device]))


def _epoch(home: FleetHome, device: str, row: dict[str, Any]) -> tuple[dict[str, Any], str]:
    of = [device, row["epoch"]]
    stream = next(
        home.db.query("select upto from streams where device = ? and epoch = ? and stream = 'audit'", of), {"upto": 0}
    )
    counted = {
        r["checked"]: r["n"]
        for r in home.db.query(
            "select checked, count(*) as n from checkpoints where device = ? and epoch = ? group by checked", of
        )
    }
    newest = next(
        home.db.query(
            "select size, root, note from checkpoints where device = ? and epoch = ? order by size desc limit 1", of
        ),
        None,
    )
    facts = {
        "epoch": row["epoch"],
        "began_at": row["began_at"],
        "standing": row["standing"],
        "upto": int(stream["upto"]),
        "checked": counted.get(1, 0),
        "waiting": counted.get(0, 0),
        "broken": counted.get(-1, 0),
        "size": 0 if newest is None else newest["size"],
        "root": "" if newest is None else bytes(newest["root"]).hex(),
    }
    return facts, "" if newest is None else str(newest["note"])
