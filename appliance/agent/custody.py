"""The ledger in good keeping: in its epoch, signed, held against its leaves, pruned, and carried over a change of key.

Covers: everything that happens to the ledger apart from decisions being appended to it. Does not cover: how each is
done; `epochs`, `checkpointing`, `retaining` and `rekeying` know, and know nothing of each other.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import NamedTuple

from appliance.agent import epochs, rekeying, salvaging
from appliance.agent.announcing import Identity
from appliance.agent.checkpointing import Checkpointer
from appliance.agent.retaining import Bounds, Retaining
from appliance.agent.troubles import Troubles
from appliance.agent.vouched import vouched
from appliance.contracts.clock import Clock
from appliance.contracts.home import Home
from appliance.contracts.local import LocalReply
from appliance.contracts.record import JsonObject
from appliance.contracts.retaining import RetainingRequest
from appliance.storage import soundness
from appliance.storage.database import Database
from appliance.trust import rotation


class Terms(NamedTuple):
    """What the owner has set."""

    checkpoint_every_n: int
    checkpoint_every_s: float
    bounds: Bounds


class Custody:
    """Keeps one device's ledger while its daemon runs."""

    def __init__(
        self,
        db: Database,
        home: Home,
        identity: Identity,
        begun: epochs.Begun,
        terms: Terms,
        *,
        device: str,
        clock: Clock,
        enrolled: bool,
        troubles: Troubles,
        on_signed: Callable[[str], None],
        on_rekeyed: Callable[[Identity], None],
    ) -> None:
        self._db = db
        self._home = home
        self._device = device
        self._clock = clock
        self._enrolled = enrolled
        self._troubles = troubles
        self._on_rekeyed = on_rekeyed
        self._origin = begun.state.origin
        self._quota_bytes = terms.bounds.quota_mb * 2**20
        self._public = identity.key.public
        self._rekeying = threading.Lock()
        self._leaving = threading.Event()
        self._walker = threading.Thread(target=self._walk, name="walk", daemon=True)
        self._checkpointer = Checkpointer(
            db,
            home.signed,
            begun.state,
            key=identity.key,
            clock=clock,
            every_n=terms.checkpoint_every_n,
            every_s=terms.checkpoint_every_s,
            on_refused=troubles.contradicted,
            on_signed=on_signed,
        )
        self._retaining = Retaining(
            db,
            clock,
            terms.bounds,
            enrolled=lambda: enrolled,
            on_pruned=self._checkpointer.sign,
            on_full=troubles.quota,
        )

    def tell_salvaged(self) -> bool:
        """Record what was saved from a damaged predecessor, once.

        Returns:
            Whether there was something to tell.
        """
        return salvaging.tell(self._db, self._clock, enrolled=self._enrolled) is not None

    def start(self) -> None:
        """Sign now and from now on, and begin to read the whole ledger once: a start has no time for that."""
        self._checkpointer.start()
        self._walker.start()

    def leave(self) -> None:
        """Read no further; records may still come."""
        self._leaving.set()

    def stop(self) -> None:
        """Sign the last record, and end."""
        self._leaving.set()
        self._checkpointer.stop()

    def tick(self) -> None:
        """Prune and erase a little, if it is due."""
        self._retaining.tick()

    def checkpoint(self) -> str | None:
        """Sign how far the ledger is, now; None if that would contradict what was signed."""
        return self._checkpointer.sign()

    def retain(self, request: RetainingRequest, peer: str) -> LocalReply:
        """Hold, release, redact or prune records."""
        return self._retaining.handle(request, peer)

    def rotate_key(self, *, reason: str, compromised: bool, peer: str) -> JsonObject:
        """Give the device a new key; the ledger, the checkpoints and the fleet go on with it."""
        root = self._home.root
        with self._rekeying:
            old = rotation.current(root)
            new = rekeying.rotate(
                root,
                self._db,
                device=self._device,
                moment=self._clock.moment(),
                peer=peer,
                reason=reason,
                compromised=compromised,
                cosign=self._checkpointer.rekey,
            )
            self._on_rekeyed(Identity(new, rotation.kept(root)))
            self._public = new.public
        return {"key_id": new.key_id, "key_id_before": old.key_id}

    def standing(self) -> JsonObject:
        """Return the ledger's part of the status."""
        return vouched(self._db, self._public, origin=self._origin, quota_bytes=self._quota_bytes)

    def _walk(self) -> None:
        fault = soundness.walk(self._db.path, self._leaving)
        if fault is not None:
            self._troubles.record_damaged(fault)
