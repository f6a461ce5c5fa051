"""What a second model costs: off, on with nobody there, and on with a server.

    python tests/benchmarks/bench_escalation.py [ENDPOINT]

ENDPOINT is an OpenAI-compatible server (`http://127.0.0.1:8080/v1`); without one the last row is left out.
"""

import json
import socket
import statistics
import sys
import tempfile
import time
from pathlib import Path

from appliance import settings
from appliance.client import Appliance
from appliance.contracts.home import Home
from appliance.daemon import Daemon
from appliance.storage import audit

ASKED = (
    "it is far too gloomy in the kitchen",
    "it is pitch black in the hall",
    "I can't see a thing in the workshop",
    "the living room is blinding",
)
N = 20


def main(endpoint=None):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        dead = f"http://127.0.0.1:{probe.getsockname()[1]}/v1"
    rows = {"off": "", "on, nobody there": section(dead)} | ({"on, server": section(endpoint)} if endpoint else {})
    for name, text in rows.items():
        with tempfile.TemporaryDirectory() as folder:
            took = run(Path(folder) / "home", text)
        for came, times in sorted(took.items()):
            median, longest = statistics.median(times) * 1000, max(times) * 1000
            print(f"{name:18} {came:12} n={len(times):3}  median {median:8.1f} ms  longest {longest:8.1f} ms")


def section(endpoint):
    chosen = {"proposer": "server", "endpoint": endpoint, "model": "bench", "time_limit_s": 60.0, "tools_n": 4}
    return "[escalation]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in chosen.items())


def run(root, text):
    """Return the time from word to outcome, by what came back of the second model."""
    root.mkdir(parents=True)
    (root / "appliance.toml").write_text(text)
    home = Home(root)
    daemon = Daemon(home, settings.load(root))
    daemon.start()
    took = {}
    try:
        client = Appliance(root, wait_s=120)
        client.say("it is rather gloomy in the office")  # the first answer loads what the next ones find loaded
        for n in range(N):
            begun = time.perf_counter()
            said = client.say(ASKED[n % len(ASKED)])
            elapsed = time.perf_counter() - begun
            took.setdefault(came_back(daemon, said.request_id), []).append(elapsed)
    finally:
        daemon.stop()
    return took


def came_back(daemon, request_id):
    for row in audit.rows(daemon.parts.db.connection):
        if row.request_id == request_id and "escalated" in (facts := json.loads(row.body)["facts"]):
            return facts["escalated"]["came_back"]
    return "not asked"


if __name__ == "__main__":
    main(*sys.argv[1:])
