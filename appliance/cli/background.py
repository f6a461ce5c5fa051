"""Starts a daemon as a process of its own when a newcomer's home has none."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Final

from appliance.contracts.home import Home
from appliance.contracts.local import Hello
from appliance.errors import (
    ApplianceError,
    BundleError,
    DaemonUnavailable,
    SettingsError,
    StorageError,
    TrustError,
)
from appliance.transport.local import LocalClient

START_S: Final = 30.0
"""A Pi Zero 2 W loads the network from a slow card in less."""

_KINDS: Final[dict[int, type[ApplianceError]]] = {
    kind.exit_code: kind for kind in (SettingsError, BundleError, StorageError, TrustError)
}
"""A daemon that cannot start tells the kind of its fault by its exit code."""

LOG_BYTES: Final = 1_000_000
"""From here on a new log is begun and one old one kept; a service logs to journald instead."""


def ensure(home: Home) -> None:
    """Make sure that a daemon answers on this home; a provisioned home's is systemd's business.

    Raises:
        DaemonUnavailable: it does not come up, or the home is provisioned and its service is down.
        ApplianceError: the daemon said why it cannot start.
    """
    try:
        LocalClient(home.root).request(Hello())
    except DaemonUnavailable:
        if home.is_provisioned:
            raise
    else:
        return
    home.root.mkdir(parents=True, exist_ok=True, mode=0o750)
    if home.log.exists() and home.log.stat().st_size > LOG_BYTES:
        home.log.replace(home.log.with_suffix(".log.1"))
    with home.log.open("ab") as log:
        began = log.tell()
        daemon = subprocess.Popen(
            [sys.executable, "-m", "appliance", "--home", str(home.root), "run"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C in this terminal is not meant for it
            cwd="/",
        )
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        try:
            LocalClient(home.root).request(Hello())
        except DaemonUnavailable:
            # Exit code 6: another starter was quicker, and its daemon will answer.
            if daemon.poll() not in (None, 6):
                raise _KINDS.get(daemon.returncode, ApplianceError)(_last_words(home, began)) from None
            time.sleep(0.05)
        else:
            return
    raise DaemonUnavailable(f"the daemon did not answer within {START_S:.0f} s; {home.log} says why")


def _last_words(home: Home, began: int) -> str:
    with home.log.open("rb") as log:
        log.seek(began)
        lines = log.read(65536).decode(errors="replace").strip().splitlines()
    said = next((line for line in reversed(lines) if line.startswith("appliance: ")), "")
    return said.removeprefix("appliance: ") or f"the daemon could not start; {home.log} says why"
