"""Kills a real daemon at a chosen point of its work, again and again, restarts it, and looks at what is left.

Run by the tests called test_power_cuts.py as a process of its own: it forks, and a forked child that is killed with
SIGKILL is the nearest thing to a power cut that a process can have. What a disk forgets is lost_writes_rig.py's
business.

One home lives through ten kills and one life that runs to its end. After each of them the ledger and the promises
are looked at; at the end every request must have its one outcome.

Run with: folder, kills at random points, seed, kills at each boundary, and how the software is wrong on purpose (`no`).
"""

import json
import os
import random
import re
import shutil
import signal
import sys
import threading
import time
import traceback
from collections import Counter
from contextlib import redirect_stderr
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path

import aftermath
import wrong_on_purpose
from plant import NEVER, Cut, bell, plant

from appliance import settings
from appliance.agent import turn
from appliance.contracts.home import Home
from appliance.contracts.request import Ask, Call, Confirmed, Event, Origin, OriginKind, Request, Undo
from appliance.contracts.toolcall import ToolCall
from appliance.daemon import Daemon
from appliance.storage import database, inbox, signed

STEPS = tuple(dict.fromkeys(re.findall(r'_step\("(\w+)"\)', Path(turn.__file__).read_text())))
"""Every boundary that a turn names, in order."""

BOUNDARIES = (*STEPS, "before-act", "after-act")
RANDOM = ("sql", "time")
"""A random SQL statement, a random moment; both also in the start and its recovery."""

REACH = {"sql": 250, "time": 0.5} | dict.fromkeys(BOUNDARIES, 2) | {"stepped": 1}
"""Before which statement, second or passage of a boundary a kill comes: about as many as a life has."""

KILLS_A_HOME = 10
ATTEMPTS = 4
"""A life that ended before its point came does not count as killed; another one gets a nearer point."""

LAW = """\
workflow: rounds
version: 1
title: Somebody walks from here to there
danger: safe
initial: here
safe: here
governs: [press_button]
events:
  walk: {about: Walk on, from: [operator, controller]}
states:
  here:
    about: Here
    tools: [press_button]
    go:
      - {event: walk, to: there}
  there:
    about: There
    tools: [press_button]
    go:
      - {event: walk, to: here}
      - {tool: press_button, result: done, to: here}
"""

TOML = '[model]\nbundle = "{bundle}"\n[ledger]\ncheckpoint_every_n = 4\ncheckpoint_every_s = 0.1\n'


def request(name, body, **more):
    origin = Origin(kind=OriginKind.CONTROLLER, peer="rig")
    return Request(request_id=name, received_at=datetime.now(UTC), origin=origin, body=body, **more)


def press(n):
    return Call(call=ToolCall(tool="press_button", literals={"button": f"b{n}"}))


def live(home, cut, requests, seconds, late=(), until=lambda _db: True, kill_after_s=None):
    """Run a daemon in a child until its work is done and *until* holds, or it is cut."""
    child = os.fork()
    if child:
        if kill_after_s is not None:
            killer = threading.Timer(kill_after_s, os.kill, (child, signal.SIGKILL))
            killer.start()
            # Not reaped yet, so the number is still this child's when the timer comes.
            os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
            killer.cancel()
            killer.join()
        return os.waitpid(child, 0)[1]
    status = 1
    try:
        os.dup2(os.open(home.root / "stderr", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644), 2)
        world = home.root / "plant"
        more = [plant(world, cut), bell(world, cut, "ring_bell", "bell"), bell(world, cut, "sound_horn", "horn")]
        daemon = Daemon(home, settings.load(home.root), more=more, step=cut.at)
        daemon.parts.db.connection.set_trace_callback(cut.statement)
        _submit(home, daemon, requests)
        daemon.start()
        cut.at("started")
        _submit(home, daemon, late)
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


def _submit(home, daemon, requests):
    """Hand in *requests*, and write down which were accepted: their sender was told so."""
    with (home.root / "accepted").open("ab", buffering=0) as told:
        for one in requests:
            inbox.submit(daemon.parts.db, one)
            told.write(f"{one.request_id}\n".encode())


class _Told:
    """What was promised to senders, as `aftermath.promises` asks for it."""

    def __init__(self, home):
        path = home.root / "accepted"
        self.kept = set(path.read_text().split()) if path.exists() else set()
        self.outcomes, self.taken, self.records, self.events = {}, {}, {}, {}


def look(home):
    """Return what is wrong right after a kill, before anything was mended."""
    if not home.database.exists():
        return []
    last = signed.read(home.signed)
    opened = database.open_database(home.database)
    try:
        wrong = [f"set aside as corrupt: {opened.set_aside}"] if opened.set_aside else []
        told = _Told(home)
        ledger = aftermath.Ledger(opened.db)
        return [
            *wrong,
            *ledger.wrong,
            *aftermath.acts(ledger, _world(home)),
            *aftermath.walked(opened.db),
            *aftermath.repeats(opened.db, ledger),
            *aftermath.promises(opened.db, ledger, told),
            *aftermath.statements(ledger, aftermath.kept_checkpoints(opened.db), last),
        ]
    finally:
        opened.db.close()


def check(home, names):
    """Return what is wrong with what is left once everything has come to an end."""
    wrong = look(home)
    db = database.open_database(home.database).db
    try:
        ledger = aftermath.Ledger(db)
        acted = Counter(_world(home))
        outcomes = {name: inbox.outcome(db, name) for name in names}
        finals = Counter(request_id for kind, request_id, _ in ledger.facts() if kind in aftermath.FINAL)
        for name in names:
            if inbox.find(db, name) is None:
                continue  # the cut came before it was accepted: its sender was not told so and will send it again
            if outcomes[name] is None:
                wrong.append(f"{name} has no outcome")
            if finals[name] != 1:
                wrong.append(f"{name} has {finals[name]} final records")
        newest = aftermath.kept_checkpoints(db)[-1:]
        for button, name in ledger.decided():
            status = (outcomes.get(name) or {}).get("status")
            if status == "done" and button not in acted:
                wrong.append(f"{name} says done, {button} was not pressed")
            if status in ("refused", "failed") and button in acted and button not in aftermath.BELLS.values():
                wrong.append(f"{name} says {status}, {button} was pressed")
    finally:
        db.close()
    return [*wrong, *aftermath.verified(home, *newest)]


def _world(home):
    path = home.root / "plant"
    return path.read_text().split() if path.exists() else []


def one_home(root, points, seed):
    """Kill a life of one home at each of *points* and let the last one end."""
    chance = random.Random(f"{seed}:{root.name}")
    home = Home(root)
    home.laws.mkdir(parents=True)
    (home.laws / "rounds.yaml").write_text(LAW)
    tally, failures, names, open_names, again = Counter(), [], [], [], []
    was_cut = False
    for n, (kind, attempt) in enumerate((kind, attempt) for kind in points for attempt in range(ATTEMPTS)):
        if attempt and was_cut:
            continue
        (home.root / "appliance.toml").write_text(TOML.format(bundle="" if kind == "stepped" else "none"))
        reach = REACH[kind] / 2**attempt
        cut, kill_after_s = Cut(kind, int(chance.uniform(0, reach))), None
        if kind == "time":
            kill_after_s = chance.uniform(0, reach)
        asked = [
            request(f"r{n}.0", press(f"{n}.0")),
            request(f"r{n}.1", Ask(text="ring the bell and sound the horn" if kind == "stepped" else "no model here")),
            request(f"r{n}.2", press(f"{n}.2")),
            request(f"r{n}.3", Call(call=ToolCall(tool="unlock_door", literals={"door": "front door"}))),
            request(f"r{n}.4", Undo()),
            request(f"r{n}.5", Event(event="walk")),
            request(f"r{n}.6", press(f"{n}.6")),
            request(f"r{n}.7", Event(event="walk")),
        ]
        ended = live(home, cut, [*again, *asked], 10, kill_after_s=kill_after_s)
        was_cut = os.WIFSIGNALED(ended) and os.WTERMSIG(ended) == signal.SIGKILL
        tally["lives"] += 1
        tally["killed" if was_cut else "ended before their point"] += 1
        tally[f"{kind}: killed"] += was_cut
        tally["at random: killed"] += was_cut and kind in RANDOM
        names += [one.request_id for one in asked]
        open_names.append(f"r{n}.3")
        where = f"{root.name}, life {n} ({kind})"
        if not was_cut and ended != 0:
            failures.append(f"{where}: ended with {ended}: {_last_words(home)}")
        try:
            failures += [f"{where}: {w}" for w in look(home)]
        except Exception as error:
            failures.append(f"{where}: {type(error).__name__}: {error}")
        again = [one for one in [*again, *asked] if not _accepted(home, one.request_id)]
    # What waits for a person is declined, so that every request comes to an end. It is said after the start: what an
    # operator said before one is not acted on while the clock is untrusted.
    operator = Origin(kind=OriginKind.OPERATOR, peer="rig")
    declined = [
        Request(request_id=f"no-{of}", received_at=datetime.now(UTC), origin=operator, body=Confirmed(of=of, yes=False))
        for of in open_names
    ]
    ended = live(home, NEVER, again, 20, late=declined)
    if ended != 0:
        failures.append(f"{root.name}: the last life ended with {ended}: {_last_words(home)}")
    else:
        failures += [f"{root.name}, in the end: {w}" for w in check(home, names)]
        tally["indeterminate"] += _doubtful(home)
        tally["steps of workflows"] += _steps(home)
    if not failures:
        shutil.rmtree(root)
    return tally, failures


def run(folder, kills, seed, kills_each, wrong):
    points = [*BOUNDARIES * kills_each, *(RANDOM[n % len(RANDOM)] for n in range(kills))]
    random.Random(seed).shuffle(points)
    homes = [(folder / f"home{n}", points[n : n + KILLS_A_HOME], seed) for n in range(0, len(points), KILLS_A_HOME)]
    tally, failures = Counter(), []
    with get_context("fork").Pool(os.cpu_count(), initializer=_warm, initargs=(folder, wrong)) as pool:
        for one, faults in pool.starmap(one_home, homes, chunksize=1):
            tally += one
            failures += faults
    return {"boundaries": BOUNDARIES, "tally": dict(tally), "failures": failures}


def _warm(folder, wrong):
    """Let a life pass in this process, so that those forked from it have everything loaded, and all its faults."""
    home = Home(folder / f"warm-{os.getpid()}")
    home.root.mkdir(parents=True)
    (home.root / "appliance.toml").write_text(TOML.format(bundle="none"))
    with (home.root / "stderr").open("w") as said, redirect_stderr(said):
        daemon = Daemon(home, settings.load(home.root))
        daemon.start()
        daemon.stop()
    wrong_on_purpose.break_it(wrong)


def _last_words(home):
    return (home.root / "stderr").read_text().strip().splitlines()[-1:]


def _accepted(home, name):
    try:
        db = database.open_database(home.database).db
    except Exception:
        return False
    try:
        return inbox.find(db, name) is not None
    finally:
        db.close()


def _steps(home):
    db = database.open_database(home.database).db
    try:
        return db.row("select count(*) as n from workflow_steps where kind = 'moved'")["n"]
    finally:
        db.close()


def _doubtful(home):
    db = database.open_database(home.database).db
    try:
        return len(inbox.indeterminate(db))
    finally:
        db.close()


if __name__ == "__main__":
    print(json.dumps(run(Path(sys.argv[1]), *map(int, sys.argv[2:5]), sys.argv[5])))
