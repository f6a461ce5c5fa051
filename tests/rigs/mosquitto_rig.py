"""A real Mosquitto on a free loopback port, and a wire that can be frozen, both ended by the test that began them."""

import contextlib
import select
import shutil
import socket
import subprocess
import threading
import time

from appliance.transport.broker import free_port


class Mosquitto:
    def __init__(self, folder, *lines):
        self.folder = folder
        self.port = free_port()
        self.lines = lines
        self.process = None

    def start(self):
        (self.folder / "mosquitto.conf").write_text(
            "\n".join(
                (
                    f"listener {self.port} 127.0.0.1",
                    f"persistence_location {self.folder}/",
                    "persistence true",
                    "max_inflight_messages 20",
                    "user root",  # else it gives up root for an account that cannot write the test's folder
                    *(self.lines or ("allow_anonymous true",)),
                    "",
                )
            )
        )
        return self.start_as_written()

    def start_as_written(self):
        """Start with the configuration that lies in the folder, whoever wrote it."""
        program = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
        assert program, "Mosquitto is not installed; `make test-system` installs it"
        config = self.folder / "mosquitto.conf"
        with (self.folder / "mosquitto.log").open("ab") as log:
            self.process = subprocess.Popen([program, "-c", str(config)], stdout=log, stderr=log)
        end_s = time.monotonic() + 10
        while time.monotonic() < end_s:
            assert self.process.poll() is None, (self.folder / "mosquitto.log").read_text()
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return self
            time.sleep(0.05)
        raise AssertionError("Mosquitto did not start")

    def stop(self):
        """End in order: Mosquitto writes what it keeps."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(10)
            self.process = None

    def forget_everything(self):
        (self.folder / "mosquitto.db").unlink(missing_ok=True)


class Wire:
    """A TCP forwarder; frozen, it keeps every connection open and moves nothing."""

    def __init__(self, to_port):
        self._to_port = to_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.05)
        self.port = self._listener.getsockname()[1]
        self.frozen = False
        self.connections = 0
        self._pairs = []
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while not self._ending.is_set():
            with contextlib.suppress(TimeoutError):
                near, _ = self._listener.accept()
                self.connections += 1
                self._pairs.append((near, socket.create_connection(("127.0.0.1", self._to_port))))
            if not self.frozen:
                self._forward()

    def _forward(self):
        ends = {a: b for pair in self._pairs for a, b in (pair, pair[::-1])}
        readable, _, _ = select.select(list(ends), [], [], 0.0) if ends else ([], [], [])
        for end in readable:
            data = b""
            with contextlib.suppress(OSError):
                data = end.recv(65536)
            try:
                assert data
                ends[end].sendall(data)
            except (OSError, AssertionError):
                pair = next(p for p in self._pairs if end in p)
                self._pairs.remove(pair)
                for each in pair:
                    each.close()
                return

    def close(self):
        self._ending.set()
        self._thread.join()
        self._listener.close()
        for pair in self._pairs:
            for each in pair:
                each.close()
