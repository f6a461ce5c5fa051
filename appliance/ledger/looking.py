"""One look at one ledger: its records, the roots kept over them, and every checkpoint, held against each other.

Covers: the order of the findings (the first record that is wrong is the one that is told), holes that a verified record
explains, rows that nothing signed bears out.
Does not cover: which moment of the file is looked at (`snapshot`); what makes a file unreadable altogether (`shape`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

from appliance.contracts.tree import Frontier
from appliance.errors import StorageError
from appliance.ledger import absent, beside, checking, conclusion, gathering, roots, segments, shape, trusting
from appliance.ledger.absent import END
from appliance.ledger.beside import Run, joined, rows_between, within
from appliance.ledger.segments import Hole, Segment, Table
from appliance.ledger.trusting import Vouched
from appliance.ledger.verdict import Broken, Given, State, Verification
from appliance.storage.tree import WIDTH, WIDTH_BITS


class Look:
    """One look at one ledger, from its first segment to its last."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        table: Table,
        given: Given,
        progress: Callable[[int], None],
        asked_by: frozenset[str] = frozenset(),
    ) -> None:
        self._connection = connection
        self._table = table
        self._given = given
        self._progress = progress
        self._asked_by = asked_by | {table.epoch}
        self._others: dict[str, Verification] = {}
        low, high, self._here_n = self._rows(table.select("min(seq), max(seq), count(*)", "true"))[0]
        if high is None and not table.is_current:
            raise StorageError(f"{table.path} has no records of an epoch {table.epoch!r}")
        self._too_long = shape.too_long(connection, table, high or 0, self._here_n)
        self._lowest: int | None = low
        self._size: int = (high or 0) if self._too_long is None else self._here_n
        self._keys = None if given.key is None else trusting.keys_of(connection, table, given.key)
        self._absent = absent.of(connection, table, self._why_not)
        self._kept = roots.in_order(connection, table.epoch)
        self._roots: list[bytes] = []
        self._frontier: Frontier | None = Frontier()
        self._rows_n = self._good_size = self._signed_size = 0
        self._borne_out = self._anchored_upto = 0
        self._erased: list[Run] = []
        self._unverifiable: list[Run] = []
        self._is_anchored = False
        self._unheld: Vouched | None = None
        self._suspect: Broken | None = None

    def verdict(self) -> Verification:
        """Look at everything."""
        vouchers = gathering.vouchers(self._connection, self._table, self._given, self._keys)
        if isinstance(vouchers, str):
            return self._broken(self._whole(vouchers))
        broken = self._before(vouchers) or self._walk(vouchers) or self._after(vouchers)
        return self._sound(vouchers) if broken is None else self._broken(broken)

    def _before(self, vouchers: Sequence[Vouched]) -> Broken | None:
        """Return what can be told before a record is read."""
        if self._too_long is not None:
            return Broken(1, self._here_n + 1, self._too_long)
        if self._lowest is not None and self._lowest < 1:
            return Broken(1, 1, f"there is a record numbered {self._lowest}, which no ledger has")
        if self._absent.fault:
            return self._whole(self._absent.fault)
        said = gathering.fault(vouchers, self._origin(vouchers), self._keys)
        return None if said is None else self._whole(said)

    def _why_not(self, other: Table, seq: int) -> str | None:
        """Say why record *seq* of another epoch counts for nothing, None where it was verified."""
        if other.epoch in self._asked_by:
            return "its epoch leans on this one"
        if other.epoch not in self._others:
            given = Given(key=None if self._keys is None else self._keys.ours[-1])
            look = Look(self._connection, other, given, lambda _rows_n: None, self._asked_by)
            self._others[other.epoch] = look.verdict()
        found = self._others[other.epoch]
        if found.state == "broken":
            return f"that epoch is broken at record {found.bad_seq}"
        if within(seq, found.unverifiable) or (self._given.key is not None and seq > found.signed_size):
            return "nothing that the device signed vouches for it (`appliance audit checkpoint` on the device signs it)"
        return None

    def _walk(self, vouchers: Sequence[Vouched]) -> Broken | None:
        """Look at every record, and at every checkpoint where its size is reached."""
        sizes = sorted({voucher.checkpoint.size for voucher in vouchers if voucher.checkpoint.size <= self._size})
        waiting = [voucher for voucher in vouchers if 0 < voucher.checkpoint.size <= self._size][::-1]
        for seen in segments.summaries(self._table, self._size, sizes):
            segment, stated = seen, next(self._kept, None) if (seen.n + 1) * WIDTH <= self._size else None
            if self._may_be_newer(seen, stated):
                segment = segments.again(self._connection, self._table, seen.n, self._size, sizes)
            reached = []
            while waiting and waiting[-1].checkpoint.size <= (segment.n + 1) * WIDTH:
                reached.append(waiting.pop())
            broken = self._segment(segment, stated, reached)
            if broken is not None:
                return broken
            self._progress(segment.rows_n)
        return None

    def _may_be_newer(self, segment: Segment, stated: bytes | None) -> bool:
        """Tell whether something is not as this look has it; another process read it, and maybe later."""
        if segment.bad_seq is not None or (segment.n + 1) * WIDTH > self._size:
            return True
        if segment.holes:
            return not all(self._absent.explains(hole) for hole in segment.holes)
        return Frontier(segment.runs).root() != stated

    def _segment(self, segment: Segment, stated: bytes | None, reached: Sequence[Vouched]) -> Broken | None:
        self._rows_n += segment.rows_n
        first, last = segment.n * WIDTH + 1, (segment.n + 1) * WIDTH
        hole = next((hole for hole in segment.holes if not self._absent.explains(hole)), None)
        if hole is not None and (segment.bad_seq is None or hole.first < segment.bad_seq):
            said = f"records {hole.first} to {hole.last} are" if hole.first < hole.last else f"record {hole.first} is"
            doubt = f": {self._absent.doubt}" if self._absent.doubt else ""
            return Broken(hole.first, hole.first, f"{said} missing{doubt}")
        if segment.bad_seq is not None:
            return Broken(segment.bad_seq, segment.bad_seq, segment.reason)
        here = rows_between(segment.holes, first, min(last, self._size))
        if here and self._absent.is_pruned(segment.n):
            return Broken(here[0][0], here[0][0], "it lies among records that were pruned: it was put there since")
        joined(self._erased, segment.erased)
        if segment.n == 0 and not segment.holes:
            fault = self._first_fault()
            if fault is not None:
                return Broken(1, 1, fault)
        before, root = self._frontier, None
        if last <= self._size:
            root = stated if segment.holes else Frontier(segment.runs).root()
            if stated != root and self._suspect is None:
                what = "is missing" if stated is None else "is another than these records give"
                reason = f"the root kept over records {first} to {last} {what}"
                self._suspect = Broken(first, last, reason)
        for voucher in reached:
            broken = self._held(voucher, segment, before, root)
            if broken is not None:
                return broken
        if segment.holes or before is None:
            self._unverifiable += [(max(a, self._borne_out + 1), b) for a, b in here if b > self._borne_out]
        self._grow(segment, root)
        return None

    def _grow(self, segment: Segment, root: bytes | None) -> None:
        is_complete = (segment.n + 1) * WIDTH <= self._size
        if self._frontier is None or (root is None and (is_complete or segment.holes)):
            self._frontier = None  # records are lost, and so is the root over them: nothing from here on can be told
        elif root is not None:
            self._frontier = self._frontier.extended([(WIDTH_BITS, root)])
            self._roots.append(root)
        else:
            self._frontier = self._frontier.extended(segment.runs)

    def _held(self, voucher: Vouched, segment: Segment, before: Frontier | None, root: bytes | None) -> Broken | None:
        """Hold a checkpoint against the records up to its size."""
        said = voucher.checkpoint
        runs = [(WIDTH_BITS, root)] if root and said.size % WIDTH == 0 else segment.partial.get(said.size)
        if before is None or runs is None:
            if voucher.is_given:
                self._unheld = voucher
            return None
        if before.extended(runs).root() != said.root:
            if self._suspect is not None:
                return self._suspected(self._suspect)
            who = "the device signed" if voucher.by in ("device", "older key") else "a checkpoint states"
            if self._given.remembered is said:
                who = "the device remembers"
            reason = f"{who} another history of {said.size} records than the one that is here"
            return Broken(self._good_size + 1, said.size, reason)
        self._good_size = said.size
        if said.size in segment.partial or not segment.holes:
            self._borne_out = said.size  # by the rows themselves, not by a root in place of those that are lost
        if voucher.by == "device":
            self._signed_size = said.size
            if voucher.is_given:
                self._is_anchored, self._anchored_upto = True, said.size
        return None

    def _after(self, vouchers: Sequence[Vouched]) -> Broken | None:
        """Return what can be told once every record was read."""
        if self._rows_n != self._here_n:
            return self._whole(f"the table has {self._here_n} rows, and {self._rows_n} of them are records")
        if self._suspect is not None:
            return self._suspected(self._suspect)
        newest = max(vouchers, key=lambda voucher: voucher.checkpoint.size, default=None)
        rest = Hole(self._size + 1, END - 1)
        if self._absent.explains(rest):
            return self._kept_higher()
        if newest is not None and newest.checkpoint.size > self._size:
            signed = newest.checkpoint.size
            reason = f"the device signed {signed} records, {self._size} are here: the end is missing"
            return Broken(self._size + 1, self._size + 1, reason)
        kept_n = self._rows("select max(n) + 1 from tree where epoch = :epoch and level = 1")[0][0] or 0
        if kept_n * WIDTH > self._size:
            reason = f"roots are kept over more records than the {self._size} that are here: the end is missing"
            return Broken(self._size + 1, self._size + 1, reason)
        said_by = self._absent.said_by
        if self._signed_size and (said_by > self._signed_size or within(said_by, self._unverifiable)):
            first = self._absent.pruned[0]
            reason = (
                f"records are missing; record {self._absent.said_by}, which says they were pruned, is not signed"
                " (`appliance audit checkpoint` on the device signs it)"
            )
            return Broken(first.first, first.first, reason)
        return self._kept_higher()

    def _suspected(self, suspect: Broken) -> Broken:
        """Narrow down a segment whose kept root is not the one that its records give, by the checkpoints around it."""
        if self._good_size >= suspect.bad_upto:
            return suspect._replace(
                reason=f"{suspect.reason}; a checkpoint has the records' own: the root was exchanged"
            )
        return suspect._replace(bad_seq=max(suspect.bad_seq, self._good_size + 1))

    def _kept_higher(self) -> Broken | None:
        if self._frontier is None:
            return None
        wrong = roots.first_wrong(self._connection, self._table.epoch, self._roots)
        if wrong is None:
            return None
        return Broken(
            wrong.first, wrong.last, f"the root kept over records {wrong.first} to {wrong.last} is not theirs"
        )

    def _first_fault(self) -> str | None:
        """Say what is wrong with the record that begins the epoch."""
        kind, body = self._rows(self._table.select("kind, body", "seq = 1"))[0]
        try:
            begun = checking.facts(body).get("epoch") if kind == b"epoch" else self._table.epoch
        except ValueError as error:
            return str(error)
        if begun != self._table.epoch:
            return f"it begins epoch {begun}, and the database claims to be {self._table.epoch}"
        return None

    def _origin(self, vouchers: Sequence[Vouched]) -> str | None:
        return gathering.origin(self._connection, self._table, vouchers)

    def _sound(self, vouchers: Sequence[Vouched]) -> Verification:
        unheld, caveat = self._unheld, self._keys.caveat if self._keys is not None else ""
        reasons = conclusion.reasons(self._size, self._signed_size, is_anchored=self._is_anchored)
        if unheld is not None:
            reasons.append(self._absent.cannot_hold(unheld.checkpoint.size))
        if caveat:
            reasons.append(f"Checkpoints by another key were not used: {caveat}.")
        if self._absent.lost:
            reasons.insert(0, conclusion.lost(self._unverifiable))
        state: State = "anchored" if self._is_anchored and not self._unverifiable else "consistent-unanchored"
        sound = self._found(state, self._origin(vouchers), " ".join(reasons))
        gone, signed = self._absent, self._signed_size
        first = signed + 1 if signed else self._lowest or 1
        return sound.model_copy(
            update={
                "unverifiable": tuple(self._unverifiable),
                "anchored_upto": self._anchored_upto,
                "unsigned_tail": self._size - signed,
                "unsigned_since": beside.stated_time(self._connection, self._table, first),
                "erased_unexplained": beside.unnamed(self._connection, self._table, self._erased, gone, signed),
                "holds_unexplained": beside.disagreeing_holds(self._connection, gone) if self._table.is_current else (),
                "began": beside.began(self._connection, self._table),
            }
        )

    def _broken(self, broken: Broken) -> Verification:
        found = self._found("broken", None, broken.reason)
        return found.model_copy(update={"bad_seq": broken.bad_seq, "bad_upto": broken.bad_upto})

    def _found(self, state: State, origin: str | None, reason: str) -> Verification:
        is_whole = self._frontier is not None and self._frontier.size == self._size
        return Verification(
            state=state,
            epoch=self._table.epoch,
            origin=origin,
            rows_n=self._rows_n,
            size=self._size,
            root=self._frontier.root().hex() if self._frontier is not None and is_whole else "",
            signed_size=self._signed_size,
            unheld=None if self._unheld is None else self._unheld.checkpoint.size,
            pruned=tuple(self._absent.pruned),
            lost=tuple(hole for hole in self._absent.lost if hole.last < END),
            reason=reason,
        )

    def _whole(self, reason: str) -> Broken:
        return Broken(1, max(1, self._size), reason)

    def _rows(self, sql: str) -> list[Any]:
        return self._connection.execute(sql, {"epoch": self._table.epoch}).fetchall()
