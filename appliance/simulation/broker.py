"""A real Mosquitto for a simulation: on loopback, in the clear, restarted at will, and its log counted.

Covers: a broker that is asked to hold more connections than its descriptors allow (said before it starts). Does not
cover: certificates and access lists; `fleet broker-config` writes those, and tests/system holds them to their word.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from appliance.contracts.enrolment import BrokerSettings
from appliance.contracts.envelope import MAX_MESSAGE_BYTES
from appliance.errors import LinkError
from appliance.transport.broker import HOST, free_port

_START_S: Final = 20.0
_STOP_S: Final = 30.0
_CAME: Final = re.compile(r"^(\d+): New client connected from \S+ as (\S+) ")


class Mosquitto:
    """One broker process at a time; what it keeps outlives a restart."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._folder = folder
        self._log = folder / "mosquitto.log"
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        folder.joinpath("mosquitto.conf").write_text(
            f"listener {self.port} {HOST}\n"
            "allow_anonymous true\n"
            f"persistence true\npersistence_location {folder}/\n"
            f"max_packet_size {MAX_MESSAGE_BYTES + 4096}\n"
            "max_inflight_messages 20\n"
            # Whoever is away longest is the collector; what the broker drops would only be sent again, later.
            "max_queued_messages 0\n"
            "log_type error\nlog_type warning\nlog_type notice\n"
            f"user {'root' if os.geteuid() == 0 else 'mosquitto'}\n",
            "utf-8",
        )

    def settings(self, *, spread_s: float, longest_s: float) -> BrokerSettings:
        """Return how devices reach it."""
        return BrokerSettings(
            host=HOST,
            port=self.port,
            first_connect_s=spread_s,
            reconnect_s=(1.0, longest_s),
            will_delay_s=5,
            # One loop serves thousands: an answer may lie in its socket for a while, and a ping be late.
            connect_timeout_s=60.0,
            keepalive_s=300,
        )

    def start(self) -> None:
        """Start it, and wait until it accepts connections.

        Raises:
            LinkError: it is not installed, or does not start; the message holds what it said.
        """
        program = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
        if program is None:
            raise LinkError("a simulation needs Mosquitto (apt-get install mosquitto); its service need not run")
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [program, "-c", str(self._folder / "mosquitto.conf")],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        end_s = time.monotonic() + _START_S
        while time.monotonic() < end_s:
            if self._process.poll() is not None:
                break
            with contextlib.suppress(OSError), socket.create_connection((HOST, self.port), timeout=1):
                return
            time.sleep(0.05)
        raise LinkError(f"Mosquitto does not start: {self._log.read_text('utf-8', 'replace')[-500:]}")

    def stop(self) -> None:
        """End it in order: it writes what it keeps."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def came(self) -> dict[str, list[int]]:
        """Return when each client connected, in whole seconds, by the broker's own log."""
        with self._log.open(encoding="utf-8", errors="replace") as lines:
            return came(lines)


def came(lines: Iterable[str]) -> dict[str, list[int]]:
    """Read from a Mosquitto's log when each client connected."""
    found: dict[str, list[int]] = defaultdict(list)
    for line in lines:
        if match := _CAME.match(line):
            found[match[2]].append(int(match[1]))
    return found


def most_in_a_minute(times: list[int]) -> int:
    """Return the largest number of *times* within any 60 seconds."""
    ordered = sorted(times)
    most = first = 0
    for last, at in enumerate(ordered):
        while ordered[first] <= at - 60:
            first += 1
        most = max(most, last - first + 1)
    return most
