"""Rows of the outbox to batches in order, and the controller's high-water mark back to the outbox.

Covers: a record that is too long for the broker even when packed: of the ledger its leaf goes, of an event that it was
too long; the ledger says so, and the stream goes on. An acknowledgement of another history than this device's own (its
card was copied, or an image put back): nothing is freed, and the ledger says so once for each start.
Does not cover: how the batch is signed and packed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from appliance.agent import sharing
from appliance.agent.sharing import Share
from appliance.contracts.canonical import canonical
from appliance.contracts.envelope import MAX_MESSAGE_BYTES, Ack, Batch, Item
from appliance.contracts.packing import packed
from appliance.contracts.record import JsonObject
from appliance.contracts.tree import peaks
from appliance.storage import outbox, tree
from appliance.storage.database import Database
from appliance.storage.outbox import Outgoing, Stream

_LONGEST_SILENCE_S: Final = 900.0
_WRAPPER_BYTES: Final = {"evt": 1024, "audit": 4096}
"""The batch around its items, its signature and its key, and the tree before them."""


class Drain:
    """One stream on its way out; used by the uplink's thread."""

    def __init__(
        self,
        db: Database,
        stream: Stream,
        *,
        device: str,
        epoch: str,
        batch_n: int,
        window_n: int,
        ack_timeout_s: float,
        monotonic_s: Callable[[], float],
        share: Share = "decisions",
        pack_from_bytes: int = 0,
        too_long: Callable[[JsonObject], None] = lambda _facts: None,
        foreign: Callable[[JsonObject], None] = lambda _facts: None,
    ) -> None:
        self._db = db
        self._pack_from_bytes = pack_from_bytes
        self._too_long = too_long
        self._foreign = foreign
        self._is_foreign = False
        self._cut: dict[int, int] = {}
        self._stream: Stream = stream
        self._device = device
        self._epoch = epoch
        self._batch_n = batch_n
        self._window_n = window_n
        self._ack_timeout_s = ack_timeout_s
        self._monotonic_s = monotonic_s
        self._share: Share = share
        self._acked = outbox.mark(db, stream).acked
        self._cursor = self._acked
        self._quiet_since_s = monotonic_s()
        self._patience_s = ack_timeout_s
        self._is_again = True

    def rewind(self) -> None:
        """Begin again after what is acknowledged: the broker may have lost the rest, or did not take it."""
        self._is_again = True
        self._cursor = self._acked
        self._quiet_since_s = self._monotonic_s()

    def next_batch(self, limit_bytes: int) -> Batch | None:
        """Return the next batch of at most *limit_bytes* on the wire, or None when there is nothing to send now."""
        if self._cursor > self._acked and self._monotonic_s() - self._quiet_since_s > self._patience_s:
            # The broker has it but no controller answers: ask again, ever more seldom.
            self._patience_s = min(_LONGEST_SILENCE_S, self._patience_s * 2)
            self.rewind()
        if self._cursor - self._acked >= self._window_n:
            return None
        rows = outbox.waiting(self._db, self._stream, after=self._cursor, limit=self._batch_n, bytes_n=limit_bytes)
        if not rows:
            return None
        self._cut.clear()
        items: list[Item] = []
        size = _WRAPPER_BYTES[self._stream]
        for row in rows:
            item = self._item(row, limit_bytes)
            size += _length(item) + 1
            if items and size > limit_bytes:
                break
            items.append(item)
        return Batch(
            device=self._device,
            epoch=self._epoch,
            stream=self._stream,
            after=self._cursor,
            floor=self._acked,
            items=tuple(items),
            before=self._before(items[0].seq - 1),
        )

    def handed_over(self, batch: Batch) -> None:
        """Go on after *batch*; the outbox learns that it left before any acknowledgement can come."""
        if self._cursor == self._acked:
            self._quiet_since_s = self._monotonic_s()
        self._cursor = batch.items[-1].seq
        self._is_again = False

    def mark_sent(self, batch: Batch) -> None:
        """Note durably that *batch* is about to leave; an acknowledgement beyond this mark is not believed."""
        before = outbox.mark(self._db, self._stream).sent
        if batch.items[-1].seq > before:
            with self._db.atomic():
                outbox.sent(self._db, self._stream, batch.items[-1].seq)
                for item in batch.items:
                    if item.seq > before and item.seq in self._cut:
                        self._too_long({"stream": self._stream, "seq": item.seq, "bytes": self._cut[item.seq]})

    def acknowledged(self, ack: Ack) -> None:
        """Believe a controller's high-water mark, up to what was sent, if it means this history."""
        before = self._acked
        acked = outbox.acknowledge(self._db, self._stream, ack.upto, ack.of)
        if acked is None:
            if not self._is_foreign:  # once for each start: it comes again with every greeting
                self._foreign({"stream": self._stream, "upto": ack.upto, "of": ack.of, "issuer": ack.issuer})
            self._is_foreign = True
            return
        self._acked = acked
        self._cursor = max(self._cursor, self._acked)
        if self._acked > before or ack.resume:
            self._patience_s = self._ack_timeout_s
            self._quiet_since_s = self._monotonic_s()
        if ack.resume:
            self.rewind()

    def _before(self, size: int) -> tuple[str, ...] | None:
        """Return the tree before the batch, for a controller that may not have it: at a beginning, and past a gap."""
        if self._stream != "audit" or size == 0 or not (self._is_again or size > self._cursor):
            return None
        with self._db.reading() as connection:
            subtree = tree.subtrees(connection)
            try:
                return tuple(subtree(height, n).hex() for height, n in peaks(size))
            except LookupError:
                return ()  # it cannot be shown, and the controller says so

    def _item(self, row: Outgoing, limit_bytes: int) -> Item:
        body = sharing.leaving(self._share, self._stream, row)
        name = sharing.named(self._share, self._stream, row)
        item = Item.model_validate(
            {"seq": row.seq, "id": name, "kind": row.kind, "at": row.at, "body": body}, strict=False
        )
        if self._fits(item, limit_bytes):
            return item
        size = _length(item)
        if "personal" in body:
            # The record itself must get through; words that are too long stay here.
            item = item.model_copy(update={"body": row.body})
            if self._fits(item, limit_bytes):
                return item
        # Nothing this long ever gets through; its place is kept so that the stream goes on and the loss is seen.
        self._cut[row.seq] = size
        stub: JsonObject = {"oversized_bytes": size} if self._stream == "evt" else {"leaf": row.leaf}
        return item.model_copy(update={"body": stub})

    def _fits(self, item: Item, limit_bytes: int) -> bool:
        """Tell whether *item* gets through in a batch of its own, packed if that is allowed."""
        wrapper = _WRAPPER_BYTES[self._stream]
        length = _length(item) + wrapper
        if length > MAX_MESSAGE_BYTES:
            return False  # either side refuses it, however short it travels
        if length <= limit_bytes:
            return True
        plain = canonical(item.model_dump(mode="json"))
        return len(packed(plain, from_bytes=self._pack_from_bytes)[0]) + wrapper <= limit_bytes


def _length(item: Item) -> int:
    """Return how long *item* is on the wire, within the few bytes that its numbers may differ in canonical form."""
    return len(item.model_dump_json().encode())
