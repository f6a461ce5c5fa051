"""Batches of a stream to rows: once each, in order, whoever brings them and however often.

The row of a stream in `streams` is the lock of everything that belongs to that stream: whoever holds it knows that
nothing above `upto` is here and that nobody else adds to it, so that new records are simply copied in. Several
collectors need no other word from each other.

Covers: a batch twice, batches out of order, a batch missing (asked for again), two collectors with the same batch, a
record of either stream that changed under the same number, a ledger that does not agree with what the device signed
(`ledgers`; the history is closed, and nothing that shows it is kept or acknowledged), values that no row can hold
(ValueError; nothing is stored). Does not cover: whether what a device says is true.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

from appliance.contracts import receipts
from appliance.contracts.envelope import Batch, Item
from appliance.fleet import faults, histories, ledgers
from appliance.fleet.home import FleetHome, iso
from appliance.fleet.ledgers import Fault
from appliance.fleet.store import Values

Place = tuple[str, str, str]
"""Device, epoch, stream."""

_COLUMNS: Final = ("device", "epoch", "stream", "seq", "id", "kind", "at", "body", "received_at", "leaf")
_BODY: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True, allow_nan=False)


class Stored(NamedTuple):
    """What came of a batch."""

    upto: int
    """Everything up to here is committed."""

    new_n: int
    resume: bool
    """Something before the batch is missing; the device shall begin again after `upto`."""

    faults: tuple[Fault, ...] = ()
    of: str = ""
    """What an acknowledgement calls the record at `upto`."""

    is_silent: bool = False
    """Refused, or its history is closed: nothing may be acknowledged."""


class Reached(NamedTuple):
    """How far a stream is committed."""

    upto: int
    of: str


def store_batch(home: FleetHome, batch: Batch, now: datetime) -> Stored:
    """Commit what is new in *batch*."""
    return store_batches(home, [batch], now)[0]


def store_batches(home: FleetHome, batches: Sequence[Batch], now: datetime) -> list[Stored]:
    """Commit what is new in all of *batches*, with one commit.

    Returns:
        What came of each, in their order; known only when the commit is.
    """
    with home.writing():
        while True:
            try:
                with home.writing():
                    return _Writing(home, batches, now).run()
            except _Contradicted as found:
                # What had been added is gone again. Once more without that history: the others shall not suffer.
                device, epoch, _ = found.place
                ledgers.mark(home, device, epoch, found.broken.size, found.broken.root, checked=-1)
                histories.close(home, device, epoch, found.broken.fault.text, now)


class _Contradicted(Exception):
    """A ledger grew into something else than the device has signed."""

    def __init__(self, place: Place, broken: ledgers.Broken) -> None:
        super().__init__(broken.fault.text)
        self.place = place
        self.broken = broken


class _Writing:
    """One transaction: the streams are locked, the batches looked at, the new records added, the marks moved."""

    def __init__(self, home: FleetHome, batches: Sequence[Batch], now: datetime) -> None:
        self._home = home
        self._batches = batches
        self._now = now
        self._at = iso(now)
        self._reached = locked(home, {(b.device, b.epoch, b.stream) for b in batches})
        self._doubts = self._doubted()
        self._rows: list[Values] = []
        self._bytes: dict[Place, int] = {}
        self._fresh: dict[Place, tuple[Item, int]] = {}
        """Of each ledger that grew: the first new record, and the number of the last."""

    def run(self) -> list[Stored]:
        """Do it."""
        before = dict(self._reached)
        stored = [self._take(batch) for batch in self._batches]
        self._flush()
        self._move({place: reached for place, reached in self._reached.items() if reached != before[place]})
        found: dict[Place, list[Fault]] = {}
        for place, (first, last) in self._fresh.items():
            device, epoch, _ = place
            ledgers.grow(self._home, device, epoch, first.seq, last)
            broken = ledgers.settle(self._home, device, epoch, last)
            if broken:
                raise _Contradicted(place, broken[0])
            if before[place].upto == 0:
                accepted = histories.was_accepted(self._home, device, epoch)
                fault = ledgers.begun(self._home, device, epoch, first, self._now, accepted=accepted)
                found[place] = [] if fault is None else [fault]
        for place in self._doubts:
            # Locked, and not begun: whoever makes up names makes up no rows.
            self._home.db.execute(
                "delete from streams where device = ? and epoch = ? and stream = ? and upto = 0", list(place)
            )
        return [self._flagged(batch, one, found) for batch, one in zip(self._batches, stored, strict=True)]

    def _flagged(self, batch: Batch, stored: Stored, found: dict[Place, list[Fault]]) -> Stored:
        """Add what the ledger's growth showed to the batch that made it grow, and remember every fault."""
        place = (batch.device, batch.epoch, batch.stream)
        if stored.new_n:
            stored = stored._replace(faults=(*stored.faults, *found.pop(place, ())))
        if place in self._doubts:
            stored = stored._replace(is_silent=True)  # one after it, in the same go, has shown another history
        for fault in stored.faults:
            faults.store_fault(self._home, batch.device, fault.what, fault.text, self._now)
        return stored

    def _doubted(self) -> dict[Place, Fault]:
        """Return the streams of which nothing may be taken, and why."""
        closed = histories.closed(self._home)
        doubts = {}
        for place, reached in self._reached.items():
            device, epoch, _ = place
            if (device, epoch) in closed:
                doubts[place] = Fault(ledgers.FORKED, closed[device, epoch])
            elif reached.upto == 0 and (fault := histories.not_begun(self._home, device, epoch, self._now)):
                doubts[place] = fault
        return doubts

    def _refused(self, place: Place, fault: Fault) -> Stored:
        if fault.what == ledgers.FORKED and place not in self._doubts:
            device, epoch, _ = place
            histories.close(self._home, device, epoch, fault.text, self._now)
            for other in self._reached:
                if other[:2] == place[:2]:
                    self._doubts[other] = fault
        return Stored(self._reached[place].upto, 0, resume=False, faults=(fault,), is_silent=True)

    def _take(self, batch: Batch) -> Stored:
        place = (batch.device, batch.epoch, batch.stream)
        if place in self._doubts:
            return self._refused(place, self._doubts[place])
        upto, of = self._reached[place]
        if any(b.seq <= a.seq for a, b in zip(batch.items, batch.items[1:], strict=False)):
            return self._refused(place, Fault(f"{batch.stream}_refused", "numbers in a batch do not rise"))
        if batch.items[0].seq <= upto:
            self._flush()  # what is compared with may be in a batch just before
        if batch.stream == "audit":
            fault = ledgers.check(self._home, batch.device, batch.epoch, batch.items, upto)
        else:
            fault = histories.changed(self._home, batch, upto)
        if fault is not None and fault.what == ledgers.FORKED and histories.lies_set_aside(self._home, batch):
            return Stored(upto, 0, resume=False, is_silent=True)
        if fault is not None:
            return self._refused(place, fault)
        if batch.after > max(upto, batch.floor):
            return Stored(upto, 0, resume=True, of=of)
        fresh = [item for item in batch.items if item.seq > upto]
        if not fresh:
            return Stored(upto, 0, resume=False, of=of or self._named(batch, upto))
        if batch.stream == "audit":
            if fresh[0].seq != upto + 1:
                if batch.before is None:
                    return Stored(upto, 0, resume=True, of=of)
                self._flush()
                fault = ledgers.begin_at(self._home, batch.device, batch.epoch, fresh[0].seq - 1, batch.before)
                if fault is not None:
                    return self._refused(place, fault)
            self._fresh[place] = (self._fresh.get(place, (fresh[0], 0))[0], fresh[-1].seq)
        self._gaps(place, upto, fresh)
        rows = [self._row(batch, item) for item in fresh]
        self._rows += rows
        self._bytes[place] = self._bytes.get(place, 0) + sum(len(row[7].encode()) for row in rows)
        self._reached[place] = Reached(fresh[-1].seq, _name(batch.stream, fresh[-1]))
        return Stored(fresh[-1].seq, len(fresh), resume=False, of=self._reached[place].of)

    def _named(self, batch: Batch, upto: int) -> str:
        """Name the record at *upto* where nobody has yet: it came before acknowledgements had names."""
        of = next((_name(batch.stream, item) for item in batch.items if item.seq == upto), "")
        place = (batch.device, batch.epoch, batch.stream)
        if of:
            self._reached[place] = Reached(upto, of)
        return of

    def _row(self, batch: Batch, item: Item) -> Values:
        leaf = ledgers.leaf_of(item) if batch.stream == "audit" else None
        body = _BODY.encode(item.body)
        at = iso(item.at)
        return (batch.device, batch.epoch, batch.stream, item.seq, item.id, item.kind, at, body, self._at, leaf)

    def _gaps(self, place: Place, upto: int, fresh: list[Item]) -> None:
        expected = upto + 1
        if upto == 0 and fresh[0].seq > 1:
            expected = self._floor(place, fresh[0].seq)
        for item in fresh:
            if item.seq > expected:
                self._home.db.execute(
                    "insert into gaps (device, epoch, stream, first, last, noticed_at) values (?, ?, ?, ?, ?, ?)"
                    " on conflict (device, epoch, stream, first) do update set last = excluded.last",
                    [*place, expected, item.seq - 1, self._at],
                )
            expected = item.seq + 1

    def _floor(self, place: Place, first: int) -> int:
        """Begin an accepted history after what was set aside of it: what lies there is not lost."""
        floor = min(first, histories.set_aside_upto(self._home, *place) + 1)
        if floor > 1:
            self._home.db.execute(
                "update streams set first = ? where device = ? and epoch = ? and stream = ?", [floor, *place]
            )
        return floor

    def _flush(self) -> None:
        rows, self._rows = self._rows, []
        if rows:
            self._home.db.add("records", _COLUMNS, rows)

    def _move(self, moved: dict[Place, Reached]) -> None:
        if not moved:
            return
        values = [
            value
            for place, reached in sorted(moved.items())
            for value in (*place, *reached, self._bytes.get(place, 0), self._at)
        ]
        marks = ", ".join(["(?, ?, ?, ?, ?, ?, ?)"] * len(moved))
        self._home.db.execute(
            f"insert into streams (device, epoch, stream, upto, newest, bytes, seen_at) values {marks}"  # noqa: S608 -- only marks
            " on conflict (device, epoch, stream) do update set upto = excluded.upto, newest = excluded.newest,"
            " bytes = streams.bytes + excluded.bytes, seen_at = excluded.seen_at",
            values,
        )


def reached(home: FleetHome, device: str, epoch: str, stream: str) -> int:
    """Return up to where a stream of *device* is committed here."""
    row = home.db.row("select upto from streams where device = ? and epoch = ? and stream = ?", [device, epoch, stream])
    return 0 if row is None else int(row["upto"])


def locked(home: FleetHome, places: set[Place]) -> dict[Place, Reached]:
    """Return up to where each of *places* is committed, and keep all others from adding to them until the commit."""
    # Sorted, so that two collectors that want the same ones wait for each other and not in a circle.
    marks = ", ".join(["(?, ?, ?, 0)"] * len(places))
    rows = home.db.rows(
        f"insert into streams (device, epoch, stream, upto) values {marks}"  # noqa: S608 -- only marks
        " on conflict (device, epoch, stream) do update set upto = streams.upto"
        " returning device, epoch, stream, upto, newest",
        [value for place in sorted(places) for value in place],
    )
    return {(r["device"], r["epoch"], r["stream"]): Reached(int(r["upto"]), r["newest"]) for r in rows}


def _name(stream: str, item: Item) -> str:
    if stream == "audit":
        return receipts.of_record(ledgers.leaf_of(item))
    return receipts.of_event(item.seq, item.id, item.kind, item.at)
