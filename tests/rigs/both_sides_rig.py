"""A device that reports and the controller that collects, each a process of its own, killed in turns at any moment.

Run as a process of its own with: folder, cuts, seed, port of a broker on loopback. Prints what came of it as JSON.
"""

import json
import os
import random
import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import fleet_rig

from appliance.contracts.enrolment import Role
from appliance.fleet import enrolling
from appliance.fleet.collector import Collector
from appliance.fleet.home import make, open_home
from appliance.storage import database, outbox

PER_LIFE_N = 400


def forked(work):
    """Run *work* in a child until it ends, or is killed."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        work()
        status = 0
    finally:
        os._exit(status)


def device_life(home, life):
    """Report as fast as may be, each report once, whatever was killed before."""
    rig = fleet_rig.DeviceRig(
        home, uplink=fleet_rig.UplinkSettings(poll_s=0.02, ack_timeout_s=0.5, stop_s=3.0, batch_n=20)
    ).start()
    for n in range(PER_LIFE_N):
        rig.event(f"{life}-{n}")
        time.sleep(0.002)
    while outbox.mark(rig.db, "evt").acked < outbox.mark(rig.db, "evt").newest:
        time.sleep(0.02)
    rig.stop()


def controller_life(path):
    """Collect until killed."""
    home = open_home(path)
    collector = Collector(home, now=lambda: datetime.now(UTC), chance=random.Random())
    while True:
        collector.step(0.1)


def run(folder, cuts_n, seed, port):
    chance = random.Random(seed)
    controller = make(folder / "controller", site="site")
    controller.use_broker(fleet_rig.broker_settings(port, reconnect_s=(0.2, 1.0)))
    enrolling.enrol_here(
        controller, folder / "lamp", device="lamp", role=Role.OPERATOR, replace=False, now=datetime.now(UTC)
    )
    controller.close()
    cut = {"device cuts": 0, "controller cuts": 0}
    collecting = forked(lambda: controller_life(folder / "controller"))
    for life in range(cuts_n):
        living = forked(lambda life=life: device_life(folder / "lamp", life))
        if life % 2:
            time.sleep(chance.uniform(0.1, 1.0))
            os.kill(collecting, signal.SIGKILL)
            os.waitpid(collecting, 0)
            cut["controller cuts"] += 1
            collecting = forked(lambda: controller_life(folder / "controller"))
        time.sleep(chance.uniform(0.2, 1.2))
        os.kill(living, signal.SIGKILL)
        cut["device cuts"] += os.WIFSIGNALED(os.waitpid(living, 0)[1])
    last = forked(lambda: device_life(folder / "lamp", cuts_n))
    ended = os.waitpid(last, 0)[1]
    os.kill(collecting, signal.SIGKILL)
    os.waitpid(collecting, 0)
    failures = compare(folder)
    if ended:
        failures.append(f"the last life ended with {ended}")
    return {**cut, "failures": failures}


def compare(folder):
    """Hold what the controller has against what the device was told to report."""
    wrong = []
    db = database.open_database(folder / "lamp" / "appliance.db").db
    mark = outbox.mark(db, "evt")
    db.close()
    home = open_home(folder / "controller")
    ids = [row["id"] for row in rows(home, "select id from records where stream = 'evt' order by epoch, seq")]
    by_life = {}
    for name in ids:
        life, n = name.split("-")
        by_life.setdefault(life, []).append(int(n))
    # Each life reported 0, 1, 2 ... until it was killed: what came must be that, whole, once and in order.
    wrong += [
        f"life {life}: {numbers[:5]}..." for life, numbers in by_life.items() if numbers != list(range(len(numbers)))
    ]
    if len(ids) != mark.newest:
        wrong.append(f"{mark.newest} reported, {len(ids)} collected")
    for table in ("gaps", "faults"):
        wrong += [f"{table}: {dict(row)}" for row in rows(home, f"select * from {table}")]
    home.close()
    return wrong


def rows(home, sql):
    return home.db.rows(sql)


if __name__ == "__main__":
    print(json.dumps(run(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))))
