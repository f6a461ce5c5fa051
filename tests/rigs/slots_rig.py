"""Kills a process that installs, activates, keeps and sends back bundles, at random moments, and looks at what is left.

Run as a process of its own with: folder, kills, seed, and how the software is wrong on purpose (`no`).
One home lives through all of them. The deliveries are small and
signed by two people; everything between the delivery and the disk is the real thing. What the canary would say is
given, because it writes nothing: whether its process can be killed is another test's question.

After each kill: the file of slots can be read, what it says lies in a slot is there whole, the bundle that decides is
one that was promised or was being promised, and the one that it would go back to is whole, too.
"""

import json
import os
import random
import signal
import sys
import threading
import time
import traceback
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import ceremony

from appliance.agent.admission import Admission
from appliance.agent.bundles import Bundles
from appliance.contracts.audit import AuditRecord, Moment
from appliance.contracts.canary import CanaryReport, Check
from appliance.contracts.slots import TrialLimits
from appliance.storage import audit, database
from appliance.trust import bundles, documents, dsse
from appliance.trust.slots import Shelf

MOMENTS = ("fsync", "rename", "remove", "mkdir", "rmdir", "open", "replace", "time")
"""Before which call a kill comes, or after which time."""

REACH = {"fsync": 200, "rename": 8, "remove": 90, "mkdir": 30, "rmdir": 30, "open": 500, "replace": 25, "time": 1.0}


class Clock:
    """A clock that a trial of a day fits into."""

    def __init__(self):
        self.ahead_s = 0.0

    def now(self):
        return datetime.now(UTC)

    def monotonic_s(self):
        return time.monotonic() + self.ahead_s

    def is_trusted(self):
        return True

    def moment(self):
        return Moment(at=self.now(), monotonic_s=self.monotonic_s(), boot=1, clock="trusted")


class Killer:
    """Ends this process without notice before the n-th call of a kind."""

    def __init__(self, kind, reach):
        self.kind, self.left = kind, reach

    def begin(self):
        if self.kind == "time":
            timer = threading.Timer(self.left, lambda: os.kill(os.getpid(), signal.SIGKILL))
            timer.daemon = True
            timer.start()
            return
        sys.addaudithook(self._heard)
        for name in ("fsync", "replace"):
            self._wrap(name)

    def _wrap(self, name):
        real = getattr(os, name)

        def counted(*args, **more):
            self._count(name)
            return real(*args, **more)

        setattr(os, name, counted)

    def _heard(self, event, _arguments):
        self._count(event.removeprefix("os."))

    def _count(self, kind):
        if kind == self.kind:
            self.left -= 1
            if self.left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)


def passes(_candidate, _active):
    return CanaryReport(sha256="0" * 64, against="", checks=(Check(name="runs", passed=True),))


def appliance(home):
    clock = Clock()
    db = database.open_database(home / "appliance.db").db

    def append(kind, facts):
        with db.atomic():
            audit.append(db, AuditRecord(kind=kind, moment=clock.moment(), facts=facts))

    admission = Admission(db, clock, software="0.1.0")
    shelf = Shelf(home / "bundles")
    made = Bundles(
        db,
        shelf,
        admission,
        clock=clock,
        append=append,
        examine=passes,
        shipped=home,
        restart=lambda: None,
    )
    return made, shelf, clock, admission, db


def _filled_first(shelf, slot, admitted):
    """Say that a slot is filled, and fill it then."""
    shelf._write(shelf.read().model_copy(update={slot: admitted}))
    return PUT(shelf, slot, admitted)


PUT = Shelf.put


def live(home, deliveries, seed, kind, reach, say):
    """One life: it does what people do with bundles until it is killed."""
    chance = random.Random(seed)
    Killer(kind, reach).begin()
    made, shelf, clock, _, _ = appliance(home)
    candidate = next(made.start("this machine"))
    made.decides(candidate)
    say("start", shelf.read())
    while True:
        what = chance.choices(("install", "activate", "pass", "back"), (8, 8, 1, 4))[0]
        slots = shelf.read()
        say(f"begin {what}", slots)
        if what == "install":
            made.install(chance.choice(deliveries), "rig")
        elif what == "activate":
            made.activate(chance.choice("ab"), "rig", again=True)
        elif what == "pass":
            clock.ahead_s += TrialLimits().longest_s + 1
            made.tick()
        else:
            made.roll_back("rig")
        say(f"done {what}", shelf.read())


def decides(slots):
    lies = slots.at(slots.active)
    return "shipped" if lies is None else lies.sha256


def look(home, told, allowed):
    """What is wrong after a kill."""
    wrong = []
    shelf = Shelf(home / "bundles")
    if shelf.is_damaged():
        return ["the file of slots cannot be read"]
    slots = shelf.read()
    wrong += [f"{p} is chosen and empty" for p in {slots.active, slots.before} - {"shipped"} if slots.at(p) is None]
    for place in ("a", "b"):
        lies = slots.at(place)
        if lies is None:
            continue
        try:
            found = bundles.check(shelf.folder(place) / "bundle")
        except Exception as error:
            wrong.append(f"{place} is not whole: {error}")
        else:
            if found.sha256 != lies.sha256:
                wrong.append(f"{place} holds another bundle than the file says")
    if allowed is not None and decides(slots) not in allowed:
        wrong.append(f"{decides(slots)[:8]} decides; {told} allowed {[a[:8] for a in allowed]}")
    return wrong


def one(home, deliveries, known, seed, kind, reach):
    """Let one life be killed; return whether it was, and what is wrong after it."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)

            def say(what, slots):
                lies = [one.sha256 for one in (slots.a, slots.b) if one is not None]
                line = {"what": what, "decides": decides(slots), "lies": lies, "before": slots.before}
                os.write(writing, (json.dumps(line) + "\n").encode())

            live(home, deliveries, seed, kind, reach, say)
        except BaseException:
            traceback.print_exc()
        os._exit(3)
    os.close(writing)
    with os.fdopen(reading) as heard:
        lines = [json.loads(line) for line in heard.read().splitlines()]
    _, status = os.waitpid(child, 0)
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    last = lines[-1] if lines else None
    allowed = None
    if last is not None and last["what"].startswith(("begin", "done", "start")):
        allowed = {last["decides"]}
        if last["what"] in {"begin activate", "begin back"}:
            allowed |= {*last["lies"], "shipped"}
    wrong = look(home, last["what"] if last else "before the start", allowed)
    if not killed:
        wrong.append(f"it ended by itself: {status}")
    return wrong, (last["what"] if last else "starting")


def main(folder, kills_n, seed, wrong_as="no"):
    if wrong_as == "filled-first":
        Shelf.put = _filled_first
    chance = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    site = ceremony.Site(folder)
    deliveries = [
        site.delivery(f"delivery-{n}", release=n, version=f"0.{n}.0", files={"card.md": b"# %d\n" % n * 4000})
        for n in range(2, 42)
    ]
    home = folder / "home"
    home.mkdir()
    _, _, _, admission, db = appliance(home)
    root = site.root(cooldown_days=0)
    taken = admission.accept(root, fingerprint=documents.fingerprint(dsse.parse(root)))
    assert taken.__class__.__name__ == "Accepted", taken
    db.close()
    tally, failures = Counter(), []
    while tally["kills"] < kills_n:
        kind = chance.choice(MOMENTS)
        reach = chance.uniform(0.01, REACH[kind]) if kind == "time" else chance.randint(1, REACH[kind])
        wrong, during = one(home, deliveries, None, chance.random(), kind, reach)
        tally["kills"] += 1
        tally[f"before a {kind}" if kind != "time" else "at a moment"] += 1
        tally[f"during {during.removeprefix('begin ')}" if during.startswith("begin") else "between"] += 1
        failures += [f"{tally['kills']}, {kind} {reach}: {one}" for one in wrong]
        if len(failures) > 20:
            break
    print(json.dumps({"tally": dict(tally), "failures": failures}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:])
