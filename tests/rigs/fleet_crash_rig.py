"""One device, killed again and again while it reports over a real broker; then: what does its controller know?

Run as a process of its own with: folder, runs, seed, port of a broker on loopback.
"""

import json
import os
import random
import signal
import sqlite3
import sys
import threading
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import crash_rig
from crash_rig import check, live, press, request
from plant import NEVER, Cut

from appliance.contracts.enrolment import BrokerSettings, Role
from appliance.contracts.home import Home
from appliance.contracts.request import Ask
from appliance.fleet import enrolling
from appliance.fleet.collector import Collector
from appliance.fleet.home import make, open_home
from appliance.storage import database, inbox, outbox

KINDS = [*(name for name in crash_rig.BOUNDARIES if name != "stepped"), "sql", "any", "time"]
"""A step between two calls takes a sentence, and so a model; crash_rig.py has that."""


class Timed(Cut):
    """Kills this process after a random time, whatever it does then: also in the middle of a publish."""

    def __init__(self, seconds):
        super().__init__("time", 0)
        self.seconds = seconds

    def at(self, kind):
        if kind == "started":
            timer = threading.Timer(self.seconds, lambda: os.kill(os.getpid(), signal.SIGKILL))
            timer.daemon = True
            timer.start()


def collect(path):
    """Run the collector in a child until it is told to end."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        stopping = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: stopping.set())
        home = open_home(path)
        collector = Collector(home, now=lambda: datetime.now(UTC), chance=random.Random())
        collector.run(stopping)
        collector.close()
        home.close()
        status = 0
    finally:
        os._exit(status)


def drained(db):
    marks = [outbox.mark(db, stream) for stream in ("audit", "evt")]
    return all(mark.acked >= mark.newest for mark in marks)


def run(folder, runs, seed, port):
    chance = random.Random(seed)
    controller = make(folder / "controller", site="rig")
    controller.use_broker(
        BrokerSettings(host="127.0.0.1", port=port, first_connect_s=0.0, reconnect_s=(0.05, 0.5), will_delay_s=1)
    )
    home = Home(folder / "device")
    home.root.mkdir(parents=True)
    (home.root / "appliance.toml").write_text('[model]\nbundle = "none"\n[uplink]\nack_timeout_s = 1.0\n')
    enrolling.enrol_here(
        controller, home.root, device="rig-device", role=Role.OPERATOR, replace=False, now=datetime.now(UTC)
    )
    controller.close()
    collector = collect(folder / "controller")
    tally, names = Counter(), []
    for n in range(runs):
        kind = KINDS[n % len(KINDS)]
        limit = {"sql": 160, "any": 12}.get(kind, 2)
        cut = Timed(chance.uniform(0.05, 0.6)) if kind == "time" else Cut(kind, chance.randrange(limit))
        asked = [
            request(f"r{n}a", press(f"{n}a")),
            request(f"r{n}b", Ask(text="no model here, so this is refused")),
            request(f"r{n}c", press(f"{n}c")),
        ]
        names += [one.request_id for one in asked]
        tally["cut" if os.WIFSIGNALED(live(home, cut, asked, 10)) else "ran through"] += 1
    ended = live(home, NEVER, [], 90, until=drained)
    time.sleep(0.5)
    os.kill(collector, signal.SIGTERM)
    os.waitpid(collector, 0)
    failures = check(home, names)
    wrong, tally["reports compared"] = compare(home, folder / "controller", names)
    failures += wrong
    if ended != 0:
        failures.append(f"the last life ended with {ended}: {(home.root / 'stderr').read_text()[-300:]}")
    return {"runs": runs, "seed": seed, "tally": dict(tally), "failures": failures}


def compare(home, controller, names):
    """Hold what the controller has against what the device knows."""
    wrong, compared = [], 0
    [path] = Path(controller).glob("*.db")
    fleet = sqlite3.connect(path)
    db = database.open_database(home.database).db
    try:
        epoch = database.epoch(db)
        told = Counter()
        for (body,) in fleet.execute("select body from records where stream = 'evt' and epoch = ?", (epoch,)):
            report = json.loads(body)
            report = report.get("body", report)
            told[report["request_id"], report["status"]] += 1
        for name in names:
            outcome = inbox.outcome(db, name)
            if outcome is None:
                continue
            compared += 1
            count = told[name, outcome["status"]]
            if count != 1:
                wrong.append(f"{name} is {outcome['status']}, the controller was told {count} times")
        ours = db.row("select count(*) as n, max(seq) as last from audit")
        theirs = fleet.execute(
            "select count(*), max(seq) from records where stream = 'audit' and epoch = ?", (epoch,)
        ).fetchone()
        # The last life's shutdown record is written after the link has closed.
        if theirs[0] != theirs[1] or not ours["last"] - 3 <= theirs[1] <= ours["last"]:
            wrong.append(f"ledger: {ours['n']} records here, {theirs} there")
        wrong += [f"fault noted: {row}" for row in fleet.execute("select * from faults")]
        wrong += [f"gap noted: {row}" for row in fleet.execute("select * from gaps")]
    finally:
        db.close()
        fleet.close()
    return wrong, compared


if __name__ == "__main__":
    print(json.dumps(run(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))))
