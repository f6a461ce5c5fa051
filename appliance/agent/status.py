"""The device at a glance: what `status` answers and the console paints."""

from __future__ import annotations

from collections.abc import Callable

from appliance.agent.plan import Versions
from appliance.contracts.clock import Clock
from appliance.contracts.record import JsonObject
from appliance.policy.lifecycle import Lifecycle
from appliance.storage import inbox, outbox
from appliance.storage.database import Database


class Glance:
    """Gathers the status; everything in it is measured when asked."""

    def __init__(
        self,
        *,
        device: JsonObject,
        versions: Versions,
        boot: int,
        db: Database,
        lifecycle: Lifecycle,
        clock: Clock,
        devices: Callable[[], JsonObject],
        simulated: Callable[[], bool],
        locked: Callable[[], bool],
        degraded: Callable[[], tuple[str, ...]],
        link: Callable[[], JsonObject],
        ledger: Callable[[], JsonObject],
        laws: Callable[[], JsonObject],
    ) -> None:
        self._device = device
        self._versions = versions
        self._boot = boot
        self._db = db
        self._lifecycle = lifecycle
        self._clock = clock
        self._devices = devices
        self._simulated = simulated
        self._locked = locked
        self._degraded = degraded
        self._link = link
        self._ledger = ledger
        self._laws = laws

    def read(self) -> JsonObject:
        """Return the status as JSON."""
        waiting = [dict(p.waits_for["outcome"]) for p in inbox.waiting(self._db)]  # type: ignore[arg-type]
        return {
            **self._device,
            "state": self._lifecycle.state.value,
            "boot": self._boot,
            "version": self._versions.software,
            "bundle": {
                "name": self._versions.bundle,
                "version": self._versions.bundle_version,
                "sha256": self._versions.bundle_sha256,
            },
            "runtime": self._versions.runtime,
            "clock": "trusted" if self._clock.is_trusted() else "untrusted",
            "simulated": self._simulated(),
            "locked": self._locked(),
            "degraded": list(self._degraded()),
            "devices": self._devices(),
            "waiting": waiting,  # type: ignore[dict-item]
            "ledger": self._ledger(),
            "laws": self._laws(),
            "indeterminate": inbox.indeterminate(self._db),  # type: ignore[dict-item]
            "link": {
                **self._link(),
                "audit": outbox.mark(self._db, "audit")._asdict(),
                "evt": outbox.mark(self._db, "evt")._asdict(),
                "oldest_unsent_at": outbox.oldest_at(self._db),
            },
        }
