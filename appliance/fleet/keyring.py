"""The keys of the enrolled devices, and which of them this controller may acknowledge to.

Covers: a key that changed, or a device that was enrolled, since they were read (looked up anew, each name at most once
in a while, so that a stranger costs next to nothing). Does not cover: a device that was forgotten a moment ago; it is
believed until `forget`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from appliance.fleet import acknowledging
from appliance.fleet.home import FleetHome
from appliance.trust.keys import PublicKey

AGAIN_S: Final = 1.0
_STRANGERS_N: Final = 10_000
"""Names that are remembered as looked up; anybody can make up more."""


class Keyring:
    """What one collector knows; its thread alone uses it."""

    def __init__(self, home: FleetHome, monotonic: Callable[[], float]) -> None:
        self._home = home
        self._monotonic = monotonic
        self._keys: dict[str, PublicKey] | None = None
        self._mute: set[str] = set()
        self._again_s: dict[str, float] = {}

    def of(self, device: str) -> PublicKey | None:
        """Return the key of *device*; None for one that is not enrolled."""
        if self._keys is None:
            self._keys = {}
            for row in self._home.db.rows("select device, public_key, role from devices"):
                self._keep(row["device"], row["public_key"], row["role"])
        found = self._keys.get(device)
        return self.anew(device) if found is None else found

    def anew(self, device: str) -> PublicKey | None:
        """Return the key of *device* as the database has it now, unless it was looked up a moment ago."""
        keys = {} if self._keys is None else self._keys
        now_s = self._monotonic()
        if now_s >= self._again_s.get(device, now_s):
            if len(self._again_s) >= _STRANGERS_N:
                self._again_s.clear()
            self._again_s[device] = now_s + AGAIN_S
            self.changed(device)
        return keys.get(device)

    def changed(self, device: str) -> None:
        """Read the key of *device* now: it is known to be another."""
        row = self._home.db.row("select public_key, role from devices where device = ?", [device])
        if row is not None:
            self._keep(device, row["public_key"], row["role"])
        elif self._keys is not None:
            self._keys.pop(device, None)

    def may_acknowledge(self, device: str) -> bool:
        """Tell whether *device* would take an acknowledgement of this controller."""
        return device not in self._mute

    def forget(self) -> None:
        """Read all of them anew when one is wanted: somebody may have been forgotten."""
        self._keys = None
        self._mute.clear()
        self._again_s.clear()

    def _keep(self, device: str, public_key: str, role: str | None) -> None:
        if self._keys is None:
            self._keys = {}
        self._keys[device] = PublicKey.from_hex(public_key)
        if acknowledging.may(role):
            self._mute.discard(device)
        else:
            self._mute.add(device)
