"""Cuts the power at a chosen point of a real daemon's work, restarts it, and looks at what is left.

Run by the tests called test_power_cuts.py as a process of its own: it forks, and a forked child that is killed with
SIGKILL is the nearest thing to a power cut that a process can have (missing fsyncs are another harness's business).

The tool that acts is a plant: it appends one line to a file and fsyncs it, so that what happened in the world is known
also when the database was not told.
"""

import json
import os
import random
import signal
import sys
import time
import traceback
from collections import Counter
from pathlib import Path

from appliance import settings
from appliance.contracts.home import Home
from appliance.contracts.request import Ask, Call, Confirmed, Origin, OriginKind, Request, Undo
from appliance.contracts.toolcall import ToolCall
from appliance.contracts.toolspec import Risk
from appliance.daemon import Daemon
from appliance.ledger.verify import verify
from appliance.storage import audit, database, inbox
from appliance.tools import declare
from appliance.tools.declare import Claims, Did

STEPS = ("taken", "read", "decided", "performed", "stepped", "settled", "parked", "refused")
FINAL = {"settled", "indeterminate"}


class Cut:
    """Kills this process at the *n*-th time it passes a point of one kind."""

    def __init__(self, kind, n):
        self.kind, self.left = kind, n

    def at(self, kind):
        if kind == self.kind or (self.kind == "any" and not kind.startswith("sql")):
            self.left -= 1
            if self.left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def statement(self, _sql):
        if self.kind == "sql":
            self.left -= 1
            if self.left < 0:
                os.kill(os.getpid(), signal.SIGKILL)


def plant(path, cut):
    """Build the tool that acts on the world."""

    def press(button: str) -> Did:
        cut.at("before-act")
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.write(handle, (button + "\n").encode())
        os.fsync(handle)
        os.close(handle)
        cut.at("after-act")
        return Did(f"Pressed {button}.")

    def was_pressed(did, button):
        return button in path.read_text().split()

    declaration = {
        "name": "press_button",
        "description": "Press a button",
        "parameters": {
            "type": "object",
            "properties": {"button": {"type": "string", "description": "Its number"}},
            "required": ["button"],
        },
    }
    return declare.from_schema(declaration, press, Claims(risk=Risk.LOW, family="plant", check=was_pressed))


def request(name, body, **more):
    origin = Origin(kind=OriginKind.CONTROLLER, peer="rig")
    return Request(request_id=name, received_at=settings_now(), origin=origin, body=body, **more)


def settings_now():
    from datetime import UTC, datetime

    return datetime.now(UTC)


def press(n):
    return Call(call=ToolCall(tool="press_button", literals={"button": f"b{n}"}))


def live(home, cut, requests, seconds, late=(), until=lambda _db: True):
    """Run a daemon in a child until its work is done and *until* holds, or it is cut."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    status = 1
    try:
        os.dup2(os.open(home.root / "stderr", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644), 2)
        daemon = Daemon(home, settings.load(home.root), more=[plant(home.root / "plant", cut)], step=cut.at)
        daemon.parts.db.connection.set_trace_callback(cut.statement)
        for one in requests:
            inbox.submit(daemon.parts.db, one)
        daemon.start()
        cut.at("started")
        for one in late:
            inbox.submit(daemon.parts.db, one)
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s:
            db = daemon.parts.db
            if not inbox.queued(db) and not inbox.taken(db) and until(db):
                break
            time.sleep(0.002)
        daemon.parts.db.connection.set_trace_callback(None)
        daemon.stop()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def check(home, names):
    """Return what is wrong with what is left."""
    wrong = []
    db = database.open_database(home.database).db
    try:
        found = verify(audit.rows(db.connection), database.epoch(db))
        if found.state == "broken":
            wrong.append(f"ledger: row {found.bad_seq}: {found.reason}")
        rows = [(row, json.loads(row.body)["facts"]) for row in audit.rows(db.connection)]
        acted = Counter((home.root / "plant").read_text().split() if (home.root / "plant").exists() else [])
        decided = {
            call["arguments"].get("button") or row.personal["calls"]["value"][n].get("button"): row.request_id
            for row, facts in rows
            if row.kind == "decided"
            for n, call in enumerate(facts["calls"])
            if call["gen_ai.tool.name"] == "press_button"
        }
        outcomes = {name: inbox.outcome(db, name) for name in names}
        for button, times in acted.items():
            if times > 1:
                wrong.append(f"{button} was pressed {times} times")
            if button not in decided:
                wrong.append(f"{button} was pressed without a record of the decision")
        for name in names:
            known = inbox.find(db, name)
            if known is None:
                continue  # the cut came before it was accepted: its sender was not told so and will send it again
            if outcomes[name] is None:
                wrong.append(f"{name} has no outcome")
            finals = sum(row.kind in FINAL and row.request_id == name for row, _ in rows)
            if finals != 1:
                wrong.append(f"{name} has {finals} final records")
        for button, name in decided.items():
            status = (outcomes.get(name) or {}).get("status")
            if status == "done" and button not in acted:
                wrong.append(f"{name} says done, {button} was not pressed")
            if status in ("refused", "failed") and button in acted:
                wrong.append(f"{name} says {status}, {button} was pressed")
    finally:
        db.close()
    return wrong


def run(folder, runs, seed):
    chance = random.Random(seed)
    tally, failures = Counter(), []
    kinds = [*STEPS, "before-act", "after-act", "sql", "any"]
    for n in range(runs):
        home = Home(Path(folder) / f"h{n}")
        home.root.mkdir(parents=True)
        (home.root / "appliance.toml").write_text('[model]\nbundle = "none"\n')
        kind = kinds[n % len(kinds)]
        cut = Cut(kind, chance.randrange(120 if kind == "sql" else 12 if kind == "any" else 3))
        requests = [
            request("r0", press(0)),
            request("r1", Ask(text="no model here, so this is refused")),
            request("r2", press(1)),
            request("r3", Call(call=ToolCall(tool="unlock_door", literals={"door": "front door"}))),
            request("r4", press(2)),
            request("r5", Undo()),
        ]
        first = live(home, cut, requests, 10)
        was_cut = os.WIFSIGNALED(first)
        tally["cut" if was_cut else "ran through"] += 1
        tally[f"{kind}: cut"] += was_cut
        again = [] if not was_cut else [r for r in requests if not _accepted(home, r.request_id)]
        # r3 waits for a person; declining it brings every request to an end. It is said after the restart: what an
        # operator said before one is not acted on while the clock is untrusted.
        decline = Request(
            request_id="r6",
            received_at=settings_now(),
            origin=Origin(kind=OriginKind.OPERATOR, peer="rig"),
            body=Confirmed(of="r3", yes=False),
        )
        second = live(home, Cut("never", 0), again, 10, late=[decline])
        if second != 0:
            last = (home.root / "stderr").read_text().strip().splitlines()[-1:]
            failures.append(f"run {n} ({kind}): the restart ended with {second}: {last}")
            continue
        wrong = check(home, [r.request_id for r in requests])
        failures += [f"run {n} ({kind}): {w}" for w in wrong]
        tally["indeterminate"] += _doubtful(home)
    return {"runs": runs, "seed": seed, "tally": dict(tally), "failures": failures}


def _accepted(home, name):
    try:
        db = database.open_database(home.database).db
    except Exception:
        return False
    try:
        return inbox.find(db, name) is not None
    finally:
        db.close()


def _doubtful(home):
    db = database.open_database(home.database).db
    try:
        return len(inbox.indeterminate(db))
    finally:
        db.close()


if __name__ == "__main__":
    print(json.dumps(run(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
