"""Rows of the outbox to batches in order, and the controller's high-water mark back to the outbox."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from appliance.agent import sharing
from appliance.agent.sharing import Share
from appliance.contracts.canonical import canonical
from appliance.contracts.envelope import Ack, Batch, Item
from appliance.contracts.record import JsonObject
from appliance.contracts.tree import peaks
from appliance.storage import outbox, tree
from appliance.storage.database import Database
from appliance.storage.outbox import Outgoing, Stream

_LONGEST_SILENCE_S: Final = 900.0
REFUSED_PAUSE_S: Final = 2.0
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
    ) -> None:
        self._db = db
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
        self._held_until_s = 0.0
        self._is_again = True

    def rewind(self) -> None:
        """Begin again after what is acknowledged: the broker may have lost the rest."""
        self._held_until_s = 0.0
        self._is_again = True
        self._cursor = self._acked
        self._quiet_since_s = self._monotonic_s()

    def refused(self) -> None:
        """Begin again after a pause: the broker did not take a batch, or the connection broke under it."""
        self.rewind()
        self._held_until_s = self._monotonic_s() + REFUSED_PAUSE_S

    def next_batch(self, limit_bytes: int) -> Batch | None:
        """Return the next batch of at most *limit_bytes* on the wire, or None when there is nothing to send now."""
        if self._cursor > self._acked and self._monotonic_s() - self._quiet_since_s > self._patience_s:
            # The broker has it but no controller answers: ask again, ever more seldom.
            self._patience_s = min(_LONGEST_SILENCE_S, self._patience_s * 2)
            self.rewind()
        if self._cursor - self._acked >= self._window_n or self._monotonic_s() < self._held_until_s:
            return None
        rows = outbox.waiting(self._db, self._stream, after=self._cursor, limit=self._batch_n)
        if not rows:
            return None
        items: list[Item] = []
        size = _WRAPPER_BYTES[self._stream]
        for row in rows:
            item = self._item(row, limit_bytes)
            size += len(canonical(item.model_dump(mode="json"))) + 1
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
        if batch.items[-1].seq > outbox.mark(self._db, self._stream).sent:
            outbox.sent(self._db, self._stream, batch.items[-1].seq)

    def acknowledged(self, ack: Ack) -> None:
        """Believe a controller's high-water mark, up to what was sent."""
        before = self._acked
        self._acked = outbox.acknowledge(self._db, self._stream, ack.upto)
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
        size = len(canonical(item.model_dump(mode="json")))
        if "personal" in body and size + _WRAPPER_BYTES[self._stream] > limit_bytes:
            # The record itself must get through; words that are too long stay here.
            item = item.model_copy(update={"body": row.body})
        if self._stream == "evt" and size + _WRAPPER_BYTES[self._stream] > limit_bytes:
            # Nothing this long ever gets through; its place is kept so that the stream goes on and the loss is seen.
            stub: JsonObject = {"oversized_bytes": size}
            item = item.model_copy(update={"body": stub})
        return item
