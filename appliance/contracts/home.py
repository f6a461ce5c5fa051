"""Every path of a device's home, on one page."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple


class Home(NamedTuple):
    """The folder that holds a device's state; nothing is written elsewhere."""

    root: Path

    @classmethod
    def find(cls, explicit: Path | None = None, environ: Mapping[str, str] = os.environ) -> Home:
        """Return the home that *explicit* (`--home`) says, else `APPLIANCE_HOME`, else the XDG state folder's."""
        if explicit is not None:
            return cls(explicit.absolute())
        if named := environ.get("APPLIANCE_HOME"):
            return cls(Path(named).absolute())
        state = environ.get("XDG_STATE_HOME") or Path(environ.get("HOME") or "/var/lib") / ".local" / "state"
        return cls(Path(state) / "appliance")

    @property
    def settings(self) -> Path:
        """What the owner wrote."""
        return self.root / "appliance.toml"

    @property
    def database(self) -> Path:
        """Inbox, audit and outbox."""
        return self.root / "appliance.db"

    @property
    def keys(self) -> Path:
        """Private keys, mode 0700."""
        return self.root / "keys"

    @property
    def laws(self) -> Path:
        """Files of laws of this site."""
        return self.root / "laws"

    @property
    def enrolment(self) -> Path:
        """Which controller this device obeys, and its broker; absent on a standalone device."""
        return self.root / "enrolment.json"

    @property
    def is_provisioned(self) -> bool:
        """Whether Ansible made this home: then systemd starts its daemon, nobody else."""
        return (self.root / "provisioned").exists()

    @property
    def bundles(self) -> Path:
        """Bundles that were installed here, and which of them decides."""
        return self.root / "bundles"

    @property
    def incoming(self) -> Path:
        """Where deliveries are put by whoever brings them over a network; nothing here is taken by itself."""
        return self.bundles / "incoming"

    @property
    def lock(self) -> Path:
        """Held by the one daemon of this home."""
        return self.root / "daemon.lock"

    @property
    def signed(self) -> Path:
        """What the device last vouched for; beside the database, so that an exchanged one is noticed."""
        return self.keys / "signed.jsonl"

    @property
    def floors(self) -> Path:
        """What only grows and must outlive the database: counters of controllers, versions."""
        return self.keys / "floors.jsonl"

    @property
    def desired(self) -> Path:
        """The configuration that the fleet wants here."""
        return self.root / "desired.json"

    @property
    def exports(self) -> Path:
        """Archives that a controller had made here."""
        return self.root / "exports"

    @property
    def latch(self) -> Path:
        """Present while the emergency stop is latched; survives the database."""
        return self.root / "emergency.json"

    @property
    def log(self) -> Path:
        """What a daemon started by the CLI writes to standard error."""
        return self.root / "daemon.log"
