"""Kills a real daemon under a law, in every state and at every boundary, and looks where its run is afterwards.

As crash_rig.py, whose lives these are. The law rings a bell when work begins and sounds a horn when it ends, and lets
two buttons be pressed in between; requests say the events and press the buttons, one too many each time.

Run with: folder, kills at each boundary, kills at random points, seed, and how the software is wrong on purpose (`no`).
"""

import json
import os
import random
import signal
import sys
import traceback
from collections import Counter
from multiprocessing import get_context
from pathlib import Path

import aftermath
import crash_rig
import law_oracle
from plant import NEVER, Cut

from appliance.contracts.home import Home
from appliance.contracts.request import Event
from appliance.policy.workflow.run import RunState
from appliance.storage import database, inbox, runs

LAW = """\
workflow: plant
version: 1
initial: resting
safe: resting
governs: [press_button, ring_bell, sound_horn]
events:
  begin: {from: [controller]}
  finish: {from: [controller]}
states:
  resting:
    tools: [sound_horn]
    go: [{event: begin, to: working}]
  working:
    tools: [press_button, ring_bell, sound_horn]
    calls: 3
    enter: [{call: ring_bell}]
    exit: [{call: sound_horn}]
    go: [{event: finish, to: resting}]
"""
PRESSES_N = 2
"""What the cap leaves beside the bell."""

BOUNDARIES = tuple(name for name in crash_rig.BOUNDARIES if name not in {"stepped", "parked"})
RANDOM = crash_rig.RANDOM
REACH = {"sql": 400, "time": 0.6} | dict.fromkeys(BOUNDARIES, 3) | {"refused": 1}
KILLS_A_HOME = 8


def one_home(root, points, seed):
    """Kill a life of one home at each of *points*, and let the last one end."""
    chance, home = random.Random(f"{seed}:{root.name}"), Home(root)
    (root / "laws").mkdir(parents=True)
    (root / "laws" / "plant.yaml").write_text(LAW)
    (root / "appliance.toml").write_text(crash_rig.TOML.format(bundle="none"))
    tally, failures, again = Counter(), [], []
    for n, kind in enumerate(points):
        asked = [
            crash_rig.request(f"r{n}.begin", Event(event="begin")),
            *(crash_rig.request(f"r{n}.{i}", crash_rig.press(f"{n}.{i}")) for i in range(PRESSES_N + 1)),
            crash_rig.request(f"r{n}.finish", Event(event="finish")),
        ]
        cut, kill_after_s = Cut(kind, int(chance.uniform(0, REACH[kind]))), None
        if kind == "time":
            kill_after_s = chance.uniform(0, REACH[kind])
        ended = crash_rig.live(home, cut, [*again, *asked], 10, kill_after_s=kill_after_s)
        was_cut = os.WIFSIGNALED(ended) and os.WTERMSIG(ended) == signal.SIGKILL
        tally["lives"] += 1
        tally["killed"] += was_cut
        tally[f"{kind}: killed"] += was_cut
        where = f"{root.name}, life {n} ({kind})"
        if not was_cut and ended != 0:
            failures.append(f"{where}: ended with {ended}: {crash_rig._last_words(home)}")
        failures += [f"{where}: {wrong}" for wrong in _looked(home, tally)]
        again = [one for one in [*again, *asked] if not crash_rig._accepted(home, one.request_id)]
    ended = crash_rig.live(home, NEVER, again, 20)
    if ended != 0:
        failures.append(f"{root.name}: the last life ended with {ended}: {crash_rig._last_words(home)}")
    failures += [f"{root.name}, in the end: {wrong}" for wrong in _looked(home, tally)]
    if not failures:
        failures += [f"{root.name}, in the end: {wrong}" for wrong in at_rest(home)]
    return tally, failures


def _looked(home, tally):
    try:
        return [*crash_rig.look(home), *of_the_law(home, tally)]
    except AssertionError as error:
        return [str(error)]
    except Exception:
        return [traceback.format_exc(limit=3)]


def of_the_law(home, tally):
    """Return what is wrong with the runs, right after a kill."""
    if not home.database.exists():
        return []
    wrong = []
    db = database.open_database(home.database).db
    try:
        places, acts, presses, owed = {}, Counter(), Counter(), {}
        for kind, request_id, facts in aftermath.Ledger(db).facts():
            if kind == "run":
                law_oracle.follow(facts, places)
                if facts["after"] == "working" and facts["kind"] == "moved":
                    owed[f"law-{facts['run_id']}-{facts['seq']}-enter-0"] = "ring_bell"
                if facts["before"] == "working" and facts["kind"] == "moved":
                    owed[f"law-{facts['run_id']}-{facts['seq']}-exit-0"] = "sound_horn"
            elif kind == "decided" and facts["origin"]["kind"] == "system":
                acts[request_id] += 1
            elif kind == "decided":
                run = RunState.model_validate_json(json.dumps(facts["workflows"][0]["run"]))
                presses[run.visit] += 1
                if run.state != "working":
                    wrong.append(f"{request_id} was let through in {run.state}")
        live = runs.live(db)
        if live and places.get(live[0].run_id) != (live[0].state, False):
            wrong.append(f"the run is in {live[0].state}, its records say {places}")
        if live:
            tally[f"in {live[0].state}"] += 1
        wrong += [f"{n} presses in visit {visit}" for visit, n in presses.items() if n > PRESSES_N]
        wrong += [f"the act {name} was decided {n} times" for name, n in acts.items() if n > 1]
        wrong += [f"the act {name} is owed by no step" for name in acts if name not in owed]
        wrong += [f"the act {name} is not on its way" for name in owed if inbox.find(db, name) is None]
        world = Counter(crash_rig._world(home))
        for tool, word in aftermath.BELLS.items():
            decided_n = sum(owed.get(name) == tool for name in acts)
            if world[word] > decided_n:
                wrong.append(f"the {word} was heard {world[word]} times, {decided_n} acts were decided")
    finally:
        db.close()
    return wrong


def at_rest(home):
    """Return what is wrong once everything has come to its end: every act has one, and nobody's is forgotten."""
    wrong = []
    db = database.open_database(home.database).db
    try:
        (row,) = runs.live(db)
        run = RunState.model_validate_json(row.body)
        if run.owed or run.flying:
            wrong.append(f"still owed or on its way: {run.owed} {run.flying}")
        finals, done = Counter(), Counter()
        for kind, request_id, _ in aftermath.Ledger(db).facts():
            if kind in aftermath.FINAL and request_id.startswith("law-"):
                finals[request_id] += 1
                outcome = inbox.outcome(db, request_id)
                done["bell" if "enter" in request_id else "horn"] += outcome["status"] == "done"
        wrong += [f"{name} ended {n} times" for name, n in finals.items() if n != 1]
        world = Counter(crash_rig._world(home))
        wrong += [
            f"{n} times {word} is done, it was heard {world[word]}" for word, n in done.items() if n > world[word]
        ]
    finally:
        db.close()
    return wrong


def run(folder, kills_each, kills, seed, wrong):
    points = [*BOUNDARIES * kills_each, *(RANDOM[n % len(RANDOM)] for n in range(kills))]
    random.Random(seed).shuffle(points)
    homes = [(folder / f"law{n}", points[n : n + KILLS_A_HOME], seed) for n in range(0, len(points), KILLS_A_HOME)]
    tally, failures = Counter(), []
    with get_context("fork").Pool(os.cpu_count(), initializer=crash_rig._warm, initargs=(folder, wrong)) as pool:
        for one, faults in pool.starmap(one_home, homes, chunksize=1):
            tally += one
            failures += faults
    return {"boundaries": BOUNDARIES, "tally": dict(tally), "failures": failures}


if __name__ == "__main__":
    print(json.dumps(run(Path(sys.argv[1]), *map(int, sys.argv[2:5]), sys.argv[5])))
