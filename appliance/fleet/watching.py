"""What is new in the controller's database, as lines: for whoever watches while a service collects."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Final, NamedTuple

from appliance.contracts.record import JsonObject
from appliance.fleet.devices import state_word
from appliance.fleet.home import FleetHome, iso
from appliance.fleet.store import Row

MOST_N: Final = 500
"""Of one kind in one look; the rest comes with the next."""


class News(NamedTuple):
    """Something that came since the last look."""

    at: str
    device: str
    what: str
    """`state`, `answer`, `gap`, `flag`, `rollout`."""

    text: str

    def facts(self) -> JsonObject:
        """Return it as JSON."""
        return dict(self._asdict())

    def line(self) -> str:
        """Write it for a person."""
        return f"{self.at[11:19]}  {self.device:<20}  {self.what:<7}  {self.text[:300]}"


class _Kind(NamedTuple):
    """One table, and the column that says when a row came."""

    what: str
    sql: str


_KINDS: Final = (
    _Kind("state", "select * from states where received_at {} order by received_at, device, session, state limit ?"),
    _Kind(
        "answer",
        "select a.*, c.kind from answers a left join commands c on c.correlation = a.correlation"
        " where a.received_at {} order by a.received_at, a.device, a.correlation, a.life limit ?",
    ),
    _Kind(
        "gap", "select *, noticed_at as received_at from gaps where noticed_at {} order by noticed_at, device limit ?"
    ),
    _Kind(
        "flag", "select *, last_at as received_at from faults where last_at {} order by last_at, device, what limit ?"
    ),
    _Kind("rollout", "select *, at as received_at from rollout_decisions where at {} order by at, rollout, n limit ?"),
)


class Watching:
    """Remembers what it has told; each look tells what came since."""

    def __init__(self, home: FleetHome, since: datetime) -> None:
        self._home = home
        self._since = {kind.what: iso(since) for kind in _KINDS}
        self._told: dict[str, set[str]] = {kind.what: set() for kind in _KINDS}
        """Of the latest moment: rows of the same moment may still come."""

    def look(self) -> list[News]:
        """Return what came, the oldest first."""
        return sorted((news for kind in _KINDS for news in self._new(kind)), key=lambda news: news.at)

    def _new(self, kind: _Kind) -> Iterator[News]:
        since, told = self._since[kind.what], self._told[kind.what]
        for row in self._home.db.rows(kind.sql.format(">= ?"), [since, MOST_N + len(told)]):
            at = str(row["received_at"])
            news = News(at, *_words(kind.what, row))
            if at != self._since[kind.what]:
                self._since[kind.what] = at
                told.clear()
            mark = f"{news.device} {json.dumps({k: str(v) for k, v in row.items()})}"
            if mark not in told:
                told.add(mark)
                yield news


def _words(what: str, row: Row) -> tuple[str, str, str]:
    match what:
        case "state":
            text = f"{state_word(row['state'])} (boot {row['boot']}, connection {row['session']})"
            return row["device"], what, text
        case "answer":
            text = f"{row['kind'] or 'command'} {row['life']} {row['status']} {row['code']}: {row['text']}"
            return row["device"], what, text
        case "gap":
            n = int(row["last"]) - int(row["first"]) + 1
            return row["device"], what, f"{n} records of {row['stream']} are lost, {row['first']} to {row['last']}"
        case "flag":
            return row["device"], what, f"{row['what']}: {row['text']} ({row['times']} times)"
        case _:
            return row["rollout"], what, f"{row['what']} -> {row['state']}, by {row['who']}: {row['reason']}"
