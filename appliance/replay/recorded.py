"""The ledger's decisions as a replay needs them.

Read-only, and never for long: a long read keeps the log from being folded into the file.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

from appliance.contracts import decision as forms
from appliance.contracts.audit import AuditRow
from appliance.contracts.decision import Configuration, Configured, Decision
from appliance.contracts.forms import read as facts_of
from appliance.contracts.toolspec import ToolSpec
from appliance.storage import audit, tree
from appliance.tools.declare import INTERNAL

UNREADABLE: Final = "its record cannot be read; check the ledger with `appliance audit verify`"

OTHER_FORM: Final = "other software wrote it, in a form that this one does not know"


class CannotReplay(Exception):
    """Why a decision cannot be decided again; the message is for a person."""


class Recorded(NamedTuple):
    """A decision of the ledger."""

    seq: int
    at: datetime
    request_id: str
    facts: Decision
    words: Mapping[str, Any]
    """Personal values that are still here, by name."""

    erased: frozenset[str]
    """Names of those that are not."""

    def said(self, name: str) -> Any:
        """Return a personal value; None where there was none.

        Raises:
            CannotReplay: it was erased.
        """
        if name in self.erased:
            raise CannotReplay("words were erased")
        return self.words.get(name)


class Catalogue:
    """The tools of a recorded configuration, as the registry offered them then."""

    def __init__(self, tools: tuple[ToolSpec, ...]) -> None:
        self._all = {spec.name: spec for spec in tools}
        self._offered = tuple(spec for spec in tools if INTERNAL not in spec.tags)

    def specs(self) -> tuple[ToolSpec, ...]:
        """Return the tools that words may be understood as."""
        return self._offered

    def spec(self, name: str) -> ToolSpec | None:
        """Return the tool called *name*, internal or not."""
        return self._all.get(name)


class Setup(NamedTuple):
    """A configuration, ready to decide by."""

    configuration: Configuration
    catalogue: Catalogue


_DECISIONS: Final = (
    "select seq from {} where seq > ? and seq < ? and (? is null or request_id = ?) and"
    " (kind in ('decided', 'parked') or kind = 'settled' and json_valid(body)"
    " and json_extract(body, '$.facts.comes_to') is not null)"
    " and (not ? or json_valid(body) and json_extract(body, '$.facts.asked_as') = 'ask'"
    " and json_extract(body, '$.facts.continues') is null)"
    " order by seq desc limit ?"
)


_CONFIGURED: Final = (
    "select body from {} where kind = 'configured' and json_valid(body)"
    " and json_extract(body, '$.facts.digest') = ? order by seq desc limit 1"
)


class Ledger:
    """The decisions of one database.

    Args:
        epoch: an earlier epoch's, which `past` holds; the current one's when absent.
    """

    def __init__(self, reader: sqlite3.Connection, epoch: str | None = None) -> None:
        self._reader = reader
        self._epoch = None if epoch == tree.current(reader) else epoch
        self._setups: dict[str, Setup] = {}

    def decisions(
        self,
        *,
        after: int = 0,
        before: int | None = None,
        last_n: int | None = None,
        request_id: str | None = None,
        in_words: bool = False,
    ) -> list[int]:
        """Return the numbers of the records that hold a decision, oldest first.

        Args:
            in_words: only where words were read for the first time: what another model can be asked about.
        """
        bounds = (after, before or 2**62, request_id, request_id, in_words, -1 if last_n is None else last_n)
        if self._epoch is None:
            found = self._reader.execute(_DECISIONS.format("audit"), bounds)
        else:
            found = self._reader.execute(_DECISIONS.format("past").replace("where", "where epoch = ? and", 1),
                                         (self._epoch, *bounds))  # fmt: skip
        return [row[0] for row in found.fetchall()][::-1]

    def decision(self, seq: int) -> Recorded:
        """Return the decision in record *seq*.

        Raises:
            CannotReplay: it is not here any more, or older or newer software wrote it.
        """
        row = self._row(seq, "a record that it goes on from has left the device")
        body = _body(row)
        facts = _facts(row, body)
        if not isinstance(facts, Decision):
            raise CannotReplay(f"record {seq} is no decision")
        if facts.continues is not None and facts.continues >= seq:
            raise CannotReplay(f"record {seq} goes on from a later one: {UNREADABLE}")
        return Recorded(
            seq=row.seq,
            at=datetime.fromisoformat(row.at),
            request_id=row.request_id or "",
            facts=facts,
            words=_words(row),
            erased=frozenset(body["personal"]) - frozenset(_words(row)),
        )

    def note(self, seq: int) -> Mapping[str, Any]:
        """Return what a person said in record *seq*: corrected values, or the words of an answer.

        Raises:
            CannotReplay: it was erased or has left the device.
        """
        row = self._row(seq, "the record of what a person answered has left the device")
        words = _words(row)
        if frozenset(_body(row)["personal"]) - frozenset(words):
            raise CannotReplay("words were erased")
        return words

    def were_all_read_by(self, sha256: str, seqs: Iterable[int]) -> bool:
        """Tell whether the bundle called *sha256* is the recorded one of every decision that had one."""
        for seq in seqs:
            try:
                decided_by = self.decision(seq).facts.versions.bundle_sha256
            except CannotReplay:
                continue
            if decided_by not in {sha256, ""}:
                return False
        return True

    def setup(self, digest: str) -> Setup:
        """Return the configuration called *digest*.

        Raises:
            CannotReplay: no record of it is here.
        """
        if digest not in self._setups:
            self._setups[digest] = self._load(digest)
        return self._setups[digest]

    def _load(self, digest: str) -> Setup:
        # Its content names it, so any record of it will do, of another epoch too.
        for table in ("audit", "past"):
            found = self._reader.execute(_CONFIGURED.format(table), (digest,)).fetchone()
            if found is not None:
                break
        else:
            raise CannotReplay("the configuration that it was decided by has left the device")
        try:
            configuration = Configured.from_json(json.loads(found["body"])["facts"]).configuration
        except ValueError as error:
            raise CannotReplay(OTHER_FORM) from error
        if configuration.digest() != digest:
            raise CannotReplay("the configuration that is called by its hash is another: altered")
        return Setup(configuration, Catalogue(configuration.tools))

    def _row(self, seq: int, otherwise: str) -> AuditRow:
        try:
            row = next(audit.rows(self._reader, after=seq - 1, limit=1, epoch=self._epoch), None)
        except ValueError as error:
            raise CannotReplay(UNREADABLE) from error
        if row is None or row.seq != seq:
            raise CannotReplay(otherwise)
        return row


def _body(row: AuditRow) -> dict[str, Any]:
    try:
        body = json.loads(row.body)
    except ValueError as error:
        raise CannotReplay(UNREADABLE) from error
    if isinstance(body, dict) and isinstance(body.get("facts"), dict) and isinstance(body.get("personal"), dict):
        return body
    raise CannotReplay(UNREADABLE)


def _facts(row: AuditRow, body: dict[str, Any]) -> forms.Facts | None:
    try:
        return facts_of(row.kind, body["facts"])
    except ValueError as error:
        raise CannotReplay(OTHER_FORM) from error


def _words(row: AuditRow) -> dict[str, Any]:
    kept: Any = row.personal if isinstance(row.personal, dict) else {}
    return {name: entry["value"] for name, entry in kept.items() if isinstance(entry, dict) and "value" in entry}
