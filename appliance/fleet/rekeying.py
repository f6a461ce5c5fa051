"""A device's statements about its key to the key that this controller believes.

Covers: several rotations missed at once, a statement by a key that is not the one known here (refused), the same
statement again. Does not cover: a thief who has the key that is known here and speaks first; the device's own
statement is then refused, which is seen.
"""

from __future__ import annotations

from datetime import datetime

from appliance.contracts.envelope import Keys, parse_payload, parse_signed
from appliance.errors import TrustError
from appliance.fleet.home import FleetHome, iso
from appliance.trust import rotation
from appliance.trust.keys import PublicKey
from appliance.trust.signature import holds


def take(home: FleetHome, device: str, known: PublicKey, payload: bytes, now: datetime) -> PublicKey:
    """Follow what *payload* says from *known* to the present key, and remember it.

    Returns:
        The key that *device* signs with now.

    Raises:
        WireError: malformed.
        TrustError: it does not lead from *known* to whoever signed it.
    """
    signed = parse_signed(payload)
    said = parse_payload(signed, Keys)
    if said.device != device:
        raise TrustError(f"speaks as {said.device!r}")
    present = rotation.followed(known, said.rotations, device=device)
    if not holds(signed, present):
        raise TrustError(
            f"its statements lead from {known.key_id} to {present.key_id}, and {signed.key} signed them; a device"
            " whose key was lost or stolen is forgotten and enrolled again"
        )
    if present.raw != known.raw:
        _remember(home, device, known, present, said, now)
    return present


def is_retired(home: FleetHome, device: str, key_id: str) -> bool:
    """Tell whether *device* once signed with the key of that id."""
    rows = home.db.rows("select old_key from rotations where device = ?", [device])
    return any(PublicKey.from_hex(row["old_key"]).key_id == key_id for row in rows)


def _remember(home: FleetHome, device: str, known: PublicKey, present: PublicKey, said: Keys, now: datetime) -> None:
    with home.writing():
        at = known.raw.hex()
        for rotated in said.rotations:
            statement = rotated.statement
            if statement.old_key != at:
                continue
            at = statement.new_key
            home.db.execute(
                "insert into rotations (device, new_key, old_key, at, statement, accepted_at)"
                " values (?, ?, ?, ?, ?, ?) on conflict do nothing",
                [device, at, statement.old_key, iso(statement.at), rotated.model_dump_json(), iso(now)],
            )
        home.db.execute("update devices set public_key = ? where device = ?", [present.raw.hex(), device])
        # What was signed with the new key and came before this statement is sent again by the device.
        home.db.execute("delete from faults where device = ? and what = 'unknown_key'", [device])
