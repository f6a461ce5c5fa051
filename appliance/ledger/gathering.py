"""Every checkpoint that is known of a ledger: the one that was given, those in the file, those that later epochs cite.

Covers: a checkpoint of another ledger or by another key, a note in the file that is none or whose signature does not
hold. That is the file's fault; a fault of what the person gave is his own to mend, and is raised as such.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from appliance.errors import TrustError, WireError
from appliance.ledger import trusting
from appliance.ledger.segments import Table
from appliance.ledger.trusting import Keys, Vouched
from appliance.ledger.verdict import Given


def vouchers(connection: sqlite3.Connection, table: Table, given: Given, keys: Keys | None) -> list[Vouched] | str:
    """Return every checkpoint, smallest first, or what is wrong with one in the file.

    Raises:
        TrustError: the checkpoint that was given is not signed by the key that was given.
    """
    found = []
    if given.checkpoint is not None:
        ours = trusting.vouched(given.checkpoint, keys, is_given=True)
        if ours.by == "older key":
            raise TrustError(
                "the checkpoint is by a key that the device had before this one: give the verifier of that time"
                " (`--key`); it leads to the newer one by itself"
            )
        if ours.by != "device":
            raise TrustError("the checkpoint was not signed by that key")
        found.append(ours)
    if given.remembered is not None:
        found.append(Vouched(given.remembered, "nobody", is_given=True))
    try:
        sql = "select size, note from checkpoints where epoch = ? order by size"
        for size, note in connection.execute(sql, (table.epoch,)).fetchall():
            found.append(trusting.vouched(trusting.parse(note, size), keys, is_given=False))
        found += [trusting.vouched(cited, keys, is_given=False) for cited in trusting.cited(connection, table)]
    except WireError as error:
        return f"a checkpoint in this file is none: {error}"
    except TrustError as error:
        return f"a checkpoint in this file was altered: {error}"
    return sorted(found, key=lambda voucher: voucher.checkpoint.size)


def fault(found: Sequence[Vouched], expected: str | None, keys: Keys | None) -> str | None:
    """Say which checkpoint is not of this ledger, or not by its device."""
    for voucher in found:
        said = voucher.checkpoint.origin
        if said != expected:
            return f"the checkpoint is of {said}, this is {expected}: it is another ledger"
    for voucher in found:
        if voucher.by == "unknown" and not (keys and keys.caveat):
            return f"the checkpoint over {voucher.checkpoint.size} records is not by the device's key"
    return None


def origin(connection: sqlite3.Connection, table: Table, found: Sequence[Vouched]) -> str | None:
    """Return the ledger's name: what its first record says, else what its checkpoints say, the file's own first."""
    said = [voucher.checkpoint.origin for voucher in sorted(found, key=lambda voucher: voucher.is_given)]
    return trusting.stated_origin(connection, table) or next(iter(said), None)
