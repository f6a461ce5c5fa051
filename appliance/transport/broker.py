"""A broker for trying and testing, on this machine only: the one file that imports iotcore.

It forgets everything when it stops, never expires sessions, and ignores retain handling, retain-as-published and
receive maximum (measured with iotcore 0.4): for a demonstration it is enough, for a site it is not. Use Mosquitto
there.
"""

from __future__ import annotations

import socket
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from appliance.contracts.envelope import MAX_MESSAGE_BYTES
from appliance.errors import LinkError

HOST: Final = "127.0.0.1"

_TEMPLATE: Final = """\
id = 0
[router]
id = 0
max_connections = 1000
max_outgoing_packet_count = 200
max_segment_size = 104857600
max_segment_count = 10
[v5.1]
name = "v5"
listen = "{host}:{port}"
next_connection_delay_ms = 1
[v5.1.connections]
connection_timeout_ms = 10000
max_payload_size = {size}
max_inflight_count = 100
"""


class EmbeddedBroker:
    """An MQTT 5 broker in a child process on loopback; it ends with this process."""

    def __init__(self, port: int | None = None) -> None:
        self.host = HOST
        self.port = free_port() if port is None else port
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._broker: object | None = None

    def start(self) -> None:
        """Start it, and wait until it accepts connections.

        Raises:
            LinkError: the package is not installed, or the port is taken.
        """
        try:
            from iotcore import Broker
        except ImportError as error:
            raise LinkError("no embedded broker here: install this package with its extra `broker`") from error
        self._folder = tempfile.TemporaryDirectory(prefix="appliance-broker-")
        config = Path(self._folder.name) / "broker.toml"
        config.write_text(_TEMPLATE.format(host=self.host, port=self.port, size=MAX_MESSAGE_BYTES + 8192))
        try:
            broker = Broker(config_path=str(config))
            broker.start()
        except (OSError, RuntimeError) as error:
            self._folder.cleanup()
            raise LinkError(f"the embedded broker does not start on port {self.port}: {error}") from error
        self._broker = broker

    def stop(self) -> None:
        """Stop it and free its port; harmless when it does not run."""
        from iotcore import Broker

        if isinstance(self._broker, Broker):
            self._broker.stop()
        self._broker = None
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def free_port() -> int:
    """Return a loopback port that nobody uses now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
