"""Records a device's writes, cuts the power at every one of them, loses what was not synced, and opens what is left.

Run as a process of its own with: folder, cuts, seed, site (`fleet`, `alone`, or `keeps`: alone, with a
ledger that is pruned, held and redacted meanwhile), requests, how the software is wrong on
purpose (`no`), and what the disk forgets on purpose (`none`, or kinds of write_log.KINDS and a part of a path, as in
`F:appliance.db-wal` or `D:`).

Each cut is a moment of the log and a loss; two cuts that leave the same files and the same promises are one, whichever
worker tried them.
"""

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from contextlib import ExitStack
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path

import aftermath
import write_log
from crash_rig import TOML
from plant import plant
from recorded_life import WRONG
from told import Told

from appliance import settings
from appliance.agent import recovery
from appliance.agent.clock import SystemClock
from appliance.agent.plan import Versions
from appliance.client import Appliance
from appliance.contracts.audit import AuditRecord
from appliance.contracts.enrolment import BrokerSettings, Role
from appliance.contracts.envelope import CallBody
from appliance.contracts.home import Home
from appliance.contracts.local import RotateKey
from appliance.contracts.retaining import HoldRecords, PruneRecords, RedactRecords, ReleaseHold
from appliance.contracts.selection import Selection
from appliance.daemon import Daemon
from appliance.storage import audit, database, inbox, signed
from appliance.transport.broker import EmbeddedBroker

HERE = Path(__file__).parent
SHIM = HERE / "write_log.c"
LIFE_EVERY_N = 50
"""Of so many cuts, one is followed by a whole second life."""

FLEET_TOML = TOML.format(bundle="none") + "[uplink]\nack_timeout_s = 1.0\n"
LIVES = 2
FILLED_N = 5 * 256 + 5
HELD = (1100, 1110)
"""Records of an earlier run under a hold in the first life, released in the second."""

PLANNED = 2.0
"""Cuts that are tried for one that counts: many leave the files as another one does."""


# ---- recording


def record(folder, site, requests_n, wrong):
    """Let a device live twice under the shim; leaves `root`, `log` and `before.json` in *folder*."""
    root = folder / "root"
    home = Home(root / "home")
    root.mkdir()
    shim = folder / "write_log.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O2", "-o", shim, SHIM], check=True)
    with ExitStack() as stack:
        controller = _controller(folder, home, stack) if site == "fleet" else None
        if site == "keeps":
            _fill(home)
        (folder / "before.json").write_text(json.dumps(_present(root)))
        for life in range(LIVES):
            process = subprocess.Popen(
                [sys.executable, HERE / "recorded_life.py", root, wrong, site],
                env={
                    **os.environ,
                    "LD_PRELOAD": str(shim),
                    "WRITE_LOG": str(folder / "log"),
                    "WRITE_LOG_ROOT": str(root),
                },
                stdout=subprocess.PIPE,
                stderr=(folder / "stderr").open("ab"),
            )
            assert process.stdout.readline() == b"ready\n", (folder / "stderr").read_text()[-2000:]
            keeper = threading.Thread(target=_ask_to_keep, args=(home, life, requests_n))
            if site == "keeps":
                keeper.start()
            _ask_for_much(home, life, requests_n, controller)
            if site == "keeps":
                keeper.join()
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0, (folder / "stderr").read_text()[-2000:]


def _fill(home):
    """Leave a ledger of five whole segments, as an earlier run of the device would."""
    home.root.mkdir(mode=0o750)
    (home.root / "appliance.toml").write_text('[model]\nbundle = "none"\n')
    daemon = Daemon(home, settings.load(home.root))
    daemon.start()
    db, clock = daemon.parts.db, SystemClock(1)
    with db.atomic():
        while audit.size(db.connection) < FILLED_N:
            record = AuditRecord(kind="note", moment=clock.moment(), facts={"event": "of an earlier run"})
            audit.append(db, record)
    daemon.stop()


def _ask_to_keep(home, life, requests_n):
    """Prune all but what is held, then the rest; have somebody's words erased again and again."""
    appliance = Appliance(home.root)
    if life == 0:
        appliance._ask(HoldRecords(records=Selection(after=HELD[0] - 1, before=HELD[1] + 1), reason="for the rig"))
    else:
        appliance._ask(ReleaseHold(hold_id=1, reason="for the rig"))
    appliance._ask(PruneRecords())
    for n in range(requests_n // 3):
        name = f"local-k{life}-{n}"
        appliance.say(aftermath.words_of(name), request_id=name.removeprefix("local-"))
        appliance._ask(RedactRecords(request_id=name, reason="for the rig"))


def _controller(folder, home, stack):
    import fleet_crash_rig

    from appliance.fleet import enrolling
    from appliance.fleet.home import make, open_home

    broker = stack.enter_context(EmbeddedBroker())
    controller = make(folder / "controller", site="rig")
    controller.use_broker(
        BrokerSettings(host="127.0.0.1", port=broker.port, first_connect_s=0.0, reconnect_s=(0.05, 0.5))
    )
    home.root.mkdir(mode=0o750)
    (home.root / "appliance.toml").write_text(FLEET_TOML)
    enrolling.enrol_here(
        controller, home.root, device="rig-device", role=Role.OPERATOR, replace=False, now=datetime.now(UTC)
    )
    controller.close()
    collector = fleet_crash_rig.collect(folder / "controller")
    stack.callback(os.waitpid, collector, 0)
    stack.callback(os.kill, collector, signal.SIGTERM)
    return lambda: open_home(folder / "controller")


def _ask_for_much(home, life, requests_n, controller):
    def local(who):
        appliance = Appliance(home.root)
        for n in range(requests_n):
            name = f"{who}{life}-{n}"
            if who == "b" and n == requests_n // 2:
                appliance._ask(RotateKey(reason="for the rig"))
            match n % 6:
                case 0 | 1 | 3:
                    appliance.call("press_button", {"button": name}, request_id=name)
                case 2:
                    appliance.say("no such thing is here", request_id=name)
                case 4:
                    appliance.call("unlock_door", {"door": "front door"}, request_id=name)
                    appliance.confirm(f"local-{name}", yes=False)
                case 5 if who == "a" and n % 4 == 1:
                    appliance.stop("for the rig")
                    appliance.release()
                case 5:
                    appliance.undo()

    def remote():
        from appliance.fleet.many import Many

        home = controller()
        for n in range(requests_n // 6):
            many = Many(home, now=lambda: datetime.now(UTC), chance=random.Random(4))
            call = CallBody(tool="press_button", arguments={"button": f"c{life}-{n}"})
            many.send(["rig-device"], call, wait_s=5.0, expires_s=60.0, because="rig")
        home.close()

    askers = [threading.Thread(target=local, args=("a",)), threading.Thread(target=local, args=("b",))]
    if controller is not None:
        askers.append(threading.Thread(target=remote))
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    time.sleep(0.3)  # what is under way to the broker arrives


def _present(root):
    """Return {path below root: (inode, content in hexadecimal, None for a folder)} of what is there."""
    found = {}
    for path in sorted(root.rglob("*")):
        content = None if path.is_dir() else path.read_bytes().hex()
        if path.is_dir() or path.is_file():
            found[str(path.relative_to(root))] = (path.stat().st_ino, content)
    return found


# ---- cutting


def _is_ignored(path):
    # SQLite makes its index of the log anew at the first opening; the world is not on this disk.
    return path.endswith(("-shm", "/world"))


def begin(folder):
    """Return the log, and the disk before its first operation."""
    root = (folder / "root").resolve()
    disk = write_log.Disk(root, _is_ignored)
    disk.place(json.loads((folder / "before.json").read_text()))
    return root, write_log.read(folder / "log"), disk


def compare(folder):
    """Return where the log, with nothing lost, does not give the files that are really there."""
    _root, ops, disk = begin(folder)
    for op in ops:
        disk.apply(op)
    rebuilt = disk.image("nothing", None)
    real = {
        name: None if content is None else bytes.fromhex(content)
        for name, (_, content) in _present(folder / "root").items()
        if not _is_ignored(f"/{name}")
    }
    return [
        f"{name} is not what the log says"
        for name in sorted({*real, *rebuilt})
        if real.get(name, 0) != rebuilt.get(name, 0)
    ]


def replay(folder, cuts, seed, forgets, worker, workers):
    """Try this worker's share of the cuts; returns the tally, what was wrong, and a mark of each cut."""
    root, ops, disk = begin(folder)
    kinds, _, part = forgets.partition(":")
    told = Told(root / "world")
    a_moment = PLANNED * cuts / len(ops)
    tally, wrong, seen = Counter(), [], set()
    place = Path(tempfile.mkdtemp(prefix="cut-", dir="/dev/shm" if Path("/dev/shm").is_dir() else folder))
    try:
        for n, op in enumerate(ops):
            if not (op.kind in kinds and part in op.path and forgets != "none"):
                disk.apply(op)
            disk.touched(op)
            told.feed(op)
            if n % workers != worker:
                continue
            chance = random.Random(f"{seed}:{n}")
            for loss in _losses(op, a_moment, chance):
                image = disk.image(loss, chance)
                counted = (told.acted, told.kept, told.outcomes, told.erased, told.held)
                promises = (*map(len, counted), told.pruned_n, n if op.kind == "S" else 0)
                mark = _digest(image, promises)
                if mark in seen:
                    continue
                seen.add(mark)
                tally["tried"] += 1
                tally[loss] += 1
                is_deep = chance.random() < 1 / LIFE_EVERY_N
                tally["second lives"] += is_deep
                where = f"after operation {n} ({write_log.KINDS[op.kind]} {Path(op.path).name}), {loss} lost"
                try:
                    found = inspect(image, told, place, chance, is_deep)
                except Exception as error:
                    last = traceback.extract_tb(error.__traceback__)[-1]
                    found = [f"{type(error).__name__}: {error} ({Path(last.filename).name}:{last.lineno})"]
                wrong += [f"{where}: {fault}" for fault in found]
                tally["wrong cuts"] += bool(found)
                tally["after a prune"] += told.pruned_n > 0
                tally["under a hold"] += bool(told.held)
                tally["after an erasure"] += bool(told.erased)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return tally, wrong, seen


def _losses(op, wanted, chance):
    """Choose about *wanted* losses for a moment; losing everything is never left out while there is room for two."""
    possible = [loss for loss in write_log.LOSSES if loss != "torn" or op.kind == "W"]
    n = int(wanted) + (chance.random() < wanted % 1)
    return ["everything", *chance.choices(possible[1:], k=n - 1)] if n > 1 else chance.choices(possible, k=n)


def _digest(image, promises):
    whole = hashlib.blake2b(repr(promises).encode(), digest_size=20)
    for name, content in image.items():
        whole.update(name.encode() + b"\0" + str(-1 if content is None else len(content)).encode() + b"\0")
        whole.update(content or b"")
    return whole.digest()


def inspect(image, told, place, chance, is_deep):
    """Put *image* on a disk, open it as the appliance does, and return what is wrong."""
    root = place / "root"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    for name, content in image.items():  # sorted: a folder comes before what is in it
        if content is None:
            (root / name).mkdir(mode=0o700)
        else:
            handle = os.open(root / name, os.O_WRONLY | os.O_CREAT, 0o600)
            os.write(handle, content)
            os.close(handle)
    (root / "world").write_text("".join(f"{button}\n" for button in told.acted))
    home = Home(root / "home")
    if chance.random() < 0.5 and home.database.exists():
        # An index from before, or anything else: SQLite must not believe it.
        home.database.with_name(home.database.name + "-shm").write_bytes(chance.randbytes(32768))
    chosen = settings.load(home.root)
    last_signed = signed.read(home.signed)
    opened = database.open_database(home.database)
    try:
        wrong = [f"set aside as corrupt: {opened.set_aside.name}"] if opened.set_aside else []
        wrong += _questions(home, opened.db, told, last_signed)
        if not wrong and not is_deep:
            recovery.recover(opened.db, SystemClock(9).moment, Versions(software="rig"), reports=False)
            left = inbox.taken(opened.db)
            wrong += [f"{request.request_id} is still open after the recovery" for request in left]
    finally:
        opened.db.close()
    if not wrong and told.has_kept:
        wrong = [*aftermath.verified(home), *aftermath.erased(home, told)]
    if not wrong and is_deep:
        wrong = _second_life(home, chosen, told)
    return wrong


def _questions(home, db, told, last_signed):
    ledger = aftermath.Ledger(db)
    return [
        *ledger.wrong,
        *aftermath.acts(ledger, told.acted),
        *aftermath.repeats(db, ledger),
        *aftermath.promises(db, ledger, told),
        *aftermath.statements(ledger, [*told.checkpoints, *aftermath.kept_checkpoints(db)], last_signed),
        *aftermath.identity(home, ledger, told),
        *aftermath.latch(home, told),
        *aftermath.keeping(ledger, told),
    ]


def _second_life(home, chosen, told):
    """Start the whole appliance on what is left: it goes on, in the same epoch, and does nothing twice."""
    world = home.root.parent / "world"
    chosen = chosen.model_copy(update={"model": chosen.model.model_copy(update={"bundle": "none"})})
    daemon = Daemon(home, chosen, more=[plant(world)])
    db = daemon.parts.db
    before = aftermath.Ledger(db)
    daemon.start()
    end_s = time.monotonic() + 10
    while (inbox.queued(db) or inbox.taken(db)) and time.monotonic() < end_s:
        time.sleep(0.002)
    daemon.stop()
    db = database.open_database(home.database).db
    try:
        wrong = _questions(home, db, told, signed.read(home.signed))
        ledger = aftermath.Ledger(db)
        wrong += aftermath.acts(ledger, world.read_text().split())
        wrong += [f"{request.request_id} has no end" for request in [*inbox.queued(db), *inbox.taken(db)]]
        finals = Counter(request_id for kind, request_id, _ in ledger.facts() if kind in aftermath.FINAL)
        wrong += [f"{name} has {n} ends" for name, n in finals.items() if n > 1]
        wrong += [] if ledger.epoch == before.epoch else ["the second life began another epoch"]
        newest = aftermath.kept_checkpoints(db)[-1:]
    finally:
        db.close()
    return [*wrong, *aftermath.verified(home, *newest), *aftermath.erased(home, told)]


def _speak_into(path):
    """Keep what the second lives have to say out of the rig's own voice."""
    os.dup2(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644), 2)


def run(folder, cuts, seed, site, requests_n, wrong, forgets):
    assert wrong in WRONG, f"wrong on purpose: {', '.join(WRONG)}"
    context = get_context("fork")
    # In a process of its own: nothing of the broker and its threads is inherited by the workers.
    recording = context.Process(target=record, args=(folder, site, requests_n, wrong))
    recording.start()
    recording.join()
    assert recording.exitcode == 0, "the recording failed"
    failures = compare(folder)
    tally = Counter(operations=len(write_log.read(folder / "log")))
    workers, distinct = os.cpu_count() or 1, set()
    with context.Pool(workers, initializer=_speak_into, initargs=(folder / "stderr",)) as pool:
        shares = [(folder, cuts, seed, forgets, n, workers) for n in range(workers)]
        for one, faults, seen in pool.starmap(replay, shares):
            tally += one
            failures += faults
            distinct |= seen
    tally["cuts"] = len(distinct)
    kinds = Counter(fault.rpartition(" lost: ")[2].split(":")[0] for fault in failures)
    return {"tally": dict(tally), "failures": failures[:50], "kinds": dict(kinds.most_common(20))}


if __name__ == "__main__":
    print(
        json.dumps(
            run(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], int(sys.argv[5]), *sys.argv[6:8])
        )
    )
