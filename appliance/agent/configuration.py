"""What every decision depends on, in the ledger before the first decision that depends on it.

Covers: a configuration that changed; one whose record has left the device with its segment.
Does not cover: the oldest records after pruning, where the configuration was changed just then; a replay says so.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from appliance.contracts.audit import AuditRecord, Moment
from appliance.contracts.decision import Configuration, Configured
from appliance.contracts.record import JsonObject
from appliance.storage import audit
from appliance.storage.database import Database

AGAIN_AFTER_N: Final = 4096
"""Records after which the configuration is written again: sixteen segments, so that what is left after pruning has its
configuration with it; at 9 kB it costs about two bytes a record."""


class InForce:
    """The configuration of this start; laws may change within it."""

    def __init__(self, configuration: Configuration) -> None:
        self._written: int | None = None
        self._configuration = configuration
        self.replace(configuration)

    def with_laws(self, laws: tuple[JsonObject, ...]) -> None:
        """Let decisions depend on *laws* from now on."""
        if laws != self._configuration.laws:
            self.replace(self._configuration.model_copy(update={"laws": laws}))

    def replace(self, configuration: Configuration) -> None:
        """Let decisions depend on *configuration* from now on."""
        self._configuration = configuration
        self._digest = configuration.digest()
        self._record = Configured(digest=self._digest, configuration=configuration).to_json()
        self._written = None

    def cite(self, db: Database, moment: Moment) -> str:
        """Return the digest that a decision cites; writes the record first where none is near.

        Call it in the transaction of the decision: neither is there without the other.
        """
        with db.atomic() as connection:
            newest = connection.execute("select max(seq) from audit where kind = 'configured'").fetchone()[0]
            if newest is None or not self._holds(connection, newest):
                newest = audit.append(db, AuditRecord(kind="configured", moment=moment, facts=self._record))
            # Should the transaction fail, the number is another record's or nobody's, and the next look tells.
            self._written = newest
        return self._digest

    def _holds(self, connection: sqlite3.Connection, seq: int) -> bool:
        """Tell whether the record numbered *seq* is near and is this configuration's."""
        if audit.size(connection) - seq >= AGAIN_AFTER_N:
            return False
        if seq == self._written:
            return True
        sql = "select json_extract(body, '$.facts.digest') from audit where seq = ?"
        return bool(connection.execute(sql, (seq,)).fetchone()[0] == self._digest)
