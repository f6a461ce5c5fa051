"""Records a device's writes while bundles are installed, activated, kept and sent back, cuts the power at every one of
them, loses what was not synced, and looks at what decides then.

Run as a process of its own with: folder, cuts, seed, how the software is wrong on purpose (`no`), and what the disk
forgets (`none`, or kinds of write_log.KINDS and a part of a path, as in `D:bundles`). The lives are those of
slots_rig.py, with an orderly end; what they say stands in the log, at the moment at which they said it.

After each cut: everything that slots_rig looks at, before and after the start that follows; and the root of trust, the
floor of releases and what each bundle has waited are what the device had said they are.
"""

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from multiprocessing import get_context
from pathlib import Path

import ceremony
import slots_rig
import write_log

from appliance.contracts.slots import TrialLimits
from appliance.storage import bundles as kept
from appliance.trust import documents, dsse
from appliance.trust import slots as slots_module
from appliance.trust.slots import Shelf

HERE = Path(__file__).parent
LIVES = 3
STEPS = 40
NAME = "pointer-small"


def _unsynced(shelf, slot, admitted):
    """Put a delivery in its place before its files are on the disk."""
    slots_module._keep_tree = lambda _folder: None
    return slots_rig.PUT(shelf, slot, admitted)


WRONG = {"no": slots_rig.PUT, "filled-first": slots_rig._filled_first, "unsynced": _unsynced}


# ---- recording


def life(root, deliveries, seed, steps_n, wrong):
    """One life; what it does and has done goes into `told`, a line each."""
    Shelf.put = WRONG[wrong]
    chance = random.Random(seed)
    made, shelf, clock, admission, db = slots_rig.appliance(root / "home")
    told = (root / "told").open("a", encoding="utf-8")

    def say(what):
        slots = shelf.read()
        floor = kept.floor(db, NAME)
        waited = {one.sha256: one.powered_s for s in (slots.a, slots.b) if s and (one := kept.seen(db, s.sha256))}
        lies = [one.sha256 for one in (slots.a, slots.b) if one is not None]
        line = {"what": what, "decides": slots_rig.decides(slots), "lies": lies, "before": slots.before}
        line |= {"root": admission.root().version, "floor": floor[0] if floor else 0, "waited": waited}
        told.write(json.dumps(line) + "\n")
        told.flush()

    made.decides(next(made.start("this machine")))
    say("start")
    for _ in range(steps_n):
        what = chance.choices(("install", "activate", "pass", "back", "root"), (8, 8, 2, 4, 1))[0]
        say(f"begin {what}")
        if what == "install":
            made.install(chance.choice(deliveries), "rig")
        elif what == "activate":
            made.activate(chance.choice("ab"), "rig", again=True)
        elif what == "pass":
            clock.ahead_s += TrialLimits().longest_s + 1
            made.tick()
        elif what == "root":
            made.accept(root.parent / f"root-{admission.root().version + 1}.json", "", "rig", replace=False)
        else:
            made.roll_back("rig")
        say(f"done {what}")
    say("begin stop")
    made.stop()
    db.close()


def record(folder, seed, wrong):
    """Let a device live under the shim; leaves `root`, `log` and `before.json` in *folder*."""
    root = folder / "root"
    home = root / "home"
    home.mkdir(parents=True)
    site = ceremony.Site(folder)
    for n in range(2, 30):
        site.delivery(f"delivery-{n}", release=n, version=f"0.{n}.0", files={"card.md": b"# %d\n" % n * 300})
    for version in range(1, 30):
        (folder / f"root-{version}.json").write_bytes(site.root(version, cooldown_days=0))
    _, _, _, admission, db = slots_rig.appliance(home)
    first = (folder / "root-1.json").read_bytes()
    taken = admission.accept(first, fingerprint=documents.fingerprint(dsse.parse(first)))
    assert taken.__class__.__name__ == "Accepted", taken
    db.close()
    (root / "told").touch()
    shim = folder / "write_log.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O2", "-o", shim, HERE / "write_log.c"], check=True)
    (folder / "before.json").write_text(json.dumps(_present(root)))
    for n in range(LIVES):
        environment = {
            **os.environ,
            "LD_PRELOAD": str(shim),
            "WRITE_LOG": str(folder / "log"),
            "WRITE_LOG_ROOT": str(root),
        }
        words = ["life", folder, str(seed + n), str(STEPS), wrong]
        subprocess.run([sys.executable, __file__, *words], env=environment, check=True)


def _present(root):
    found = {}
    for path in sorted(root.rglob("*")):
        if path.is_dir() or path.is_file():
            found[str(path.relative_to(root))] = (
                path.stat().st_ino,
                None if path.is_dir() else path.read_bytes().hex(),
            )
    return found


# ---- cutting


def _is_ignored(path):
    return path.endswith(("-shm", "/told"))


def begin(folder):
    """Return the log, and the disk before its first operation."""
    root = (folder / "root").resolve()
    disk = write_log.Disk(root, _is_ignored)
    disk.place(json.loads((folder / "before.json").read_text()))
    return write_log.read(folder / "log"), disk


def compare(folder):
    """Return where the log, with nothing lost, does not give the files that are really there."""
    ops, disk = begin(folder)
    for op in ops:
        disk.apply(op)
    rebuilt = disk.image("nothing", None)
    real = {
        name: None if content is None else bytes.fromhex(content)
        for name, (_, content) in _present(folder / "root").items()
        if not _is_ignored(f"/{name}")
    }
    rebuilt = {name: content for name, content in rebuilt.items() if not _is_ignored(f"/{name}")}
    return [
        f"{name} is not what the log says"
        for name in sorted({*real, *rebuilt})
        if real.get(name, 0) != rebuilt.get(name, 0)
    ]


def replay(folder, cuts, seed, forgets, worker, workers):
    """Try this worker's share of the cuts; returns the tally and what was wrong."""
    ops, disk = begin(folder)
    kinds, _, part = forgets.partition(":")
    said, tally, wrong, seen = None, Counter(), [], set()
    place = Path(tempfile.mkdtemp(prefix="cut-", dir="/dev/shm" if Path("/dev/shm").is_dir() else folder))
    try:
        for n, op in enumerate(ops):
            if not (op.kind in kinds and part in op.path and forgets != "none"):
                disk.apply(op)
            disk.touched(op)
            if op.kind == "W" and op.path.endswith("/told"):
                said = json.loads(op.data.splitlines()[-1])
            if n % workers != worker or said is None:
                continue
            chance = random.Random(f"{seed}:{n}")
            share = cuts / len(ops)
            for _ in range(int(share) + (chance.random() < share % 1)):
                loss = chance.choice([loss for loss in write_log.LOSSES if loss != "torn" or op.kind == "W"])
                image = disk.image(loss, chance)
                mark = hash((json.dumps(said), *sorted((name, content) for name, content in image.items() if content)))
                if mark in seen:
                    continue
                seen.add(mark)
                tally["cuts"] += 1
                tally[f"during {said['what'].removeprefix('begin ')}" if "begin" in said["what"] else "between"] += 1
                where = f"after operation {n} ({write_log.KINDS[op.kind]} {Path(op.path).name}), {loss} lost"
                try:
                    found = inspect(image, said, place)
                except Exception as error:
                    found = [f"{type(error).__name__}: {error}"]
                wrong += [f"{where}, {said['what']}: {one}" for one in found]
                tally["wrong cuts"] += bool(found)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return tally, wrong


def inspect(image, said, place):
    """Put *image* on a disk, look at it, start on it, and look again; return what is wrong."""
    shutil.rmtree(place / "root", ignore_errors=True)
    (place / "root").mkdir()
    for name, content in image.items():
        if content is None:
            (place / "root" / name).mkdir(mode=0o700)
        else:
            (place / "root" / name).write_bytes(content)
    home = place / "root" / "home"
    allowed = {said["decides"]}
    if said["what"] in {"begin activate", "begin back"}:
        allowed |= {*said["lies"], "shipped"}
    wrong = slots_rig.look(home, said["what"], allowed)
    made, shelf, _, admission, db = slots_rig.appliance(home)
    try:
        candidate = next(made.start("another machine start"))
        made.decides(candidate)
        lies = shelf.read().at(candidate.place)
        if ("shipped" if lies is None else lies.sha256) not in allowed:
            wrong.append(f"{candidate.place} decides after the start, which nobody wanted")
        wrong += slots_rig.look(home, said["what"], allowed)
        root = admission.root()
        if root is None or root.version < said["root"]:
            wrong.append("an accepted root is not there")
        floor = kept.floor(db, NAME)
        if (floor[0] if floor else 0) < said["floor"]:
            wrong.append("older releases are taken again")
        for sha256, waited_s in said["waited"].items():
            one = kept.seen(db, sha256)
            if one is None and not (floor and floor[0] > said["floor"]):
                wrong.append(f"{sha256[:8]} was installed and was never seen")
            elif one is not None and one.powered_s < waited_s:
                wrong.append(f"{sha256[:8]} has waited less than before")
        slots = shelf.read()
        for sha256 in () if said["what"] == "begin install" else said["lies"]:
            if sha256 not in {one.sha256 for one in (slots.a, slots.b) if one is not None}:
                wrong.append(f"{sha256[:8]} was said to be installed and is gone")
    finally:
        db.close()
    return wrong


def main(folder, cuts, seed, wrong="no", forgets="none"):
    folder.mkdir(parents=True, exist_ok=True)
    record(folder, seed, wrong)
    failures = compare(folder)
    tally = Counter(operations=len(write_log.read(folder / "log")))
    workers = len(os.sched_getaffinity(0))
    with get_context("spawn").Pool(workers) as pool:
        shares = [(folder, cuts, seed, forgets, worker, workers) for worker in range(workers)]
        for counted, found in pool.starmap(replay, shares):
            tally += counted
            failures += found
    print(json.dumps({"tally": dict(tally), "failures": failures[:40]}))


if __name__ == "__main__":
    if sys.argv[1] == "life":
        life(
            Path(sys.argv[2]) / "root",
            sorted(Path(sys.argv[2]).glob("delivery-*")),
            *map(int, sys.argv[3:5]),
            sys.argv[5],
        )
    else:
        main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:])
