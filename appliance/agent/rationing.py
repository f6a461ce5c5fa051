"""How much waits for the controllers, to what goes when it is too much: events give way, the ledger never does.

The streams are weighed a piece at a time, so that neither memory nor the database's lock feels a backlog of a million
rows; a piece that is acknowledged in part counts whole until the rest is.

Covers: a year without a controller, a clock at 1970 or years ahead (age counts slowly, and only while time is trusted).
Does not cover: room for the ledger itself; `agent.retaining` keeps that.
"""

from __future__ import annotations

from collections import deque
from datetime import datetime
from typing import Final, NamedTuple

from appliance.agent.clock import BUILD_YEAR
from appliance.agent.horizon import Horizon
from appliance.contracts.clock import Clock
from appliance.storage import outbox
from appliance.storage.database import Database
from appliance.storage.outbox import Scarce, Stream, Weight

PIECE_N: Final = 1000
"""Rows weighed together, and dropped together: one record of the ledger for each piece that goes."""

ROWS_AT_ONCE_N: Final = 20_000
"""Weighed in one look, so that a start with a large backlog does not hold the database."""


class Limits(NamedTuple):
    """How much of a stream may wait."""

    rows_n: int
    bytes_n: int
    days: float
    """0: no bound."""


class Load:
    """What of one stream waits; counted anew from the acknowledged mark at each start."""

    def __init__(self, db: Database, stream: Stream, piece_n: int) -> None:
        self._db = db
        self._stream: Stream = stream
        self._piece_n = piece_n
        self._pieces: deque[Weight] = deque()
        self.rows_n = self.bytes_n = 0

    def look(self) -> bool:
        """Weigh what is new, forget what was acknowledged.

        Returns:
            Whether there is more to weigh.
        """
        acked = outbox.mark(self._db, self._stream).acked
        while self._pieces and self._pieces[0].upto <= acked:
            self._forget(self._pieces.popleft())
        for _ in range(ROWS_AT_ONCE_N // self._piece_n):
            is_open = bool(self._pieces) and self._pieces[-1].rows_n < self._piece_n
            after = self._pieces[-1].upto if self._pieces else acked
            room = self._piece_n - self._pieces[-1].rows_n if is_open else self._piece_n
            found = outbox.weigh(self._db, self._stream, after=after, limit=room)
            if found is None:
                return False
            self.rows_n += found.rows_n
            self.bytes_n += found.bytes_n
            if is_open:
                last = self._pieces.pop()
                found = found._replace(rows_n=found.rows_n + last.rows_n, bytes_n=found.bytes_n + last.bytes_n)
            self._pieces.append(found)
        return True

    @property
    def oldest(self) -> Weight | None:
        """The piece that goes first."""
        return self._pieces[0] if self._pieces else None

    def dropped(self) -> None:
        """Note that the oldest piece has gone, but for the newest row of all."""
        self._forget(self._pieces.popleft())

    def _forget(self, piece: Weight) -> None:
        self.rows_n -= piece.rows_n
        self.bytes_n -= piece.bytes_n


class Ration:
    """Keeps both streams within their limits; used by the uplink's thread."""

    def __init__(self, db: Database, clock: Clock, *, events: Limits, ledger: Limits | None) -> None:
        """Keep what is given; *ledger* is None where no controller may acknowledge, so that none can lag behind."""
        self._db = db
        self._clock = clock
        self._limits = events
        self._ledger_limits = ledger
        self._events = Load(db, "evt", max(1, min(PIECE_N, events.rows_n // 10)))
        self._ledger = Load(db, "audit", PIECE_N)
        self._horizon = Horizon(db, clock, "events", events.days)
        self.dropped_n = 0

    def look(self) -> str | None:
        """Drop the oldest events while there are too many.

        Returns:
            What a person should know: the controllers lag behind; None: they do not.

        Raises:
            StorageError: what would be dropped cannot be written down, so it stays.
        """
        self._events.look()
        horizon = self._horizon.now()
        while (piece := self._events.oldest) is not None and (why := self._too_much(piece, horizon)):
            gone = outbox.drop_oldest(
                self._db, limit=2 * PIECE_N, upto=piece.upto, why=why, moment=self._clock.moment()
            )
            self._events.dropped()
            self.dropped_n += gone
            if gone == 0:
                break
        self._ledger.look()
        return self._behind()

    def _too_much(self, piece: Weight, horizon: datetime | None) -> Scarce | None:
        if self._events.rows_n > self._limits.rows_n:
            return "rows"
        if self._events.bytes_n > self._limits.bytes_n:
            return "bytes"
        return "age" if horizon is not None and _is_before(piece.newest_at, horizon) else None

    def _behind(self) -> str | None:
        load, limits = self._ledger, self._ledger_limits
        oldest = load.oldest
        if oldest is None or limits is None:
            return None
        age = (self._clock.now() - _time(oldest.newest_at)).days if self._is_dated(oldest) else 0
        # The words stay the same while it grows: each change of them is told anew.
        if limits.days and age >= limits.days:
            return f"no controller has taken the ledger for {age} days; nothing of it is lost, all of it waits"
        if load.rows_n > limits.rows_n:
            return f"more than {limits.rows_n} records of the ledger wait for a controller; none is lost"
        if load.bytes_n > limits.bytes_n:
            return f"more than {limits.bytes_n // 2**20} MB of the ledger wait for a controller; nothing is lost"
        return None

    def _is_dated(self, piece: Weight) -> bool:
        return self._clock.is_trusted() and _time(piece.newest_at).year >= BUILD_YEAR


def _is_before(at: str, horizon: datetime) -> bool:
    """Whether *at* is too old; what was written while the clock stood at 1970 has no age."""
    return _time(at).year >= BUILD_YEAR and _time(at) < horizon


def _time(at: str) -> datetime:
    return datetime.fromisoformat(at)
